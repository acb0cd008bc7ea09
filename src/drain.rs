//! Ending in good order: draining begins once, and what must finish is waited for.

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// The word that draining has begun, shared by everything that must hear it.
#[derive(Debug, Clone, Default)]
pub struct Drain(CancellationToken);

impl Drain {
    /// Nothing drains yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Draining begins; saying it twice changes nothing.
    pub fn begin(&self) {
        self.0.cancel();
    }

    /// Whether draining has begun.
    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until draining begins.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.0.cancelled()
    }
}
