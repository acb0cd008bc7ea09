//! What all exchanges together came to: counted when each is over, told as OpenMetrics text and as JSON.
//!
//! Labels are closed sets: nothing that a client sends becomes one. What is told by client is told as JSON only.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use super::clients::Clients;
use crate::exchange::outcome::Outcome;
use crate::semantics::repair::Repair;
use crate::upstream::probe::Untold;

/// How many clients are counted one by one; an address takes a hundred bytes, and a person reads no longer a list.
const CLIENTS: usize = 1000;

/// The counters of the process; every core shares them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    repairs: Family<RepairLabels, Counter>,
    suspicious_writes: Counter,
    suspicious: Clients,
    untold: Family<UntoldLabels, Counter>,
    certificates: Family<CertificateLabels, Gauge>,
    reloads: Family<ReloadLabels, Counter>,
    last_reload_successful: Gauge,
    last_reload_success: Gauge<f64, AtomicU64>,
}

/// Whom a certificate of ours is shown to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Clients.
    Listen,
    /// The upstream.
    Upstream,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    side: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UntoldLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepairLabels {
    kind: &'static str,
}

impl Metrics {
    /// Nothing has been counted. What can be counted is told from the start: a rate needs the zero it began with.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("staleguard");
        let repairs = Family::<RepairLabels, Counter>::default();
        for repair in Repair::ALL {
            drop(repairs.get_or_create(&RepairLabels::of(repair)));
        }
        // The library writes `_total` behind the name of a counter and a full stop behind its sentence.
        registry.register(
            "repairs",
            "Forms of entity-tags that were repaired because they named the current representation",
            repairs.clone(),
        );
        let suspicious_writes = Counter::default();
        registry.register(
            "suspicious_writes",
            "Writes that stated an entity-tag which their peer had been given only just before",
            suspicious_writes.clone(),
        );
        let untold = Family::<UntoldLabels, Counter>::default();
        for reason in Untold::REASONS {
            drop(untold.get_or_create(&UntoldLabels { reason }));
        }
        registry.register(
            "untold_writes",
            "Writes whose verdict depends on a document that their credentials could not ask for",
            untold.clone(),
        );
        let certificates = Family::<CertificateLabels, Gauge>::default();
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate that is shown to clients or to the upstream expires",
            certificates.clone(),
        );
        let reloads = Family::<ReloadLabels, Counter>::default();
        for outcome in ReloadLabels::ALL {
            drop(reloads.get_or_create(&outcome));
        }
        registry.register(
            "config_reloads",
            "Times that a changed configuration was read, or one was asked to be",
            reloads.clone(),
        );
        let (last_reload_successful, last_reload_success) = (Gauge::default(), Gauge::default());
        registry.register(
            "config_last_reload_successful",
            "Whether the configuration that was read last is in use",
            last_reload_successful.clone(),
        );
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration was last read that is in use",
            last_reload_success.clone(),
        );
        let metrics = Self {
            registry,
            repairs,
            suspicious_writes,
            suspicious: Clients::new(CLIENTS),
            untold,
            certificates,
            reloads,
            last_reload_successful,
            last_reload_success,
        };
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
    #[expect(clippy::disallowed_types, reason = "a time of day is told")]
    fn in_use(&self) {
        let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        self.last_reload_success.set(since.unwrap_or_default().as_secs_f64());
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

    /// Counts an exchange that is over.
    pub(super) fn count(&self, outcome: &Outcome) {
        for repair in outcome.repairs.iter() {
            self.repairs.get_or_create(&RepairLabels::of(repair)).inc();
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

    /// Everything as OpenMetrics text, version 1.0.0.
    ///
    /// # Errors
    /// When the library cannot write a metric down.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// What a person asks for: `{"repairs": {KIND: COUNT}, "suspicious": [{"client": ADDRESS, "count": COUNT}]}`.
    ///
    /// Who has most comes first. Clients that are not counted one by one come last, together as `others`.
    pub fn status(&self) -> Value {
        let repairs: Map<String, Value> = Repair::ALL
            .into_iter()
            .map(|repair| {
                let count = self.repairs.get_or_create(&RepairLabels::of(repair)).get();
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

impl ReloadLabels {
    const SUCCESS: Self = Self { outcome: "success" };
    const FAILURE: Self = Self { outcome: "failure" };
    const ALL: [Self; 2] = [Self::SUCCESS, Self::FAILURE];
}

impl RepairLabels {
    fn of(repair: Repair) -> Self {
        Self { kind: repair.as_str() }
    }
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
        let text = metrics.open_metrics().expect("a string takes everything");
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
        let text = metrics.open_metrics().expect("a string takes everything");
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
        let text = metrics.open_metrics().expect("a string takes everything");
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
