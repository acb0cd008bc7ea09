//! Who writes without preconditions, and what could be done about it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::forecast::percent;
use super::told::{Fate, called, time_of_day};
use crate::decision::client::Client;
use crate::decision::record::Decision;

/// One client's writes to one resource.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Writer {
    /// What it is called.
    pub(super) client: String,
    /// The name of the resource.
    pub(super) resource: String,
    /// All of its writes.
    pub(super) writes: u64,
    /// Those that state nothing.
    pub(super) without: u64,
    /// The same, of a hundred.
    pub(super) without_percent: Option<f64>,
    /// Those that state what cannot be understood.
    pub(super) malformed: u64,
    /// Those that name what is not there any more, or was there already.
    pub(super) stale: u64,
    /// Those that name what their client was given only just before.
    pub(super) suspicious: u64,
    /// Those that state nothing and are refused for that, or are where enforced.
    pub(super) refused_without: u64,
    /// The time of day of the last.
    pub(super) last: String,
    /// What could be done.
    pub(super) suggestion: Suggestion,
}

/// What could be done about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Suggestion {
    /// What it states cannot be understood.
    Malformed,
    /// It states nothing, and breaks where that is enforced.
    Forward,
    /// It states nothing, and goes on all the same.
    Keep,
    /// It states what it was given just before: it forges.
    Forged,
    /// It often names what is not there any more.
    Stale,
    /// It can be enforced.
    Ready,
}

impl Suggestion {
    /// The same for a person.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "states what nobody understands: 412 where enforced; have it mended",
            Self::Forward => {
                "breaks where enforced: have it read first and send If-Match, or keep unconditional = \"forward\""
            }
            Self::Keep => "goes on as it is, and the last write wins; enforcing changes nothing for it",
            Self::Forged => "names what it read just before: a middleman may forge that, and protects nobody",
            Self::Stale => "often starts from an old read: look at the conflicts below",
            Self::Ready => "ready to be enforced",
        }
    }
}

/// The writers of decisions, the newest first: who states least comes first.
pub(super) fn writers(decisions: &[Arc<Decision>]) -> Vec<Writer> {
    let mut writers: HashMap<(&Client, &str), Writer> = HashMap::new();
    for decision in decisions {
        let key = (&decision.client, &*decision.resource);
        writers.entry(key).or_insert_with(|| Writer::last_seen(decision)).count(decision);
    }
    let mut writers: Vec<Writer> = writers.into_values().map(Writer::judged).collect();
    writers.sort_by(|a, b| {
        (b.refused_without, b.without, b.writes)
            .cmp(&(a.refused_without, a.without, a.writes))
            .then_with(|| (&a.client, &a.resource).cmp(&(&b.client, &b.resource)))
    });
    writers
}

impl Writer {
    fn last_seen(decision: &Decision) -> Self {
        Self {
            client: called(&decision.client),
            resource: decision.resource.to_string(),
            writes: 0,
            without: 0,
            without_percent: None,
            malformed: 0,
            stale: 0,
            suspicious: 0,
            refused_without: 0,
            last: time_of_day(&decision.time).to_owned(),
            suggestion: Suggestion::Ready,
        }
    }

    fn count(&mut self, decision: &Decision) {
        let verdict = &*decision.would_be.verdict;
        let is_without = decision.stated.kind == "none";
        self.writes += 1;
        self.without += u64::from(is_without);
        self.malformed += u64::from(decision.stated.kind == "malformed");
        self.stale += u64::from(is_stale(verdict));
        self.suspicious += u64::from(decision.suspicious);
        self.refused_without += u64::from(is_without && Fate::of(decision).is_refusal());
    }

    fn judged(self) -> Self {
        let suggestion = match &self {
            Self { refused_without: 1.., .. } => Suggestion::Forward,
            Self { malformed: 1.., .. } => Suggestion::Malformed,
            Self { suspicious, writes, .. } if *suspicious > 0 && suspicious * 2 >= *writes => {
                Suggestion::Forged
            }
            Self { stale, writes, .. } if stale * 5 >= *writes => Suggestion::Stale,
            Self { without: 1.., .. } => Suggestion::Keep,
            _ => Suggestion::Ready,
        };
        Self { suggestion, without_percent: percent(self.without, self.writes), ..self }
    }
}

/// Whether a verdict says that somebody else was first.
pub(super) fn is_stale(verdict: &str) -> bool {
    matches!(verdict, "if-match-failed" | "if-none-match-failed")
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, decision};
    use super::*;

    fn told(samples: &[Sample]) -> Vec<(String, u64, u64, Suggestion)> {
        let decisions: Vec<_> = samples.iter().map(|sample| Arc::new(decision(sample))).collect();
        let told = |one: Writer| (one.client, one.writes, one.without, one.suggestion);
        writers(&decisions).into_iter().map(told).collect()
    }

    #[test]
    fn who_states_least_comes_first_and_is_told_what_could_be_done() {
        let keeps = Sample::default();
        let states = Sample { stated: "if-match", ..keeps };
        let breaks =
            Sample { agent: Some("Moodle"), verdict: "precondition-missing", would_be: Some(409), ..keeps };
        let stale = Sample {
            agent: Some("slow"),
            stated: "if-match",
            verdict: "if-match-failed",
            would_be: Some(412),
            ..keeps
        };
        let forges = Sample { agent: Some("hop"), suspicious: true, ..states };
        let odd = Sample {
            agent: Some("odd"),
            stated: "malformed",
            verdict: "malformed-precondition",
            would_be: Some(412),
            ..keeps
        };
        let ready = Sample { agent: Some("good"), ..states };
        assert_eq!(
            told(&[keeps, states, breaks, stale, forges, odd, ready, keeps]),
            [
                ("Moodle".to_owned(), 1, 1, Suggestion::Forward),
                ("TinCanJS".to_owned(), 3, 2, Suggestion::Keep),
                ("good".to_owned(), 1, 0, Suggestion::Ready),
                ("hop".to_owned(), 1, 0, Suggestion::Forged),
                ("odd".to_owned(), 1, 0, Suggestion::Malformed),
                ("slow".to_owned(), 1, 0, Suggestion::Stale),
            ]
        );
    }

    #[test]
    fn a_client_is_told_apart_by_resource_and_the_newest_is_its_last() {
        let late = Sample { time: "2026-11-22T08:00:00.000Z", ..Sample::default() };
        let decisions: Vec<_> = [late, Sample::default(), Sample { resource: "notes", ..late }]
            .iter()
            .map(|sample| Arc::new(decision(sample)))
            .collect();
        let of: Vec<_> =
            writers(&decisions).into_iter().map(|one| (one.resource, one.writes, one.last)).collect();
        assert_eq!(of, [("state".into(), 2, "08:00:00".into()), ("notes".into(), 1, "08:00:00".into())]);
    }
}
