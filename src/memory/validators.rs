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

#[derive(Debug)]
struct Known {
    found: Representation,
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
    pub fn learn(&self, question: Question, generation: Generation, asked: Instant, found: Representation) {
        self.known.insert(question, Arc::new(Known { found, generation, asked }));
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::{AUTHORIZATION, HeaderValue};

    use super::super::generations::Generations;
    use super::super::questions::Questions;
    use super::*;
    use crate::resource::Scope;
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
        validators.learn(question, before, asked, current("x"));
        assert_eq!(validators.recall(question, before, asked), Some(current("x")));
        assert_eq!(validators.recall(question, before, asked + MINUTE / 2), Some(current("x")));
        assert_eq!(validators.recall(question, before, asked + MINUTE), None, "it is too old");
        drop(generations.raise(scope));
        let after = generations.of(scope).expect("nobody writes any more");
        assert_eq!(validators.recall(question, after, asked), None, "somebody has written");
        validators.learn(question, after, asked, Representation::Missing);
        assert_eq!(validators.recall(question, after, asked), Some(Representation::Missing));
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
            validators.learn(question(id), generation, asked, current("x"));
        }
        let kept = ids.filter(|id| validators.recall(question(*id), generation, asked).is_some()).count();
        assert!((1..=64 * 1024 / 256).contains(&kept), "{kept} are kept");
        validators.learn(question(0), generation, asked, current(&"x".repeat(1 << 17)));
        assert_eq!(validators.recall(question(0), generation, asked), None, "it is larger than all of it");
    }
}
