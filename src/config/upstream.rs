//! `[upstream]`: the server behind us, and what is expected of it.

use std::time::Duration;

use bytesize::ByteSize;

use super::address;
use super::duration::{timeout, wait};
use super::problem::Problem;
use super::section::Section;
use super::size::size;
use super::status::unknown_outcome;
use super::value::{At, boolean, count};
use crate::upstream::Settings;

/// What `[upstream]` says.
pub(super) struct Upstream {
    /// Host and port; nothing where nobody named it yet.
    pub(super) authority: Option<At<String>>,
    /// How long a scope stays unsettled, which holds need too.
    pub(super) settle_time: Option<Duration>,
    /// All of it, when nothing is missing.
    pub(super) settings: Option<Settings>,
}

pub(super) fn upstream(section: &mut Section<'_, '_>, required: bool) -> Upstream {
    if required && !section.has("url") {
        section.note(unnamed());
    }
    let authority = section.read_at("url", address::upstream);
    let exclusive = section.read("exclusive", boolean);
    let connect_timeout = section.read("connect-timeout", timeout);
    let response_timeout = section.read("response-timeout", timeout);
    let idle_timeout = section.read("idle-timeout", wait);
    let read_back_timeout = section.read("read-back-timeout", timeout);
    let settle_time = section.read("settle-time", wait);
    let unknown_outcome = section.read("unknown-outcome", unknown_outcome);
    let target_max = section.read("target-max", |value| size(value, ByteSize::b(1)..=ByteSize::kib(64)));
    let connections = section.read("connections", count);
    // Every key was read and every problem noted before the first missing one ends this.
    let settings = || {
        Some(Settings {
            authority: authority.as_ref()?.value.clone(),
            exclusive: exclusive?,
            connect_timeout: connect_timeout?,
            response_timeout: response_timeout?,
            idle_timeout: idle_timeout?,
            read_back_timeout: read_back_timeout?,
            settle_time: settle_time?,
            unknown_outcome: unknown_outcome?,
            target_max: target_max?,
            connections: connections?,
        })
    };
    let settings = settings();
    Upstream { authority, settle_time, settings }
}

fn unnamed() -> Problem {
    Problem::new("no upstream is named", None).help(
        "give --upstream http://127.0.0.1:8000, or write url = \"http://127.0.0.1:8000\" under [upstream]",
    )
}
