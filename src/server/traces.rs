//! Traces: the spans of each exchange, sent to a collector of OpenTelemetry (OTLP over HTTP), where one is named.
//!
//! A span says how long something took and what came of it. It has no target, nobody's name and nothing of a document.
#![expect(clippy::disallowed_types, reason = "a span tells the time of day")]

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks,
    SpanProcessor,
};

use super::collector::Collector;
use crate::exchange::outcome::{Outcome, Part};
use crate::semantics::trace::TraceParent;

/// How many spans wait for the collector; what comes when they are as many is dropped.
const QUEUE: usize = 8192;
/// How many of them are sent at a time.
const BATCH: usize = 512;
/// How long the collector may take for them.
const TIME: Duration = Duration::from_secs(5);
/// How long what is left may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// Where spans are sent.
pub struct Traces {
    processor: BatchSpanProcessor,
    ids: RandomIdGenerator,
    scope: InstrumentationScope,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Traces {
    /// Sends spans to the collector at this URL, behind which `/v1/traces` stands (OTLP, "OTLP/HTTP Request").
    ///
    /// # Errors
    /// A sentence, where the URL is none or the thread that sends cannot be started.
    pub fn to(endpoint: &str) -> Result<Self, String> {
        let unusable = |error: &dyn fmt::Display| format!("cannot send traces to {endpoint}: {error}");
        let collector = Collector::new(TIME).map_err(|error| unusable(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIME)
            .build()
            .map_err(|error| unusable(&error))?;
        let bounds =
            BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_max_export_batch_size(BATCH);
        let mut processor = BatchSpanProcessor::new(exporter, bounds.build());
        processor.set_resource(&resource());
        let scope =
            InstrumentationScope::builder("staleguard").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { processor, ids: RandomIdGenerator::default(), scope })
    }

    /// What is sent on as `traceparent` of a request that came with this one; nothing where its sender does not want it
    /// recorded, and then nothing is.
    pub(super) fn begin(&self, parent: Option<TraceParent>) -> Option<TraceParent> {
        let trace_id = match parent {
            Some(parent) if !parent.is_sampled => return None,
            Some(parent) => parent.trace_id,
            None => u128::from_be_bytes(self.ids.new_trace_id().to_bytes()),
        };
        let parent_id = u64::from_be_bytes(self.ids.new_span_id().to_bytes());
        Some(TraceParent { trace_id, parent_id, is_sampled: true })
    }

    /// Sends the spans of an exchange that is over, where it has any.
    pub(super) fn end(&self, outcome: &Outcome) {
        let Some(own) = outcome.span else { return };
        let clock = Clock::now();
        let parent = outcome.trace.map_or(0, |trace| trace.parent_id);
        let whole = Part { began: outcome.began, took: outcome.began.elapsed() };
        let server = SpanData {
            span_kind: SpanKind::Server,
            parent_span_id: SpanId::from(parent),
            parent_span_is_remote: parent != 0,
            attributes: attributes(outcome),
            status: status(outcome),
            ..self.span(own, name(outcome), clock, whole)
        };
        for (name, part) in outcome.parts.named() {
            let id = u64::from_be_bytes(self.ids.new_span_id().to_bytes());
            let kind = if name == "hold" { SpanKind::Internal } else { SpanKind::Client };
            self.processor.on_end(SpanData {
                span_kind: kind,
                parent_span_id: SpanId::from(own.parent_id),
                ..self.span(TraceParent { parent_id: id, ..own }, name.into(), clock, part)
            });
        }
        self.processor.on_end(server);
    }

    /// Sends what is left. It blocks, for two seconds at most.
    pub fn finish(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(LAST) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }

    fn span(&self, own: TraceParent, name: Cow<'static, str>, clock: Clock, part: Part) -> SpanData {
        let (trace, id) = (TraceId::from(own.trace_id), SpanId::from(own.parent_id));
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name,
            start_time: clock.time_of_day(part.began),
            end_time: clock.time_of_day(part.began + part.took),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy)]
struct Clock {
    now: Instant,
    time_of_day: SystemTime,
}

impl Clock {
    fn now() -> Self {
        Self { now: Instant::now(), time_of_day: SystemTime::now() }
    }

    fn time_of_day(self, moment: Instant) -> SystemTime {
        match self.now.checked_duration_since(moment) {
            Some(before) => self.time_of_day - before,
            None => self.time_of_day + moment.saturating_duration_since(self.now),
        }
    }
}

/// Who sends the spans; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` may say something else.
fn resource() -> Resource {
    let resource = Resource::builder();
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => resource,
        None => resource.with_service_name("staleguard"),
    };
    resource.with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))).build()
}

/// `PUT state`: of few values, as the name of a span should be, and no path.
fn name(outcome: &Outcome) -> Cow<'static, str> {
    let method = outcome.known_method().unwrap_or("HTTP");
    match &outcome.resource {
        Some(resource) => format!("{method} {resource}").into(),
        None => method.into(),
    }
}

/// By the names of OpenTelemetry's conventions for HTTP where they have one.
fn attributes(outcome: &Outcome) -> Vec<KeyValue> {
    let mut attributes =
        vec![KeyValue::new("http.request.method", outcome.known_method().unwrap_or("_OTHER"))];
    if let Some(status) = outcome.status {
        attributes.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    }
    let said = [("staleguard.verdict", outcome.verdict), ("error.type", outcome.failure)];
    let said = said.into_iter().filter_map(|(name, value)| Some(KeyValue::new(name, value?)));
    attributes.extend(said);
    if let Some(resource) = &outcome.resource {
        attributes.push(KeyValue::new("staleguard.resource", resource.to_string()));
    }
    attributes
}

/// A server's span is in error where the server is, and where its client was not answered.
fn status(outcome: &Outcome) -> Status {
    match (outcome.status, outcome.failure) {
        (Some(status), _) if !status.is_server_error() => Status::Unset,
        (_, why) => Status::error(why.unwrap_or("upstream")),
    }
}
