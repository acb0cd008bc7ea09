//! What the doctor finds, and how it is mended.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// Good to know; nothing must be changed.
    Note,
    /// Something must be changed.
    Problem,
}

impl Severity {
    /// The severity in a word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// At the LRS itself.
    Upstream,
    /// Through the URL that clients use.
    Public,
    /// In what the doctor did itself.
    Doctor,
}

impl Side {
    /// The side in a word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Public => "public",
            Self::Doctor => "doctor",
        }
    }
}

/// What to do about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remedy {
    /// A line under the resource that it was found for.
    OfResource(String),
    /// A line under a section of the configuration.
    OfSection(&'static str, String),
    /// Something outside of the configuration.
    Elsewhere(String),
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) side: Side,
    pub(super) severity: Severity,
    /// What kind of finding it is: stable, for programs that read it.
    pub(super) code: &'static str,
    /// What was seen, in one line.
    pub(super) seen: String,
    pub(super) remedy: Option<Remedy>,
    /// The resources that it was found for, by their names in the configuration.
    pub(super) resources: Vec<Arc<str>>,
}

/// What was found, in its order. What was found for several resources stands there once.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Finding {
    pub(super) fn new(side: Side, severity: Severity, code: &'static str, seen: impl Into<String>) -> Self {
        Self { side, severity, code, seen: seen.into(), remedy: None, resources: Vec::new() }
    }

    /// The same with what to do about it.
    pub(super) fn mended_by(self, remedy: Remedy) -> Self {
        Self { remedy: Some(remedy), ..self }
    }

    /// The same with something to do elsewhere.
    pub(super) fn advising(self, what: impl Into<String>) -> Self {
        self.mended_by(Remedy::Elsewhere(what.into()))
    }

    /// The same, found for a resource.
    pub(super) fn of(mut self, resource: &Arc<str>) -> Self {
        self.resources.push(Arc::clone(resource));
        self
    }

    /// What to do, in one line.
    pub(super) fn advice(&self) -> Option<String> {
        let named = || {
            let names: Vec<String> = self.resources.iter().map(|name| format!("[resource.{name}]")).collect();
            names.join(" and ")
        };
        Some(match self.remedy.as_ref()? {
            Remedy::OfResource(line) => format!("under {}: {line}", named()),
            Remedy::OfSection(section, line) => format!("under [{section}]: {line}"),
            Remedy::Elsewhere(what) => what.clone(),
        })
    }
}

impl Findings {
    /// Adds a finding, or its resources to the one that says the same.
    pub(super) fn add(&mut self, finding: Finding) {
        let same = |other: &&mut Finding| {
            let Finding { side, severity, code, seen, remedy, resources: _ } = &finding;
            (other.side, other.severity, other.code) == (*side, *severity, *code)
                && other.seen == *seen
                && other.remedy == *remedy
        };
        match self.0.iter_mut().find(same) {
            Some(other) => other.resources.extend(finding.resources),
            None => self.0.push(finding),
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// How many there are of a severity.
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// What a server said, made fit to be shown: short, and visible ASCII alone. Control characters move a cursor, and others
/// turn the direction of text, or are not seen at all.
pub(super) fn shown(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut shown: String = text
        .chars()
        .take(80)
        .flat_map(|c| if c == ' ' || c.is_ascii_graphic() { vec![c] } else { c.escape_default().collect() })
        .collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_for_several_resources_stands_there_once() {
        let finding = |resource: &str, line: &str| {
            Finding::new(Side::Upstream, Severity::Problem, "a", "b")
                .mended_by(Remedy::OfResource(line.to_owned()))
                .of(&resource.into())
        };
        let mut findings = Findings::default();
        findings.extend([finding("state", "x = 1"), finding("notes", "x = 1"), finding("other", "x = 2")]);
        let advice: Vec<_> = findings.iter().filter_map(Finding::advice).collect();
        assert_eq!(
            advice,
            ["under [resource.state] and [resource.notes]: x = 1", "under [resource.other]: x = 2"]
        );
        assert_eq!((findings.count(Severity::Problem), findings.count(Severity::Ok)), (2, 0));
    }

    #[test]
    fn what_a_server_says_moves_no_cursor() {
        assert_eq!(shown("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown("e".repeat(100)), "e".repeat(80) + "…");
        assert_eq!(shown("a\u{202e}b\u{200b}é"), "a\\u{202e}b\\u{200b}\\u{e9}");
    }
}
