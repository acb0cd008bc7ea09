//! One request, from its head to its answer: read, write, relay, and the answers made here.

pub mod accept;
mod alternate;
pub mod answer;
mod course;
pub mod detached;
pub mod failure;
mod foresee;
mod forward;
mod judge;
pub mod observe;
pub mod outcome;
mod read;
mod recall;
mod reconsider;
mod record;
mod relay;
mod serve;
mod show;
pub mod steadiness;
mod suspicion;
pub mod tally;
pub mod upgrade;
pub mod watch;
mod write;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashSet;
use http::header::{HOST, HeaderValue};
use http::request::Parts;
use tokio_util::task::TaskTracker;

use self::observe::Observed;
use self::steadiness::Steadiness;
use self::tally::Tally;
use crate::body::budget::Buffers;
use crate::body::contents::Contents;
use crate::decision::Decisions;
use crate::drain::Drain;
use crate::fingerprint::{Algorithm, Fingerprint};
use crate::memory::Memory;
use crate::memory::holds::Holds;
use crate::net::timers::Timers;
use crate::resource::Document;
use crate::rule::Rule;
use crate::rule::identity::Identity;
use crate::rule::select::Rules;
use crate::semantics::entity_tag::EntityTag;
use crate::upstream::intake::Reading;
use crate::upstream::pool::Pool;

/// What an exchange may take of a client's time and of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The longest pause while a request's body is read.
    pub body_timeout: Duration,
    /// How long an upload that is refused is read and thrown away, so that its client can read the refusal.
    pub linger: Duration,
    /// How long a guarded exchange may take, from its head to its answer's head.
    pub exchange_timeout: Duration,
    /// How many writes of one connection may go on although nobody waits for them.
    pub detached_max: usize,
    /// How long both sides of a tunnel may be silent.
    pub tunnel_idle_timeout: Duration,
    /// What observe mode costs and shows.
    pub observe: observe::Settings,
}

/// What the exchanges of all cores share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The guarded resources.
    pub rules: Arc<Rules>,
    /// Who may write where.
    pub holds: Arc<Holds>,
    /// What passed through here.
    pub memory: Arc<Memory>,
    /// The resources whose upstream refuses its own entity-tags.
    pub untranslated: Arc<Untranslated>,
    /// The resources whose upstream may never answer alike.
    pub steadiness: Arc<Steadiness>,
    /// What observe mode has asked and seen.
    pub observed: Arc<Observed>,
    /// What is recorded of writes.
    pub decisions: Decisions,
    /// What is counted when it happens.
    pub tally: Arc<Tally>,
    /// How much may be held.
    pub buffers: Buffers,
    /// Whether the process is about to end.
    pub drain: Drain,
}

/// What every exchange of a core works with.
#[derive(Debug)]
pub struct Exchange {
    settings: Settings,
    shared: Shared,
    pool: Arc<Pool>,
    writes: TaskTracker,
    /// What whole exchanges are waited for with.
    timers: Timers,
}

impl Deref for Exchange {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// The names of resources whose upstream has refused its own entity-tag although nothing had changed.
pub type Untranslated = DashSet<Arc<str>>;

impl Exchange {
    /// Puts together the exchanges of one core: its own connections, what all cores share, and where those of its
    /// writes run that nothing cancels.
    pub fn new(settings: Settings, shared: Shared, pool: Arc<Pool>, writes: TaskTracker) -> Arc<Self> {
        Arc::new(Self { settings, shared, pool, writes, timers: Timers::default() })
    }
}

/// How a rule's documents are read.
fn reading(rule: &Rule) -> Reading<'_> {
    let Rule { etag, etag_of, ref absent, document_max, .. } = *rule;
    Reading { etag, etag_of, absent, decoded_max: document_max, digests: None }
}

/// What a request names, for what is remembered of it. Its head must be fit for the next hop.
fn document(head: &Parts, identity: &Identity) -> Document {
    let host = head.headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
    Document::new(host, head.uri.path(), &identity.key)
}

/// The entity-tag of contents that are at hand as a whole.
fn tag_of(algorithm: Algorithm, contents: &Contents) -> EntityTag {
    let mut fingerprint = Fingerprint::new(algorithm);
    contents.pieces().for_each(|piece| fingerprint.update(piece));
    EntityTag::from_digest(&fingerprint.finish())
}
