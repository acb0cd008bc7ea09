//! When the upstream was last heard of, as exchanges have told by the way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::exchange::outcome::Outcome;
use crate::guard::policy::Mode;

/// When the upstream last answered, and when it last did not.
#[derive(Debug)]
pub struct Heard {
    since: Instant,
    /// In seconds since then, and one; zero is never.
    answered: AtomicU64,
    failed: Mutex<Option<(u64, &'static str)>>,
}

impl Heard {
    /// Nothing has been heard.
    pub fn new() -> Self {
        Self { since: Instant::now(), answered: AtomicU64::new(0), failed: Mutex::new(None) }
    }

    /// How many seconds ago it last answered.
    pub fn answered(&self) -> Option<u64> {
        self.answered.load(Ordering::Relaxed).checked_sub(1).map(|then| self.now().saturating_sub(then))
    }

    /// How many seconds ago it last did not, and why, in a word.
    pub fn failed(&self) -> Option<(u64, &'static str)> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.map(|(then, why)| (self.now().saturating_sub(then), why))
    }

    /// Takes from an exchange that is over what it tells of the upstream.
    pub(super) fn take(&self, outcome: &Outcome) {
        let now = self.now();
        if let Some(why) = outcome.failure.filter(|why| is_of_upstream(why)) {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, why));
        } else if has_answered(outcome) && self.answered.load(Ordering::Relaxed) != now + 1 {
            // Looked at first, so that the cores do not take the line from each other more often than once a second.
            self.answered.store(now + 1, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        self.since.elapsed().as_secs()
    }
}

impl Default for Heard {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a failure is the upstream's, by its word: those of RFC 9209 §2.3 that are about the next hop, and our own.
fn is_of_upstream(why: &str) -> bool {
    let is_its_message = why.starts_with("http_response_") || why == "http_protocol_error";
    let is_its_connection =
        matches!(why, "connection_refused" | "connection_timeout" | "connection_terminated" | "dns_error");
    is_its_message || is_its_connection || matches!(why, "outcome-unknown" | "upstream-gone")
}

/// Whether the upstream gave an answer in an exchange: to the request itself, or to the question that came before it.
fn has_answered(outcome: &Outcome) -> bool {
    let went_on = outcome.mode != Some(Mode::Enforce) || matches!(outcome.verdict, None | Some("forward"));
    outcome.failure.is_none() && outcome.status.is_some() && (went_on || outcome.probe.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, StatusCode};

    use super::*;
    use crate::net::client::{Address, Client};

    fn outcome() -> Outcome {
        let request = Request::new(());
        let client = Client::of(Address::Ip("127.0.0.1:1".parse().expect("an address")));
        Outcome { status: Some(StatusCode::OK), ..Outcome::of(&request, client) }
    }

    #[test]
    fn an_answer_is_heard_and_so_is_its_absence() {
        let told = |outcome: Outcome| {
            let heard = Heard::new();
            heard.take(&outcome);
            (heard.answered().is_some(), heard.failed().map(|(_, why)| why))
        };
        let enforced = Outcome { mode: Some(Mode::Enforce), ..outcome() };
        let refused = Outcome { verdict: Some("precondition-missing"), ..enforced.clone() };
        assert_eq!(told(outcome()), (true, None));
        assert_eq!(told(Outcome { verdict: Some("forward"), ..enforced }), (true, None));
        assert_eq!(told(refused.clone()), (false, None), "nobody was asked");
        assert_eq!(told(Outcome { probe: Some(Duration::ZERO), ..refused.clone() }), (true, None));
        assert_eq!(told(Outcome { mode: Some(Mode::Observe), ..refused }), (true, None));
        assert_eq!(told(Outcome { status: None, ..outcome() }), (false, None), "its client left");
        for (why, of_upstream) in [
            ("connection_refused", true),
            ("http_response_timeout", true),
            ("outcome-unknown", true),
            ("connection_limit_reached", false),
            ("queue-full", false),
            ("body-stalled", false),
        ] {
            let failed = Outcome { failure: Some(why), ..outcome() };
            assert_eq!(told(failed), (false, of_upstream.then_some(why)));
        }
    }
}
