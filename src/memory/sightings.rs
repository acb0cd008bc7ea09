//! Sightings: what each document was last seen to hold, so that somebody is noticed who writes around this proxy.
//!
//! A foreign write is one representation after another, told to the same one who asks the same, while nothing that was
//! begun here can explain it. So only sightings of one generation are compared, and of these only such as followed each
//! other: what is seen first after a write of our own is whatever the upstream has made of it.

use std::time::{Duration, Instant};

use ahash::RandomState;
use quick_cache::sync::{Cache, EntryAction, EntryResult};

use super::generations::Generation;
use super::questions::Question;
use crate::semantics::representation::Representation;

/// What an entry takes, roughly, in bytes.
const ENTRY: u64 = 128;

/// What was last seen of each document by each who asks, for as many as fit. What is forgotten is seen anew.
#[derive(Debug)]
pub struct Sightings {
    hasher: RandomState,
    seen: Cache<Question, Seen>,
}

/// When something was asked and told, between two moments at which nothing was being written.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    /// The generation of its scope, at both.
    pub generation: Generation,
    /// Before it was asked.
    pub asked: Instant,
    /// After it was told.
    pub told: Instant,
}

#[derive(Debug, Clone)]
struct Seen {
    /// Of the entity-tag, or that nothing was there.
    digest: Option<u64>,
    sighting: Sighting,
    /// It was a change that nothing here explains, and was not seen a second time yet.
    is_odd: bool,
}

impl Sightings {
    /// Nothing has been seen yet, and at most about this many bytes are remembered.
    pub fn new(max: u64) -> Self {
        let entries = usize::try_from(max / ENTRY).unwrap_or(usize::MAX);
        Self { hasher: RandomState::new(), seen: Cache::new(entries) }
    }

    /// Notes what was seen, and says whether somebody must have written who went around this proxy.
    ///
    /// Of a document that is another one each time it is asked for, the first change counts and no further one: then it
    /// is the upstream that never answers alike.
    pub fn see(&self, question: Question, sighting: Sighting, found: &Representation) -> bool {
        let digest = match found {
            Representation::Missing => None,
            Representation::Current(current) => Some(self.hasher.hash_one(&*current.tag.opaque())),
        };
        let now = Seen { digest, sighting, is_odd: false };
        let seen = self.seen.entry(&question, Some(Duration::ZERO), |_, seen| {
            EntryAction::Retain(seen.is_followed_oddly(now.clone()))
        });
        match seen {
            EntryResult::Retained(is_foreign) => is_foreign,
            EntryResult::Vacant(place) => {
                // Where somebody else was quicker, both have seen it for the first time.
                let _ = place.insert(now);
                false
            }
            // Somebody else is noting it at this moment.
            _ => false,
        }
    }
}

impl Seen {
    /// Whether nothing that was begun here explains what is seen now; from here on that is what was last seen.
    fn is_followed_oddly(&mut self, now: Self) -> bool {
        let is_same_generation = self.sighting.generation == now.sighting.generation;
        if is_same_generation && now.sighting.asked < self.sighting.told {
            // They were under way together, and nobody can say which of them is older.
            return false;
        }
        let is_odd = is_same_generation && now.digest != self.digest;
        let is_foreign = is_odd && !self.is_odd;
        *self = Self { is_odd, ..now };
        is_foreign
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
    use crate::semantics::entity_tag::EntityTag;
    use crate::semantics::representation::Current;

    /// What one who asks sees of one document, each time after the one before.
    struct Eyes {
        sightings: Sightings,
        generations: std::sync::Arc<Generations>,
        questions: Questions,
        now: Instant,
    }

    impl Eyes {
        fn open() -> Self {
            let questions = Questions::new(vec![AUTHORIZATION]);
            let (sightings, generations) = (Sightings::new(1 << 20), Generations::new());
            Self { sightings, generations, questions, now: Instant::now() }
        }

        fn sighting(&mut self) -> Sighting {
            let asked = self.now;
            self.now += Duration::from_millis(1);
            let generation = self.generations.of(scope()).expect("nobody writes");
            Sighting { generation, asked, told: self.now }
        }

        fn see(&mut self, found: &str) -> bool {
            let sighting = self.sighting();
            self.see_at(sighting, "YQ==", found)
        }

        fn see_at(&self, sighting: Sighting, asker: &'static str, found: &str) -> bool {
            let mut request = Request::get("/notes/a").body(()).expect("a request");
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(asker));
            let question = self.questions.of(&request.into_parts().0);
            self.sightings.see(question, sighting, &representation(found))
        }

        fn write(&self) {
            drop(self.generations.raise(scope()));
        }
    }

    fn scope() -> Scope {
        Scope::new("notes", ["a"])
    }

    fn representation(found: &str) -> Representation {
        match EntityTag::new(false, found.as_bytes()).filter(|_| !found.is_empty()) {
            None => Representation::Missing,
            Some(tag) => Representation::Current(Current { tag, upstream_tag: None, alias: None }),
        }
    }

    #[test]
    fn a_change_that_nothing_here_explains_is_foreign() {
        let mut eyes = Eyes::open();
        let seen = ["", "", "x", "x", "y", "y", "", ""].map(|found| eyes.see(found));
        assert_eq!(seen, [false, false, true, false, true, false, true, false]);
    }

    #[test]
    fn what_is_seen_first_after_a_write_is_no_surprise() {
        let mut eyes = Eyes::open();
        assert!(!eyes.see("x"));
        eyes.write();
        assert!(!eyes.see("y"), "it was written, or made of what was");
        assert!(eyes.see("z"), "this was not");
        eyes.write();
        assert!(!eyes.see("a") && !eyes.see("a") && eyes.see("b"));
    }

    #[test]
    fn of_answers_that_were_under_way_together_none_is_the_older_one() {
        let mut eyes = Eyes::open();
        let early = eyes.sighting();
        assert!(!eyes.see("x"));
        let late = Sighting { told: eyes.now, ..early };
        assert!(!eyes.see_at(late, "YQ==", "before x"));
        assert!(!eyes.see("x"), "it counts for nothing");
        eyes.write();
        let during = Sighting { asked: early.asked, ..eyes.sighting() };
        assert!(!eyes.see_at(during, "YQ==", "y") && !eyes.see("y"));
    }

    #[test]
    fn what_one_is_told_says_nothing_to_another() {
        let mut eyes = Eyes::open();
        for (asker, found) in [("YQ==", "x"), ("Yg==", "y"), ("YQ==", "x"), ("Yg==", "y")] {
            let sighting = eyes.sighting();
            assert!(!eyes.see_at(sighting, asker, found));
        }
    }

    #[test]
    fn what_is_another_one_each_time_counts_once() {
        let mut eyes = Eyes::open();
        let seen = ["a", "b", "c", "d", "e", "e", "f"].map(|found| eyes.see(found));
        assert_eq!(seen, [false, true, false, false, false, false, true]);
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let sightings = Sightings::new(64 * ENTRY);
        let questions = Questions::new(vec![]);
        let mut eyes = Eyes::open();
        for id in 0..1000 {
            let head = Request::get(format!("/notes/{id}")).body(()).expect("a request").into_parts().0;
            sightings.see(questions.of(&head), eyes.sighting(), &Representation::Missing);
        }
        assert!((1..=64).contains(&sightings.seen.len()), "{}", sightings.seen.len());
    }
}
