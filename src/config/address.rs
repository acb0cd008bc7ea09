//! Addresses: where to listen, and the upstream's URL.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::problem::{Problem, Problems, quoted};
use super::value::{Value, text};
use crate::server::listener::Endpoint;

/// The longest path of a Unix socket, in bytes: the kernel has room for one more, which ends it.
const SOCKET_PATH: usize = 107;

/// Where the upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upstream {
    /// Host and port; for a Unix socket, what stands for a Host where a client named none.
    pub(super) authority: String,
    /// The Unix socket at which it listens, if it does.
    pub(super) socket: Option<PathBuf>,
    /// The host that it must show a certificate for, where it speaks TLS.
    pub(super) secure_host: Option<String>,
}

/// Where clients connect: an IP address and a port, or a Unix socket.
pub(super) fn endpoint(value: &Value<'_>) -> Result<Endpoint, Problems> {
    match text(value).ok().and_then(|text| text.strip_prefix("unix:")) {
        Some(path) => socket_path(value, path).map(Endpoint::Unix),
        None => socket(value).map(Endpoint::Ip),
    }
}

fn socket_path(value: &Value<'_>, path: &str) -> Result<PathBuf, Problems> {
    let what = match path {
        "" => "names a Unix socket without a path",
        path if path.len() > SOCKET_PATH => "names a Unix socket by a path that is too long for the kernel",
        path if path.contains('\0') => "names a Unix socket by a path with a NUL in it",
        path => return Ok(PathBuf::from(path)),
    };
    Err(value.problem(what).help("write a short path, as in \"unix:/run/staleguard.sock\"").into())
}

/// An address to listen on: an IP address and a port.
pub(super) fn socket(value: &Value<'_>) -> Result<SocketAddr, Problems> {
    let text = text(value).map_err(|_| {
        value
            .expected("an IP address and a port")
            .help("write it in quotation marks, as in \"127.0.0.1:8080\"")
    })?;
    text.parse().map_err(|_| {
        if text.starts_with("unix:") {
            let problem = value.problem("names a Unix socket, and only `listen.address` may");
            return problem.help("write an IP address and a port, as in \"127.0.0.1:8080\"").into();
        }
        let problem = value.problem(format_args!("is no IP address with a port: {}", quoted(text)));
        problem.help(format!("write \"{}\"", meant_socket(text))).into()
    })
}

/// What was probably meant by an address that is none.
fn meant_socket(text: &str) -> String {
    let port = |text: &str| text.parse::<u16>().ok();
    if let Some(port) = port(text) {
        return format!("127.0.0.1:{port}");
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return SocketAddr::new(ip, 8080).to_string();
    }
    match text.rsplit_once(':') {
        Some(("", number)) if port(number).is_some() => format!("0.0.0.0{text}"),
        Some(("localhost", number)) if port(number).is_some() => format!("127.0.0.1:{number}"),
        _ => "127.0.0.1:8080\" or \"[::]:8080".to_owned(),
    }
}

/// The name of a host, without a port.
pub(super) fn host(value: &Value<'_>) -> Result<String, Problems> {
    let text = text(value)?;
    let named = name(text).map_err(|what| {
        let problem = value.problem(format_args!("is no host name, since {what}: {}", quoted(text)));
        problem.help("write a name without scheme and port, as in \"staleguard.internal\"")
    })?;
    Ok(named.to_owned())
}

/// The upstream's URL, of which scheme, host and port are kept; or its Unix socket.
pub(super) fn upstream(value: &Value<'_>) -> Result<Upstream, Problems> {
    let url = text(value).map_err(|_| {
        value.expected("a URL").help("write it in quotation marks, as in \"http://127.0.0.1:8000\"")
    })?;
    if let Some(path) = url.strip_prefix("unix:") {
        let socket = Some(socket_path(value, path)?);
        return Ok(Upstream { authority: "localhost".into(), socket, secure_host: None });
    }
    let (scheme, rest) = after_scheme(value, url)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        let problem = value.problem("holds a user name, and credentials come from the clients' own requests");
        return Err(problem.help("write scheme, host and port, as in \"http://127.0.0.1:8000\"").into());
    }
    let named = host_and_port(authority, scheme.port()).map_err(|what| {
        let problem = value.problem(format_args!("is no URL: {what}"));
        problem.help("write scheme, host and port, as in \"http://127.0.0.1:8000\" or \"http://[::1]:8000\"")
    });
    let named = named?;
    if !matches!(tail, "" | "/") {
        return Err(with_tail(value, scheme, &named, tail).into());
    }
    let host = named.rsplit_once(':').map_or(named.as_str(), |(host, _)| host);
    let secure_host = (scheme == Scheme::Https).then(|| host.trim_matches(['[', ']']).to_owned());
    Ok(Upstream { authority: named, socket: None, secure_host })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none (RFC 9110 §4.2).
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Takes off the scheme.
fn after_scheme<'a>(value: &Value<'_>, url: &'a str) -> Result<(Scheme, &'a str), Problem> {
    let Some((scheme, rest)) = url.split_once("://") else {
        let problem = value.problem(format_args!("is no URL, since the scheme is missing: {}", quoted(url)));
        let host = url.trim().trim_start_matches("http:").trim_matches('/');
        // What is quoted in a remedy must itself be right.
        let meant = if host_and_port(host, 80).is_ok() { host } else { "127.0.0.1:8000" };
        return Err(problem.help(format!("write \"http://{meant}\"")));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        _ => Err(value
            .problem(format_args!("has a scheme that is not supported: {}", quoted(scheme)))
            .help("write a URL with http or https, as in \"http://127.0.0.1:8000\"")),
    }
}

/// Refuses what follows host and port.
fn with_tail(value: &Value<'_>, scheme: Scheme, named: &str, tail: &str) -> Problem {
    let what = match tail.as_bytes().first() {
        Some(b'?') => "has a query, and queries go through unchanged",
        Some(b'#') => "has a fragment, which no server sees",
        _ => "has a path, and paths go through unchanged",
    };
    value.problem(what).help(format!("write \"{}://{named}\"", scheme.as_str()))
}

/// Reads host and port and gives them with the port written out.
fn host_and_port(authority: &str, default: u16) -> Result<String, &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
            ip.parse::<Ipv6Addr>().map_err(|_| "there is no IPv6 address in the brackets")?;
            (format!("[{ip}]"), port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            if port[port.len().min(1)..].contains(':') {
                return Err("an IPv6 address must stand in brackets");
            }
            (name(host)?.to_owned(), port)
        }
    };
    let port = match port {
        "" => default,
        port => {
            port.strip_prefix(':').and_then(port_number).ok_or("the port is not a number from 1 to 65535")?
        }
    };
    Ok(format!("{host}:{port}"))
}

fn port_number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

fn name(host: &str) -> Result<&str, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match host {
        "" => Err("the host is missing"),
        host if !host.is_ascii() => Err("the host must be written in ASCII, as in xn--..."),
        host if !host.chars().all(allowed) => Err("the host holds a character that no host has"),
        host => Ok(host),
    }
}
