//! The findings as a person reads them, and as a program does.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::finding::{Finding, Findings, Severity, Side};

/// How wide a line is for a person.
const COLUMNS: usize = 110;

/// What was examined, and what was found.
#[derive(Debug)]
pub(super) struct Report {
    /// The upstream, as a URL with the path in front of its resources.
    pub(super) upstream: String,
    /// The URL that clients use, if it was asked.
    pub(super) public: Option<String>,
    pub(super) findings: Findings,
    /// How many requests were made.
    pub(super) requests: u32,
}

#[derive(Serialize)]
struct Told<'a> {
    version: &'static str,
    upstream: &'a str,
    public: Option<&'a str>,
    findings: Vec<Line<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Line<'a> {
    side: Side,
    severity: Severity,
    code: &'static str,
    resources: &'a [Arc<str>],
    seen: &'a str,
    remedy: Option<String>,
}

impl<'a> Line<'a> {
    fn of(finding: &'a Finding) -> Self {
        let Finding { side, severity, code, seen, resources, remedy: _ } = finding;
        Self { side: *side, severity: *severity, code, resources, seen, remedy: finding.advice() }
    }
}

#[derive(Serialize)]
struct Summary {
    ok: usize,
    notes: usize,
    problems: usize,
    requests: u32,
}

impl Report {
    /// Whether something must be changed.
    pub(super) fn has_problems(&self) -> bool {
        self.findings.count(Severity::Problem) > 0
    }

    fn summary(&self) -> Summary {
        let count = |severity| self.findings.count(severity);
        Summary {
            ok: count(Severity::Ok),
            notes: count(Severity::Note),
            problems: count(Severity::Problem),
            requests: self.requests,
        }
    }

    /// One JSON object.
    pub(super) fn json(&self) -> String {
        let told = Told {
            version: env!("CARGO_PKG_VERSION"),
            upstream: &self.upstream,
            public: self.public.as_deref(),
            findings: self.findings.iter().map(Line::of).collect(),
            summary: self.summary(),
        };
        serde_json::to_string_pretty(&told).unwrap_or_default()
    }

    /// Lines for a person, by side, and a summary at the end.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let width = self.findings.iter().map(|finding| finding.code.len()).max().unwrap_or(0);
        for side in [Side::Upstream, Side::Public, Side::Doctor] {
            let mut of_side: Vec<_> = self.findings.iter().filter(|finding| finding.side == side).collect();
            if of_side.is_empty() {
                continue;
            }
            // What must be changed first.
            of_side.sort_by_key(|finding| Reverse(finding.severity));
            let place = match side {
                Side::Upstream => self.upstream.as_str(),
                Side::Public => self.public.as_deref().unwrap_or_default(),
                Side::Doctor => "what was done here",
            };
            let all: BTreeSet<&str> = of_side.iter().flat_map(|finding| names(finding)).collect();
            let examined: Vec<&str> = all.iter().copied().collect();
            let of = if examined.is_empty() { String::new() } else { format!(" ({})", examined.join(", ")) };
            text.push_str(&format!("{}  {place}{of}\n", side.as_str()));
            of_side.into_iter().for_each(|finding| text.push_str(&lines(finding, width, &all)));
            text.push('\n');
        }
        text.push_str(&self.in_a_line());
        text
    }

    fn in_a_line(&self) -> String {
        let Summary { ok, notes, problems, requests } = self.summary();
        let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        format!("{}, {}, {ok} ok, of {requests} requests\n", many(problems, "problem"), many(notes, "note"))
    }
}

/// The resources that a finding is about.
fn names(finding: &Finding) -> impl Iterator<Item = &str> {
    finding.resources.iter().map(|name| &**name)
}

/// A finding. Which resources it is about is said where it is not about all that were examined.
fn lines(finding: &Finding, width: usize, all: &BTreeSet<&str>) -> String {
    let (severity, code) = (finding.severity.as_str(), finding.code);
    let names: Vec<&str> = names(finding).collect();
    let of = if names.len() == all.len() || names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    };
    let (first, margin) = (format!("  {severity:<7}  {code:<width$}  "), " ".repeat(width + 13));
    let seen = wrapped(&first, &margin, &format!("{}{of}", finding.seen));
    let advice =
        finding.advice().map(|advice| wrapped(&format!("{margin}-> "), &format!("{margin}   "), &advice));
    seen + &advice.unwrap_or_default()
}

/// Text in lines of no more than [`COLUMNS`], if its words allow it.
fn wrapped(first: &str, margin: &str, text: &str) -> String {
    let mut lines = first.to_owned();
    let mut column = first.chars().count();
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && column + 1 + length > COLUMNS {
            lines.push('\n');
            lines.push_str(margin);
            column = margin.chars().count();
        } else if number > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::Remedy;

    #[test]
    fn long_lines_are_wrapped_between_words() {
        let text = wrapped("> ", "  ", &"word ".repeat(40));
        assert!(
            text.lines().count() == 2 && text.lines().all(|line| line.chars().count() <= COLUMNS),
            "{text}"
        );
    }

    #[test]
    fn lines_are_aligned_and_remedies_stand_below() {
        let mut findings = Findings::default();
        let both = |resource: &str| {
            Finding::new(Side::Upstream, Severity::Ok, "reachable", "it answers").of(&resource.into())
        };
        findings.extend([both("state"), both("notes")]);
        findings.add(
            Finding::new(Side::Upstream, Severity::Problem, "x", "it is odd")
                .mended_by(Remedy::OfResource("a = 1".into()))
                .of(&"state".into()),
        );
        let report = Report { upstream: "http://u".into(), public: None, findings, requests: 3 };
        assert_eq!(
            report.text(),
            "upstream  http://u (notes, state)\n  problem  x          it is odd (state)\n                      -> under \
             [resource.state]: a = 1\n  ok       reachable  it answers\n\n1 problem, 0 notes, 1 ok, of 3 requests\n"
        );
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(json["findings"][1]["severity"], "problem");
        assert_eq!(json["findings"][1]["remedy"], "under [resource.state]: a = 1");
        assert_eq!(json["summary"]["problems"], 1);
    }
}
