//! Generations: whether anything may have been written in a scope since a moment.
//!
//! They stand in a table that never forgets and never grows, so that what is cached elsewhere may come and go as it
//! likes. Scopes share its places by chance; a write in one of them then withdraws what is known of the others too,
//! which costs a question and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

use crate::fault::{self, Mutant};
use crate::resource::Scope;

/// How many places there are, of 8 bytes each. A hundred writes a second then withdraw, within a minute, what is known
/// of one other scope in twenty.
const PLACES: usize = 1 << 17;

/// A [`Generation`] has room for it.
const _: () = assert!(PLACES <= 1 << 24);

/// A word counts in its lower bits the writes that are under way or unsettled, and in its upper ones the writes that
/// were ever begun. More scopes than the lower ones can count are not held at a time; the upper ones come round after
/// 68 thousand million writes to one place, and what is remembered has long been too old by then.
const UNDER_WAY: u64 = (1 << UNDER_WAY_BITS) - 1;
const UNDER_WAY_BITS: u32 = 28;
const BEGUN_BITS: u32 = u64::BITS - UNDER_WAY_BITS;
/// One more write that was begun and is under way.
const BEGUN: u64 = UNDER_WAY + 2;

/// The generations of all scopes.
#[derive(Debug)]
pub struct Generations {
    places: Box<[AtomicU64]>,
    /// For writes that may be in any scope.
    all: AtomicU64,
    /// Keyed by chance, so that nobody can seek the places of others.
    hasher: RandomState,
}

/// A moment at which nothing was under way in a scope. As long as the scope's generation equals it, no write has been
/// begun there.
///
/// It is kept for each document that is remembered, so that it has no byte too many: the place of the scope in 24 bits,
/// and the counts of writes that were begun there and that may have been anywhere, in 36 bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation([u8; 12]);

/// A write that was begun and may still be applied; dropping it says that it will not be any more.
#[derive(Debug)]
#[must_use = "what is not kept counts as ended"]
pub struct Raised {
    generations: Arc<Generations>,
    /// The place of its scope; none for all of them.
    place: Option<usize>,
}

impl Generations {
    /// Nothing has been written yet.
    pub fn new() -> Arc<Self> {
        Self::with_places(PLACES)
    }

    fn with_places(places: usize) -> Arc<Self> {
        let places = (0..places).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { places, all: AtomicU64::new(0), hasher: RandomState::new() })
    }

    /// The generation of a scope; nothing while a write there is under way or unsettled.
    pub fn of(&self, scope: Scope) -> Option<Generation> {
        self.at(self.place(scope))
    }

    /// Whether it is still the generation of its scope.
    pub fn is_current(&self, generation: Generation) -> bool {
        let [high, middle, low, ..] = generation.0;
        let place = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.at(place) == Some(generation)
    }

    fn at(&self, place: usize) -> Option<Generation> {
        let [begun, all_begun] = match fault::is_mutant(Mutant::GenerationNotRaised) {
            true => [0; 2],
            false => [begun(&self.places[place])?, begun(&self.all)?],
        };
        let packed =
            (place as u128) << (2 * BEGUN_BITS) | u128::from(begun) << BEGUN_BITS | u128::from(all_begun);
        let [_, _, _, _, packed @ ..] = packed.to_be_bytes();
        Some(Generation(packed))
    }

    /// Begins a write in a scope: whatever was known of it is known no more. It comes before the first byte.
    pub fn raise(self: &Arc<Self>, scope: Scope) -> Raised {
        self.begin(Some(self.place(scope)))
    }

    /// Begins a write that may be in any scope.
    pub fn raise_all(self: &Arc<Self>) -> Raised {
        self.begin(None)
    }

    fn begin(self: &Arc<Self>, place: Option<usize>) -> Raised {
        let raised = Raised { generations: Arc::clone(self), place };
        raised.word().fetch_add(BEGUN, Ordering::SeqCst);
        raised
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder of a division by a usize is one")]
    fn place(&self, scope: Scope) -> usize {
        (self.hasher.hash_one(scope) % self.places.len() as u64) as usize
    }
}

/// The writes that were ever begun, as a word counts them; nothing while one is under way.
fn begun(word: &AtomicU64) -> Option<u64> {
    let word = word.load(Ordering::SeqCst);
    (word & UNDER_WAY == 0).then_some(word >> UNDER_WAY_BITS)
}

impl Raised {
    fn word(&self) -> &AtomicU64 {
        self.place.map_or(&self.generations.all, |place| &self.generations.places[place])
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // The count of those that were begun stays: what was known before is not known again.
        self.word().fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(name: &str) -> Scope {
        Scope::new("notes", [name])
    }

    #[test]
    fn a_generation_is_another_one_after_a_write_and_none_during_it() {
        let generations = Generations::new();
        let before = generations.of(scope("a")).expect("nobody writes");
        let raised = generations.raise(scope("a"));
        assert_eq!(generations.of(scope("a")), None);
        drop(raised);
        let after = generations.of(scope("a")).expect("nobody writes");
        assert_ne!(after, before);
        assert_eq!(generations.of(scope("a")), Some(after), "asking changes nothing");
    }

    #[test]
    fn of_several_writes_at_one_place_all_must_have_ended() {
        let generations = Generations::with_places(1);
        let before = generations.of(scope("a"));
        let (first, second) = (generations.raise(scope("a")), generations.raise(scope("b")));
        drop(first);
        assert_eq!(generations.of(scope("a")), None);
        drop(second);
        assert!(generations.of(scope("a")).is_some_and(|after| Some(after) != before));
    }

    #[test]
    fn a_write_that_may_be_anywhere_is_everywhere() {
        let generations = Generations::new();
        let before = generations.of(scope("a")).expect("nobody writes");
        let raised = generations.raise_all();
        assert_eq!((generations.of(scope("a")), generations.of(scope("b"))), (None, None));
        drop(raised);
        assert!(generations.of(scope("a")).is_some_and(|after| after != before));
    }

    #[test]
    fn more_writes_than_can_be_counted_come_round_and_leave_nothing_under_way() {
        let generations = Generations::with_places(1);
        generations.places[0].store(!UNDER_WAY, Ordering::SeqCst);
        let last = generations.of(scope("a")).expect("nobody writes");
        drop(generations.raise(scope("a")));
        assert!(generations.of(scope("a")).is_some_and(|first| first != last));
    }

    #[test]
    fn every_bit_of_the_writes_that_were_begun_counts() {
        let generations = Generations::with_places(1);
        let mut known = vec![generations.of(scope("a")).expect("nobody writes")];
        for bit in UNDER_WAY_BITS..u64::BITS {
            for word in [&generations.places[0], &generations.all] {
                word.store(1 << bit, Ordering::SeqCst);
                let other = generations.of(scope("a")).expect("nobody writes");
                assert!(!known.contains(&other) && generations.is_current(other), "bit {bit}");
                assert!(!known.iter().any(|known| generations.is_current(*known)), "bit {bit}");
                known.push(other);
                word.store(0, Ordering::SeqCst);
            }
        }
        assert!(generations.is_current(known[0]));
    }

    #[test]
    fn a_generation_is_that_of_its_own_scope() {
        let generations = Generations::new();
        let of = |scope| generations.of(scope).expect("nobody writes");
        let known = ["a", "b", "c", "d"].map(|name| (scope(name), of(scope(name))));
        for (at, (written, generation)) in known.into_iter().enumerate() {
            assert!(generations.is_current(generation));
            drop(generations.raise(written));
            let is_current = known.map(|(_, generation)| generations.is_current(generation));
            assert!(!is_current[at] && is_current[at + 1..].iter().all(|is_current| *is_current));
        }
    }

    /// What two writers, each with its own scope at one place, and one who learns do, step by step.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Step {
        Begin(usize),
        End(usize),
        Look,
        Learn,
        Recall,
    }

    /// Every order of steps in which each script keeps its own.
    fn interleavings(scripts: &[&[Step]]) -> Vec<Vec<Step>> {
        let mut all = Vec::new();
        for (at, script) in scripts.iter().enumerate() {
            if let [first, rest @ ..] = script {
                let mut left = scripts.to_vec();
                left[at] = rest;
                for mut then in interleavings(&left) {
                    then.insert(0, *first);
                    all.push(then);
                }
            }
        }
        if all.is_empty() { vec![Vec::new()] } else { all }
    }

    /// Each step is one atomic operation, so that these are all the orders in which threads can do it.
    #[test]
    fn in_whatever_order_only_what_no_write_has_touched_is_recalled() {
        use Step::{Begin, End, Learn, Look, Recall};
        let orders = interleavings(&[
            &[Begin(0), End(0), Begin(0), End(0)],
            &[Begin(1), End(1)],
            &[Look, Learn, Recall],
        ]);
        assert_eq!(orders.len(), 1260);
        for order in orders {
            let generations = Generations::with_places(1);
            let mut raised = [None, None];
            let (mut looked, mut learned, mut recalled) = (None, None, None);
            let mut is_touched = false;
            for step in &order {
                let since_looked = looked.is_some() && recalled.is_none();
                match *step {
                    Begin(writer) => {
                        raised[writer] = Some(generations.raise(scope(["a", "b"][writer])));
                        is_touched |= since_looked;
                    }
                    End(writer) => raised[writer] = None,
                    Look => {
                        looked = Some(generations.of(scope("a")));
                        is_touched = raised.iter().any(Option::is_some);
                    }
                    Learn => {
                        learned = looked.flatten().filter(|then| generations.of(scope("a")) == Some(*then))
                    }
                    Recall => recalled = Some(learned.is_some() && generations.of(scope("a")) == learned),
                }
            }
            assert_eq!(recalled, Some(!is_touched), "{order:?}");
        }
    }

    proptest! {
        /// However many scopes share a place: a write in one's own is always noticed, and nothing but a write is.
        #[test]
        fn what_is_known_lasts_until_somebody_writes(
            places in 1usize..5,
            steps in prop::collection::vec((0usize..4, 0u8..4), 1..60),
        ) {
            let generations = Generations::with_places(places);
            let names = ["a", "b", "c", "d"];
            let mut raised = [None, None, None, None];
            let mut known = names.map(|name| generations.of(scope(name)));
            // Since a scope was looked at: whether a write was begun there, and whether one was begun or ended anywhere.
            let (mut own, mut any) = ([false; 4], [false; 4]);
            for (id, step) in steps {
                match step {
                    0 => {
                        raised[id] = Some(generations.raise(scope(names[id])));
                        own[id] = true;
                        any = [true; 4];
                    }
                    1 => {
                        raised[id] = None;
                        any = [true; 4];
                    }
                    _ => {
                        known[id] = generations.of(scope(names[id]));
                        own[id] = false;
                        any[id] = false;
                    }
                }
                for id in 0..names.len() {
                    let now = generations.of(scope(names[id]));
                    prop_assert!(raised[id].is_none() || now.is_none(), "one of its own is under way");
                    prop_assert!(!own[id] || known[id].is_none() || now != known[id], "one was begun");
                    prop_assert!(any[id] || now == known[id], "nobody has begun or ended to write");
                }
            }
        }
    }
}
