//! What is put together from a configuration, and put together anew from another one while exchanges are under way.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::sync::{Semaphore, watch};

use super::certificates::Certificates;
use serde_json::Value;

use super::in_use::{InUse, Origin};
use crate::admin::page::{Heard, Overview, Remembered};
use crate::body::budget::{Budget, Buffers};
use crate::config::Config;
use crate::decision::Decisions;
use crate::decision::pseudonym::Pseudonym;
use crate::drain::Drain;
use crate::exchange::tally::Tally;
use crate::exchange::{Exchange, Shared};
use crate::memory::Memory;
use crate::memory::generations::Generations;
use crate::memory::holds::Holds;
use crate::rule::Rule;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::Representation;
use crate::server::metrics::readings::{Reading, Readings};
use crate::server::serving::{Serving, Terms};
use crate::upstream;
use crate::upstream::pool::Pool;

/// What the exchanges of all cores are made of. Those under way keep what they began with.
#[derive(Debug)]
pub(super) struct Assembly {
    config: Config,
    in_use: InUse,
    shared: Shared,
    certificates: Certificates,
    /// How many exchanges may be under way with the upstream.
    under_way: Arc<Semaphore>,
    served: watch::Sender<Arc<Serving>>,
}

impl Assembly {
    /// Puts together what a configuration asks for.
    ///
    /// # Errors
    /// A sentence that says which certificate or key cannot be used.
    pub(super) fn new(config: Config, decisions: &Decisions, drain: &Drain) -> Result<Self, String> {
        let certificates = Certificates::load(&config)?;
        let shared = Shared {
            rules: Arc::new(config.rules.clone()),
            holds: Holds::withdrawing(config.holds.clone(), Some(Generations::new())),
            memory: memory(&config),
            untranslated: Arc::default(),
            steadiness: Arc::default(),
            tally: Arc::default(),
            observed: Arc::default(),
            decisions: decisions.clone(),
            buffers: Buffers {
                writes: Budget::new(config.buffered_writes_max),
                reads: Budget::new(config.buffered_reads_max),
            },
            drain: drain.clone(),
        };
        let under_way = Arc::new(Semaphore::new(config.upstream.connections));
        let served = watch::Sender::new(serving(&config, &shared, &certificates, &under_way));
        Ok(Self { config, in_use: InUse::new(Origin::default()), shared, certificates, under_way, served })
    }

    /// What requests are served with, whenever that changes.
    pub(super) fn served(&self) -> watch::Receiver<Arc<Serving>> {
        self.served.subscribe()
    }

    /// What TLS is spoken with, by now.
    pub(super) fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Who may write where, by now.
    pub(super) fn holds(&self) -> Arc<Holds> {
        Arc::clone(&self.shared.holds)
    }

    /// Which configuration that is.
    pub(super) fn in_use(&mut self) -> &mut InUse {
        &mut self.in_use
    }

    /// What a person asks about it: which configuration that is, and the mode of each resource.
    pub(super) fn status(&self) -> Value {
        let mut status = self.in_use.status();
        let modes = self.config.rules.0.iter().map(|rule| (rule.name.to_string(), rule.mode.as_str().into()));
        status["mode"] = Value::Object(modes.collect());
        status["observe_flag"] = self.config.observe_flag.into();
        status["all_unsettled_seconds"] = self.all_unsettled_seconds().into();
        status
    }

    /// For how many more seconds no guarded write goes on, as one from before the start may still be applied.
    fn all_unsettled_seconds(&self) -> Option<u64> {
        self.shared.holds.all_unsettled_for().map(|left| left.as_secs_f64().ceil() as u64)
    }

    /// What it is doing at this moment.
    pub(super) fn readings(&self) -> Readings {
        let Shared { rules, holds, buffers, tally, drain, .. } = &self.shared;
        let reading = |rule: &Arc<Rule>| Reading {
            resource: Arc::clone(&rule.name),
            mode: rule.mode,
            unknown_outcomes: tally.unknown_outcomes(&rule.name),
            foreign_writes: tally.foreign_writes(&rule.name),
        };
        let free = self.under_way.available_permits();
        Readings {
            resources: rules.0.iter().map(reading).collect(),
            holds: holds.usage(),
            buffered_writes: buffers.writes.taken(),
            buffered_reads: buffers.reads.taken(),
            upstream_connections: self.config.upstream.connections.saturating_sub(free),
            draining: drain.has_begun(),
        }
    }

    /// What the page shows of what is served with, but for what was heard of the upstream.
    pub(super) fn overview(&self) -> Overview {
        let Shared { rules, tally, .. } = &self.shared;
        let sum = |of: fn(&Tally, &str) -> u64| rules.0.iter().map(|rule| of(tally, &rule.name)).sum();
        Overview {
            rules: Arc::clone(&self.shared.rules),
            upstream: url(&self.config.upstream),
            shows_tags: self.config.exchange.observe.etags,
            heard: Heard::default(),
            draining: self.shared.drain.has_begun(),
            config: self.in_use.told(),
            holds: self.shared.holds.usage(),
            all_unsettled_seconds: self.all_unsettled_seconds(),
            unknown_outcomes: sum(Tally::unknown_outcomes),
            foreign_writes: sum(Tally::foreign_writes),
        }
    }

    /// What is remembered of a document, where nobody else writes to the upstream.
    pub(super) fn remembered(&self, document: Pseudonym) -> Option<Remembered> {
        let Shared { memory, holds, .. } = &self.shared;
        let is_current = |generation| holds.is_current(generation);
        let (found, age) = memory.answers.told_last(document.into(), Instant::now(), is_current)?;
        let (tag, upstream) = match found {
            Representation::Current(current) => (Some(current.tag), current.upstream_tag),
            Representation::Missing => (None, None),
        };
        let text = |tag: Option<EntityTag>| tag.map(|tag| tag.to_string());
        Some(Remembered { tag: text(tag), upstream: text(upstream), seconds_ago: age.as_secs() })
    }

    /// Puts together what another configuration asks for: requests that come from then on are served with it.
    ///
    /// What is known outlives that only as far as it still says the same. Where scopes mean something else, nobody gets a
    /// hold before all that were given in the old ones are given back.
    ///
    /// # Errors
    /// A sentence that names what cannot be changed while the process runs, or which certificate cannot be used; then
    /// nothing has changed.
    pub(super) fn replace(&mut self, config: Config) -> Result<(), String> {
        let fixed = fixed(&self.config, &config);
        if !fixed.is_empty() {
            return Err(format!("changed, which needs a restart: {}", fixed.join(", ")));
        }
        let certificates = self.certificates.renewed(&self.config, &config)?;
        let (old, before) = (&self.config, self.shared.clone());
        if !means_the_same(old, &config) {
            self.shared.memory = memory(&config);
            (self.shared.untranslated, self.shared.steadiness) = Default::default();
            self.shared.observed = Arc::default();
        }
        let keeps_scopes = has_the_same_scopes(old, &config);
        self.shared.holds = match keeps_scopes {
            true => before.holds.within(config.holds.clone()),
            false => before.holds.followed_by(config.holds.clone(), Some(Generations::new())),
        };
        if old.buffered_writes_max != config.buffered_writes_max {
            self.shared.buffers.writes = Budget::new(config.buffered_writes_max);
        }
        if old.buffered_reads_max != config.buffered_reads_max {
            self.shared.buffers.reads = Budget::new(config.buffered_reads_max);
        }
        if old.upstream.connections != config.upstream.connections {
            self.under_way = Arc::new(Semaphore::new(config.upstream.connections));
        }
        self.shared.rules = Arc::new(config.rules.clone());
        self.certificates = certificates;
        self.served.send_replace(serving(&config, &self.shared, &self.certificates, &self.under_way));
        // Only now: who comes before this is served with the old ones, and must still get in.
        if !keeps_scopes {
            before.holds.retire();
        }
        self.config = config;
        Ok(())
    }
}

/// Where the upstream is, as it is written in a configuration.
pub(super) fn url(upstream: &upstream::Settings) -> String {
    match (&upstream.socket, &upstream.tls) {
        (Some(socket), _) => format!("unix:{}", socket.display()),
        (None, Some(_)) => format!("https://{}", upstream.authority),
        (None, None) => format!("http://{}", upstream.authority),
    }
}

/// How many cores serve.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn memory(config: &Config) -> Arc<Memory> {
    let (fields, recalled) = (config.credential_fields.clone(), config.recalled.clone());
    Arc::new(Memory::new(config.remembered_max, Instant::now(), fields, recalled))
}

/// What makes the exchanges of each core: what is known is shared, connections are a core's own.
fn serving(
    config: &Config,
    shared: &Shared,
    certificates: &Certificates,
    under_way: &Arc<Semaphore>,
) -> Arc<Serving> {
    let (settings, upstream) = (config.exchange.clone(), config.upstream.clone());
    let (shared, under_way) = (shared.clone(), Arc::clone(under_way));
    let Certificates { acceptor: tls, connector } = certificates.clone();
    let exchange = Box::new(move |writes| {
        let (under_way, reads) = (Arc::clone(&under_way), Arc::clone(&shared.buffers.reads));
        let pool = Pool::over_tls(upstream.clone(), under_way, reads, connector.clone());
        Exchange::new(settings.clone(), shared.clone(), pool, writes)
    });
    Arc::new(Serving { terms: Arc::new(Terms { settings: config.server.clone(), tls }), exchange })
}

/// The keys in which two configurations differ and that a running process cannot change.
fn fixed(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("listen.address", old.server.address == new.server.address),
        ("listen.socket-mode", old.server.socket_mode == new.server.socket_mode),
        ("listen.connections", old.server.connections == new.server.connections),
        ("admin.address", old.admin == new.admin),
        ("admin.hosts", old.admin_hosts == new.admin_hosts),
        ("admin.token-file", old.admin_token_file == new.admin_token_file),
        ("log.access", old.server.access_log == new.server.access_log),
        ("log.decisions-file", old.decisions == new.decisions),
        ("log.otlp-endpoint", old.otlp_endpoint == new.otlp_endpoint),
        ("guard.state-dir", old.state_dir == new.state_dir),
    ];
    keys.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect()
}

/// Whether what is remembered of documents says the same under both.
fn means_the_same(old: &Config, new: &Config) -> bool {
    let of_rule = |rule: &Rule| {
        (rule.name.clone(), rule.mode, rule.etag, rule.etag_of, rule.absent.clone(), rule.matching)
    };
    let of = |config: &Config| config.rules.0.iter().map(|rule| of_rule(rule)).collect::<Vec<_>>();
    has_the_same_scopes(old, new)
        && of(old) == of(new)
        && old.remembered_max == new.remembered_max
        && old.recalled == new.recalled
        && old.credential_fields == new.credential_fields
}

/// Whether a scope of one is the same scope of the other, and what was withdrawn under one is withdrawn under both.
fn has_the_same_scopes(old: &Config, new: &Config) -> bool {
    let of_rule = |rule: &Rule| (rule.pattern.clone(), rule.naming.clone(), rule.xapi);
    let of = |config: &Config| config.rules.0.iter().map(|rule| of_rule(rule)).collect::<Vec<_>>();
    of(old) == of(new)
        && old.upstream.authority == new.upstream.authority
        && old.upstream.socket == new.upstream.socket
        && old.upstream.exclusive == new.upstream.exclusive
}
