//! The access log: one line per exchange, written in batches by a thread of its own.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::exchange::outcome::Outcome;
use crate::guard::policy::Mode;
use crate::semantics::repair::Repair;

/// Where exchanges are logged. Clones write to the same place.
#[derive(Debug, Clone)]
pub struct AccessLog {
    lines: Option<NonBlocking>,
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Text,
}

impl AccessLog {
    /// Logs on standard output: text for a terminal, otherwise a JSON object a line.
    ///
    /// What is not yet written when the guard is dropped is written then. Lines that the reader of standard
    /// output does not take in time are dropped rather than kept without bound.
    pub fn on_stdout() -> (Self, WorkerGuard) {
        let form = if io::stdout().is_terminal() { Form::Text } else { Form::Json };
        let writer = BufWriter::with_capacity(64 * 1024, io::stdout());
        let (lines, guard) = NonBlockingBuilder::default().buffered_lines_limit(64 * 1024).finish(writer);
        (Self { lines: Some(lines), form }, guard)
    }

    /// Logs nothing.
    pub fn off() -> Self {
        Self { lines: None, form: Form::Json }
    }

    /// Logs one exchange and how many bytes of body its client was sent.
    pub(super) fn write(&self, outcome: &Outcome, sent: u64) {
        let Some(lines) = &self.lines else { return };
        let mut line = match self.form {
            Form::Json => json_line(outcome, sent),
            Form::Text => text_line(outcome, sent),
        };
        line.push('\n');
        // The writer hands the line to its thread; what can fail there cannot be told here.
        let _ = lines.clone().write_all(line.as_bytes());
    }
}

fn json_line(outcome: &Outcome, sent: u64) -> String {
    let mut line = Map::new();
    line.insert("time".into(), json!(now().to_string()));
    line.insert("client".into(), json!(outcome.client.address.to_string()));
    line.insert("method".into(), json!(outcome.method.as_str()));
    line.insert("path".into(), json!(outcome.said.path()));
    line.insert("protocol".into(), json!(format!("{:?}", outcome.protocol)));
    line.insert("status".into(), json!(outcome.code()));
    line.insert("request_id".into(), json!(outcome.request_id.as_str()));
    line.insert("bytes".into(), json!(sent));
    line.insert("bytes_received".into(), json!(outcome.received.load(Ordering::Relaxed)));
    line.insert("duration_ms".into(), milliseconds(outcome.began.elapsed()));
    let mut known = |name: &str, value: Option<Value>| value.map(|value| line.insert(name.into(), value));
    known("authority", outcome.said.authority().map(Value::from));
    known("user_agent", outcome.said.user_agent().map(Value::from));
    known("x_forwarded_for", outcome.said.forwarded_for().map(Value::from));
    known("trace_id", outcome.trace.map(|trace| format!("{:032x}", trace.trace_id).into()));
    known("resource", outcome.resource.as_deref().map(Value::from));
    known("mode", outcome.mode.map(|mode| mode.as_str().into()));
    known("syntax", outcome.is_alternate.then(|| "alternate".into()));
    known("verdict", outcome.verdict.map(Value::from));
    let repairs: Vec<&str> = outcome.repairs.iter().map(Repair::as_str).collect();
    known("repairs", (!repairs.is_empty()).then(|| json!(repairs)));
    known("suspicious", outcome.suspicious.then(|| true.into()));
    known("failure", outcome.failure.map(Value::from));
    known("hold_ms", outcome.hold.map(milliseconds));
    known("recalled", outcome.recalled.then(|| true.into()));
    known("probe_ms", outcome.probe.map(milliseconds));
    known("upstream_ms", outcome.upstream.map(milliseconds));
    Value::Object(line).to_string()
}

fn text_line(outcome: &Outcome, sent: u64) -> String {
    let why = outcome.failure.or(outcome.verdict).unwrap_or("relay");
    let observed = if outcome.mode == Some(Mode::Observe) { " (observed)" } else { "" };
    let duration = outcome.began.elapsed();
    format!(
        "{} {} {} {} {sent}B {:.1}ms {} {why}{observed} {}",
        now(),
        outcome.method,
        outcome.said.path(),
        outcome.code(),
        duration.as_secs_f64() * 1000.0,
        outcome.resource.as_deref().unwrap_or("-"),
        outcome.request_id.as_str(),
    )
}

/// Milliseconds with three decimals.
fn milliseconds(duration: Duration) -> Value {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    json!(f64::from(micros) / 1000.0)
}

#[expect(clippy::disallowed_types, reason = "the access log and the records tell the time of day")]
pub(super) fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(std::time::SystemTime::now())
}
