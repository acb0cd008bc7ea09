//! What all exchanges together came to: counted when each is over, told as OpenMetrics text and as JSON.
//!
//! Labels are closed sets: nothing that a client sends becomes one. What is told by client is told as JSON only.

mod clients;
mod labels;
mod process;
pub mod readings;
mod text;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use serde_json::{Map, Value, json};

use self::clients::Clients;
use self::labels::{
    BuildLabels, CertificateLabels, DecisionLabels, FailureLabels, ReloadLabels, RepairLabels, RequestLabels,
    Resource, ResourceLabels, UntoldLabels,
};
use self::readings::Readings;
use crate::exchange::outcome::Outcome;
use crate::guard::verdict::Verdict;
use crate::semantics::repair::Repair;
use crate::upstream::probe::Untold;

/// The revision of the sources, as whoever builds them says: the variable `STALEGUARD_REVISION` while that is done.
pub const REVISION: &str = match option_env!("STALEGUARD_REVISION") {
    Some(revision) if !revision.is_empty() => revision,
    Some(_) | None => "unknown",
};

/// How many clients are counted one by one; an address takes a hundred bytes, and a person reads no longer a list.
const CLIENTS: usize = 1000;

/// What OpenTelemetry advises for durations of HTTP, in seconds, and two more for a proxy that takes less.
const BUCKETS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// How long something took, by resource.
type Durations = Family<ResourceLabels, Histogram, fn() -> Histogram>;

/// Whom a certificate of ours is shown to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Clients.
    Listen,
    /// The upstream.
    Upstream,
}

/// The counters of the process; every core shares them.
#[derive(Debug)]
pub struct Metrics {
    /// What is counted here.
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
    request_durations: Durations,
    hold_waits: Durations,
    probe_durations: Durations,
    upstream_durations: Durations,
    repairs: Family<RepairLabels, Counter>,
    suspicious_writes: Counter,
    suspicious: Clients,
    untold: Family<UntoldLabels, Counter>,
    certificates: Family<CertificateLabels, Gauge>,
    reloads: Family<ReloadLabels, Counter>,
    last_reload_successful: Gauge,
    last_reload_success: Gauge<f64, AtomicU64>,
    /// How many connections each core serves, where it counts them itself.
    connections: OnceLock<Vec<Arc<AtomicUsize>>>,
    began: Instant,
}

impl Metrics {
    /// Nothing has been counted. What can be counted is told from the start: a rate needs the zero it began with.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("staleguard");
        let durations = |registry: &mut Registry, name: &str, help: &str| {
            let family = Durations::new_with_constructor(|| Histogram::new(BUCKETS));
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
            family
        };
        // The library writes `_total` behind the name of a counter and a full stop behind its sentence.
        let metrics = Self {
            requests: counted(&mut registry, "requests", "Requests that were answered, or given up"),
            decisions: counted(
                &mut registry,
                "decisions",
                "Verdicts on writes; observed, they are not carried out",
            ),
            failures: counted(
                &mut registry,
                "failures",
                "Requests that were answered here for want of an answer",
            ),
            request_durations: durations(
                &mut registry,
                "request_duration",
                "From the head of a request to the end of its answer",
            ),
            hold_waits: durations(
                &mut registry,
                "hold_wait",
                "How long writes waited for the sole right to write",
            ),
            probe_durations: durations(
                &mut registry,
                "probe_duration",
                "How long it took to ask the upstream what it holds before a write",
            ),
            upstream_durations: durations(
                &mut registry,
                "upstream_duration",
                "How long the upstream took to the head of its answer to what clients asked for",
            ),
            repairs: counted(
                &mut registry,
                "repairs",
                "Forms of entity-tags that were repaired because they named the current representation",
            ),
            suspicious_writes: counted(
                &mut registry,
                "suspicious_writes",
                "Writes that stated an entity-tag which their peer had been given only just before",
            ),
            suspicious: Clients::new(CLIENTS),
            untold: counted(
                &mut registry,
                "untold_writes",
                "Writes whose verdict depends on a document that their credentials could not ask for",
            ),
            certificates: counted(
                &mut registry,
                "certificate_expiry_timestamp_seconds",
                "When the certificate that is shown to clients or to the upstream expires",
            ),
            reloads: counted(
                &mut registry,
                "config_reloads",
                "Times that a changed configuration was read, or one was asked to be",
            ),
            last_reload_successful: counted(
                &mut registry,
                "config_last_reload_successful",
                "Whether the configuration that was read last is in use",
            ),
            last_reload_success: counted(
                &mut registry,
                "config_last_reload_success_timestamp_seconds",
                "When the configuration was last read that is in use",
            ),
            connections: OnceLock::new(),
            began: Instant::now(),
            registry: register_build(registry),
        };
        metrics.begin_at_zero();
        metrics.in_use();
        metrics
    }

    /// Counts that the configuration was read again, and whether it is in use.
    pub fn reloaded(&self, is_used: bool) {
        let outcome = if is_used { ReloadLabels::SUCCESS } else { ReloadLabels::FAILURE };
        self.reloads.get_or_create(&outcome).inc();
        match is_used {
            true => self.in_use(),
            false => drop(self.last_reload_successful.set(0)),
        }
    }

    /// What was read at this moment is in use.
    fn in_use(&self) {
        self.last_reload_success.set(time_of_day().as_secs_f64());
        self.last_reload_successful.set(1);
    }

    /// Notes when a certificate of ours expires, in seconds since 1970, if there is one.
    pub fn certificate_expires(&self, side: Side, expiry: Option<u64>) {
        let side = match side {
            Side::Listen => "listen",
            Side::Upstream => "upstream",
        };
        if let Some(expiry) = expiry {
            let gauge = self.certificates.get_or_create(&CertificateLabels { side });
            gauge.set(i64::try_from(expiry).unwrap_or(i64::MAX));
        }
    }

    /// Every label that is known before anything has happened.
    fn begin_at_zero(&self) {
        for repair in Repair::ALL {
            drop(self.repairs.get_or_create(&RepairLabels { kind: repair.as_str() }));
        }
        for reason in Untold::REASONS {
            drop(self.untold.get_or_create(&UntoldLabels { reason }));
        }
        for outcome in ReloadLabels::ALL {
            drop(self.reloads.get_or_create(&outcome));
        }
    }

    /// Has the connections told that these count.
    pub(super) fn count_connections(&self, of_cores: Vec<Arc<AtomicUsize>>) {
        // A process serves once.
        let _ = self.connections.set(of_cores);
    }

    /// Counts an exchange that is over.
    pub(super) fn count(&self, outcome: &Outcome) {
        self.requests.get_or_create(&RequestLabels::of(outcome)).inc();
        let labels = ResourceLabels::of(outcome);
        let took = |family: &Durations, time: Option<Duration>| {
            if let Some(time) = time {
                family.get_or_create(&labels).observe(time.as_secs_f64());
            }
        };
        took(&self.request_durations, Some(outcome.began.elapsed()));
        took(&self.hold_waits, outcome.hold);
        took(&self.probe_durations, outcome.probe);
        took(&self.upstream_durations, outcome.upstream);
        if let (Some(verdict), Some(mode)) = (outcome.verdict, outcome.mode) {
            let resource = labels.resource.clone();
            let labels = DecisionLabels { resource, verdict, mode: mode.as_str() };
            self.decisions.get_or_create(&labels).inc();
        }
        if let Some(failure) = outcome.failure {
            self.failures.get_or_create(&FailureLabels { resource: labels.resource, failure }).inc();
        }
        self.count_oddities(outcome);
    }

    fn count_oddities(&self, outcome: &Outcome) {
        for repair in outcome.repairs.iter() {
            self.repairs.get_or_create(&RepairLabels { kind: repair.as_str() }).inc();
        }
        // Enforced, it is why the write failed; observed, it is in place of a verdict.
        for why in [outcome.failure, outcome.verdict] {
            if let Some(reason) = Untold::REASONS.into_iter().find(|reason| why == Some(*reason)) {
                self.untold.get_or_create(&UntoldLabels { reason }).inc();
            }
        }
        if outcome.suspicious {
            self.suspicious_writes.inc();
            self.suspicious.count(outcome.client.address.ip());
        }
    }

    /// Everything as OpenMetrics text, version 1.0.0, with what is read elsewhere at this moment.
    ///
    /// # Errors
    /// When the library cannot write a metric down.
    pub fn open_metrics(&self, readings: &Readings) -> Result<String, fmt::Error> {
        Ok(text::open_metrics(&self.written(readings)?))
    }

    /// The same in the text format of Prometheus, version 0.0.4.
    ///
    /// # Errors
    /// When the library cannot write a metric down.
    pub fn prometheus(&self, readings: &Readings) -> Result<String, fmt::Error> {
        Ok(text::prometheus(&self.written(readings)?))
    }

    fn written(&self, readings: &Readings) -> Result<String, fmt::Error> {
        for reading in &readings.resources {
            let (resource, mode) = (Resource::of(Some(&reading.resource)), reading.mode.as_str());
            for verdict in Verdict::WORDS {
                let labels = DecisionLabels { resource: resource.clone(), verdict, mode };
                drop(self.decisions.get_or_create(&labels));
            }
        }
        let mut all = Registry::default();
        let ours = all.sub_registry_with_prefix("staleguard");
        let connections = self.connections.get().into_iter().flatten();
        let connections: usize = connections.map(|of_core| of_core.load(Ordering::Relaxed)).sum();
        let connections = ConstGauge::new(i64::try_from(connections).unwrap_or(i64::MAX));
        ours.register("connections", "Connections of clients that are served", connections);
        readings.register(ours);
        process::register(&mut all);
        let began = (time_of_day().saturating_sub(self.began.elapsed())).as_secs_f64();
        let help = "When the process began, in seconds since 1970";
        all.register("process_start_time_seconds", help, ConstGauge::new(began));
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &all)?;
        Ok(text)
    }

    /// What a person asks for: `{"repairs": {KIND: COUNT}, "suspicious": [{"client": ADDRESS, "count": COUNT}]}`.
    ///
    /// Who has most comes first. Clients that are not counted one by one come last, together as `others`.
    pub fn status(&self) -> Value {
        let repairs: Map<String, Value> = Repair::ALL
            .into_iter()
            .map(|repair| {
                let count = self.repairs.get_or_create(&RepairLabels { kind: repair.as_str() }).get();
                (repair.as_str().to_owned(), count.into())
            })
            .collect();
        let (clients, others) = self.suspicious.counts();
        let told = |client: Option<IpAddr>| client.map_or_else(|| "unix".to_owned(), |ip| ip.to_string());
        let clients = clients.into_iter().map(|(client, count)| (told(client), count));
        let others = (others > 0).then(|| ("others".to_owned(), others));
        let suspicious: Vec<Value> = clients
            .chain(others)
            .map(|(client, count)| json!({ "client": client, "count": count }))
            .collect();
        json!({ "repairs": repairs, "suspicious": suspicious })
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a metric that begins with nothing.
fn counted<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Says which program this is.
fn register_build(mut registry: Registry) -> Registry {
    let build = Family::<BuildLabels, Gauge>::default();
    build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION"), revision: REVISION }).set(1);
    registry.register("build_info", "Which program this is", build);
    registry
}

#[expect(clippy::disallowed_types, reason = "a time of day is told")]
fn time_of_day() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::net::client::{Address, Client};

    fn client(address: &str) -> Client {
        Client::of(Address::Ip(address.parse().expect("an address")))
    }

    fn outcome() -> Outcome {
        let request = Request::new(());
        Outcome::of(&request, client("[::ffff:203.0.113.7]:5000"))
    }

    #[test]
    fn everything_is_told_from_the_start() {
        let metrics = Metrics::new();
        let text = metrics.open_metrics(&Readings::default()).expect("a string takes everything");
        for repair in Repair::ALL {
            let line = format!("staleguard_repairs_total{{kind=\"{}\"}} 0\n", repair.as_str());
            assert!(text.contains(&line), "{line}{text}");
            assert_eq!(metrics.status()["repairs"][repair.as_str()], 0);
        }
        assert!(text.contains("staleguard_suspicious_writes_total 0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert_eq!(metrics.status()["suspicious"], json!([]));
    }

    #[test]
    fn writes_whose_document_nobody_could_ask_for_are_told_by_reason() {
        let metrics = Metrics::new();
        metrics.count(&Outcome { failure: Some("probe-signed"), ..outcome() });
        metrics.count(&Outcome { verdict: Some("probe-signed"), ..outcome() });
        metrics.count(&Outcome { verdict: Some("probe-forbidden"), failure: Some("internal"), ..outcome() });
        let text = metrics.open_metrics(&Readings::default()).expect("a string takes everything");
        for (reason, count) in [("probe-signed", 2), ("probe-forbidden", 1), ("probe-refused", 0)] {
            let line = format!("staleguard_untold_writes_total{{reason=\"{reason}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn an_exchange_that_was_nothing_special_counts_nothing() {
        let metrics = Metrics::new();
        let before = metrics.status();
        metrics.count(&outcome());
        assert_eq!(metrics.status(), before);
    }

    #[test]
    fn suspicious_writes_are_told_by_client() {
        let metrics = Metrics::new();
        let suspicious = Outcome { suspicious: true, ..outcome() };
        metrics.count(&suspicious);
        metrics.count(&suspicious);
        assert_eq!(metrics.status()["suspicious"], json!([{ "client": "203.0.113.7", "count": 2 }]));
        let text = metrics.open_metrics(&Readings::default()).expect("a string takes everything");
        assert!(text.contains("staleguard_suspicious_writes_total 2\n"), "{text}");
        assert!(!text.contains("203.0.113.7"), "no client becomes a label");
    }

    #[test]
    fn clients_beyond_the_bound_are_told_together() {
        let metrics = Metrics::new();
        for client in 0..CLIENTS + 2 {
            let client = std::net::Ipv4Addr::from_bits(u32::try_from(client).expect("a thousand or so"));
            let client = Client::of(Address::Ip((client, 1).into()));
            metrics.count(&Outcome { suspicious: true, client, ..outcome() });
        }
        let status = metrics.status();
        let told = status["suspicious"].as_array().expect("a list");
        assert_eq!(told.len(), CLIENTS + 1);
        assert_eq!(told.last(), Some(&json!({ "client": "others", "count": 2 })));
    }
}
