//! Decisions: one record for each guarded write, of what was asked, what was known, and what came of it.
//!
//! It says enough for another configuration to decide anew, and names nobody: learners, documents and credentials appear
//! as keyed digests, whose key nobody knows and which ends with the process.

pub mod client;
pub mod facts;
pub mod file;
pub mod pseudonym;
pub mod record;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tracing_appender::non_blocking::NonBlocking;

use self::pseudonym::Pseudonyms;
use self::record::Decision;

/// How many decisions stay in memory, in about half a kilobyte each.
pub const KEPT: usize = 10_000;

/// How many decisions somebody who follows them may be behind before some are lost to them.
const BEHIND: usize = 256;

/// The last decisions of the process; every core and every configuration that it has had share them. Clones are the same.
#[derive(Clone)]
pub struct Decisions(Arc<Inner>);

struct Inner {
    last: Mutex<VecDeque<Arc<Decision>>>,
    news: broadcast::Sender<Arc<Decision>>,
    lines: Option<NonBlocking>,
    pseudonyms: Pseudonyms,
}

impl Decisions {
    /// None so far. Each of those to come is also written to `lines`, if there are any, as a JSON object a line.
    pub fn new(lines: Option<NonBlocking>) -> Self {
        let (news, _) = broadcast::channel(BEHIND);
        Self(Arc::new(Inner { last: Mutex::default(), news, lines, pseudonyms: Pseudonyms::new() }))
    }

    /// By what everybody is called here.
    pub fn pseudonyms(&self) -> &Pseudonyms {
        &self.0.pseudonyms
    }

    /// Records a decision.
    pub fn record(&self, decision: Decision) {
        if let Some(lines) = &self.0.lines
            && let Ok(mut line) = serde_json::to_string(&decision)
        {
            line.push('\n');
            // The writer hands the line to its thread; what can fail there is said there.
            let _ = lines.clone().write_all(line.as_bytes());
        }
        let decision = Arc::new(decision);
        let oldest = {
            let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
            let oldest = if last.len() < KEPT { None } else { last.pop_front() };
            last.push_back(Arc::clone(&decision));
            oldest
        };
        // Outside of the lock, since it frees memory.
        drop(oldest);
        // An error says that nobody follows.
        let _ = self.0.news.send(decision);
    }

    /// The last decisions, at most so many, the newest first.
    pub fn last(&self, most: usize) -> Vec<Arc<Decision>> {
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().rev().take(most).cloned().collect()
    }

    /// Follows the decisions to come. Who does not keep up is told how many were missed.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Decision>> {
        self.0.news.subscribe()
    }
}

impl Default for Decisions {
    fn default() -> Self {
        Self::new(None)
    }
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decisions(..)")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::facts::Facts;
    use super::*;
    use crate::guard::policy::Mode;

    fn decision(decisions: &Decisions, status: u16) -> Decision {
        let (head, ()) = Request::put("/").body(()).expect("a request").into_parts();
        let facts = Facts::of(&head, &"f:1".into(), decisions.pseudonyms());
        Decision { status, ..Decision::of(facts, "state".into(), Mode::Enforce) }
    }

    #[test]
    fn the_last_ones_stay_and_the_newest_comes_first() {
        let decisions = Decisions::default();
        assert!(decisions.last(10).is_empty());
        for status in 0..=10_000 {
            decisions.record(decision(&decisions, status));
        }
        let last = decisions.last(usize::MAX);
        assert_eq!((last.len(), last[0].status, last[KEPT - 1].status), (KEPT, 10_000, 1));
        assert_eq!(decisions.last(2).iter().map(|one| one.status).collect::<Vec<_>>(), [10_000, 9_999]);
    }

    #[tokio::test]
    async fn who_follows_is_told_and_who_falls_behind_is_told_that() {
        let decisions = Decisions::default();
        decisions.record(decision(&decisions, 1));
        let mut follower = decisions.follow();
        decisions.record(decision(&decisions, 2));
        assert_eq!(follower.recv().await.expect("the one to come").status, 2);
        for status in 0..300 {
            decisions.record(decision(&decisions, status));
        }
        assert!(matches!(follower.recv().await, Err(broadcast::error::RecvError::Lagged(44))));
    }
}
