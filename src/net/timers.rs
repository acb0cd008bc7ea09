//! Timers that are set for every request and hardly ever go off.
//!
//! Setting one anew for each costs more than what it watches over. So those that were not needed are kept as they are set,
//! and serve the next one: whoever is woken early by one merely sets it to the right moment then.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

/// How many are kept for later at most. Each keeps the room of the task that it would wake, until it goes off.
const SPARE: usize = 128;

/// The timers of one core that are of one length. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Timers(Arc<Mutex<Vec<Pin<Box<Sleep>>>>>);

/// A timer until a moment. It is set when it is first waited for.
#[derive(Debug)]
pub struct Timer {
    until: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    timers: Timers,
}

/// The moment came before what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl Timers {
    /// A timer until this moment.
    pub fn until(&self, until: Instant) -> Timer {
        Timer { until, sleep: None, timers: self.clone() }
    }

    /// Waits for something until this moment.
    ///
    /// # Errors
    /// When the moment comes first.
    pub async fn timeout_at<F: Future + Unpin>(
        &self,
        until: Instant,
        mut waited: F,
    ) -> Result<F::Output, Elapsed> {
        let mut timer = self.until(until);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = Pin::new(&mut waited).poll(cx) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut timer).poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    /// A spare one that goes off no later than this, or a new one.
    fn take(&self, until: Instant) -> Pin<Box<Sleep>> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match spare {
            Some(mut sleep) => {
                if sleep.deadline() > until {
                    sleep.as_mut().reset(until);
                }
                sleep
            }
            None => Box::pin(sleep_until(until)),
        }
    }

    fn keep(&self, sleep: Pin<Box<Sleep>>) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(sleep);
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { until, sleep, timers } = self.get_mut();
        let sleep = sleep.get_or_insert_with(|| timers.take(*until));
        loop {
            // What is waited for may have used up all that a task may do at a time, which is no reason to go on waiting.
            ready!(pin!(coop::unconstrained(sleep.as_mut())).poll(cx));
            if *until <= Instant::now() {
                return Poll::Ready(());
            }
            // It was set for somebody who did not need it.
            sleep.as_mut().reset(*until);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take() {
            self.timers.keep(sleep);
        }
    }
}

impl hyper::rt::Sleep for Timer {}

impl hyper::rt::Timer for Timers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.until(Instant::now() + duration))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.until(deadline.into()))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_serves_the_next_one_to_its_own_moment() {
        let timers = Timers::default();
        for seconds in [5, 9, 2, 30, 2] {
            let began = Instant::now();
            let until = began + seconds * SECOND;
            assert_eq!(timers.timeout_at(until, pending::<()>()).await, Err(Elapsed));
            assert_eq!(began.elapsed(), seconds * SECOND);
        }
        assert_eq!(timers.0.lock().expect("nobody panicked").len(), 1, "one after the other needs one");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_not_needed_wakes_nobody_before_time() {
        let timers = Timers::default();
        let began = Instant::now();
        let mut answer = Box::pin(tokio::time::sleep(SECOND));
        timers.timeout_at(began + 3 * SECOND, &mut answer).await.expect("it comes first");
        // The same one goes off two seconds later, for somebody who has nine.
        timers.timeout_at(began + 10 * SECOND, pending::<()>()).await.expect_err("nothing comes");
        assert_eq!(began.elapsed(), 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_would_go_off_too_late_is_set_anew() {
        let timers = Timers::default();
        let began = Instant::now();
        let mut answer = Box::pin(tokio::time::sleep(SECOND));
        timers.timeout_at(began + 30 * SECOND, &mut answer).await.expect("it comes first");
        timers.timeout_at(began + 3 * SECOND, pending::<()>()).await.expect_err("nothing comes");
        assert_eq!(began.elapsed(), 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn several_at_a_time_are_several() {
        let timers = Timers::default();
        let began = Instant::now();
        let wait = async |seconds: u32| {
            let _ = timers.timeout_at(began + seconds * SECOND, pending::<()>()).await;
            began.elapsed()
        };
        let waited = tokio::join!(wait(3), wait(1), wait(2));
        assert_eq!(waited, (3 * SECOND, SECOND, 2 * SECOND));
    }

    #[tokio::test]
    async fn whoever_is_always_busy_is_timed_out_too() {
        let timers = Timers::default();
        let mut count = 0;
        let busy = std::future::poll_fn(|cx| {
            count += 1;
            assert!(count < 1_000_000, "it is asked for ever");
            // It uses up what a task may do before it yields, each time that it is asked.
            while let Poll::Ready(budget) = coop::poll_proceed(cx) {
                budget.made_progress();
            }
            Poll::<()>::Pending
        });
        let soon = Instant::now() + Duration::from_millis(10);
        assert_eq!(timers.timeout_at(soon, busy).await, Err(Elapsed));
    }

    #[tokio::test]
    async fn what_is_there_needs_no_timer() {
        let timers = Timers::default();
        assert_eq!(timers.timeout_at(Instant::now(), ready(1)).await, Ok(1));
        assert!(timers.0.lock().expect("nobody panicked").is_empty());
    }
}
