//! Looking up a document: what was last seen of it, and its last writes, as far as they are on record.
//!
//! What is remembered where nobody else writes to the upstream is told too, but not whom it was told: it is kept by who
//! asked, and found here by what stands for the document.
//!
//! The upstream is not asked. Its documents are shown to those whom it shows them, with their own credentials, and the
//! service of `probe.authorization-file` decides and is never shown.

use std::sync::Arc;

use http::Request;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Value, json};

use super::Remembered;
use super::form::Form;
use super::told::{Row, time_of_day};
use crate::decision::pseudonym::{Pseudonym, Pseudonyms};
use crate::decision::record::Decision;
use crate::rule::identity::{Unidentified, identify};
use crate::rule::select::{Rules, Selection};

/// How many writes are shown.
const WRITES: usize = 20;

/// What is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sought {
    /// One document.
    Document(Pseudonym),
    /// All documents of a scope.
    Scope(Pseudonym),
}

/// What is on record of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Found {
    /// What stands for it.
    pub(super) document: Pseudonym,
    /// Whether it is all documents of a scope.
    pub(super) collection: bool,
    /// What was last seen of it; nothing where nobody asked.
    pub(super) seen: Option<Seen>,
    /// What the memory of `upstream.exclusive` holds of it; nothing where it holds nothing, or there is none.
    pub(super) remembered: Option<Remembered>,
    /// All of its writes that are on record.
    pub(super) on_record: usize,
    /// The last of them, the newest first.
    pub(super) writes: Vec<Row>,
}

/// What a write found when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Seen {
    /// Our entity-tag; nothing where there was no document.
    pub(super) tag: Option<String>,
    /// The upstream's own.
    pub(super) upstream: Option<String>,
    /// The time of day.
    pub(super) at: String,
    /// Whether it may have been written since, so that this is no longer what it holds.
    pub(super) written_since: bool,
}

impl Sought {
    /// What a form asks for: a document by what stands for it, or by a target or the parameters of one.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(super) fn by(form: &Form, rules: &Rules, pseudonyms: &Pseudonyms) -> Result<Self, String> {
        let hash = form.text("document");
        if !hash.is_empty() {
            return Self::by_pseudonym(hash);
        }
        let mut head = head(&target(form)?)?;
        let rule = match rules.select(&head) {
            Selection::Guarded(rule) => rule,
            Selection::Relay => {
                return Err("No rule stands for this target: nothing is on record of it.".into());
            }
            Selection::Ambiguous(_, what) => return Err(what),
        };
        // A method may name all documents of a scope where others must name one of them.
        head.method = rule.naming.collection.first().cloned().unwrap_or_default();
        let identity = identify(rule, &head).map_err(|error| match error {
            Unidentified::Ambiguous(what) | Unidentified::Unnamed(what) => what,
        })?;
        Ok(match identity.is_collection {
            true => Self::Scope(pseudonyms.of("scope", &identity.scope)),
            false => Self::Document(pseudonyms.of("document", &identity.key)),
        })
    }

    /// What stands for a document in twelve digits.
    ///
    /// # Errors
    /// A sentence that says what it looks like.
    pub(super) fn by_pseudonym(text: &str) -> Result<Self, String> {
        let pseudonym = Pseudonym::parse(text.trim().trim_start_matches('#'));
        pseudonym
            .map(Self::Document)
            .ok_or_else(|| "What stands for a document has twelve hexadecimal digits.".into())
    }

    /// What is on record of it, in decisions that come the newest first.
    pub(super) fn found(self, decisions: &[Arc<Decision>]) -> Found {
        let is_sought = |decision: &&Arc<Decision>| match self {
            Self::Document(document) => decision.document == Some(document),
            Self::Scope(scope) => decision.scope == Some(scope),
        };
        let writes: Vec<&Arc<Decision>> = decisions.iter().filter(is_sought).collect();
        let (Self::Document(document) | Self::Scope(document)) = self;
        let collection = matches!(self, Self::Scope(_));
        Found {
            document,
            collection,
            seen: if collection { None } else { seen(&writes) },
            remembered: None,
            on_record: writes.len(),
            writes: writes.into_iter().take(WRITES).map(|decision| Row::of(decision)).collect(),
        }
    }
}

impl Found {
    /// As JSON.
    pub(super) fn json(&self) -> Value {
        json!(self)
    }
}

/// What the last write that asked has found. It asked before it was sent, so that it may itself have changed it.
fn seen(writes: &[&Arc<Decision>]) -> Option<Seen> {
    let (place, decision, found) = writes
        .iter()
        .enumerate()
        .find_map(|(place, decision)| Some((place, decision, decision.found.as_ref()?)))?;
    let may_have_written = |decision: &&Arc<Decision>| {
        !(400..499).contains(&decision.status) && decision.would_be.verdict != "replay"
    };
    Some(Seen {
        tag: found.tag.as_deref().map(str::to_owned),
        upstream: found.upstream.as_deref().map(str::to_owned),
        at: time_of_day(&decision.time).to_owned(),
        written_since: writes[..=place].iter().any(may_have_written),
    })
}

/// The target that a form names, by itself or by its parameters.
fn target(form: &Form) -> Result<String, String> {
    let target = form.text("target");
    if !target.is_empty() {
        return Ok(target.to_owned());
    }
    let (activity, agent) = (form.text("activityId"), form.text("agent"));
    let (path, id) = match (activity.is_empty(), agent.is_empty()) {
        (false, false) => ("/activities/state", "stateId"),
        (true, false) => ("/agents/profile", "profileId"),
        (false, true) => ("/activities/profile", "profileId"),
        (true, true) => return Err("Name a document: by its target, or by activityId, agent and id.".into()),
    };
    let agent = match agent.starts_with("mailto:") {
        true => json!({ "mbox": agent }).to_string(),
        false => agent.to_owned(),
    };
    let parameters = [
        ("activityId", activity),
        ("agent", &agent),
        (id, form.text("id")),
        ("registration", form.text("registration")),
    ];
    let query: Vec<String> = parameters
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    Ok(format!("{path}?{}", query.join("&")))
}

fn head(target: &str) -> Result<Parts, String> {
    let request = Request::get(target).body(());
    let not_a_target =
        |_| "This is no target: write a path, as in /xapi/activities/state?stateId=a.".to_owned();
    Ok(request.map_err(not_a_target)?.into_parts().0)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, decision, rules};
    use super::*;

    fn form(fields: &[(&str, &str)]) -> Form {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        Form::read(form.finish().as_bytes())
    }

    #[test]
    fn a_document_is_the_same_by_its_target_and_by_its_parameters() {
        let (rules, pseudonyms) = (rules(""), Pseudonyms::new());
        let sought = |fields: &[(&str, &str)]| Sought::by(&form(fields), &rules, &pseudonyms);
        let agent = "%7B%22mbox%22%3A%22mailto%3Aa%40b.example%22%7D";
        let state = format!("/xapi/activities/state?activityId=http%3A%2F%2Fx&agent={agent}&stateId=s");
        let by_target = sought(&[("target", &state)]).expect("a document");
        let parameters = [("activityId", "http://x"), ("agent", "mailto:a@b.example")];
        let by_parameters = sought(&[&parameters[..], &[("id", "s")]].concat());
        assert_eq!(by_parameters, Ok(by_target));
        assert!(matches!(by_target, Sought::Document(_)));
        assert!(matches!(sought(&parameters), Ok(Sought::Scope(_))));
        let profile = sought(&[("agent", "{\"mbox\":\"mailto:a@b.example\"}"), ("id", "p")]);
        assert_eq!(sought(&[("target", &format!("/agents/profile?agent={agent}&profileId=p"))]), profile);
        assert!(matches!(sought(&[("activityId", "http://x"), ("id", "p")]), Ok(Sought::Document(_))));
        let hash = sought(&[("document", "#00000000abcd")]).expect("a document");
        assert!(matches!(hash, Sought::Document(document) if document.to_string() == "00000000abcd"));
    }

    #[test]
    fn what_names_no_document_is_said() {
        let (rules, pseudonyms) = (rules(""), Pseudonyms::new());
        for (name, value) in [
            ("target", ""),
            ("target", "no target"),
            ("target", "/elsewhere"),
            ("target", "/activities/%73tate?activityId=a"),
            ("target", "/activities/state?activityId=a"),
            ("document", "12"),
        ] {
            assert!(Sought::by(&form(&[(name, value)]), &rules, &pseudonyms).is_err(), "{value}");
        }
    }

    #[test]
    fn what_was_last_seen_is_told_and_whether_it_may_have_changed_since() {
        let asked = Sample { found: Some(("\"a\"", Some("\"u\""))), ..Sample::default() };
        let refused = Sample { status: 412, would_be: Some(412), verdict: "if-match-failed", ..asked };
        let unasked = Sample { found: None, ..asked };
        for (samples, expected) in [
            (&[asked][..], Some(true)),
            (&[refused], Some(false)),
            (&[unasked, refused], Some(true)),
            (&[refused, unasked], Some(false)),
            (&[unasked], None),
        ] {
            let decisions: Vec<_> = samples.iter().map(|sample| Arc::new(decision(sample))).collect();
            let document = decisions[0].document.expect("it has one");
            let found = Sought::Document(document).found(&decisions);
            assert_eq!((found.on_record, found.writes.len()), (samples.len(), samples.len()));
            assert_eq!(found.seen.map(|seen| seen.written_since), expected);
        }
    }
}
