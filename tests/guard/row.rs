//! One row of the table, and what the guard says of it.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use staleguard::guard::evaluate::evaluate;
use staleguard::guard::plan::{Plan, plan};
use staleguard::guard::policy::{Policy, Treatment, Unconditional};
use staleguard::guard::verdict::{Onward, Verdict};
use staleguard::semantics::entity_tag::EntityTag;
use staleguard::semantics::preconditions::{Matching, Preconditions};
use staleguard::semantics::representation::{Current, Representation};

/// One case: a policy, what was stated, what the resource holds, and the verdict.
pub(crate) struct Row {
    pub(crate) circumstance: String,
    /// The word of the configuration for a writer that stated nothing.
    pub(crate) unconditional: String,
    policy: Policy,
    stated: Preconditions,
    found: Representation,
    pub(crate) verdict: String,
}

/// All rows of the data file.
pub(crate) fn rows() -> Vec<Row> {
    include_str!("table.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(Row::parse)
        .collect()
}

impl Row {
    fn parse(line: &str) -> Self {
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let [circumstance, _method, unconditional, matching, if_match, if_none_match, found, verdict] =
            cells[..]
        else {
            panic!("a row has eight cells: {line}");
        };
        let matching = match matching {
            "lenient" => Matching::Lenient,
            "strict" => Matching::Strict,
            other => panic!("matching is lenient or strict, not {other}"),
        };
        let mut fields = HeaderMap::new();
        state(&mut fields, IF_MATCH, if_match);
        state(&mut fields, IF_NONE_MATCH, if_none_match);
        Self {
            circumstance: circumstance.to_owned(),
            unconditional: unconditional.to_owned(),
            policy: Policy {
                unconditional: parse_unconditional(unconditional),
                matching,
                replay_window: Duration::ZERO,
            },
            stated: Preconditions::from_fields(&fields, matching),
            found: parse_representation(found),
            verdict: verdict.to_owned(),
        }
    }

    /// Whether the client stated a condition.
    pub(crate) fn is_stated(&self) -> bool {
        !self.stated.is_empty()
    }

    /// Whether there is a current representation.
    pub(crate) fn is_current(&self) -> bool {
        matches!(self.found, Representation::Current(_))
    }

    /// The verdict as the proxy reaches it: by plan alone where that is enough.
    pub(crate) fn judged(&self) -> String {
        self.planned().unwrap_or_else(|| self.evaluated())
    }

    /// The verdict that needs no look at the resource, where there is one.
    pub(crate) fn planned(&self) -> Option<String> {
        match plan(&self.policy, &self.stated) {
            Plan::Decided(verdict) => Some(words(&verdict)),
            Plan::Learn => None,
        }
    }

    /// The verdict on what the resource holds.
    pub(crate) fn evaluated(&self) -> String {
        words(&evaluate(&self.policy, &self.stated, &self.found))
    }
}

/// A verdict in the table's words.
fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Refuse(refusal) => format!("{} {}", refusal.status.as_u16(), refusal.reason.as_str()),
        Verdict::Applied(tag) => format!("204 replay {tag}"),
        Verdict::Forward(clearance) => match clearance.onward() {
            Onward::AsStated => "forward as stated".to_owned(),
            Onward::IfMatch(tag) => format!("forward If-Match: {tag}"),
            Onward::IfNoneMatchAny => "forward If-None-Match: *".to_owned(),
            Onward::Removed => "forward bare".to_owned(),
        },
    }
}

/// A policy by its word in the configuration, or as `existing/missing`.
fn parse_unconditional(text: &str) -> Unconditional {
    let treatment = |text: &str| match text {
        "forward" => Treatment::Forward,
        status => Treatment::Refuse(StatusCode::from_bytes(status.as_bytes()).expect("a status")),
    };
    match text {
        "forward" => Unconditional::FORWARD,
        "conflict" => Unconditional::CONFLICT,
        "require" => Unconditional::REQUIRE,
        pair => {
            let (existing, missing) = pair.split_once('/').expect("existing/missing");
            Unconditional { existing: treatment(existing), missing: treatment(missing) }
        }
    }
}

fn state(fields: &mut HeaderMap, name: HeaderName, cell: &str) {
    let value = match cell {
        "-" => return,
        "(empty)" => "",
        value => value,
    };
    fields.insert(name, HeaderValue::from_str(value).expect("a field value"));
}

fn parse_representation(cell: &str) -> Representation {
    let tag = |text: &str| EntityTag::parse(text.trim().as_bytes()).expect("an entity-tag");
    match cell.split_once("upstream") {
        _ if cell == "missing" => Representation::Missing,
        Some((ours, upstreams)) => Representation::Current(Current {
            tag: tag(ours),
            upstream_tag: Some(tag(upstreams)),
            alias: None,
        }),
        None => Representation::Current(Current { tag: tag(cell), upstream_tag: None, alias: None }),
    }
}
