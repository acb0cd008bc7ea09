//! `[guard]`: what holds for every guarded resource, and the bounds of waiting.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderName;

use super::duration::{timeout, wait};
use super::presets::{Preset, presets};
use super::problem::{Problems, quoted};
use super::section::Section;
use super::size::size;
use super::value::{Value, choice, count, list, text};
use crate::guard::policy::Mode;
use crate::guard::settle::ReadBack;
use crate::memory::{answers, holds};
use crate::semantics::cors::Cors;
use crate::semantics::preconditions::Matching;

/// What `[guard]` says.
pub(super) struct Guard {
    pub(super) drain_timeout: Option<Duration>,
    pub(super) exchange_timeout: Option<Duration>,
    pub(super) presets: Option<Vec<Preset>>,
    pub(super) holds: Option<holds::Settings>,
    pub(super) remembered_max: Option<u64>,
    pub(super) buffered_writes_max: Option<u64>,
    pub(super) buffered_reads_max: Option<u64>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) start_settle: Option<Duration>,
    pub(super) credential_fields: Option<Vec<HeaderName>>,
    pub(super) recalled: Option<answers::Settings>,
    pub(super) shared: Shared,
}

/// The six keys that `[guard]` and every resource have; a resource's own win.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shared {
    pub(super) mode: Option<Mode>,
    pub(super) document_max: Option<u64>,
    pub(super) read_back: Option<ReadBack>,
    pub(super) replay_window: Option<Duration>,
    pub(super) matching: Option<Matching>,
    pub(super) cors: Option<Cors>,
}

pub(super) fn guard(section: &mut Section<'_, '_>, settle_time: Option<Duration>) -> Guard {
    Guard {
        drain_timeout: section.read("drain-timeout", wait),
        exchange_timeout: section.read("exchange-timeout", timeout),
        presets: section.read("presets", presets),
        holds: holds(section, settle_time),
        remembered_max: section.read("remembered-max", remembered_max),
        buffered_writes_max: section.read("buffered-writes-max", buffered_max),
        buffered_reads_max: section.read("buffered-reads-max", buffered_max),
        state_dir: section.read("state-dir", |value| Ok(PathBuf::from(text(value)?))),
        start_settle: section.read("start-settle", wait),
        credential_fields: section.read("credential-fields", credential_fields),
        recalled: recalled(section),
        shared: Shared::read(section),
    }
}

fn holds(section: &mut Section<'_, '_>, settle_time: Option<Duration>) -> Option<holds::Settings> {
    let wait = section.read("hold-wait", wait);
    let queue = section.read("hold-queue", count);
    let waiters = section.read("hold-waiters", count);
    let scopes = section.read("scopes-max", count);
    Some(holds::Settings {
        wait: wait?,
        queue: queue?,
        waiters: waiters?,
        scopes: scopes?,
        settle_time: settle_time?,
        start_settle: Duration::ZERO,
    })
}

fn recalled(section: &mut Section<'_, '_>) -> Option<answers::Settings> {
    let recall_max = section.read("recall-max", wait);
    Some(answers::Settings { recall_max: recall_max? })
}

impl Shared {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            mode: section.read("mode", mode),
            document_max: section.read("document-max", document_max),
            read_back: section.read("read-back", read_back),
            replay_window: section.read("replay-window", wait),
            matching: section.read("etag-matching", matching),
            cors: section.read("cors", cors),
        }
    }

    /// These, and where they are silent the others.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            mode: self.mode.or(other.mode),
            document_max: self.document_max.or(other.document_max),
            read_back: self.read_back.or(other.read_back),
            replay_window: self.replay_window.or(other.replay_window),
            matching: self.matching.or(other.matching),
            cors: self.cors.or(other.cors),
        }
    }
}

fn mode(value: &Value<'_>) -> Result<Mode, Problems> {
    choice(value, &[("enforce", Mode::Enforce), ("observe", Mode::Observe)])
}

/// Every document that is written stands in memory as a whole.
fn document_max(value: &Value<'_>) -> Result<u64, Problems> {
    size(value, ByteSize::b(1)..=ByteSize::gib(1))
}

fn buffered_max(value: &Value<'_>) -> Result<u64, Problems> {
    size(value, ByteSize::b(1)..=ByteSize::gib(64))
}

/// What does not fit is forgotten, which costs no correctness.
fn remembered_max(value: &Value<'_>) -> Result<u64, Problems> {
    size(value, ByteSize::b(0)..=ByteSize::gib(64))
}

fn credential_fields(value: &Value<'_>) -> Result<Vec<HeaderName>, Problems> {
    list(value, "[\"authorization\", \"cookie\"]", |member| {
        let name = text(member)?;
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            member
                .problem(format_args!("names something that is no header field: {}", quoted(name)))
                .help("write the name alone, as in \"x-api-key\"")
                .into()
        })
    })
}

fn read_back(value: &Value<'_>) -> Result<ReadBack, Problems> {
    choice(value, &[("auto", ReadBack::Auto), ("always", ReadBack::Always), ("never", ReadBack::Never)])
}

fn matching(value: &Value<'_>) -> Result<Matching, Problems> {
    choice(value, &[("lenient", Matching::Lenient), ("strict", Matching::Strict)])
}

fn cors(value: &Value<'_>) -> Result<Cors, Problems> {
    choice(value, &[("repair", Cors::Repair), ("relay", Cors::Relay)])
}
