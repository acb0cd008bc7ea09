//! What is held and what is known: the sole right to write in a scope, and what passed through here.

pub mod changes;
pub mod generations;
pub mod holds;
pub mod puts;
pub mod recent_reads;

use std::time::Instant;

use changes::Changes;
use puts::Puts;
use recent_reads::RecentReads;

/// What is remembered of documents that pass. It never decides anything by itself: what it says is checked against what
/// the document holds now.
#[derive(Debug)]
pub struct Memory {
    /// The last successful PUT of each document.
    pub puts: Puts,
    /// When documents were seen to change.
    pub changes: Changes,
    /// Who was just shown which entity-tag.
    pub recent_reads: RecentReads,
}

impl Memory {
    /// Remembers nothing yet, and at most about this many bytes.
    pub fn new(max: u64, now: Instant) -> Self {
        let recent_reads = RecentReads::new(now);
        Self { puts: Puts::new(max / 2), changes: Changes::new(max / 2), recent_reads }
    }
}
