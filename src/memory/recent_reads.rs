//! Recent reads: who was told which entity-tag of which document, for as long as a middleman needs to state it.
//!
//! A middleman that fetches a document and puts its tag into the If-Match of a write that it passes on makes every
//! write look as if its writer had seen the current document. What betrays it is that no time passes in between.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahash::RandomState;

use crate::resource::ResourceKey;

/// How soon after a read a write that states its entity-tag is suspicious.
///
/// A middleman needs a round trip, which is less. A page that reads, shows, lets somebody change something and writes
/// needs longer, and so does anybody whose round trip alone takes as long. A program that reads, merges and writes on
/// the same machine may be as fast: it is counted too, and nothing else happens to it.
pub const WINDOW: Duration = Duration::from_millis(50);

/// How many reads are remembered, in eight bytes each: more than are answered within [`WINDOW`].
const SLOTS: usize = 8192;

/// The reads of the last moments; every core shares them.
///
/// It is a table of fixed size without locks. A read that falls on the place of another one replaces it, so some are
/// forgotten early; that costs a count of what is a statistic anyway.
#[derive(Debug)]
pub struct RecentReads {
    /// The upper half is a fingerprint of the read, the lower half the millisecond of its answer. 0 is no read.
    slots: Box<[AtomicU64]>,
    /// Keyed by chance, so that no client can choose whose place its reads take.
    hasher: RandomState,
    began: Instant,
}

/// What a reader is told, or what a writer shows that it was told.
#[derive(Debug, Clone, Copy, Hash)]
pub struct Read<'a> {
    /// Whoever connected; nothing stands for all that come by a Unix socket.
    pub peer: Option<IpAddr>,
    /// The document.
    pub document: &'a ResourceKey,
    /// The opaque-tag of its entity-tag (RFC 9110 §8.8.3): whether it was marked weak does not matter here.
    pub opaque: &'a [u8],
}

impl RecentReads {
    /// None so far; the times that are given later are not before `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            began: now,
        }
    }

    /// Remembers a read that is answered now.
    pub fn remember(&self, read: &Read<'_>, now: Instant) {
        let (slot, fingerprint) = self.place(read);
        slot.store(u64::from(fingerprint) << 32 | u64::from(self.millisecond(now)), Ordering::Relaxed);
    }

    /// Whether this was read no longer than [`WINDOW`] before `now`.
    pub fn holds(&self, read: &Read<'_>, now: Instant) -> bool {
        let (slot, fingerprint) = self.place(read);
        let [held, since] = halves(slot.load(Ordering::Relaxed));
        // Both wrap after 49 days; an answer that is younger than `now` is then far too old.
        let age = self.millisecond(now).wrapping_sub(since);
        held == fingerprint && u128::from(age) <= WINDOW.as_millis()
    }

    /// The place of a read, and the fingerprint that tells it from others of the same place; never 0.
    fn place(&self, read: &Read<'_>) -> (&AtomicU64, u32) {
        let [fingerprint, index] = halves(self.hasher.hash_one(read));
        (&self.slots[index as usize % SLOTS], fingerprint | 1)
    }

    fn millisecond(&self, now: Instant) -> u32 {
        let [_, low] =
            halves(u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX));
        low
    }
}

/// The upper and the lower half.
fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_be_bytes();
    [u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)));
    const OTHER_PEER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 8)));
    const JUST: Duration = Duration::from_millis(1);

    fn document(id: &str) -> ResourceKey {
        ResourceKey::new("state", [Some(id)])
    }

    #[test]
    fn a_read_is_recent_until_its_window_has_passed() {
        let began = Instant::now();
        let reads = RecentReads::new(began);
        let document = document("a");
        let read = Read { peer: PEER, document: &document, opaque: b"1" };
        assert!(!reads.holds(&read, began), "nobody has read anything");
        let answered = began + Duration::from_secs(1);
        reads.remember(&read, answered);
        assert!(reads.holds(&read, answered), "at once");
        assert!(reads.holds(&read, answered + WINDOW));
        assert!(!reads.holds(&read, answered + WINDOW + JUST), "late");
        assert!(!reads.holds(&read, answered + Duration::from_secs(3600)), "much later");
        assert!(!reads.holds(&read, answered - JUST), "the write came before the answer");
        reads.remember(&read, answered + WINDOW + WINDOW);
        assert!(reads.holds(&read, answered + WINDOW + WINDOW + JUST), "read again");
    }

    #[test]
    fn what_was_read_is_told_by_peer_document_and_tag() {
        let began = Instant::now();
        let reads = RecentReads::new(began);
        let (document, other) = (document("a"), document("b"));
        let read = Read { peer: PEER, document: &document, opaque: b"1" };
        reads.remember(&read, began);
        assert!(reads.holds(&read, began));
        for (differs, other) in [
            ("the peer", Read { peer: OTHER_PEER, ..read }),
            ("the document", Read { document: &other, ..read }),
            ("the tag", Read { opaque: b"2", ..read }),
        ] {
            assert!(!reads.holds(&other, began), "{differs} is another one");
        }
    }

    #[test]
    fn a_clock_of_milliseconds_that_wraps_forgets_no_read() {
        let began = Instant::now();
        let reads = RecentReads::new(began);
        let document = document("a");
        let read = Read { peer: PEER, document: &document, opaque: b"1" };
        let last = began + Duration::from_millis(u64::from(u32::MAX));
        reads.remember(&read, last);
        assert!(reads.holds(&read, last + JUST + JUST));
    }

    #[test]
    fn more_reads_than_places_are_no_more_memory() {
        let began = Instant::now();
        let reads = RecentReads::new(began);
        for id in 0..3 * SLOTS {
            let document = document(&id.to_string());
            let read = Read { peer: PEER, document: &document, opaque: b"1" };
            reads.remember(&read, began);
            assert!(reads.holds(&read, began), "the latest is remembered");
        }
        assert_eq!(reads.slots.len(), SLOTS);
        let unread = document("never read");
        for tag in 0..SLOTS {
            let tag = tag.to_string();
            let read = Read { peer: PEER, document: &unread, opaque: tag.as_bytes() };
            assert!(!reads.holds(&read, began), "another one has its place");
        }
    }
}
