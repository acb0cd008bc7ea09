//! One request, from its head to its answer: read, write, relay, and the answers made here.

mod accept;
mod alternate;
pub mod answer;
pub mod failure;
mod forward;
mod observe;
pub mod outcome;
mod read;
mod recall;
mod reconsider;
mod relay;
mod serve;
pub mod steadiness;
mod suspicion;
mod write;

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashSet;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use tokio_util::task::TaskTracker;

use self::steadiness::Steadiness;
use crate::memory::Memory;
use crate::memory::holds::Holds;
use crate::resource::Document;
use crate::rule::Rule;
use crate::rule::identity::Identity;
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
    /// What passed through here; shared by all cores.
    memory: Arc<Memory>,
    /// The resources whose upstream refuses its own entity-tags; shared by all cores.
    untranslated: Arc<Untranslated>,
    /// The resources whose upstream may never answer alike; shared by all cores.
    steadiness: Arc<Steadiness>,
}

/// The names of resources whose upstream has refused its own entity-tag although nothing had changed.
pub type Untranslated = DashSet<Arc<str>>;

impl Exchange {
    /// Puts together the exchanges of one core: its own connections, and what all cores share.
    pub fn new(
        settings: Settings,
        rules: Arc<Rules>,
        holds: Arc<Holds>,
        memory: Arc<Memory>,
        untranslated: Arc<Untranslated>,
        steadiness: Arc<Steadiness>,
        pool: Arc<Pool>,
    ) -> Arc<Self> {
        let writes = TaskTracker::new();
        Arc::new(Self { settings, rules, holds, memory, pool, writes, untranslated, steadiness })
    }

    /// Waits until the last write that was begun has ended.
    pub async fn finish(&self) {
        self.writes.close();
        self.writes.wait().await;
    }
}

/// How a rule's documents are read.
fn reading(rule: &Rule) -> Reading<'_> {
    Reading { etag: rule.etag, etag_of: rule.etag_of, absent: &rule.absent, decoded_max: rule.document_max }
}

/// What a request names, for what is remembered of it. Its head must be fit for the next hop.
fn document(head: &Parts, identity: &Identity) -> Document {
    let host = head.headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
    Document::new(host, head.uri.path(), &identity.key)
}
