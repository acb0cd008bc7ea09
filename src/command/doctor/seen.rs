//! What was seen of a document, step by step: all that the findings are made of.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::documents::MARK;
use super::place::{Heard, Told};
use crate::json::read::read;
use crate::json::same::same_value;

/// A question about a document, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A GET before it is there.
    Missing,
    /// A PUT with `If-None-Match: *` that makes it.
    Created,
    /// The same PUT without a precondition, where the one before was refused.
    CreatedBare,
    /// A GET of what was made.
    Read,
    /// The same GET once more.
    Again,
    /// The same GET at the upstream, where the others came through the public URL.
    Behind,
    /// A HEAD.
    Head,
    /// A GET whose `If-None-Match` names what it gave before.
    Revalidated,
    /// A GET for a page of another origin.
    CrossOrigin,
    /// The preflight that comes before such a page's PUT.
    Preflight,
    /// A GET in xAPI's alternate request syntax.
    Alternate,
    /// A GET with a target of `upstream.target-max`.
    LongPlain,
    /// A GET with a target of 8 KiB.
    Long8,
    /// A GET with a target of 16 KiB.
    Long16,
    /// A PUT with `If-Match` and an entity-tag that names nothing.
    Stale,
    /// A GET of what that left.
    AfterStale,
    /// A PUT with `If-Match` and the entity-tag as it was given.
    Own,
    /// A PUT that states nothing.
    Unstated,
    /// A PUT with `If-None-Match: *` over what is there.
    CreatedOver,
    /// A GET of what all these left.
    After,
    /// The same GET at the upstream.
    AfterBehind,
    /// A POST that merges.
    Merged,
    /// A GET of what that left.
    AfterMerge,
    /// A DELETE.
    Removed,
    /// A GET of what that left.
    Gone,
}

/// The answers that there are; what was not asked is not in it.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<Step, Heard>);

impl Seen {
    pub(super) fn note(&mut self, step: Step, heard: Heard) {
        self.0.insert(step, heard);
    }

    /// The answer to a step, if it was asked and answered.
    pub(super) fn told(&self, step: Step) -> Option<&Told> {
        self.0.get(&step)?.as_ref().ok()
    }

    pub(super) fn status(&self, step: Step) -> Option<StatusCode> {
        self.told(step).map(|told| told.status)
    }

    /// Whether a step was asked, answered or not.
    pub(super) fn asked(&self, step: Step) -> bool {
        self.0.contains_key(&step)
    }

    /// A document that a step showed.
    pub(super) fn document(&self, step: Step) -> Option<&Told> {
        self.told(step).filter(|told| told.status == StatusCode::OK)
    }

    /// The steps that got no answer.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (Step, super::place::Unanswered)> {
        self.0.iter().filter_map(|(step, heard)| Some((*step, *heard.as_ref().err()?)))
    }

    /// Whether a step was carried out.
    pub(super) fn succeeded(&self, step: Step) -> bool {
        self.status(step).is_some_and(|status| status.is_success())
    }
}

/// The contents of the first PUT: every way in which JSON is usually written anew changes them, and none their value.
pub(super) fn first_contents() -> Bytes {
    format!("{{ \"by\" : \"{MARK}\",\n \"step\":\"first\", \"number\":1.0, \"text\": \"\\u00e9/\u{fc}\" }}")
        .into()
}

/// What is merged by a POST: numbers that no double holds, and an empty object, which PHP takes for a list. It tells whose
/// it is, for servers that replace where they should merge.
pub(super) fn merged_contents() -> Bytes {
    format!("{{\"merged\":12345678901234567890,\"empty\":{{}},\"from\":\"{MARK}\"}}").into()
}

/// The contents of a later step, which tell that it was carried out.
pub(super) fn contents_of(step: &str) -> Bytes {
    json!({ "by": MARK, "step": step }).to_string().into()
}

/// Large contents, so that every hop that compresses does.
pub(super) fn large_contents(step: &str) -> Bytes {
    let filler: Vec<Value> =
        (0..120).map(|n| json!({ "card": n, "due": format!("2026-03-{:02}", n % 28 + 1) })).collect();
    json!({ "by": MARK, "step": step, "filler": filler }).to_string().into()
}

/// How contents that came back compare with those that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Likeness {
    SameBytes,
    SameValue,
    Different,
}

pub(super) fn likeness(sent: &[u8], came: &[u8]) -> Likeness {
    if sent == came {
        return Likeness::SameBytes;
    }
    match (read(sent), read(came)) {
        (Some(sent), Some(came)) if same_value(&sent, &came) => Likeness::SameValue,
        _ => Likeness::Different,
    }
}

/// The step whose contents these are.
pub(super) fn step_of(contents: &[u8]) -> Option<String> {
    Some(read(contents)?.get("step")?.as_str()?.to_owned())
}
