//! Which scopes are in use, and which are unsettled: the table behind the holds.
//!
//! When other scopes are to be held from some moment on, the table of the old ones is *retired*: nobody gets in line
//! there any more, and nobody gets a hold of the new ones before the last of the old is given back and has settled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ahash::RandomState;
use dashmap::DashMap;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::generations::{Generations, Raised};
use crate::fault::{self, Mutant};
use crate::resource::Scope;

/// Which scopes are in use, and which are unsettled.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) slots: DashMap<Scope, Slot, RandomState>,
    pub(super) used: AtomicUsize,
    pub(super) waiting: AtomicUsize,
    /// Until then every scope is unsettled.
    pub(super) settled_from: Instant,
    /// When scopes were stamped, oldest first, so that their slots are freed although nobody asks for them.
    pub(super) stamped: Mutex<VecDeque<(Instant, Scope)>>,
    /// What writes withdraw; nothing where nothing is recalled.
    pub(super) generations: Option<Arc<Generations>>,
    /// The last write without a hold whose outcome is unknown.
    pub(super) unheld: Mutex<Option<Unsettled>>,
    /// Nobody gets in line any more.
    pub(super) retired: AtomicBool,
    /// Wakes those who wait for the last user of a retired table to leave.
    pub(super) left: Notify,
    /// What was held before, in other scopes, while that still matters.
    pub(super) before: Mutex<Option<Before>>,
}

/// The holds before these, whose scopes say nothing about the scopes of these.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) table: Arc<Table>,
    pub(super) era: Weak<Era>,
    /// From when on nothing can be applied any more that was sent under it.
    pub(super) over: Option<Instant>,
}

/// What is kept for a scope while somebody uses it or its last write may still be applied.
#[derive(Debug)]
pub(super) struct Slot {
    /// One permit: the turn to write. Tokio's semaphore hands it on in order of arrival.
    pub(super) turn: Arc<Semaphore>,
    pub(super) users: usize,
    pub(super) unsettled: Option<Unsettled>,
}

/// A write that may still be applied.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) until: Instant,
    /// What it has withdrawn stays withdrawn as long.
    pub(super) _raised: Option<Raised>,
}

/// How many scopes are in which use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Somebody has the sole right to write there.
    pub held: usize,
    /// How many writes wait for theirs, in all scopes together.
    pub waiting: usize,
    /// A write there may still be applied, as far as a single scope is known for it.
    pub unsettled: usize,
}

/// For as long as one of these lives, an exchange that knows these scopes may be under way.
#[derive(Debug)]
pub(super) struct Era;

impl Table {
    pub(super) fn new(
        settled_from: Instant,
        generations: Option<Arc<Generations>>,
        before: Option<Before>,
    ) -> Arc<Self> {
        Arc::new(Self {
            slots: DashMap::default(),
            used: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            settled_from,
            stamped: Mutex::default(),
            generations,
            unheld: Mutex::default(),
            retired: AtomicBool::new(false),
            left: Notify::new(),
            before: Mutex::new(before),
        })
    }

    /// Waits until nothing is held or unsettled any more in the scopes before these; past the deadline,
    /// for how much longer something is unsettled there, as far as that is known.
    pub(super) async fn follow(&self, deadline: Instant) -> Result<(), Duration> {
        let Some(before) = self.table_before() else { return Ok(()) };
        if fault::is_mutant(Mutant::ScopesNotAwaited) {
            return Ok(());
        }
        if timeout_at(deadline, before.left()).await.is_err() {
            let until = before.unsettled_until();
            return Err(until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now())));
        }
        if self.generations.is_none() {
            *self.before() = None;
        }
        Ok(())
    }

    /// Waits until nobody can get in line any more, nobody is, and everything has settled.
    pub(super) async fn left(&self) {
        if let Some(before) = self.table_before() {
            Box::pin(before.left()).await;
        }
        loop {
            let mut next = std::pin::pin!(self.left.notified());
            // It hears of whoever leaves from here on, also between this look and the wait.
            next.as_mut().enable();
            self.sweep(Instant::now());
            if self.retired.load(Ordering::SeqCst) && self.slots.is_empty() {
                return;
            }
            let settles = self.stamped().front().map(|(until, _)| *until);
            match settles {
                Some(until) => drop(timeout_at(until, next).await),
                None => next.await,
            }
        }
    }

    /// Whether nothing can be applied any more that was sent before these scopes were held: every exchange of that time
    /// has ended, and the settle time has passed since.
    pub(super) fn is_alone(&self, settle_time: Duration) -> bool {
        let mut before = self.before();
        let Some(old) = before.as_mut() else { return true };
        if old.era.strong_count() > 0 || !old.table.is_alone(settle_time) {
            return false;
        }
        let now = Instant::now();
        let is_over = *old.over.get_or_insert(now + settle_time) <= now;
        if is_over {
            *before = None;
        }
        is_over
    }

    /// Until when the last scope stays unsettled by a write of this process, or stayed so; those before these included.
    pub(super) fn unsettled_until(&self) -> Option<Instant> {
        let last = self.stamped().back().map(|(until, _)| *until);
        let unheld = self.unheld.lock().unwrap_or_else(PoisonError::into_inner);
        let unheld = unheld.as_ref().map(|unheld| unheld.until);
        let before = self.table_before().and_then(|before| before.unsettled_until());
        [last, unheld, before].into_iter().flatten().max()
    }

    pub(super) fn usage(&self, now: Instant) -> Usage {
        let before = self.table_before().map(|before| before.usage(now)).unwrap_or_default();
        let waiting = self.waiting.load(Ordering::Relaxed);
        let mut usage = Usage { waiting: before.waiting + waiting, ..before };
        for slot in &self.slots {
            usage.held += usize::from(slot.turn.available_permits() == 0);
            let is_unsettled = slot.unsettled.as_ref().is_some_and(|unsettled| unsettled.until > now);
            usage.unsettled += usize::from(is_unsettled);
        }
        usage
    }

    pub(super) fn table_before(&self) -> Option<Arc<Self>> {
        self.before().as_ref().map(|before| Arc::clone(&before.table))
    }

    pub(super) fn before(&self) -> MutexGuard<'_, Option<Before>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stamped(&self) -> MutexGuard<'_, VecDeque<(Instant, Scope)>> {
        self.stamped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the slots of scopes that have settled and that nobody uses.
    pub(super) fn sweep(&self, now: Instant) {
        let mut stamped = self.stamped();
        while let Some((until, scope)) = stamped.front().copied() {
            if until > now {
                break;
            }
            stamped.pop_front();
            self.free_if(&scope, |slot| slot.is_free(now));
        }
        drop(stamped);
        let mut unheld = self.unheld.lock().unwrap_or_else(PoisonError::into_inner);
        unheld.take_if(|unheld| unheld.until <= now);
    }

    pub(super) fn free_if(&self, scope: &Scope, test: impl FnOnce(&mut Slot) -> bool) {
        if self.slots.remove_if_mut(scope, |_, slot| test(slot)).is_some() {
            self.used.fetch_sub(1, Ordering::Relaxed);
            if self.retired.load(Ordering::SeqCst) {
                self.left.notify_waiters();
            }
        }
    }
}

impl Slot {
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.users == 0 && self.unsettled.as_ref().is_none_or(|unsettled| unsettled.until <= now)
    }
}
