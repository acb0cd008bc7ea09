//! Holds: the sole right to write in a scope, given in order of arrival.
//!
//! A [`Hold`] comes only from [`Holds::take`]. When the first byte of a write goes upstream it becomes an
//! [`InFlight`], and only a known outcome makes a hold of that again. Whatever else happens to an `InFlight` (a
//! time-out, a panic, the end of the runtime), its drop stamps the scope as *unsettled* before the next writer
//! gets in, because the upstream may still apply the write.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::generations::{Generation, Generations, Raised};
use super::scopes::{Before, Era, Slot, Table, Unsettled, Usage};
use crate::fault::{self, Mutant};
use crate::resource::Scope;

/// The bounds of holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long a write waits for its hold.
    pub wait: Duration,
    /// How many writes may wait for one scope.
    pub queue: usize,
    /// How many writes may wait in all.
    pub waiters: usize,
    /// How many scopes may be held or unsettled at a time.
    pub scopes: usize,
    /// How long a scope stays unsettled after a write whose outcome is unknown.
    pub settle_time: Duration,
    /// How long every scope is unsettled at first: a process before this one may have left a write under way.
    pub start_settle: Duration,
}

/// All holds of the process; every core shares them.
#[derive(Debug)]
pub struct Holds {
    settings: Settings,
    table: Arc<Table>,
    era: Arc<Era>,
}

/// Why a hold was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// As many writes wait as may wait, or as many scopes are in use as may be.
    QueueFull,
    /// The turn did not come within `hold-wait`.
    TimedOut,
    /// The upstream may still apply an earlier write for this long, which is longer than this one would wait.
    Unsettled(Duration),
    /// For this long it may still apply a write of the process before this one.
    StartUnsettled(Duration),
    /// Since the request came, other scopes are held.
    Retired,
}

impl Denied {
    /// Something of before is held, or is unsettled for so long.
    fn by_those_before(unsettled: Duration) -> Self {
        if unsettled.is_zero() { Self::TimedOut } else { Self::Unsettled(unsettled) }
    }
}

/// The sole right to write in a scope. Dropping it gives the right to the next in line.
#[derive(Debug)]
pub struct Hold {
    /// Where writes under it are counted whose outcome stays unknown.
    unknown: Option<Arc<AtomicU64>>,
    // Fields are dropped in this order: the turn goes to the next in line before the place is left.
    _turn: OwnedSemaphorePermit,
    place: Place,
}

/// A hold under which a write is on its way. Dropping it stamps the scope as unsettled.
#[derive(Debug)]
pub struct InFlight(Option<(Hold, Option<Raised>)>);

/// What may be a write and goes on without a hold. Dropping it leaves all scopes unknown for the settle time.
#[derive(Debug)]
pub struct Unheld {
    holds: Arc<Holds>,
    raised: Option<Raised>,
}

/// Being among the users of a slot, so that it is not freed.
#[derive(Debug)]
struct Place {
    holds: Arc<Holds>,
    scope: Scope,
}

impl Holds {
    /// No scope is held.
    pub fn new(settings: Settings) -> Arc<Self> {
        Self::withdrawing(settings, None)
    }

    /// No scope is held. Every write withdraws what is known of its scope by raising its generation.
    pub fn withdrawing(settings: Settings, generations: Option<Arc<Generations>>) -> Arc<Self> {
        let settled_from = Instant::now() + settings.start_settle;
        Arc::new(Self { settings, table: Table::new(settled_from, generations, None), era: Arc::new(Era) })
    }

    /// The same holds within other bounds.
    pub fn within(&self, settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, table: Arc::clone(&self.table), era: Arc::clone(&self.era) })
    }

    /// Holds of other scopes. None is given before these are [retired](Self::retire), given back and settled.
    pub fn followed_by(&self, settings: Settings, generations: Option<Arc<Generations>>) -> Arc<Self> {
        let (table, era) = (Arc::clone(&self.table), Arc::downgrade(&self.era));
        let before = Before { table, era, over: None };
        let table = Table::new(self.table.settled_from, generations, Some(before));
        Arc::new(Self { settings, table, era: Arc::new(Era) })
    }

    /// From here on nobody gets in line any more; those who are in line get their turn.
    pub fn retire(&self) {
        self.table.retired.store(true, Ordering::SeqCst);
        self.table.left.notify_waiters();
    }

    /// Waits for the sole right to write in a scope: in order of arrival, and for a bounded time.
    ///
    /// Cancelling the wait leaves the queue. A free hold is taken without waking anybody.
    pub async fn take(self: &Arc<Self>, scope: Scope) -> Result<Hold, Denied> {
        let deadline = Instant::now() + self.settings.wait;
        let (place, turn) = self.enter(scope)?;
        place.unsettled_within(deadline)?;
        let turn = match Arc::clone(&turn).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => {
                let _queued = self.queue(&place)?;
                timeout_at(deadline, turn.acquire_owned())
                    .await
                    .map_err(|_| Denied::TimedOut)?
                    .expect("the semaphore of a slot is never closed")
            }
        };
        self.table.follow(deadline).await.map_err(Denied::by_those_before)?;
        if let Some(until) = place.unsettled_within(deadline)? {
            sleep_until(until).await;
            place.settled();
        }
        Ok(Hold { unknown: None, _turn: turn, place })
    }

    /// The generation of a scope; nothing while a write there is under way or unsettled, or where nothing is recalled, and
    /// nothing while something may be applied that was sent before these scopes were held.
    pub fn generation(&self, scope: Scope) -> Option<Generation> {
        self.ask(|generations| generations.of(scope))
    }

    /// Whether it is still the generation of its scope, of which nothing else is known.
    pub fn is_current(&self, generation: Generation) -> bool {
        self.ask(|generations| generations.is_current(generation).then_some(())).is_some()
    }

    fn ask<T>(&self, ask: impl Fn(&Generations) -> Option<T>) -> Option<T> {
        let generations = self.table.generations.as_ref()?;
        if !self.table.is_alone(self.settings.settle_time) {
            return None;
        }
        ask(generations).or_else(|| {
            // What keeps it may have settled, and nobody has asked for its scope since.
            self.table.sweep(Instant::now());
            ask(generations)
        })
    }

    /// Withdraws what is known of every scope, for what may be a write and goes on without a hold.
    ///
    /// Nothing, where nothing is recalled.
    pub fn begin_unheld(self: &Arc<Self>) -> Option<Unheld> {
        let generations = self.table.generations.as_ref()?;
        Some(Unheld { holds: Arc::clone(self), raised: Some(generations.raise_all()) })
    }

    /// Becomes a user of the scope's slot, which is made where there is none.
    fn enter(self: &Arc<Self>, scope: Scope) -> Result<(Place, Arc<Semaphore>), Denied> {
        let Table { slots, used, retired, .. } = &*self.table;
        if used.load(Ordering::Relaxed) >= self.settings.scopes {
            self.table.sweep(Instant::now());
            let is_new = !slots.contains_key(&scope);
            if is_new && used.load(Ordering::Relaxed) >= self.settings.scopes {
                return Err(Denied::QueueFull);
            }
        }
        let mut slot = slots.entry(scope).or_insert_with(|| {
            used.fetch_add(1, Ordering::Relaxed);
            Slot { turn: Arc::new(Semaphore::new(1)), users: 0, unsettled: None }
        });
        slot.users += 1;
        let turn = Arc::clone(&slot.turn);
        drop(slot);
        let place = Place { holds: Arc::clone(self), scope };
        // Only a user looks: whoever waits for a retired table to be left sees this one, or this one sees that it is.
        match retired.load(Ordering::SeqCst) {
            true => Err(Denied::Retired),
            false => Ok((place, turn)),
        }
    }

    /// Takes one of the bounded number of places in the queues.
    fn queue(&self, place: &Place) -> Result<Queued<'_>, Denied> {
        // All users of a slot but the one that holds it wait in its queue.
        let ahead = self.table.slots.get(&place.scope).map_or(0, |slot| slot.users);
        let queued = Queued(&self.table.waiting);
        let waiting = self.table.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting >= self.settings.waiters || ahead > self.settings.queue + 1 {
            return Err(Denied::QueueFull);
        }
        Ok(queued)
    }

    /// How many scopes are in which use at this moment, those before these included.
    pub fn usage(&self) -> Usage {
        self.table.usage(Instant::now())
    }

    /// Until when the last scope stays unsettled by a write of this process, if any is.
    pub fn unsettled_until(&self) -> Option<Instant> {
        self.table.unsettled_until().filter(|until| *until > Instant::now())
    }

    /// For how much longer every scope is unsettled, since a process before this one may have left a write under way.
    pub fn all_unsettled_for(&self) -> Option<Duration> {
        let left = self.table.settled_from.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Marks a scope: what was sent may still be applied for the settle time.
    fn stamp(&self, scope: Scope, raised: Option<Raised>) {
        let now = Instant::now();
        let until = now + self.settings.settle_time;
        if let Some(mut slot) = self.table.slots.get_mut(&scope) {
            slot.unsettled = Some(Unsettled { until, _raised: raised });
        }
        self.table.stamped().push_back((until, scope));
        self.table.sweep(now);
    }
}

impl Place {
    /// Until when the scope is unsettled, if it is; denied when that is past the deadline.
    fn unsettled_within(&self, deadline: Instant) -> Result<Option<Instant>, Denied> {
        let table = &self.holds.table;
        let slot = table.slots.get(&self.scope);
        let of_scope = slot.and_then(|slot| slot.unsettled.as_ref().map(|unsettled| unsettled.until));
        let now = Instant::now();
        let of_all = Some(table.settled_from).filter(|from| *from > now);
        match of_scope.max(of_all) {
            Some(until) if until > deadline && of_all >= of_scope => Err(Denied::StartUnsettled(until - now)),
            Some(until) if until > deadline => Err(Denied::Unsettled(until - now)),
            until => Ok(until),
        }
    }

    /// The settle time has passed, and whoever has the turn will learn anew what is there.
    fn settled(&self) {
        if let Some(mut slot) = self.holds.table.slots.get_mut(&self.scope) {
            slot.unsettled = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        self.holds.table.free_if(&self.scope, |slot| {
            slot.users -= 1;
            slot.is_free(now)
        });
    }
}

/// One of the writes that wait, as long as it lives.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hold {
    /// The same hold, under which every write whose outcome stays unknown is counted.
    pub fn counting(self, unknown: Arc<AtomicU64>) -> Self {
        Self { unknown: Some(unknown), ..self }
    }

    /// The first byte of the write goes upstream now: what was known of its scope is withdrawn.
    pub fn begin(self) -> InFlight {
        let place = &self.place;
        let raised = place.holds.table.generations.as_ref().map(|generations| generations.raise(place.scope));
        InFlight(Some((self, raised)))
    }
}

impl InFlight {
    /// The outcome of the write is known: what is left is an ordinary hold.
    pub fn settle(mut self) -> Hold {
        let (hold, _raised) = self.0.take().expect("it holds until it is settled or dropped");
        hold
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some((hold, raised)) = self.0.take()
            && !fault::is_mutant(Mutant::ReleasedOnUnknown)
        {
            if let Some(unknown) = &hold.unknown {
                unknown.fetch_add(1, Ordering::Relaxed);
            }
            hold.place.holds.stamp(hold.place.scope, raised);
        }
    }
}

impl Unheld {
    /// Its outcome is known.
    pub fn settle(mut self) {
        self.raised = None;
    }
}

impl Drop for Unheld {
    fn drop(&mut self) {
        if let Some(raised) = self.raised.take() {
            let until = Instant::now() + self.holds.settings.settle_time;
            let mut unheld = self.holds.table.unheld.lock().unwrap_or_else(PoisonError::into_inner);
            *unheld = Some(Unsettled { until, _raised: Some(raised) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn holds(adjust: impl FnOnce(&mut Settings)) -> Arc<Holds> {
        let mut settings = Settings {
            wait: Duration::from_secs(10),
            queue: 256,
            waiters: 1000,
            scopes: 1000,
            settle_time: Duration::from_secs(30),
            start_settle: Duration::ZERO,
        };
        adjust(&mut settings);
        Holds::new(settings)
    }

    fn scope(name: &str) -> Scope {
        Scope::new("state", [name])
    }

    fn withdrawing() -> Arc<Holds> {
        Holds::withdrawing(holds(|_| {}).settings.clone(), Some(Generations::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_scope_is_held_once_and_others_are_free() {
        let holds = holds(|_| {});
        let first = holds.take(scope("a")).await.expect("free");
        holds.take(scope("b")).await.expect("another scope is free");
        assert_eq!(holds.take(scope("a")).await.expect_err("held"), Denied::TimedOut);
        drop(first);
        holds.take(scope("a")).await.expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_get_their_turn_in_order_of_arrival() {
        let holds = holds(|_| {});
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = holds.take(scope("a")).await.expect("free");
        let waiters: Vec<_> = (0..100)
            .map(|number| {
                let (holds, order) = (Arc::clone(&holds), Arc::clone(&order));
                tokio::spawn(async move {
                    let _hold = holds.take(scope("a")).await.expect("its turn comes");
                    order.lock().unwrap().push(number);
                    tokio::task::yield_now().await;
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(first);
        for waiter in waiters {
            waiter.await.expect("it did not panic");
        }
        assert_eq!(*order.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_does_not_keep_its_turn() {
        let holds = holds(|_| {});
        let first = holds.take(scope("a")).await.expect("free");
        let leaver = tokio::spawn({
            let holds = Arc::clone(&holds);
            async move { holds.take(scope("a")).await.map(drop) }
        });
        tokio::task::yield_now().await;
        leaver.abort();
        assert!(leaver.await.expect_err("aborted").is_cancelled());
        drop(first);
        holds.take(scope("a")).await.expect("nobody is in front");
        assert!(holds.table.slots.is_empty() && holds.table.waiting.load(Ordering::Relaxed) == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn queues_are_bounded() {
        let holds = holds(|settings| (settings.queue, settings.waiters) = (2, 3));
        let mut held = Vec::new();
        for name in ["a", "b"] {
            held.push(holds.take(scope(name)).await.expect("free"));
        }
        let wait = |name: &'static str| {
            let holds = Arc::clone(&holds);
            tokio::spawn(async move { holds.take(scope(name)).await.map(drop) })
        };
        let _waiting = [wait("a"), wait("a")];
        tokio::task::yield_now().await;
        assert_eq!(holds.take(scope("a")).await.expect_err("two wait for it"), Denied::QueueFull);
        let _third = wait("b");
        tokio::task::yield_now().await;
        assert_eq!(holds.take(scope("b")).await.expect_err("three wait in all"), Denied::QueueFull);
    }

    #[tokio::test(start_paused = true)]
    async fn scopes_in_use_are_bounded() {
        let holds = holds(|settings| settings.scopes = 1);
        let hold = holds.take(scope("a")).await.expect("free");
        assert_eq!(holds.take(scope("b")).await.expect_err("one scope at most"), Denied::QueueFull);
        drop(hold.begin());
        assert_eq!(holds.take(scope("b")).await.expect_err("unsettled counts"), Denied::QueueFull);
        tokio::time::advance(Duration::from_secs(31)).await;
        holds.take(scope("b")).await.expect("the settled one was freed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_outcome_frees_the_scope_at_once() {
        let holds = holds(|_| {});
        let in_flight = holds.take(scope("a")).await.expect("free").begin();
        drop(in_flight.settle());
        assert!(holds.table.slots.is_empty(), "a released hold costs nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_leaves_the_scope_unsettled() {
        let holds = holds(|_| {});
        drop(holds.take(scope("a")).await.expect("free").begin());
        let denied = holds.take(scope("a")).await.expect_err("30 s are more than it would wait");
        assert_eq!(denied, Denied::Unsettled(Duration::from_secs(30)));
        tokio::time::advance(Duration::from_secs(21)).await;
        let before = Instant::now();
        holds.take(scope("a")).await.expect("9 s are not");
        assert_eq!(before.elapsed().as_secs(), 9, "it waited out what was left");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_start_every_scope_is_unsettled_by_nothing_of_this_process() {
        let holds = holds(|settings| settings.start_settle = Duration::from_secs(30));
        let denied = holds.take(scope("a")).await.expect_err("30 s are more than it would wait");
        assert_eq!(denied, Denied::StartUnsettled(Duration::from_secs(30)));
        assert_eq!(holds.all_unsettled_for(), Some(Duration::from_secs(30)));
        assert_eq!(holds.unsettled_until(), None, "a drain waits for nothing");
        tokio::time::advance(Duration::from_secs(21)).await;
        let hold = holds.take(scope("a")).await.expect("9 s are not");
        assert_eq!(holds.all_unsettled_for(), None);
        drop(hold.begin());
        assert!(holds.unsettled_until().is_some());
        assert_eq!(
            holds.take(scope("a")).await.expect_err("its own write"),
            Denied::Unsettled(Duration::from_secs(30))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_learns_that_the_write_before_it_is_unsettled() {
        let holds = holds(|_| {});
        let in_flight = holds.take(scope("a")).await.expect("free").begin();
        let waiter = tokio::spawn({
            let holds = Arc::clone(&holds);
            async move { holds.take(scope("a")).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(in_flight);
        assert!(matches!(waiter.await.expect("no panic"), Err(Denied::Unsettled(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_in_mid_write_leaves_the_scope_unsettled() {
        let holds = holds(|_| {});
        let in_flight = holds.take(scope("a")).await.expect("free").begin();
        let task = tokio::spawn(async move {
            let _in_flight = in_flight;
            panic!("ordered by the test");
        });
        assert!(task.await.expect_err("it panicked").is_panic());
        assert!(matches!(holds.take(scope("a")).await, Err(Denied::Unsettled(_))));
    }

    #[test]
    fn the_end_of_a_runtime_gives_back_once_what_was_held_on_it() {
        let holds = holds(|_| {});
        let current_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let core = current_thread().expect("a runtime");
        core.block_on(async {
            for name in ["held", "in flight"] {
                let hold = holds.take(scope(name)).await.expect("free");
                let (hold, in_flight) = match name {
                    "held" => (Some(hold), None),
                    _ => (None, Some(hold.begin())),
                };
                tokio::spawn(async move {
                    let _both = (hold, in_flight);
                    std::future::pending::<()>().await;
                });
                let holds = Arc::clone(&holds);
                tokio::spawn(async move { holds.take(scope(name)).await.map(drop) });
            }
            tokio::task::yield_now().await;
            assert_eq!(holds.table.waiting.load(Ordering::Relaxed), 2);
        });
        drop(core);
        assert_eq!(holds.table.waiting.load(Ordering::Relaxed), 0);
        assert!(holds.table.slots.get(&scope("held")).is_none(), "nobody uses it");
        let left = holds.table.slots.get(&scope("in flight")).expect("it is unsettled");
        assert!(left.users == 0 && left.turn.available_permits() == 1 && left.unsettled.is_some());
        drop(left);
        current_thread().expect("another runtime").block_on(async {
            holds.take(scope("held")).await.expect("free");
            assert!(matches!(holds.take(scope("in flight")).await, Err(Denied::Unsettled(_))));
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_withdraws_what_is_known_before_it_goes_and_for_ever() {
        let holds = withdrawing();
        let before = holds.generation(scope("a")).expect("nobody writes");
        let hold = holds.take(scope("a")).await.expect("free");
        assert_eq!(holds.generation(scope("a")), Some(before), "nothing was sent yet");
        let in_flight = hold.begin();
        assert_eq!(holds.generation(scope("a")), None);
        let hold = in_flight.settle();
        assert!(holds.generation(scope("a")).is_some_and(|after| after != before), "still under the hold");
        drop(hold);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_known_of_an_unsettled_scope_until_it_has_settled() {
        let holds = withdrawing();
        let before = holds.generation(scope("a")).expect("nobody writes");
        drop(holds.take(scope("a")).await.expect("free").begin());
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(holds.generation(scope("a")), None);
        let waiter = tokio::spawn({
            let holds = Arc::clone(&holds);
            async move { holds.take(scope("a")).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(holds.generation(scope("a")), None, "somebody waits for it");
        let _hold = waiter.await.expect("no panic").expect("a second is not long");
        assert!(holds.generation(scope("a")).is_some_and(|after| after != before), "it has settled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_scope_that_has_settled_is_known_again_although_nobody_has_written_there() {
        let holds = withdrawing();
        drop(holds.take(scope("a")).await.expect("free").begin());
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(holds.generation(scope("a")).is_some());
        assert!(holds.table.slots.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_unknown_outcome_keeps_what_the_first_has_withdrawn() {
        let holds = withdrawing();
        for _ in 0..2 {
            drop(holds.take(scope("a")).await.expect("free").begin());
            assert_eq!(holds.generation(scope("a")), None);
            tokio::time::advance(Duration::from_secs(30)).await;
        }
        assert!(holds.generation(scope("a")).is_some(), "each has withdrawn once and given back once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_a_hold_withdraws_everything_until_it_has_settled() {
        let holds = withdrawing();
        let known = || holds.generation(scope("a"));
        let first = known().expect("nobody writes");
        let unheld = holds.begin_unheld().expect("there are generations");
        assert_eq!(known(), None);
        unheld.settle();
        let second = known().expect("its outcome is known");
        assert_ne!(first, second);
        drop(holds.begin_unheld());
        tokio::time::advance(Duration::from_secs(15)).await;
        drop(holds.begin_unheld());
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(known(), None, "the later of two counts");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(known().is_some_and(|third| third != second));
        assert!(
            self::holds(|_| {}).begin_unheld().is_none(),
            "where nothing is recalled nothing is withdrawn"
        );
    }

    /// Holds whose scopes mean something else than those of these, which are retired.
    fn replaced(old: &Holds) -> Arc<Holds> {
        let new =
            old.followed_by(old.settings.clone(), old.table.generations.as_ref().map(|_| Generations::new()));
        old.retire();
        new
    }

    #[tokio::test(start_paused = true)]
    async fn within_other_bounds_they_are_the_same_holds() {
        let holds = holds(|_| {});
        let held = holds.take(scope("a")).await.expect("free");
        let others = holds.within(Settings { wait: Duration::from_secs(1), ..holds.settings.clone() });
        assert_eq!(others.take(scope("a")).await.expect_err("held"), Denied::TimedOut);
        drop(held);
        let _held = others.take(scope("a")).await.expect("free");
        assert_eq!(holds.take(scope("a")).await.expect_err("held"), Denied::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn holds_of_other_scopes_wait_until_the_old_ones_are_given_back() {
        let old = holds(|_| {});
        let held = old.take(scope("a")).await.expect("free");
        let in_line = tokio::spawn({
            let old = Arc::clone(&old);
            async move { old.take(scope("a")).await.map(drop) }
        });
        tokio::task::yield_now().await;
        let new = old.followed_by(Settings { wait: Duration::from_secs(1), ..old.settings.clone() }, None);
        old.retire();
        assert_eq!(old.take(scope("b")).await.expect_err("nobody gets in line any more"), Denied::Retired);
        assert_eq!(new.take(scope("z")).await.expect_err("\"a\" is held"), Denied::TimedOut);
        let taking = tokio::spawn({
            let new = Arc::clone(&new);
            async move { new.take(scope("z")).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(held);
        in_line.await.expect("no panic").expect("who was in line gets a turn");
        taking.await.expect("no panic").expect("nothing is held any more");
        new.take(scope("z")).await.expect("free");
        assert!(new.table.table_before().is_none(), "the old ones are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn holds_of_other_scopes_wait_before_the_old_ones_are_retired_too() {
        let old = holds(|_| {});
        let new = old.followed_by(old.settings.clone(), None);
        assert_eq!(new.take(scope("z")).await.expect_err("somebody may come"), Denied::TimedOut);
        drop(old.take(scope("a")).await.expect("not retired"));
        old.retire();
        new.take(scope("z")).await.expect("nobody can come any more");
    }

    #[tokio::test(start_paused = true)]
    async fn holds_of_other_scopes_wait_until_the_old_ones_have_settled() {
        let old = holds(|_| {});
        drop(old.take(scope("a")).await.expect("free").begin());
        let new = replaced(&old);
        let Denied::Unsettled(left) = new.take(scope("z")).await.expect_err("its write may still be applied")
        else {
            panic!("it says for how long")
        };
        assert_eq!(left, Duration::from_secs(20), "of thirty, ten were waited");
        assert!(new.unsettled_until().is_some(), "drain waits for what is unsettled in the old scopes");
        tokio::time::advance(Duration::from_secs(11)).await;
        new.take(scope("z")).await.expect("within its own wait it has settled");
    }

    #[tokio::test(start_paused = true)]
    async fn holds_wait_for_all_that_came_before_them() {
        let first = holds(|_| {});
        let held = first.take(scope("a")).await.expect("free");
        let second = replaced(&first);
        let third = replaced(&second);
        assert_eq!(third.take(scope("z")).await.expect_err("the first are held"), Denied::TimedOut);
        drop(held);
        third.take(scope("z")).await.expect("nothing is held any more");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_learned_while_exchanges_of_the_scopes_before_may_write() {
        let old = withdrawing();
        // An exchange that has not taken its hold, or takes none.
        let exchange = Arc::clone(&old);
        let new = replaced(&old);
        let newest = replaced(&new);
        drop((old, new));
        assert!(newest.generation(scope("a")).is_none(), "it may still write");
        drop(exchange);
        assert!(newest.generation(scope("a")).is_none(), "what it wrote may still be applied");
        tokio::time::advance(Duration::from_secs(61)).await;
        // The scopes before these were looked at only now, so that each takes its time.
        assert!(newest.generation(scope("a")).is_none());
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(newest.generation(scope("a")).is_some());
        assert!(newest.table.before().is_none());
    }
}
