//! Validators: what documents hold, as it was told to those who asked, for as long as nobody has written.
//!
//! They are asked only where nobody writes to the upstream except through this proxy. What was told to one credential
//! answers no other, and none of it answers for long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::generations::Generation;
use super::questions::Question;
use crate::resource::Scope;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::Representation;

/// What an entry takes beside the entity-tags it keeps, roughly, in bytes.
const ENTRY: u64 = 256;

/// For how long something is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long after somebody has asked the answer may be recalled for the same one.
    pub recall_max: Duration,
}

/// What documents hold, for as many as fit. What is forgotten is asked for again.
#[derive(Debug)]
pub struct Validators {
    settings: Settings,
    known: Cache<Question, Arc<Known>, Bytes>,
}

/// Which document it is, for whoever looks after what is known and is none of those who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What stands for it in records.
    pub name: u64,
    /// What is held for it.
    pub scope: Scope,
}

#[derive(Debug)]
struct Known {
    found: Representation,
    place: Place,
    generation: Generation,
    asked: Instant,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Question, Arc<Known>> for Bytes {
    fn weight(&self, _: &Question, known: &Arc<Known>) -> u64 {
        let Representation::Current(current) = &known.found else { return ENTRY };
        let tags = [Some(&current.tag), current.upstream_tag.as_ref(), current.alias.as_ref()];
        ENTRY + tags.into_iter().flatten().map(|tag: &EntityTag| tag.opaque().len() as u64).sum::<u64>()
    }
}

impl Validators {
    /// Remembers nothing yet, and at most about this many bytes.
    pub fn new(max: u64, settings: Settings) -> Self {
        let entries = usize::try_from(max / ENTRY).unwrap_or(usize::MAX);
        Self { settings, known: Cache::with_weighter(entries, max, Bytes) }
    }

    /// What a document holds, if that is known: told to the same one, under this very generation, and not long ago.
    pub fn recall(&self, question: Question, generation: Generation, now: Instant) -> Option<Representation> {
        let known = self.known.get(&question)?;
        let is_young = now.saturating_duration_since(known.asked) < self.settings.recall_max;
        (known.generation == generation && is_young).then(|| known.found.clone())
    }

    /// Remembers an answer. The generation is the one before it was asked for.
    pub fn learn(
        &self,
        question: Question,
        place: Place,
        generation: Generation,
        asked: Instant,
        found: Representation,
    ) {
        self.known.insert(question, Arc::new(Known { found, place, generation, asked }));
    }

    /// What anybody was told last of the document with this name, and how long ago, if it would still be recalled for
    /// them.
    ///
    /// All that is remembered is looked at, since a question cannot be made without the credential of who asked it. So it
    /// is for a person who looks, and never for a verdict: who would be told something else is told something else.
    pub fn told_last(
        &self,
        name: u64,
        now: Instant,
        generation: impl Fn(Scope) -> Option<Generation>,
    ) -> Option<(Representation, Duration)> {
        let is_known = |known: &Arc<Known>| {
            let age = now.saturating_duration_since(known.asked);
            known.place.name == name
                && age < self.settings.recall_max
                && generation(known.place.scope) == Some(known.generation)
        };
        let last =
            self.known.iter().map(|(_, known)| known).filter(is_known).max_by_key(|known| known.asked)?;
        Some((last.found.clone(), now.saturating_duration_since(last.asked)))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::{AUTHORIZATION, HeaderValue};

    use super::super::generations::Generations;
    use super::super::questions::Questions;
    use super::*;
    use crate::semantics::representation::Current;

    const MINUTE: Duration = Duration::from_secs(60);

    fn validators(max: u64) -> Validators {
        Validators::new(max, Settings { recall_max: MINUTE })
    }

    fn question(questions: &Questions, target: &str) -> Question {
        let mut request = Request::get(target).body(()).expect("a request");
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic YQ=="));
        questions.of(&request.into_parts().0)
    }

    fn place(name: u64) -> Place {
        Place { name, scope: Scope::new("notes", ["a"]) }
    }

    fn current(text: &str) -> Representation {
        let tag = EntityTag::new(false, text.as_bytes()).expect("an opaque-tag");
        Representation::Current(Current { tag, upstream_tag: None, alias: None })
    }

    #[test]
    fn what_is_known_is_recalled_under_its_generation_and_for_a_while() {
        let (validators, generations) = (validators(1 << 20), Generations::new());
        let scope = Scope::new("notes", ["a"]);
        let (before, asked) = (generations.of(scope).expect("nobody writes"), Instant::now());
        let question = question(&Questions::new(vec![AUTHORIZATION]), "/notes/a");
        assert_eq!(validators.recall(question, before, asked), None);
        validators.learn(question, place(1), before, asked, current("x"));
        assert_eq!(validators.recall(question, before, asked), Some(current("x")));
        assert_eq!(validators.recall(question, before, asked + MINUTE / 2), Some(current("x")));
        assert_eq!(validators.recall(question, before, asked + MINUTE), None, "it is too old");
        drop(generations.raise(scope));
        let after = generations.of(scope).expect("nobody writes any more");
        assert_eq!(validators.recall(question, after, asked), None, "somebody has written");
        validators.learn(question, place(1), after, asked, Representation::Missing);
        assert_eq!(validators.recall(question, after, asked), Some(Representation::Missing));
    }

    #[test]
    fn a_person_is_told_what_would_still_be_recalled() {
        let (validators, generations) = (validators(1 << 20), Generations::new());
        let questions = Questions::new(vec![AUTHORIZATION]);
        let (one, other) = (question(&questions, "/notes/a"), question(&questions, "/notes/a?b"));
        let (generation, asked) = (generations.of(place(1).scope).expect("nobody writes"), Instant::now());
        let told = |name, now| validators.told_last(name, now, |scope| generations.of(scope));
        assert_eq!(told(1, asked), None);
        validators.learn(one, place(1), generation, asked, current("x"));
        let later = asked + MINUTE / 2;
        validators.learn(other, place(1), generation, later, current("y"));
        assert_eq!(told(1, later), Some((current("y"), Duration::ZERO)));
        assert_eq!(told(2, later), None, "another document");
        assert_eq!(told(1, later + MINUTE), None, "it is too old");
        drop(generations.raise(place(1).scope));
        assert_eq!(told(1, later), None, "somebody has written");
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let (validators, generations) = (validators(64 * 1024), Generations::new());
        let (generation, asked) =
            (generations.of(Scope::new("notes", ["a"])).expect("nobody writes"), Instant::now());
        let questions = Questions::new(vec![AUTHORIZATION]);
        let question = |id: usize| question(&questions, &format!("/notes/{id}"));
        let ids = 0..10_000;
        for id in ids.clone() {
            validators.learn(question(id), place(1), generation, asked, current("x"));
        }
        let kept = ids.filter(|id| validators.recall(question(*id), generation, asked).is_some()).count();
        assert!((1..=64 * 1024 / 256).contains(&kept), "{kept} are kept");
        validators.learn(question(0), place(1), generation, asked, current(&"x".repeat(1 << 17)));
        assert_eq!(validators.recall(question(0), generation, asked), None, "it is larger than all of it");
    }
}
