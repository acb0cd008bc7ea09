//! How many bytes of bodies may be at hand at a time, all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The budgets of bodies that are held whole. Writers cannot use up what readers need, nor slow readers what writers need.
#[derive(Debug, Clone)]
pub struct Buffers {
    /// For what clients send.
    pub writes: Arc<Budget>,
    /// For what the upstream sends.
    pub reads: Arc<Budget>,
}

/// A bound on the bytes of all bodies that are held for one purpose; shared by all cores.
#[derive(Debug)]
pub struct Budget {
    max: u64,
    taken: AtomicU64,
}

/// What one body has taken of a budget. It is given back when the last clone of it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

impl Budget {
    /// Nothing is taken yet.
    pub fn new(max: u64) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicU64::new(0) })
    }

    /// How many bytes are taken.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Share {
    /// A share of nothing.
    pub fn of(budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget: Arc::clone(budget), bytes: AtomicU64::new(0) })
    }

    /// Takes some bytes more, if the budget has them.
    pub fn grow(&self, bytes: u64) -> bool {
        let enough = |taken: u64| taken.checked_add(bytes).filter(|taken| *taken <= self.budget.max);
        let grown = self.budget.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_ok();
        if grown {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        grown
    }

    /// Counts for at least so many bytes, whatever the budget has: they are already there.
    pub(super) fn raise_to(&self, bytes: u64) {
        let more = bytes.saturating_sub(self.bytes.load(Ordering::Relaxed));
        self.budget.taken.fetch_add(more, Ordering::Relaxed);
        self.bytes.fetch_add(more, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::contents::Contents;
    use super::*;

    #[test]
    fn a_share_is_given_back_with_the_last_clone() {
        let budget = Budget::new(10);
        let mut contents = Contents::charged_to(&budget);
        assert!(contents.try_push(Bytes::from_static(b"123456")).is_ok());
        let clone = contents.clone();
        assert_eq!(budget.taken(), 6);
        drop(contents);
        assert_eq!(budget.taken(), 6);
        drop(clone);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn nobody_takes_more_than_there_is() {
        let budget = Budget::new(10);
        let mut first = Contents::charged_to(&budget);
        let mut second = Contents::charged_to(&budget);
        assert!(first.try_push(Bytes::from_static(b"1234567")).is_ok());
        assert!(second.try_push(Bytes::from_static(b"1234")).is_err());
        assert!(second.try_push(Bytes::from_static(b"123")).is_ok());
        assert_eq!(budget.taken(), 10);
        drop(first);
        assert_eq!(budget.taken(), 3);
    }

    #[test]
    fn what_was_made_of_a_body_counts_in_its_place() {
        let budget = Budget::new(10);
        let mut coded = Contents::charged_to(&budget);
        assert!(coded.try_push(Bytes::from_static(b"1234")).is_ok());
        let decoded = Contents::from(Bytes::from_static(b"123456789012")).in_place_of(&coded);
        drop(coded);
        assert_eq!(budget.taken(), 12, "it is there, although it is too much");
        drop(decoded);
        assert_eq!(budget.taken(), 0);
    }
}
