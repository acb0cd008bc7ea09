//! Ending in good order: draining begins once, and what must finish is waited for.

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// The word that draining has begun, shared by everything that must hear it.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    begun: CancellationToken,
    cut_off: CancellationToken,
}

impl Drain {
    /// Nothing drains yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Draining begins; saying it twice changes nothing.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// The time to finish has passed: what is still under way is cut off.
    pub fn cut_off(&self) {
        self.cut_off.cancel();
    }

    /// Whether something was cut off, or left behind of which nobody knows what it comes to.
    pub fn has_cut_off(&self) -> bool {
        self.cut_off.is_cancelled()
    }

    /// Whether draining has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until draining begins.
    pub fn begun(&self) -> WaitForCancellationFuture<'_> {
        self.begun.cancelled()
    }
}
