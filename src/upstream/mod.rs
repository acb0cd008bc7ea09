//! The server behind us: connections to it, what goes on to it, and asking it what it holds.

pub mod ahead;
pub mod connect;
pub mod decode;
pub mod failure;
pub mod forward;
pub mod intake;
pub mod onward;
pub mod pool;
pub mod probe;
pub mod send;
pub mod streamed;
pub mod tls;
pub mod tunnel;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

/// How the upstream is reached and what is expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Host and port, as in `127.0.0.1:8000` or `[::1]:8000`.
    pub authority: String,
    /// The Unix socket at which it listens, if it does; then the authority stands for a Host only.
    pub socket: Option<PathBuf>,
    /// What is expected of it, and what it is shown, where it speaks TLS.
    pub tls: Option<tls::Files>,
    /// True when nobody writes to the upstream except through this proxy.
    pub exclusive: bool,
    /// How long connecting may take, and waiting for a free connection.
    pub connect_timeout: Duration,
    /// How long the upstream may be silent before its answer's head, and between two pieces of its body.
    pub response_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How long a read-back may take; it never spoils the answer.
    pub read_back_timeout: Duration,
    /// How long the upstream may still apply a write whose answer was lost.
    pub settle_time: Duration,
    /// Complete answers after which a write may still be applied.
    pub unknown_outcome: Vec<StatusCode>,
    /// The longest target, in bytes, that a request in xAPI's alternate syntax is sent with as a plain one.
    pub target_max: u64,
    /// How many exchanges may be under way with the upstream at a time.
    pub connections: usize,
    /// The Authorization of probes that a writer's own credentials cannot make.
    pub service: Option<HeaderValue>,
}

#[cfg(test)]
impl Settings {
    /// What the tests of this room expect of a server that listens there.
    fn of(listener: &tokio::net::TcpListener) -> Self {
        Self {
            authority: listener.local_addr().expect("an address").to_string(),
            socket: None,
            tls: None,
            exclusive: false,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            read_back_timeout: Duration::from_secs(2),
            settle_time: Duration::from_secs(30),
            unknown_outcome: Vec::new(),
            target_max: 4000,
            connections: 8,
            service: None,
        }
    }
}
