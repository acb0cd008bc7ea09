//! What connections are made of: sockets of either kind, who is at the other end, what TLS is set up from, and how long
//! is waited for either side.

pub mod client;
pub mod socket;
pub mod timers;
pub mod tls;
