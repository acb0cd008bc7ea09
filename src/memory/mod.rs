//! What is held and what is known: the sole right to write in a scope, and what passed through here.

pub mod changes;
pub mod generations;
pub mod holds;
pub mod puts;
pub mod questions;
pub mod recent_reads;
pub mod scopes;
pub mod sightings;
pub mod validators;

use std::time::Instant;

use changes::Changes;
use http::header::HeaderName;
use puts::Puts;
use questions::Questions;
use recent_reads::RecentReads;
use sightings::Sightings;
use validators::Validators;

/// What is remembered of documents that pass. Only the validators decide anything by themselves; what the others say is
/// checked against what the document holds now.
#[derive(Debug)]
pub struct Memory {
    /// The last successful PUT of each document.
    pub puts: Puts,
    /// When documents were seen to change.
    pub changes: Changes,
    /// Who was just shown which entity-tag.
    pub recent_reads: RecentReads,
    /// Who asks what.
    pub questions: Questions,
    /// What documents were last seen to hold.
    pub sightings: Sightings,
    /// What documents hold; nothing where others write to the upstream too.
    pub validators: Option<Validators>,
}

impl Memory {
    /// Remembers nothing yet, and at most about this many bytes; with `validators` half of them are theirs.
    ///
    /// Whoever is asked in other `credential_fields` is another one.
    pub fn new(
        max: u64,
        now: Instant,
        credential_fields: Vec<HeaderName>,
        validators: Option<validators::Settings>,
    ) -> Self {
        let recent_reads = RecentReads::new(now);
        let validators = validators.map(|settings| Validators::new(max / 2, settings));
        let rest = if validators.is_some() { max / 2 } else { max };
        Self {
            puts: Puts::new(rest / 2),
            changes: Changes::new(rest / 4),
            recent_reads,
            questions: Questions::new(credential_fields),
            sightings: Sightings::new(rest / 4),
            validators,
        }
    }
}
