//! What is held and what is known: the sole right to write in a scope, and what passed through here.

pub mod answers;
pub mod changes;
pub mod digests;
pub mod generations;
pub mod holds;
pub mod puts;
pub mod questions;
pub mod recent_reads;
pub mod scopes;
mod table;

use std::time::Instant;

use answers::Answers;
use changes::Changes;
use digests::Digests;
use http::header::HeaderName;
use puts::Puts;
use questions::Questions;
use recent_reads::RecentReads;

/// What is remembered of documents that pass. Only recalled answers and digests decide anything by themselves; what the
/// others say is checked against what the document holds now.
#[derive(Debug)]
pub struct Memory {
    /// The last successful PUT of each document.
    pub puts: Puts,
    /// When documents were seen to change.
    pub changes: Changes,
    /// What contents were digested to.
    pub digests: Digests,
    /// Who was just shown which entity-tag.
    pub recent_reads: RecentReads,
    /// Who asks what.
    pub questions: Questions,
    /// What they were told last.
    pub answers: Answers,
}

impl Memory {
    /// Remembers nothing yet, and at most about this many bytes: a quarter of them for answers, or five eighths where they
    /// are recalled.
    ///
    /// Whoever is asked in other `credential_fields` is another one.
    pub fn new(
        max: u64,
        now: Instant,
        credential_fields: Vec<HeaderName>,
        recalled: Option<answers::Settings>,
    ) -> Self {
        let recent_reads = RecentReads::new(now);
        let rest = if recalled.is_some() { max / 2 } else { max };
        Self {
            puts: Puts::new(rest / 2),
            changes: Changes::new(rest / 16 * 3),
            digests: Digests::new(rest / 16),
            recent_reads,
            questions: Questions::new(credential_fields),
            answers: Answers::new(max - rest + rest / 4, now, recalled),
        }
    }
}
