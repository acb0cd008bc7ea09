//! How a decision is told in a row: the same words in the page's HTML, in its stream and in its JSON.

use std::collections::HashSet;

use serde::Serialize;

use crate::decision::client::Client;
use crate::decision::record::Decision;
use crate::guard::policy::Mode;

/// What came of a write, or would have come of it, as far as that is a matter of this proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fate {
    /// It goes on.
    Forward,
    /// It was refused here.
    Refused,
    /// It went on, and an enforcing proxy refuses it.
    WouldRefuse,
    /// It failed for no fault of its client, or would fail: the upstream, a queue.
    Failed,
    /// Nobody knows: not sampled, or its client left.
    Undecided,
}

impl Fate {
    /// All of them, as they are filtered by.
    pub(super) const ALL: [Self; 5] =
        [Self::Forward, Self::Refused, Self::WouldRefuse, Self::Failed, Self::Undecided];

    /// What came of a write.
    pub(super) fn of(decision: &Decision) -> Self {
        let would_be = &decision.would_be;
        match (would_be.status, &*would_be.verdict, decision.mode) {
            // What the upstream would not tell this writer it also refuses by itself.
            (_, "handed-back", _) => Self::Forward,
            (None, "forward" | "replay", _) => Self::Forward,
            (None, _, _) => Self::Undecided,
            (Some(400..=499 | 501), _, Mode::Enforce) if decision.status != 499 => Self::Refused,
            (Some(499 | 0), _, _) => Self::Undecided,
            (Some(400..=499 | 501), _, _) => Self::WouldRefuse,
            (Some(500..), _, _) => Self::Failed,
            (Some(_), _, _) => Self::Forward,
        }
    }

    /// Whether an enforcing proxy refuses it.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::WouldRefuse)
    }

    /// The word by which it is filtered.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Refused => "refused",
            Self::WouldRefuse => "would-refuse",
            Self::Failed => "failed",
            Self::Undecided => "undecided",
        }
    }
}

/// A decision in the words of a table's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    /// The time of day, in UTC.
    pub(super) time: String,
    /// What came of it.
    pub(super) fate: Fate,
    /// The same with the status, as in `would 409`.
    pub(super) outcome: String,
    /// The name of the resource.
    pub(super) resource: String,
    /// The method.
    pub(super) method: String,
    /// What stands for the document.
    pub(super) document: Option<String>,
    /// What stands for the client.
    pub(super) client: String,
    /// What it stated, and what the verdict was.
    pub(super) why: String,
}

impl Row {
    /// What is told of a decision.
    pub(super) fn of(decision: &Decision) -> Self {
        let fate = Fate::of(decision);
        Self {
            time: time_of_day(&decision.time).to_owned(),
            fate,
            outcome: outcome(decision, fate),
            resource: decision.resource.to_string(),
            method: decision.method.to_string(),
            document: decision.document.map(|document| document.to_string()),
            client: match decision.from {
                Some(from) => format!("{} from {from}", called(&decision.client)),
                None => called(&decision.client),
            },
            why: why(decision),
        }
    }

    /// Whether it is one of those that are asked for; an empty word asks for all.
    pub(super) fn fits(&self, filter: &Filter) -> bool {
        let is = |asked: &str, own: &str| asked.is_empty() || asked == own;
        let text = filter.text.to_lowercase();
        let has = |own: &str| own.to_lowercase().contains(&text);
        is(&filter.resource, &self.resource)
            && is(&filter.fate, self.fate.as_str())
            && (has(&self.client)
                || has(&self.why)
                || has(&self.outcome)
                || has(&self.method)
                || self.document.as_deref().is_some_and(has))
    }
}

/// Which decisions are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// The name of a resource.
    pub(super) resource: String,
    /// What came of it, as [`Fate::as_str`] says it.
    pub(super) fate: String,
    /// What stands in the row, in any letter case.
    pub(super) text: String,
}

fn outcome(decision: &Decision, fate: Fate) -> String {
    match (fate, decision.would_be.status) {
        (Fate::WouldRefuse, Some(status)) => format!("would {status}"),
        (Fate::Failed, Some(status)) if decision.mode == Mode::Observe => format!("would {status}"),
        _ => match decision.status {
            499 => "client left".to_owned(),
            0 => "cut off".to_owned(),
            status => status.to_string(),
        },
    }
}

fn why(decision: &Decision) -> String {
    let verdict = &*decision.would_be.verdict;
    let stated = match &*decision.stated.kind {
        "none" => "nothing stated",
        "star" => "*",
        kind => kind,
    };
    let named = match decision.named.as_deref() {
        Some("upstream") => " (the upstream's tag)",
        Some("ours") => " (our tag)",
        Some("alias") => " (SHA-1 of what was sent)",
        _ => "",
    };
    let repairs = match decision.repairs.is_empty() {
        true => String::new(),
        false => format!(", repaired: {}", decision.repairs.join(" ")),
    };
    let suspicious = if decision.suspicious { ", suspicious" } else { "" };
    format!("{stated}{named}: {verdict}{repairs}{suspicious}")
}

/// A client in a few words: its program, what stands for its credential, the page that it asks for.
pub(super) fn called(client: &Client) -> String {
    let agent = client.agent.as_deref().map(str::to_owned);
    let key = client.key.map(|key| format!("#{key}"));
    let origin = client.origin.as_deref().map(|origin| format!("@ {origin}"));
    let parts: Vec<String> = [agent, key, origin].into_iter().flatten().collect();
    let text = if parts.is_empty() { "says nothing of itself".to_owned() } else { parts.join(" ") };
    text.chars().take(160).collect()
}

/// The time of day of an RFC 3339 date, to the second.
pub(super) fn time_of_day(date: &str) -> &str {
    date.get(11..19).unwrap_or(date)
}

/// The names of the resources that decisions are about, in their order.
pub(super) fn resources<'a>(decisions: impl Iterator<Item = &'a Decision>) -> Vec<String> {
    let names: HashSet<&str> = decisions.map(|decision| &*decision.resource).collect();
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, decision};
    use super::*;

    #[test]
    fn fates_are_told_by_the_verdict_and_not_by_the_answer() {
        use Mode::{Enforce, Observe};
        for (mode, status, verdict, would_be, fate, outcome) in [
            (Observe, 204, "forward", None, Fate::Forward, "204"),
            (Observe, 500, "forward", None, Fate::Forward, "500"),
            (Observe, 204, "precondition-missing", Some(409), Fate::WouldRefuse, "would 409"),
            (Observe, 204, "replay", Some(204), Fate::Forward, "204"),
            (Observe, 401, "handed-back", Some(401), Fate::Forward, "401"),
            (Observe, 204, "not-sampled", None, Fate::Undecided, "204"),
            (Observe, 204, "queue-full", Some(503), Fate::Failed, "would 503"),
            (Observe, 204, "probe-signed", Some(501), Fate::WouldRefuse, "would 501"),
            (Enforce, 412, "if-match-failed", Some(412), Fate::Refused, "412"),
            (Enforce, 204, "forward", None, Fate::Forward, "204"),
            (Enforce, 502, "http_response_incomplete", Some(502), Fate::Failed, "502"),
            (Enforce, 499, "none", None, Fate::Undecided, "client left"),
        ] {
            let one = decision(&Sample { mode, status, verdict, would_be, ..Sample::default() });
            let row = Row::of(&one);
            assert_eq!((row.fate, row.outcome.as_str()), (fate, outcome), "{verdict}");
        }
    }

    #[test]
    fn a_filter_asks_for_all_that_it_says() {
        let one = decision(&Sample { resource: "state", agent: Some("curl"), ..Sample::default() });
        let row = Row::of(&one);
        let filter = |resource: &str, fate: &str, text: &str| Filter {
            resource: resource.to_owned(),
            fate: fate.to_owned(),
            text: text.to_owned(),
        };
        let document = row.document.clone().expect("it has one");
        for fits in [filter("", "", ""), filter("state", "forward", "CURL"), filter("", "", &document)] {
            assert!(row.fits(&fits), "{fits:?}");
        }
        for unfit in [filter("agent", "", ""), filter("", "refused", ""), filter("state", "", "moodle")] {
            assert!(!row.fits(&unfit), "{unfit:?}");
        }
    }
}
