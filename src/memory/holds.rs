//! Holds: the sole right to write in a scope, given in order of arrival.

use std::time::Duration;

/// The bounds of holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a write waits for its hold.
    pub wait: Duration,
    /// How many writes may wait for one scope.
    pub queue: usize,
    /// How many writes may wait in all.
    pub waiters: usize,
    /// How many scopes may be held or unsettled at a time.
    pub scopes: usize,
    /// How long a scope stays unsettled after a write whose outcome is unknown.
    pub settle_time: Duration,
}
