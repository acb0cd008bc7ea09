//! What is held and what is known: the sole right to write in a scope, and what passed through here.

pub mod changes;
pub mod holds;
pub mod puts;

use changes::Changes;
use puts::Puts;

/// What is remembered of documents that pass. It never decides anything by itself: what it says is checked against what
/// the document holds now.
#[derive(Debug)]
pub struct Memory {
    /// The last successful PUT of each document.
    pub puts: Puts,
    /// When documents were seen to change.
    pub changes: Changes,
}

impl Memory {
    /// Remembers nothing yet, and at most about this many bytes.
    pub fn new(max: u64) -> Self {
        Self { puts: Puts::new(max / 2), changes: Changes::new(max / 2) }
    }
}
