//! What connections are made of: sockets of either kind, who is at the other end, and what TLS is set up from.

pub mod client;
pub mod socket;
pub mod tls;
