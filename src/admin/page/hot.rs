//! Conflicts, and the documents that are written most.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::clients::is_stale;
use super::told::time_of_day;
use crate::decision::client::Client;
use crate::decision::pseudonym::Pseudonym;
use crate::decision::record::Decision;

/// The writes to one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Hot {
    /// The name of the resource.
    pub(super) resource: String,
    /// What stands for the document.
    pub(super) document: Pseudonym,
    /// All of them.
    pub(super) writes: u64,
    /// How many clients they came from.
    pub(super) writers: usize,
    /// Those that name what is not there any more, or was there already: a lost update that was prevented, or would be.
    pub(super) conflicts: u64,
    /// Those that state nothing and went over what another client had written: an update may be lost. Two devices with
    /// one credential look like one client, so there may be more.
    pub(super) blind: u64,
    /// The longest wait for the right to write, in milliseconds.
    pub(super) longest_wait_ms: f64,
    /// The time of day of the last.
    pub(super) last: String,
}

/// What is gathered of a document's writes.
struct Gathered<'a> {
    hot: Hot,
    writers: HashSet<(&'a Client, Option<Pseudonym>)>,
    /// Who wrote it last with success, and from where.
    author: Option<(&'a Client, Option<Pseudonym>)>,
}

/// The documents of decisions, the newest first: those with the most conflicts come first.
pub(super) fn documents(decisions: &[Arc<Decision>]) -> Vec<Hot> {
    let mut documents: HashMap<Pseudonym, Gathered<'_>> = HashMap::new();
    // From the oldest on, since it matters who wrote before.
    for decision in decisions.iter().rev() {
        if let Some(document) = decision.document {
            documents.entry(document).or_insert_with(|| Gathered::of(decision, document)).take(decision);
        }
    }
    let mut documents: Vec<Hot> = documents
        .into_values()
        .filter(|gathered| gathered.hot.writes > 0)
        .map(|Gathered { hot, writers, .. }| Hot { writers: writers.len(), ..hot })
        .collect();
    documents.sort_by(|a, b| {
        let key = |hot: &Hot| (hot.conflicts + hot.blind, hot.writes, hot.document);
        key(b).cmp(&key(a))
    });
    documents
}

impl<'a> Gathered<'a> {
    fn of(decision: &'a Decision, document: Pseudonym) -> Self {
        let hot = Hot {
            resource: decision.resource.to_string(),
            document,
            writes: 0,
            writers: 0,
            conflicts: 0,
            blind: 0,
            longest_wait_ms: 0.0,
            last: String::new(),
        };
        Self { hot, writers: HashSet::new(), author: None }
    }

    fn take(&mut self, decision: &'a Decision) {
        // What the upstream does not let anybody write has no writer.
        if matches!(decision.status, 401 | 403) {
            return;
        }
        let hot = &mut self.hot;
        let writer = (&decision.client, decision.from);
        hot.writes += 1;
        hot.conflicts += u64::from(is_stale(&decision.would_be.verdict));
        hot.longest_wait_ms = hot.longest_wait_ms.max(decision.hold_ms.unwrap_or_default());
        time_of_day(&decision.time).clone_into(&mut hot.last);
        self.writers.insert(writer);
        if (200..300).contains(&decision.status) && decision.would_be.verdict != "replay" {
            let is_anothers = self.author.is_some_and(|author| author != writer);
            hot.blind += u64::from(is_anothers && decision.stated.kind == "none");
            self.author = Some(writer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, decision};
    use super::*;

    /// Writes, conflicts, blind ones and writers of each document; samples are given the oldest first.
    fn told(samples: &[Sample]) -> Vec<(u64, u64, u64, usize)> {
        let decisions: Vec<_> = samples.iter().rev().map(|sample| Arc::new(decision(sample))).collect();
        let told = |hot: Hot| (hot.writes, hot.conflicts, hot.blind, hot.writers);
        documents(&decisions).into_iter().map(told).collect()
    }

    #[test]
    fn what_conflicts_most_comes_first() {
        let write = Sample::default();
        let conflict = Sample {
            document: 2,
            agent: Some("curl"),
            stated: "if-match",
            verdict: "if-match-failed",
            would_be: Some(412),
            ..write
        };
        assert_eq!(told(&[write, write, write, conflict]), [(1, 1, 0, 1), (3, 0, 0, 1)]);
    }

    #[test]
    fn whoever_states_nothing_over_what_another_wrote_is_blind() {
        let mine = Sample::default();
        let theirs = Sample { agent: Some("curl"), ..mine };
        let failed = Sample { status: 500, ..theirs };
        let stated = Sample { stated: "if-match", ..theirs };
        assert_eq!(told(&[mine, theirs]), [(2, 0, 1, 2)]);
        assert_eq!(told(&[mine, mine]), [(2, 0, 0, 1)]);
        assert_eq!(told(&[mine, failed]), [(2, 0, 0, 2)]);
        assert_eq!(told(&[mine, stated]), [(2, 0, 0, 2)]);
        assert_eq!(told(&[mine, theirs, mine, mine]), [(4, 0, 2, 2)]);
    }

    #[test]
    fn devices_are_told_apart_and_who_may_not_write_is_no_writer() {
        let mine = Sample::default();
        let elsewhere = Sample { from: 2, ..mine };
        assert_eq!(told(&[mine, elsewhere]), [(2, 0, 1, 2)]);
        let strange = Sample { status: 401, agent: Some("curl"), ..mine };
        assert_eq!(told(&[mine, strange]), [(1, 0, 0, 1)]);
        assert_eq!(told(&[strange]), []);
    }
}
