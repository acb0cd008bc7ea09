//! `[upstream]`: the server behind us, and what is expected of it.

use std::time::Duration;

use bytesize::ByteSize;
use http::HeaderValue;

use super::Needs;
use super::address;
use super::address::Upstream as Address;
use super::duration::{timeout, wait};
use super::problem::{Problem, Problems};
use super::section::Section;
use super::size::size;
use super::status::unknown_outcome;
use super::tls;
use super::value::{At, Value, boolean, choice, count};
use crate::upstream::Settings;

/// What `[upstream]` says.
pub(super) struct Upstream {
    /// Where it is; nothing where nobody named it yet.
    pub(super) address: Option<At<Address>>,
    /// Whether a PUT that states nothing goes on with what the upstream wants to hear.
    pub(super) satisfies: bool,
    /// How long a scope stays unsettled, which holds need too.
    pub(super) settle_time: Option<Duration>,
    /// All of it, when nothing is missing.
    pub(super) settings: Option<Settings>,
}

pub(super) fn upstream(
    section: &mut Section<'_, '_>,
    service: Option<HeaderValue>,
    needs: Needs,
) -> Upstream {
    if needs.upstream && !section.has("url") {
        section.note(unnamed());
    }
    let address = section.read_at("url", address::upstream);
    let tls = section.section("tls", tls::upstream);
    let tls = address.as_ref().map(|address| tls.files(section, address, needs.files));
    let exclusive = section.read("exclusive", boolean);
    let connect_timeout = section.read("connect-timeout", timeout);
    let response_timeout = section.read("response-timeout", timeout);
    let idle_timeout = section.read("idle-timeout", wait);
    let read_back_timeout = section.read("read-back-timeout", timeout);
    let settle_time = section.read("settle-time", wait);
    let unknown_outcome = section.read("unknown-outcome", unknown_outcome);
    let target_max = section.read("target-max", |value| size(value, ByteSize::b(1)..=ByteSize::kib(64)));
    let connections = section.read("connections", count);
    let satisfies = section.read("conditions", conditions).unwrap_or_default();
    // Every key was read and every problem noted before the first missing one ends this.
    let settings = || {
        Some(Settings {
            authority: address.as_ref()?.value.authority.clone(),
            socket: address.as_ref()?.value.socket.clone(),
            tls: tls.clone()?,
            exclusive: exclusive?,
            connect_timeout: connect_timeout?,
            response_timeout: response_timeout?,
            idle_timeout: idle_timeout?,
            read_back_timeout: read_back_timeout?,
            settle_time: settle_time?,
            unknown_outcome: unknown_outcome?,
            target_max: target_max?,
            connections: connections?,
            service: service.clone(),
        })
    };
    let settings = settings();
    Upstream { address, satisfies, settle_time, settings }
}

/// Whether what a client did not state is made up for.
fn conditions(value: &Value<'_>) -> Result<bool, Problems> {
    choice(value, &[("translate", false), ("satisfy", true)])
}

fn unnamed() -> Problem {
    Problem::new("no upstream is named", None).help(
        "give --upstream http://127.0.0.1:8000, or write url = \"http://127.0.0.1:8000\" under [upstream]",
    )
}
