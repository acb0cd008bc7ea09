//! `[listen]`, `[admin]` and `[log]`: where clients and operators connect, and what is written down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use tracing::level_filters::LevelFilter;

use super::address::{host, socket};
use super::duration::{timeout, wait};
use super::problem::Problems;
use super::section::Section;
use super::size::size;
use super::value::{At, Value, boolean, choice, count, list, text};

/// What `[listen]` says.
pub(super) struct Listen {
    pub(super) address: Option<At<SocketAddr>>,
    pub(super) connections: Option<usize>,
    pub(super) header_timeout: Option<Duration>,
    pub(super) header_max: Option<usize>,
    pub(super) body_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    pub(super) linger: Option<Duration>,
    pub(super) detached_max: Option<usize>,
}

/// What `[admin]` says.
pub(super) struct Admin {
    pub(super) address: Option<At<SocketAddr>>,
    pub(super) hosts: Option<Vec<String>>,
    pub(super) token_file: Option<PathBuf>,
}

/// What `[log]` says.
pub(super) struct Log {
    pub(super) access: Option<bool>,
    pub(super) level: Option<LevelFilter>,
}

pub(super) fn listen(section: &mut Section<'_, '_>) -> Listen {
    Listen {
        address: section.read_at("address", socket),
        connections: section.read("connections", count),
        header_timeout: section.read("header-timeout", timeout),
        header_max: section.read("header-max", header_max),
        body_timeout: section.read("body-timeout", timeout),
        send_timeout: section.read("send-timeout", timeout),
        linger: section.read("linger", wait),
        detached_max: section.read("detached-max", count),
    }
}

pub(super) fn admin(section: &mut Section<'_, '_>) -> Admin {
    let hosts = |value: &Value<'_>| list(value, "[\"staleguard.internal\"]", host);
    Admin {
        address: section.read_at("address", socket),
        hosts: section.read("hosts", hosts),
        token_file: section.read("token-file", |value| Ok(PathBuf::from(text(value)?))),
    }
}

pub(super) fn log(section: &mut Section<'_, '_>) -> Log {
    Log { access: section.read("access", boolean), level: section.read("level", level) }
}

/// The HTTP library reads heads into a buffer that never is smaller than 8 KiB.
fn header_max(value: &Value<'_>) -> Result<usize, Problems> {
    let size = size(value, ByteSize::kib(8)..=ByteSize::mib(16))?;
    usize::try_from(size).map_err(|_| value.problem("does not fit this machine").into())
}

fn level(value: &Value<'_>) -> Result<LevelFilter, Problems> {
    choice(
        value,
        &[
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
            ("off", LevelFilter::OFF),
        ],
    )
}
