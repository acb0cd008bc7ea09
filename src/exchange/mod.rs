//! One request, from its head to its answer: read, write, relay, and the answers made here.

mod accept;
mod alternate;
pub mod answer;
pub mod failure;
mod forward;
mod observe;
pub mod outcome;
mod read;
mod relay;
mod serve;
mod write;

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashSet;
use tokio_util::task::TaskTracker;

use crate::memory::holds::Holds;
use crate::rule::Rule;
use crate::rule::select::Rules;
use crate::upstream::intake::Reading;
use crate::upstream::pool::Pool;

/// What an exchange may take of a client's time and of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The longest pause while a request's body is read.
    pub body_timeout: Duration,
    /// How long an upload that is refused is read and thrown away, so that its client can read the refusal.
    pub linger: Duration,
}

/// What every exchange of a core works with.
#[derive(Debug)]
pub struct Exchange {
    settings: Settings,
    rules: Arc<Rules>,
    holds: Arc<Holds>,
    pool: Arc<Pool>,
    writes: TaskTracker,
    /// The resources whose upstream refuses its own entity-tags; shared by all cores.
    untranslated: Arc<Untranslated>,
}

/// The names of resources whose upstream has refused its own entity-tag although nothing had changed.
pub type Untranslated = DashSet<Arc<str>>;

impl Exchange {
    /// Puts together the exchanges of one core: its own connections, and the rules and holds that all cores share.
    pub fn new(
        settings: Settings,
        rules: Arc<Rules>,
        holds: Arc<Holds>,
        untranslated: Arc<Untranslated>,
        pool: Arc<Pool>,
    ) -> Arc<Self> {
        Arc::new(Self { settings, rules, holds, pool, writes: TaskTracker::new(), untranslated })
    }

    /// Waits until the last write that was begun has ended.
    pub async fn finish(&self) {
        self.writes.close();
        self.writes.wait().await;
    }
}

/// How a rule's documents are read.
fn reading(rule: &Rule) -> Reading<'_> {
    Reading { etag: rule.etag, absent: &rule.absent, decoded_max: rule.document_max }
}
