//! One request, from its head to its answer: read, write, relay, and the answers made here.

use std::time::Duration;

/// What an exchange may take of a client's time and of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The longest pause while a request's body is read.
    pub body_timeout: Duration,
    /// How long an upload that is refused is read and thrown away, so that its client can read the refusal.
    pub linger: Duration,
}
