//! *Learn*: what is told is remembered, to notice who writes around this proxy; and where nobody else writes to the
//! upstream, what was told before is recalled.
//!
//! Nothing is remembered of a request unless the upstream's answer to it would tell the same to the next one that is
//! like it, and nothing was written in between.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use http::header::ORIGIN;
use http::request::Parts;

use super::Exchange;
use crate::body::contents::Contents;
use crate::fault::{self, Mutant};
use crate::guard::evaluate::evaluate;
use crate::guard::verdict::Verdict;
use crate::memory::answers::Sighting;
use crate::memory::generations::Generation;
use crate::memory::questions::Question;
use crate::resource::Scope;
use crate::rule::Rule;
use crate::rule::identity::Identity;
use crate::semantics::cors::Cors;
use crate::semantics::credentials::is_signed;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::preconditions::Preconditions;
use crate::semantics::representation::Representation;
use crate::upstream::probe::Found;

/// A question that the upstream may be asked, and the moment before.
#[derive(Debug, Clone)]
pub(super) struct Lesson {
    resource: Arc<str>,
    question: Question,
    /// What stands for the document in records, where somebody asks in whose name the answer may be recalled.
    name: Option<u64>,
    scope: Scope,
    generation: Generation,
    since: Instant,
}

impl Lesson {
    /// Whether the answer may be recalled, so that it must not come from a cache.
    pub(super) fn lasts(&self) -> bool {
        self.name.is_some()
    }

    /// That it was answered just now.
    fn told_now(&self) -> Sighting {
        Sighting { generation: self.generation, asked: self.since, told: Instant::now() }
    }
}

impl Exchange {
    /// Prepares to learn what a document holds from what the upstream is asked next.
    ///
    /// Nothing, where it would teach nothing: where a write is under way; where the target names all documents of a
    /// scope, or may ask for a part of one; where a signature names somebody for this one request. It does not last
    /// where others write to the upstream too, or nobody is named.
    pub(super) fn lesson(&self, rule: &Rule, head: &Parts, identity: &Identity) -> Option<Lesson> {
        if identity.is_collection || !identity.is_plain || is_signed(head) {
            return None;
        }
        let questions = &self.memory.questions;
        let lasts = self.memory.answers.are_recalled() && questions.names_somebody(head);
        Some(Lesson {
            resource: Arc::clone(&rule.name),
            question: questions.of(head),
            name: lasts.then(|| self.decisions.pseudonyms().of("document", &identity.key).into()),
            scope: identity.scope,
            generation: self.holds.generation(identity.scope)?,
            since: Instant::now(),
        })
    }

    /// What a document holds, if the upstream need not be asked. It needs the document's hold.
    pub(super) fn recall(&self, rule: &Rule, head: &Parts, lesson: &Lesson) -> Option<Representation> {
        lesson.name?;
        let found = self.memory.answers.recall(lesson.question, lesson.generation, lesson.since)?;
        (!is_refusal_to_page(rule, head, &found)).then_some(found)
    }

    /// Remembers what the upstream has told, with these fields, if nothing was written meanwhile.
    pub(super) fn learned(&self, lesson: Option<&Lesson>, fields: &HeaderMap, found: &Representation) {
        let Some(lesson) = lesson else { return };
        let Some(now) = self.holds.generation(lesson.scope) else { return };
        let mut sighting = lesson.told_now();
        if fault::is_mutant(Mutant::GenerationAfterAnswer) {
            sighting = Sighting { generation: now, asked: sighting.told, ..sighting };
        }
        if self.memory.questions.is_lasting(fields) && now == sighting.generation {
            self.note(lesson, sighting, found, lesson.name);
        }
    }

    /// Notes what an observed reader was given, if nothing was written meanwhile. It may have come from a cache that
    /// names itself nowhere, so that it is never recalled.
    pub(super) fn seen(&self, lesson: &Lesson, found: &Representation) {
        if self.holds.generation(lesson.scope) == Some(lesson.generation) {
            self.note(lesson, lesson.told_now(), found, None);
        }
    }

    /// Remembers an answer, which may be recalled if its document has a name, and counts a change that no write through
    /// here explains, unless the upstream is known never to answer alike.
    fn note(&self, lesson: &Lesson, sighting: Sighting, found: &Representation, name: Option<u64>) {
        let is_foreign = self.memory.answers.note(lesson.question, sighting, found, name);
        if is_foreign && !self.steadiness.is_reported(&lesson.resource) {
            self.tally.note_foreign_write(&lesson.resource);
        }
    }

    /// Remembers what was found, unless it was told to a service.
    pub(super) fn told(&self, lesson: Option<&Lesson>, found: &Found) {
        if !found.by_service {
            self.learned(lesson, &found.fields, &found.representation);
        }
    }

    /// Reads back what a write left behind, under its hold, and gives its entity-tag if it is what was sent.
    pub(super) async fn read_back(
        self: &Arc<Self>,
        rule: &Rule,
        head: &Parts,
        identity: &Identity,
        sent: &Contents,
    ) -> Option<EntityTag> {
        let lesson = self.lesson(rule, head, identity);
        let shown = self.pool.read_back(head, sent, &super::reading(rule)).await?;
        self.told(lesson.as_ref(), &shown.found);
        shown.own_tag()
    }
}

/// Whether a page of another origin would be refused. It can read a refusal only if the upstream says so to it, and
/// that is not remembered.
fn is_refusal_to_page(rule: &Rule, head: &Parts, found: &Representation) -> bool {
    if rule.cors != Cors::Repair || !head.headers.contains_key(ORIGIN) {
        return false;
    }
    let stated = Preconditions::from_fields(&head.headers, rule.matching);
    let verdict = evaluate(&rule.policy(&head.method, &head.headers), &stated, found);
    !matches!(verdict, Verdict::Forward(_))
}
