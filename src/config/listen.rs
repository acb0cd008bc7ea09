//! `[listen]`, `[admin]` and `[log]`: where clients and operators connect, and what is written down.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use http::Uri;
use http::uri::Authority;
use ipnet::IpNet;
use tracing::level_filters::LevelFilter;

use super::address::{self, host, socket};
use super::duration::{timeout, wait};
use super::problem::{Problems, quoted};
use super::section::Section;
use super::size::size;
use super::tls::{self, ListenTls};
use super::value::{At, Value, boolean, choice, count, list, text};
use crate::server::listener::Endpoint;

/// What `[listen]` says.
pub(super) struct Listen {
    pub(super) address: Option<At<Endpoint>>,
    pub(super) socket_mode: Option<u32>,
    pub(super) trusted_proxies: Option<Vec<IpNet>>,
    pub(super) tls: ListenTls,
    pub(super) connections: Option<usize>,
    pub(super) header_timeout: Option<Duration>,
    pub(super) header_max: Option<usize>,
    pub(super) body_timeout: Option<Duration>,
    pub(super) send_timeout: Option<Duration>,
    pub(super) linger: Option<Duration>,
    pub(super) detached_max: Option<usize>,
    pub(super) tunnel_idle_timeout: Option<Duration>,
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
    pub(super) decisions_file: Option<PathBuf>,
    pub(super) decisions_file_max: Option<u64>,
    pub(super) decisions_files: Option<usize>,
    /// Where spans are sent.
    pub(super) otlp_endpoint: Option<String>,
}

pub(super) fn listen(section: &mut Section<'_, '_>, to_run: bool) -> Listen {
    let proxies = |value: &Value<'_>| list(value, "[\"10.0.0.0/8\"]", network);
    Listen {
        address: section.read_at("address", address::endpoint),
        connections: section.read("connections", count),
        header_timeout: section.read("header-timeout", timeout),
        header_max: section.read("header-max", header_max),
        body_timeout: section.read("body-timeout", timeout),
        send_timeout: section.read("send-timeout", timeout),
        linger: section.read("linger", wait),
        detached_max: section.read("detached-max", count),
        tunnel_idle_timeout: section.read("tunnel-idle-timeout", timeout),
        socket_mode: section.read("socket-mode", socket_mode),
        trusted_proxies: section.read("trusted-proxies", proxies),
        tls: section.section("tls", |section| tls::listen(section, to_run)),
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
    let bounds = ByteSize::kib(64)..=ByteSize::gib(64);
    Log {
        access: section.read("access", boolean),
        level: section.read("level", level),
        decisions_file: section.read("decisions-file", |value| Ok(PathBuf::from(text(value)?))),
        decisions_file_max: section.read("decisions-file-max", |value| size(value, bounds.clone())),
        decisions_files: section.read("decisions-files", count),
        otlp_endpoint: section.read("otlp-endpoint", collector),
    }
}

/// The mode of a file, as chmod has it.
fn socket_mode(value: &Value<'_>) -> Result<u32, Problems> {
    let text = text(value)?;
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && !text.starts_with('+'));
    mode.ok_or_else(|| {
        let problem = value.problem(format_args!("is no mode of a file: {}", quoted(text)));
        problem.help("write it in octal, as in \"0660\" for its owner and group").into()
    })
}

/// A network, or a single address.
fn network(value: &Value<'_>) -> Result<IpNet, Problems> {
    let text = text(value)?;
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| {
        let problem = value.problem(format_args!("holds what is no network: {}", quoted(text)));
        problem.help("write an IP address, or a network as in \"10.0.0.0/8\" or \"fd00::/8\"").into()
    })
}

/// The HTTP library reads heads into a buffer that never is smaller than 8 KiB.
fn header_max(value: &Value<'_>) -> Result<usize, Problems> {
    let size = size(value, ByteSize::kib(8)..=ByteSize::mib(16))?;
    usize::try_from(size).map_err(|_| value.problem("does not fit this machine").into())
}

/// The URL of a collector of OpenTelemetry, which speaks HTTP in clear text.
fn collector(value: &Value<'_>) -> Result<String, Problems> {
    const HELP: &str = "write the URL before /v1/traces, as in \"http://127.0.0.1:4318\"";
    let url = text(value)?;
    match is_collector(url) {
        true => Ok(url.to_owned()),
        false => Err(value.problem("is no http:// URL of a collector").help(HELP).into()),
    }
}

/// Whether spans can be sent to this URL.
pub(super) fn is_collector(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        let authority = uri.authority().map(Authority::as_str);
        let is_plain = uri.query().is_none() && authority.is_some_and(|authority| !authority.contains('@'));
        uri.scheme_str() == Some("http") && is_plain
    })
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
