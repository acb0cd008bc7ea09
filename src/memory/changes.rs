//! When documents were seen to change: what a Last-Modified is made of where the upstream gives none.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use ahash::RandomState;

use super::table::{self, Each, INDEX, Table, USED_AGAIN};
use crate::resource::Document;
use crate::semantics::credentials::Credentials;
use crate::semantics::entity_tag::EntityTag;

/// What an entry of either table takes, in bytes; a test holds it.
const ENTRY: u64 = 40 + INDEX;

/// When each document was first seen or last changed through here, for as many documents as fit.
///
/// What is forgotten is first seen anew, so that no moment ever goes back.
#[derive(Debug)]
pub struct Changes {
    clock: Clock,
    /// Makes digests of what is remembered and of what it is remembered under. It is keyed by chance, so that nobody can
    /// have a document dated like another one; where chance does it, a date is later than it might be.
    hasher: RandomState,
    /// By document: when a write through here last succeeded.
    written: Table<u64, Moment>,
    /// What one writer may read never answers another, so that each has its own view of a document.
    seen: Table<u64, Seen>,
}

/// Whole seconds since 1970, since an HTTP-date knows no smaller part (RFC 9110 §5.6.7).
type Moment = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// A digest of the entity-tag.
    tag: u64,
    since: Moment,
}

/// The time of day as it was when the process began, and the time that has passed since: it is never set back.
#[derive(Debug)]
struct Clock {
    began: Instant,
    time_of_day: Duration,
    /// The latest moment that was ever told: an upstream's clock may be set back, and what was dated then forgotten.
    latest: AtomicU64,
}

impl Changes {
    /// Remembers nothing yet, and at most about this many bytes.
    #[expect(clippy::disallowed_types, reason = "Last-Modified is a time of day; it is asked for once")]
    pub fn new(max: u64) -> Self {
        let time_of_day = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            clock: Clock { began: Instant::now(), time_of_day, latest: AtomicU64::new(0) },
            hasher: RandomState::new(),
            written: table::new(max / 2, ENTRY, USED_AGAIN, Each(ENTRY)),
            seen: table::new(max / 2, ENTRY, USED_AGAIN, Each(ENTRY)),
        }
    }

    /// Notes that a write to a document has succeeded. `dated` is the Date of the answer, where it has one.
    pub fn written(&self, document: Document, dated: Option<Moment>) {
        let now = self.clock.now(dated);
        let key = self.hasher.hash_one(document);
        let before = self.written.get(&key).unwrap_or_default();
        self.written.insert(key, now.max(before));
    }

    /// Since when a document has held the representation that was just read. `dated` is the Date of the answer, where
    /// it has one: an origin dates nothing later than its own answer (RFC 9110 §8.8.2.1).
    pub fn since(
        &self,
        document: Document,
        reader: Credentials,
        tag: &EntityTag,
        dated: Option<Moment>,
    ) -> Moment {
        let written = self.written.get(&self.hasher.hash_one(document)).unwrap_or_default();
        let (key, tag) = (self.hasher.hash_one((document, reader)), self.hasher.hash_one(tag));
        let seen = self.seen.get(&key);
        let since = match seen.map(|seen| (seen.tag == tag, seen.since)) {
            // It may have been seen, dated and forgotten: the last write says nothing of what came after it.
            None => self.clock.now(dated).max(self.clock.latest.load(Ordering::Relaxed)),
            Some((is_same, since)) if is_same || written > since => since.max(written),
            Some((_, since)) => self.clock.now(dated).max(since),
        };
        let now = Seen { tag, since };
        if seen != Some(now) {
            self.seen.insert(key, now);
        }
        since
    }
}

impl Clock {
    fn now(&self, dated: Option<Moment>) -> Moment {
        let now = (self.time_of_day + self.began.elapsed()).as_secs();
        let now = dated.map_or(now, |dated| now.min(dated));
        self.latest.fetch_max(now, Ordering::Relaxed);
        now
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::AUTHORIZATION;
    use proptest::prelude::*;

    use super::*;
    use crate::resource::ResourceKey;

    /// Moments that are told by the Date of answers lie in the past, so that these win over the clock.
    const PAST: Moment = 1_000_000_000;

    fn document(id: u8) -> Document {
        Document::new(b"h", "/", &ResourceKey::new("notes", [Some(id.to_string().as_str())]))
    }

    fn reader(name: &str) -> Credentials {
        Credentials::of(&HeaderMap::from_iter([(AUTHORIZATION, name.parse().expect("a value"))]), None)
    }

    fn tag(text: &str) -> EntityTag {
        EntityTag::new(false, text.as_bytes()).expect("an opaque-tag")
    }

    #[test]
    fn a_representation_dates_from_when_it_was_first_seen() {
        let changes = Changes::new(1 << 20);
        let since = |name, text, now| changes.since(document(1), reader(name), &tag(text), Some(PAST + now));
        assert_eq!(since("a", "x", 10), PAST + 10);
        assert_eq!(since("a", "x", 20), PAST + 10, "it is the same");
        assert_eq!(since("a", "y", 30), PAST + 30, "somebody has changed it");
        assert_eq!(since("a", "y", 40), PAST + 30);
        assert_eq!(since("b", "y", 50), PAST + 50, "what one has seen says nothing to another");
    }

    #[test]
    fn a_write_through_here_dates_what_is_seen_after_it() {
        let changes = Changes::new(1 << 20);
        let since = |text, now| changes.since(document(1), reader("a"), &tag(text), Some(PAST + now));
        let written = |id, now| changes.written(document(id), Some(PAST + now));
        assert_eq!(since("x", 10), PAST + 10);
        written(1, 20);
        assert_eq!(since("y", 30), PAST + 20);
        written(1, 40);
        assert_eq!(since("y", 50), PAST + 40, "the same was written again");
        assert_eq!(since("z", 60), PAST + 60, "this was not written through here");
        written(2, 70);
        assert_eq!(since("z", 80), PAST + 60, "another document was written");
    }

    #[test]
    fn what_was_forgotten_is_not_dated_back_by_an_upstream_whose_clock_is() {
        let changes = Changes::new(0);
        let since = |id, now| changes.since(document(id), reader("a"), &tag("x"), Some(PAST + now));
        assert_eq!(since(1, 100), PAST + 100);
        for id in 2..250 {
            since(id, 100);
        }
        assert_eq!(since(1, 10), PAST + 100);
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        const MAX: u64 = 1 << 20;
        let changes = Changes::new(MAX);
        for id in 0..100_000u32 {
            let key = ResourceKey::new("notes", [Some(id.to_string().as_str())]);
            let document = Document::new(b"h", "/", &key);
            changes.written(document, None);
            changes.since(document, reader("a"), &tag("x"), None);
        }
        let most = usize::try_from(MAX / 2 / ENTRY).expect("few");
        for (len, used) in [
            (changes.written.len(), changes.written.memory_used()),
            (changes.seen.len(), changes.seen.memory_used()),
        ] {
            assert!((most * 9 / 10..=most).contains(&len), "{len} of {most} are kept");
            assert!(used.entries + used.map <= 1 << 19, "{used:?}");
        }
    }

    #[test]
    fn nothing_is_dated_later_than_now() {
        let changes = Changes::new(1 << 20);
        let now = changes.clock.now(None);
        let far = Some(Moment::MAX);
        assert!(changes.since(document(1), reader("a"), &tag("x"), far) <= now + 60);
        changes.written(document(2), far);
        assert!(changes.since(document(2), reader("a"), &tag("x"), far) <= now + 60);
    }

    proptest! {
        #[test]
        fn no_date_goes_back(
            steps in prop::collection::vec((0u8..3, 0u8..4, "[xyz]", 0u64..100), 1..60),
            max in prop::sample::select(vec![0, 300, 1 << 20]),
        ) {
            let changes = Changes::new(max);
            let mut last = [0; 3];
            let mut now = PAST;
            for (id, step, text, passes) in steps {
                now += passes;
                if step == 0 {
                    changes.written(document(id), Some(now));
                } else {
                    let since = changes.since(document(id), reader("a"), &tag(&text), Some(now));
                    prop_assert!(since >= last[usize::from(id)] && since <= now);
                    last[usize::from(id)] = since;
                }
            }
        }
    }
}
