//! Answers: what the upstream has told last to each who asks. It is compared with what it tells next, so that somebody is
//! noticed who writes around this proxy; and where nobody does, it is recalled instead of being asked for again.
//!
//! A foreign write is one representation after another, told to the same one who asks the same, while nothing that was
//! begun here can explain it. So only answers of one generation are compared, and of these only such as followed each
//! other: what is told first after a write of our own is whatever the upstream has made of it.
//!
//! What was told to one credential answers no other, and none of it answers for long. It is recalled only under the
//! generation under which it was told, for as long as nobody has written.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::{EntryAction, EntryResult};

use super::generations::Generation;
use super::questions::Question;
use super::table::{self, INDEX, Table, USED_AGAIN};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::{Current, Representation};

/// What an entry takes in the table, in bytes; a test holds it.
const ENTRY: u64 = 88 + INDEX;

/// What the two entity-tags of a document take apart from its entry, with what the allocator takes for itself, in bytes.
const APART: u64 = 64;

/// For how long something is recalled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long after somebody has asked the answer may be recalled for the same one.
    pub recall_max: Duration,
}

/// What was told last, for as many documents and askers as fit. What is forgotten is told anew.
#[derive(Debug)]
pub struct Answers {
    /// Nothing where others write to the upstream too, so that nothing is recalled.
    settings: Option<Settings>,
    /// From here on moments are counted.
    began: Instant,
    told: Table<Question, Told, Weight>,
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

/// Nanoseconds since the table was made.
type Moment = u64;

/// There is one for each document and asker, and each of its bytes counts.
#[derive(Debug, Clone)]
struct Told {
    found: Found,
    /// Whether the upstream's own entity-tag is the same as ours, as that of an LRS is that keeps to xAPI.
    is_alike: bool,
    told: Moment,
    /// How many microseconds earlier it was asked, the last one begun counted whole; nothing where it is not recalled.
    took: Option<NonZeroU32>,
    /// What stands for the document in records; 0 where it is not recalled.
    name: [u8; 6],
    generation: Generation,
    /// It was a change that nothing here explains, and was not seen a second time yet.
    is_odd: bool,
}

/// A representation: what it has no alias of, since none is ever told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Missing,
    /// The upstream gives it no entity-tag of its own, or the same as ours.
    Current(EntityTag),
    /// Ours and another one of the upstream's own.
    Tagged(Box<(EntityTag, EntityTag)>),
}

#[derive(Debug, Clone)]
struct Weight;

impl Weighter<Question, Told> for Weight {
    fn weight(&self, _: &Question, told: &Told) -> u64 {
        ENTRY + told.found.apart()
    }
}

impl Answers {
    /// Nothing was told yet, and at most about this many bytes are remembered. Without settings none of it is recalled.
    pub fn new(max: u64, now: Instant, settings: Option<Settings>) -> Self {
        let told = table::new(max, ENTRY, USED_AGAIN, Weight);
        Self { settings, began: now, told }
    }

    /// Whether anything is recalled.
    pub fn are_recalled(&self) -> bool {
        self.settings.is_some()
    }

    /// What a document holds, if that is known: told to the same one, under this very generation, and not long ago.
    pub fn recall(&self, question: Question, generation: Generation, now: Instant) -> Option<Representation> {
        let told = self.told.get(&question)?;
        (told.generation == generation && self.age(&told, now).is_some()).then(|| told.to_representation())
    }

    /// Notes what was told, and says whether somebody must have written who went around this proxy.
    ///
    /// Of a document that is another one each time it is asked for, the first change counts and no further one: then it
    /// is the upstream that never answers alike. What has a name, of which the lower 48 bits count, may be recalled.
    pub fn note(
        &self,
        question: Question,
        sighting: Sighting,
        found: &Representation,
        name: Option<u64>,
    ) -> bool {
        let asked = self.moment(sighting.asked);
        let mut now = Some(self.told(sighting, found, name));
        let mut is_foreign = false;
        let noted = self.told.entry(&question, Some(Duration::ZERO), |_, told| {
            let before = told.found.apart();
            is_foreign = now.take().is_some_and(|now| told.is_followed_oddly(asked, now));
            // The table makes room only for what comes in anew.
            if told.found.apart() > before { EntryAction::ReplaceWithGuard } else { EntryAction::Retain(()) }
        });
        match (noted, now) {
            (EntryResult::Replaced(place, told), _) | (EntryResult::Vacant(place), Some(told)) => {
                // Where somebody else was quicker, both were told for the first time.
                let _ = place.insert(told);
            }
            // It is noted, or somebody else is noting it at this moment.
            _ => (),
        }
        is_foreign
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
        is_current: impl Fn(Generation) -> bool,
    ) -> Option<(Representation, Duration)> {
        let name = short(name);
        let told = self.told.iter().map(|(_, told)| told);
        let known = told.filter(|told| told.name == name && is_current(told.generation));
        let (age, last) =
            known.filter_map(|told| Some((self.age(&told, now)?, told))).min_by_key(|(age, _)| *age)?;
        Some((last.to_representation(), age))
    }

    fn told(&self, sighting: Sighting, found: &Representation, name: Option<u64>) -> Told {
        let took = sighting.told.saturating_duration_since(sighting.asked).as_nanos().div_ceil(1000).max(1);
        let (found, is_alike) = Found::of(found);
        Told {
            found,
            is_alike,
            told: self.moment(sighting.told),
            // What took longer than an hour is not recalled either.
            took: name.and_then(|_| NonZeroU32::new(u32::try_from(took).ok()?)),
            name: short(name.unwrap_or_default()),
            generation: sighting.generation,
            is_odd: false,
        }
    }

    /// How long ago something was asked that may still be recalled.
    fn age(&self, told: &Told, now: Instant) -> Option<Duration> {
        let since_told = Duration::from_nanos(self.moment(now).saturating_sub(told.told));
        let age = since_told + Duration::from_micros(told.took?.get().into());
        self.settings.as_ref().filter(|settings| age < settings.recall_max).map(|_| age)
    }

    fn moment(&self, at: Instant) -> Moment {
        u64::try_from(at.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Told {
    /// Whether nothing that was begun here explains what is told now, which was asked at a moment; from here on that is
    /// what was told last.
    fn is_followed_oddly(&mut self, asked: Moment, now: Self) -> bool {
        let is_same_generation = self.generation == now.generation;
        if is_same_generation && asked < self.told {
            // They were under way together, and nobody can say which of them is older.
            if (&self.found, self.is_alike) != (&now.found, now.is_alike) {
                self.took = None;
            }
            return false;
        }
        let is_odd = is_same_generation && now.found.tag() != self.found.tag();
        let is_foreign = is_odd && !self.is_odd;
        *self = Self { is_odd, ..now };
        is_foreign
    }

    fn to_representation(&self) -> Representation {
        let (tag, upstream_tag) = match &self.found {
            Found::Missing => return Representation::Missing,
            Found::Current(tag) => (tag, self.is_alike.then_some(tag)),
            Found::Tagged(tags) => (&tags.0, Some(&tags.1)),
        };
        Representation::Current(Current {
            tag: tag.clone(),
            upstream_tag: upstream_tag.cloned(),
            alias: None,
        })
    }
}

impl Found {
    /// What was found, and whether both entity-tags are the same.
    fn of(found: &Representation) -> (Self, bool) {
        match found {
            Representation::Missing => (Self::Missing, false),
            Representation::Current(Current { tag, upstream_tag: Some(upstream_tag), .. })
                if tag != upstream_tag =>
            {
                (Self::Tagged(Box::new((tag.clone(), upstream_tag.clone()))), false)
            }
            Representation::Current(Current { tag, upstream_tag, .. }) => {
                (Self::Current(tag.clone()), upstream_tag.is_some())
            }
        }
    }

    /// Our entity-tag.
    fn tag(&self) -> Option<&EntityTag> {
        match self {
            Self::Missing => None,
            Self::Current(tag) => Some(tag),
            Self::Tagged(tags) => Some(&tags.0),
        }
    }

    /// What it takes apart from its entry, in bytes.
    fn apart(&self) -> u64 {
        match self {
            Self::Tagged(tags) => APART + tags.0.apart() + tags.1.apart(),
            found => found.tag().map_or(0, EntityTag::apart),
        }
    }
}

/// The lower 48 bits.
fn short(name: u64) -> [u8; 6] {
    let [_, _, rest @ ..] = name.to_be_bytes();
    rest
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::{AUTHORIZATION, HeaderValue};

    use super::super::generations::Generations;
    use super::super::questions::Questions;
    use super::*;
    use crate::resource::Scope;

    const MINUTE: Duration = Duration::from_secs(60);

    /// What one who asks sees of one document, each time after the one before.
    struct Eyes {
        answers: Answers,
        generations: std::sync::Arc<Generations>,
        questions: Questions,
        now: Instant,
    }

    impl Eyes {
        fn open() -> Self {
            Self::with_room_for(1 << 20)
        }

        fn with_room_for(max: u64) -> Self {
            let (now, questions) = (Instant::now(), Questions::new(vec![AUTHORIZATION]));
            let answers = Answers::new(max, now, Some(Settings { recall_max: MINUTE }));
            Self { answers, generations: Generations::new(), questions, now }
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
            let question = self.question(asker, "/notes/a");
            self.answers.note(question, sighting, &representation(found), None)
        }

        fn question(&self, asker: &'static str, target: &str) -> Question {
            let mut request = Request::get(target).body(()).expect("a request");
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(asker));
            self.questions.of(&request.into_parts().0)
        }

        /// Is told what may be recalled, and gives the moment at which it has asked.
        fn learn(&mut self, target: &str, found: &Representation, name: u64) -> Instant {
            let sighting = self.sighting();
            self.answers.note(self.question("YQ==", target), sighting, found, Some(name));
            sighting.asked
        }

        fn recall(&self, target: &str, now: Instant) -> Option<Representation> {
            let generation = self.generations.of(scope())?;
            self.answers.recall(self.question("YQ==", target), generation, now)
        }

        fn told_last(&self, name: u64, now: Instant) -> Option<(Representation, Duration)> {
            self.answers.told_last(name, now, |generation| self.generations.is_current(generation))
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

    fn tagged(found: &str, upstream: &str) -> Representation {
        let tag = EntityTag::new(false, found.as_bytes()).expect("an opaque-tag");
        let upstream_tag = EntityTag::new(false, upstream.as_bytes());
        Representation::Current(Current { tag, upstream_tag, alias: None })
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
    fn what_is_known_is_recalled_under_its_generation_and_for_a_while() {
        let mut eyes = Eyes::open();
        assert_eq!(eyes.recall("/notes/a", eyes.now), None);
        for found in [representation("x"), Representation::Missing, tagged("x", "x"), tagged("x", "y")] {
            let asked = eyes.learn("/notes/a", &found, 1);
            assert_eq!(eyes.recall("/notes/a", eyes.now), Some(found.clone()));
            assert_eq!(eyes.recall("/notes/a", asked + MINUTE / 2), Some(found));
            assert_eq!(eyes.recall("/notes/a", asked + MINUTE), None, "it is too old");
            assert_eq!(eyes.recall("/notes/b", eyes.now), None, "that is another question");
            eyes.write();
            assert_eq!(eyes.recall("/notes/a", eyes.now), None, "somebody has written");
        }
    }

    #[test]
    fn what_is_only_seen_is_not_recalled_and_nothing_is_where_others_write() {
        let mut eyes = Eyes::open();
        eyes.see("x");
        assert_eq!(eyes.recall("/notes/a", eyes.now), None);
        eyes.answers = Answers::new(1 << 20, eyes.now, None);
        assert!(!eyes.answers.are_recalled());
        eyes.learn("/notes/a", &representation("x"), 1);
        assert_eq!(eyes.recall("/notes/a", eyes.now), None);
    }

    #[test]
    fn of_answers_that_were_under_way_together_and_differ_none_is_recalled() {
        let mut eyes = Eyes::open();
        let early = eyes.sighting();
        eyes.learn("/notes/a", &tagged("x", "1"), 1);
        let late = Sighting { told: eyes.now, ..early };
        let question = eyes.question("YQ==", "/notes/a");
        eyes.answers.note(question, late, &tagged("x", "1"), Some(1));
        assert_eq!(eyes.recall("/notes/a", eyes.now), Some(tagged("x", "1")), "they are alike");
        eyes.answers.note(question, late, &tagged("x", "2"), Some(1));
        assert_eq!(eyes.recall("/notes/a", eyes.now), None, "the upstream's own differ");
        eyes.learn("/notes/a", &tagged("x", "2"), 1);
        assert_eq!(eyes.recall("/notes/a", eyes.now), Some(tagged("x", "2")), "it was asked after both");
    }

    #[test]
    fn a_person_is_told_what_would_still_be_recalled() {
        let mut eyes = Eyes::open();
        assert_eq!(eyes.told_last(1, eyes.now), None);
        eyes.learn("/notes/a", &representation("x"), 1);
        eyes.now += MINUTE / 2;
        let asked = eyes.learn("/notes/a?b", &representation("y"), 1);
        assert_eq!(eyes.told_last(1, eyes.now), Some((representation("y"), eyes.now - asked)));
        assert_eq!(eyes.told_last(2, eyes.now), None, "another document");
        assert_eq!(eyes.told_last(1, asked + MINUTE), None, "it is too old");
        eyes.write();
        assert_eq!(eyes.told_last(1, eyes.now), None, "somebody has written");
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        const MAX: u64 = 1 << 20;
        let mut eyes = Eyes::with_room_for(MAX);
        let ids = 0..20_000;
        let target = |id: usize| format!("/notes/{id}");
        for id in ids.clone() {
            eyes.learn(&target(id), &representation("x"), 1);
        }
        let kept =
            |eyes: &Eyes| ids.clone().filter(|id| eyes.recall(&target(*id), eyes.now).is_some()).count();
        let most = usize::try_from(MAX / ENTRY).expect("few");
        assert!((most * 9 / 10..=most).contains(&kept(&eyes)), "{} are kept", kept(&eyes));
        let taken = eyes.answers.told.memory_used();
        assert!(taken.entries + taken.map <= 1 << 20, "{taken:?}");
        for id in ids.clone().rev() {
            eyes.learn(&target(id), &tagged("x", &"y".repeat(1 << 10)), 1);
            let weight = eyes.answers.told.weight();
            assert!(weight <= MAX, "what was small has grown to {weight}");
        }
        let most = most * 100 / (1 << 10);
        assert!((most / 2..=most).contains(&kept(&eyes)), "{} of the large ones are kept", kept(&eyes));
        eyes.learn(&target(0), &tagged("x", &"y".repeat(1 << 20)), 1);
        assert_eq!(eyes.recall(&target(0), eyes.now), None, "it is larger than all of it");
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Told>(), 56);
    }
}
