//! Field names that no crate has constants for, and which fields concern one hop only.

use std::borrow::Cow;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    IF_RANGE, IF_UNMODIFIED_SINCE, TRAILER, TRANSFER_ENCODING,
};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

/// Proxy-Status: which intermediary made this answer, and why (RFC 9209).
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// X-Experience-API-Version (xAPI Communication §3.3).
pub const XAPI_VERSION: HeaderName = HeaderName::from_static("x-experience-api-version");
/// X-Forwarded-For: the addresses of the client and of the hops so far.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// X-Forwarded-Host: the Host that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// X-Forwarded-Proto: the scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// X-Request-Id: what whoever was first in the way calls this request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// traceparent: the trace that a request is a part of (W3C Trace Context §3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// tracestate: what else those who take part in a trace say of it (W3C Trace Context §3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Fields that some frameworks read as another method than the one of the request line.
pub static METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// The precondition fields of RFC 9110 §13.1.
pub static PRECONDITIONS: [HeaderName; 5] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];

/// Whether a field concerns one connection and is never passed on (RFC 9110 §7.6.1). Keep-Alive is an old companion of
/// Connection, and Proxy-Connection an old mistake for it (RFC 9112 §C.2.2).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// A field's name as CGI and what descends from it read it: they take `_` for `-`.
pub fn read_by_cgi(name: &HeaderName) -> Cow<'_, str> {
    match name.as_str() {
        name if name.contains('_') => name.replace('_', "-").into(),
        name => name.into(),
    }
}

/// A digest of all lines of these fields, in their order: requests that differ in one of them differ in it.
pub fn digest(fields: &HeaderMap, names: &[HeaderName]) -> u128 {
    let mut lines: SmallVec<[u8; 256]> = SmallVec::new();
    for name in names {
        for value in fields.get_all(name) {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(&value.len().to_be_bytes());
            lines.extend_from_slice(value.as_bytes());
        }
    }
    xxh3_128(&lines)
}

/// Takes out every hop-by-hop field, and those that Connection names (RFC 9110 §7.6.1).
///
/// Trailer stays when the body's trailers are passed on too, so the caller says so. Transfer-Encoding overrides
/// Content-Length, which is then another body's length and must not go on either (RFC 9112 §6.3).
pub fn strip_hop_by_hop(fields: &mut HeaderMap, keep_trailer: bool) {
    // Looked for in one pass, since few messages have more than one of them and each removal is a search.
    let found: Vec<HeaderName> = fields.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    if found.contains(&TRANSFER_ENCODING) {
        fields.remove(CONTENT_LENGTH);
    }
    if found.contains(&CONNECTION) {
        let options = connection_options(fields).filter(|option| !is_well_known(option));
        let named: Vec<HeaderName> = options.filter_map(|name| name.parse().ok()).collect();
        for name in named {
            fields.remove(name);
        }
    }
    for name in found.iter().filter(|name| !(keep_trailer && **name == TRAILER)) {
        fields.remove(name);
    }
}

/// Takes out these fields. One pass tells which are there, since few are and each removal is a search.
pub fn remove_all(fields: &mut HeaderMap, names: &[HeaderName]) {
    let found: Vec<HeaderName> = fields.keys().filter(|name| names.contains(name)).cloned().collect();
    for name in found {
        fields.remove(name);
    }
}

/// Common connection options that name a field which goes anyway.
fn is_well_known(option: &str) -> bool {
    ["keep-alive", "upgrade", "te"].iter().any(|known| option.eq_ignore_ascii_case(known))
}

/// The first connection option that would take away a field on which the guard depends, if there is one.
///
/// `Connection: If-Match` would strip the precondition at the next hop, and `Connection: Host` the target.
pub fn dangerous_connection_option(fields: &HeaderMap) -> Option<String> {
    connection_options(fields).map(str::to_ascii_lowercase).find(|name| {
        name.starts_with("content-")
            || HOST == name.as_str()
            || PRECONDITIONS.iter().any(|field| field == name.as_str())
    })
}

/// The first trailer field that would say something else than the head, on which the guard depends, if there is one.
///
/// Such fields have no place in trailers (RFC 9110 §6.5.1), but some servers merge these into the head.
pub fn dangerous_trailer(trailers: &HeaderMap) -> Option<&HeaderName> {
    let guards: [&[HeaderName]; 3] = [&PRECONDITIONS, &METHOD_OVERRIDES, &[XAPI_VERSION]];
    trailers.keys().find(|name| {
        let name = read_by_cgi(name);
        guards.iter().copied().flatten().any(|field| field.as_str() == name)
    })
}

/// The options of the Connection field, in their order.
pub(super) fn connection_options(fields: &HeaderMap) -> impl Iterator<Item = &str> {
    fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
            })
            .collect()
    }

    #[test]
    fn fields_that_connection_names_are_taken_out() {
        let mut map = fields(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("close", "1"),
            ("te", "trailers"),
            ("a", "b"),
        ]);
        strip_hop_by_hop(&mut map, false);
        assert_eq!(map, fields(&[("a", "b")]));
    }

    #[test]
    fn a_length_that_transfer_encoding_overrides_is_taken_out() {
        let mut map = fields(&[("transfer-encoding", "chunked"), ("content-length", "3"), ("a", "b")]);
        strip_hop_by_hop(&mut map, false);
        assert_eq!(map, fields(&[("a", "b")]));
    }

    #[test]
    fn connection_must_not_name_what_the_guard_depends_on() {
        for option in ["If-Match", "if-none-match", "HOST", "Content-Length", "close, Content-Type"] {
            assert!(dangerous_connection_option(&fields(&[("connection", option)])).is_some(), "{option}");
        }
        for option in ["close", "keep-alive, X-Other", ""] {
            assert!(dangerous_connection_option(&fields(&[("connection", option)])).is_none(), "{option}");
        }
    }
    #[test]
    fn trailers_must_not_say_what_the_guard_depends_on() {
        for name in [
            "If-Match",
            "if_none_match",
            "X-HTTP-Method-Override",
            "X_HTTP-Method",
            "X-Experience-API-Version",
        ] {
            assert!(dangerous_trailer(&fields(&[("x-mine", "1"), (name, "1")])).is_some(), "{name}");
        }
        assert_eq!(dangerous_trailer(&fields(&[("x-mine", "1"), ("digest", "1")])), None);
    }
}
