//! From what an exchange came to, to the record of what was decided.

use std::time::Duration;

use compact_str::ToCompactString;
use http::StatusCode;

use super::access_log::now;
use crate::decision::facts::Facts;
use crate::decision::record::{Decision, Word, WouldBe};
use crate::exchange::outcome::Outcome;
use crate::guard::policy::Mode;
use crate::semantics::repair::Repair;

/// The record of a write that is over.
pub(super) fn decided(outcome: &Outcome, facts: Facts) -> Decision {
    let mode = outcome.mode.unwrap_or_default();
    let verdict = outcome.failure.or(outcome.verdict);
    let made_here = match (mode, outcome.failure, outcome.verdict) {
        (Mode::Observe, _, Some(_)) => outcome.foreseen,
        (Mode::Enforce, None, None | Some("forward")) => None,
        (_, None, None) => None,
        (_, _, _) => outcome.status,
    };
    let would_be = match mode {
        Mode::Observe => outcome.verdict.or(outcome.failure),
        Mode::Enforce => verdict,
    };
    Decision {
        time: now().to_compact_string(),
        status: outcome.code(),
        verdict: verdict.map(Word::from),
        would_be: WouldBe {
            verdict: would_be.unwrap_or("none").into(),
            status: made_here.as_ref().map(StatusCode::as_u16),
        },
        named: named(outcome, &facts).map(Word::from),
        repairs: outcome.repairs.iter().map(|repair| repair.as_str().into()).collect(),
        suspicious: outcome.suspicious,
        alternate: outcome.is_alternate,
        recalled: outcome.recalled,
        hold_ms: outcome.hold.map(milliseconds),
        probe_ms: outcome.probe.map(milliseconds),
        ..Decision::of(facts, outcome.resource.clone().unwrap_or_default(), mode)
    }
}

/// By which entity-tag a write named what was found, if it stated any and anything was found.
fn named(outcome: &Outcome, facts: &Facts) -> Option<&'static str> {
    facts.found.as_ref()?.tag.as_ref()?;
    let has = |kind| outcome.repairs.iter().any(|repair| repair == kind);
    match (&*facts.stated.kind, outcome.verdict) {
        ("none" | "malformed", _) => None,
        ("star", _) => Some("any"),
        _ if has(Repair::Alias) => Some("alias"),
        _ if has(Repair::UpstreamTag) => Some("upstream"),
        ("if-match" | "both", Some("if-match-failed")) | ("if-none-match", Some("forward")) => {
            Some("nothing")
        }
        (_, Some("forward" | "if-none-match-failed")) => Some("ours"),
        _ => None,
    }
}

/// With three decimals.
fn milliseconds(duration: Duration) -> f64 {
    f64::from(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)) / 1000.0
}
