//! Figures that are read where they are kept, at the moment when somebody asks for them.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::labels::{Resource, ResourceLabels};
use crate::guard::policy::Mode;
use crate::memory::scopes::Usage;

/// What the proxy is doing at this moment, and what is counted elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// The guarded resources.
    pub resources: Vec<Reading>,
    /// How many scopes are in which use.
    pub holds: Usage,
    /// How many bytes of documents are held that are being written.
    pub buffered_writes: u64,
    /// How many bytes of documents are held that are being read.
    pub buffered_reads: u64,
    /// How many exchanges are under way with the upstream, each on a connection of its own.
    pub upstream_connections: usize,
    /// Whether the process is about to end.
    pub draining: bool,
}

/// What is counted of a resource elsewhere.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Its name.
    pub resource: Arc<str>,
    /// Whether verdicts on it are carried out.
    pub mode: Mode,
    /// How many writes were sent whose outcome is not known.
    pub unknown_outcomes: u64,
    /// How often a document had changed without a write through here.
    pub foreign_writes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

impl Readings {
    /// Registers them as they are.
    pub(super) fn register(&self, registry: &mut Registry) {
        let Usage { held, waiting, unsettled } = self.holds;
        let gauges = [
            ("holds", "Scopes in which somebody has the sole right to write", held),
            ("hold_waiters", "Writes that wait for the sole right to write", waiting),
            ("unsettled_scopes", "Scopes in which a write may still be applied that was sent", unsettled),
            (
                "upstream_connections",
                "Connections to the upstream that carry an exchange",
                self.upstream_connections,
            ),
            ("draining", "Whether the process is about to end", usize::from(self.draining)),
        ];
        for (name, help, value) in gauges {
            registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
        }
        self.register_buffers(registry);
        self.register_resources(registry);
    }

    fn register_buffers(&self, registry: &mut Registry) {
        let buffered = Family::<Direction, Gauge>::default();
        for (direction, bytes) in [("read", self.buffered_reads), ("write", self.buffered_writes)] {
            buffered.get_or_create(&Direction { direction }).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        registry.register_with_unit("buffered", "Documents that are held as a whole", Unit::Bytes, buffered);
    }

    fn register_resources(&self, registry: &mut Registry) {
        let (unknown, foreign) =
            (Family::<ResourceLabels, Counter>::default(), Family::<ResourceLabels, Counter>::default());
        for reading in &self.resources {
            let labels = ResourceLabels { resource: Resource::of(Some(&reading.resource)) };
            unknown.get_or_create(&labels).inc_by(reading.unknown_outcomes);
            foreign.get_or_create(&labels).inc_by(reading.foreign_writes);
        }
        registry.register(
            "unknown_outcomes",
            "Guarded writes that were sent and may or may not be applied",
            unknown,
        );
        registry.register(
            "foreign_writes",
            "Documents that were seen to have changed without a write through here",
            foreign,
        );
    }
}
