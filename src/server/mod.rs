//! Sockets and connections: accepting, serving, draining, and one line in the access log per exchange.

use std::net::SocketAddr;
use std::time::Duration;

/// How clients are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub address: SocketAddr,
    /// How many connections are served at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a connection may take to send a request's head; an idle one is closed after as long.
    pub header_timeout: Duration,
    /// The largest head of a request, in bytes.
    pub header_max: usize,
    /// How long exchanges under way may take to finish once draining has begun.
    pub drain_timeout: Duration,
    /// Whether each exchange is logged on standard output.
    pub access_log: bool,
}
