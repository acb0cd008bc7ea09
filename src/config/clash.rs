//! What is wrong with addresses only when they are seen side by side.

use std::net::{IpAddr, SocketAddr};

use super::address::Upstream;
use super::problem::{Place, Problem, Problems};
use super::value::At;
use crate::server::listener::Endpoint;

/// Notes addresses that cannot stand beside each other. Port 0 takes a free port and never clashes.
pub(super) fn clashes(
    listen: Option<&At<Endpoint>>,
    admin: Option<&At<SocketAddr>>,
    upstream: Option<&At<Upstream>>,
    problems: &mut Problems,
) {
    let Some(listen) = listen else { return };
    if let Some(admin) = admin.filter(|admin| overlap(&listen.value, admin.value)) {
        let message = format!("clients and operators would share one port, {}", listen.value);
        let place = Place::blamed([&admin.place, &listen.place]);
        problems.push(
            Problem::new(message, place).help("give `listen.address` and `admin.address` different ports"),
        );
    }
    if let Some(upstream) = upstream.filter(|upstream| leads_to(&upstream.value, &listen.value)) {
        let message =
            format!("the upstream is the address that Staleguard listens on, {}: a loop", listen.value);
        let remedy = "name the server that stands behind Staleguard, or listen on another port";
        problems.push(Problem::new(message, Some(&upstream.place)).help(remedy));
    }
}

/// Whether two sockets would ask for the same port of the same address.
fn overlap(left: &Endpoint, right: SocketAddr) -> bool {
    let Endpoint::Ip(left) = left else { return false };
    let same_ip = left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() != 0 && left.port() == right.port() && same_ip
}

/// Whether connecting to host and port would reach a listening address. Names other than localhost are not
/// looked up.
fn leads_to(upstream: &Upstream, listen: &Endpoint) -> bool {
    let listen = match listen {
        Endpoint::Ip(listen) if upstream.socket.is_none() => listen,
        Endpoint::Ip(_) => return false,
        Endpoint::Unix(path) => return upstream.socket.as_ref() == Some(path),
    };
    let Some((host, port)) = upstream.authority.rsplit_once(':') else { return false };
    if port != listen.port().to_string() {
        return false;
    }
    if host.eq_ignore_ascii_case("localhost") {
        return listen.ip().is_loopback() || listen.ip().is_unspecified();
    }
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    ip.is_ok_and(|ip| {
        ip == listen.ip() || (listen.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
    })
}
