//! *Accept*: what a request must be to be served at all, and a write's whole body.

use http::header::{COOKIE, EXPECT, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version};
use tokio::time::Instant;

use super::Exchange;
use super::failure::Failure;
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Interrupted, Paced, Timely};
use crate::semantics::fields::dangerous_connection_option;
use crate::semantics::websocket::{Handshake, Upgrade};

/// The body of a request.
pub(super) enum Received {
    /// It is still on its way.
    Coming(Paced),
    /// It came in the form of xAPI's alternate syntax, and is at hand.
    Whole(Contents),
}

impl Exchange {
    /// Reads a request's body up to the bound, and until its time is up.
    pub(super) async fn whole_body(
        &self,
        fields: &HeaderMap,
        body: Received,
        max: u64,
        until: Instant,
    ) -> Result<Contents, Failure> {
        let body = match body {
            Received::Coming(body) => body,
            Received::Whole(contents) if contents.len() > max => return Err(Failure::BodyTooLarge(max)),
            Received::Whole(contents) => return Ok(contents),
        };
        if let Some(option) = dangerous_connection_option(fields) {
            self.discard(fields, body).await;
            let what = format!("Connection must not name {option} here. Nothing was written.");
            return Err(Failure::Ambiguous(what));
        }
        match body.collect_until(until, max, &self.buffers.writes).await {
            Ok(Timely::Collected(Collected::Whole(contents))) => Ok(contents),
            Ok(Timely::Collected(Collected::TooLarge(body))) => {
                self.discard(fields, body).await;
                Err(Failure::BodyTooLarge(max))
            }
            Ok(Timely::Late(rest)) => {
                self.discard(fields, rest).await;
                Err(Failure::BodyLate)
            }
            Ok(Timely::Collected(Collected::OverBudget(body))) => {
                self.discard(fields, body).await;
                Err(Failure::OverBudget)
            }
            Err(Interrupted::Stalled) => Err(Failure::BodyStalled),
            Err(Interrupted::Broken(_)) => Err(Failure::BodyBroken),
        }
    }

    /// Reads what nobody wants and throws it away for a while: a client that is still uploading cannot read a
    /// refusal before it has finished. One that waits for a 100 has not begun.
    pub(super) async fn discard(&self, fields: &HeaderMap, body: Paced) {
        if !fields.contains_key(EXPECT) {
            body.discard(self.settings.linger).await;
        }
    }
}

/// Puts a head of HTTP/2 into the words of HTTP/1.1: its authority is the Host, and its cookies are one field.
///
/// # Errors
/// When it says something else in the words of HTTP/1.1, or what these could not say (RFC 9113 §8.2.1, §8.3.1).
pub(super) fn in_one_version(head: &mut Parts) -> Result<(), Failure> {
    if head.version != Version::HTTP_2 {
        return Ok(());
    }
    let is_padded = |value: &HeaderValue| value.as_bytes().trim_ascii() != value.as_bytes();
    if head.headers.values().any(is_padded) {
        return Err(Failure::Malformed("A field's value begins or ends with a space."));
    }
    if let Some(authority) = head.uri.authority() {
        let scheme = head.uri.scheme_str();
        let differs = |host: &HeaderValue| !is_same_host(host.as_bytes(), authority.as_str(), scheme);
        if head.headers.get_all(HOST).iter().any(differs) {
            return Err(Failure::Malformed("The request's Host is not its :authority."));
        }
        let host = HeaderValue::from_str(authority.as_str());
        head.headers
            .insert(HOST, host.map_err(|_| Failure::Malformed("The request's :authority is malformed."))?);
    }
    let crumbs: Vec<&[u8]> = head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(mut cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        cookie.set_sensitive(true);
        head.headers.insert(COOKIE, cookie);
    }
    Ok(())
}

/// Whether both name the same host and port of this scheme (RFC 3986 §6.2).
fn is_same_host(host: &[u8], authority: &str, scheme: Option<&str>) -> bool {
    let default = match scheme {
        Some("https") => &b":443"[..],
        _ => b":80",
    };
    fn without<'a>(host: &'a [u8], port: &[u8]) -> &'a [u8] {
        host.strip_suffix(port).or(host.strip_suffix(b":")).unwrap_or(host)
    }
    without(host, default).eq_ignore_ascii_case(without(authority.as_bytes(), default))
}

/// What is answered to an Upgrade that is not passed on.
pub(super) const NO_UPGRADE: Failure = Failure::Unsupported(
    "No Upgrade is supported here but to a WebSocket, in a well-formed handshake, and only where nothing is guarded.",
);

/// Refuses heads that the next server may read differently, and protocols that are not spoken here. What is left may be
/// the handshake of a WebSocket.
pub(super) fn well_formed(head: &Parts) -> Result<Option<Handshake>, Failure> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Failure::Malformed("The request has more than one Host.")),
        (None, None) if head.version >= Version::HTTP_11 => {
            return Err(Failure::Malformed("The request has no Host."));
        }
        (Some(host), None) if !is_host(host) => {
            return Err(Failure::Malformed("The request's Host is malformed."));
        }
        _ => {}
    }
    if head.method == Method::CONNECT {
        return Err(Failure::Unsupported("Tunnels are not opened here."));
    }
    // The asterisk stands for the whole server, of which only OPTIONS may ask (RFC 9112 §3.2.4).
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Failure::Malformed("Only OPTIONS may have * for its target."));
    }
    if head.uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
        || (head.uri.authority().is_some() && head.uri.scheme().is_none())
    {
        return Err(Failure::Malformed("The request's target is malformed."));
    }
    if !is_only_chunked(&head.headers) {
        return Err(Failure::Unsupported("No transfer coding but chunked is undone here."));
    }
    match Upgrade::of(head) {
        Upgrade::None => Ok(None),
        Upgrade::WebSocket(handshake) => Ok(Some(handshake)),
        Upgrade::Unsupported => Err(NO_UPGRADE),
    }
}

/// The method that some servers would take this one for, although methods are case-sensitive (RFC 9110 §9.1).
pub fn differently_cased(method: &Method) -> Option<Method> {
    const KNOWN: [Method; 8] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ];
    KNOWN.into_iter().find(|known| known != method && known.as_str().eq_ignore_ascii_case(method.as_str()))
}

/// `uri-host [ ":" port ]`, or nothing where the target has no authority (RFC 9110 §7.2).
fn is_host(host: &HeaderValue) -> bool {
    let (name, port) = match host.as_bytes().iter().position(|byte| *byte == b':') {
        Some(colon) => host.as_bytes().split_at(colon),
        None => (host.as_bytes(), &b""[..]),
    };
    // A name and a number, or less: what most say needs no closer look, and without any authority it is empty.
    let is_plain = name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && port.iter().skip(1).all(u8::is_ascii_digit);
    let is_authority =
        |text| Authority::try_from(text).is_ok_and(|authority| !authority.as_str().contains('@'));
    is_plain || is_authority(host.as_bytes())
}

/// Transfer-Encoding ends at this hop, so that another coding than chunked would lose its name (RFC 9112 §6.1).
fn is_only_chunked(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
