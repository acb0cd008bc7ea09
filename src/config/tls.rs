//! `[listen.tls]` and `[upstream.tls]`: certificates, keys and authorities in files.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::address::Upstream;
use super::duration::timeout;
use super::problem::{Place, Problem, Problems, quoted};
use super::section::Section;
use super::value::{At, Value, text};
use crate::net::tls::Pair;
use crate::{server, upstream};

/// What `[listen.tls]` says.
pub(super) struct ListenTls {
    pub(super) files: Option<server::tls::Files>,
    pub(super) handshake_timeout: Option<Duration>,
}

/// What `[upstream.tls]` says, whose files depend on whether the URL asks for TLS at all.
pub(super) struct UpstreamTls {
    ca: Option<At<PathBuf>>,
    pair: Option<Named>,
    name: Option<At<ServerName<'static>>>,
}

/// A certificate and its key, and where each was written.
struct Named {
    certificate: At<PathBuf>,
    key: At<PathBuf>,
}

impl Named {
    fn pair(&self) -> Pair {
        Pair { certificate: self.certificate.value.clone(), key: self.key.value.clone() }
    }

    fn files(&self) -> [&At<PathBuf>; 2] {
        [&self.certificate, &self.key]
    }
}

/// Where the proxy is to run, or all of it is checked, the files are looked into.
pub(super) fn listen(section: &mut Section<'_, '_>, to_run: bool) -> ListenTls {
    let pair = pair(section);
    let client_ca = section.read_at("client-ca", path);
    let handshake_timeout = section.read("handshake-timeout", timeout);
    let files = match (&pair, &client_ca) {
        (Some(pair), client_ca) => {
            let client_ca = client_ca.as_ref().map(|client_ca| client_ca.value.clone());
            Some(server::tls::Files { pair: pair.pair(), client_ca })
        }
        (None, Some(client_ca)) => {
            let problem =
                Problem::new("`client-ca` means nothing without a certificate", Some(&client_ca.place));
            section.note(problem.help("name a certificate and its key under [listen.tls] too"));
            None
        }
        (None, None) => None,
    };
    if let (Some(files), Some(pair), true) = (&files, &pair, to_run)
        && let Err(what) = server::tls::Acceptor::load(files)
    {
        let named = pair.files().into_iter().chain(&client_ca);
        section.note(unusable(what, named, &pair.certificate.place));
    }
    ListenTls { files, handshake_timeout }
}

pub(super) fn upstream(section: &mut Section<'_, '_>) -> UpstreamTls {
    UpstreamTls {
        ca: section.read_at("ca", path),
        pair: pair(section),
        name: section.read_at("server-name", server_name),
    }
}

impl UpstreamTls {
    /// The files for this upstream, where it speaks TLS. What is said of TLS and means nothing is noted, since whoever
    /// wrote it believes that it does something.
    pub(super) fn files(
        self,
        section: &mut Section<'_, '_>,
        url: &At<Upstream>,
        to_run: bool,
    ) -> Option<upstream::tls::Files> {
        let Self { ca, pair, name } = self;
        let said = [
            ca.as_ref().map(|ca| &ca.place),
            pair.as_ref().map(|pair| &pair.certificate.place),
            name.as_ref().map(|name| &name.place),
        ];
        let place = said.into_iter().flatten().next().unwrap_or(&url.place).clone();
        let host = match &url.value.secure_host {
            Some(host) => host,
            None => {
                if place != url.place {
                    let problem =
                        Problem::new("[upstream.tls] means nothing for this upstream.url", Some(&place));
                    section.note(problem.help("write a URL with https, or leave [upstream.tls] out"));
                }
                return None;
            }
        };
        let name = name.map(|name| name.value).or_else(|| ServerName::try_from(host.clone()).ok());
        let Some(name) = name else {
            let problem =
                Problem::new("no certificate can be for the host of `upstream.url`", Some(&url.place));
            section
                .note(problem.help("name the one that its certificate is for in upstream.tls.server-name"));
            return None;
        };
        let files = upstream::tls::Files {
            ca: ca.as_ref().map(|ca| ca.value.clone()),
            pair: pair.as_ref().map(Named::pair),
            name,
        };
        if to_run && let Err(what) = upstream::tls::Connector::load(&files) {
            let named = pair.iter().flat_map(Named::files).chain(&ca);
            section.note(unusable(what, named, &place));
        }
        Some(files)
    }
}

/// A sentence that begins with the name of a file is about the key that names it.
fn unusable<'a>(what: String, named: impl IntoIterator<Item = &'a At<PathBuf>>, usual: &Place) -> Problem {
    let begins = |file: &PathBuf| {
        what.strip_prefix(&*file.to_string_lossy()).is_some_and(|rest| rest.starts_with(' '))
    };
    let place = named.into_iter().find(|at| begins(&at.value)).map_or(usual, |at| &at.place);
    Problem::new(what.clone(), Some(place)).help("name files in PEM that this process may read")
}

/// A certificate and its key, of which none is of use without the other.
fn pair(section: &mut Section<'_, '_>) -> Option<Named> {
    let certificate = section.read_at("certificate", path);
    let key = section.read_at("key", path);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Named { certificate, key }),
        (Some(alone), None) if !section.has("key") => {
            section.note(lone("`certificate` is there without its key", &alone));
            None
        }
        (None, Some(alone)) if !section.has("certificate") => {
            section.note(lone("`key` is there without its certificate", &alone));
            None
        }
        // What is wrong with the other one has been noted.
        (Some(_), None) | (None, _) => None,
    }
}

fn lone(what: &str, at: &At<PathBuf>) -> Problem {
    Problem::new(what, Some(&at.place))
        .help("write both, as in certificate = \"cert.pem\" and key = \"key.pem\"")
}

/// The path of a file.
fn path(value: &Value<'_>) -> Result<PathBuf, Problems> {
    match text(value)? {
        "" => Err(value.problem("names no file").help("write a path, or leave the key out").into()),
        path => Ok(PathBuf::from(path)),
    }
}

fn server_name(value: &Value<'_>) -> Result<ServerName<'static>, Problems> {
    let text = text(value)?;
    ServerName::try_from(text.to_owned()).map_err(|_| {
        let problem =
            value.problem(format_args!("is no name that a certificate could be for: {}", quoted(text)));
        problem.help("write a host name or an IP address without a port, as in \"lrs.example\"").into()
    })
}
