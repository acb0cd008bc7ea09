//! A closed loop of requests over kept-alive connections, for measurements of what is between it and the fixed upstream.
//!
//! Each connection sends the same request again and again, to a document of its own if the target has a `{}` in it,
//! and each answer is checked. So the work is the same in every run, to the byte, which counts of system calls and
//! instructions need, and a writer can be current each time: it learns its document's entity-tag first.

pub mod connection;
pub mod histogram;
pub mod load;
pub mod request;
