//! What of a request's head goes on to the upstream, and in which form.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE, TE,
    TRANSFER_ENCODING, VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri, Version};
use http_body::Body;

use crate::guard::verdict::Onward;
use crate::net::client::Client;
use crate::semantics::fields::{
    PRECONDITIONS, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID, XAPI_VERSION,
    read_by_cgi, remove_all, strip_hop_by_hop,
};

/// Marks a question that a service asks: no signature of the writer's binds it to an envelope.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByService;

/// What of a writer's fields goes on with a question that a service asks.
const OF_WRITER: [HeaderName; 7] =
    [HOST, ACCEPT_ENCODING, CACHE_CONTROL, VIA, X_FORWARDED_PROTO, X_REQUEST_ID, XAPI_VERSION];

const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// Makes a received head fit for the next hop: hop-by-hop fields go, and the path it took is noted.
///
/// `upstream` stands in for a Host that an HTTP/1.0 client left out.
pub fn relay(head: &mut Parts, client: &Client, upstream: &str) {
    // Trailers are passed on, so the upstream may be asked for them if the client asked (RFC 9110 §6.5.1).
    let wants_trailers = head.headers.get_all(TE).iter().any(accepts_trailers);
    strip_hop_by_hop(&mut head.headers, true);
    if wants_trailers {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
        head.headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    // The 100 that the client waits for comes from here, once its body is read.
    head.headers.remove(EXPECT);
    let via = match head.version {
        Version::HTTP_10 => "1.0 staleguard",
        Version::HTTP_2 => "2.0 staleguard",
        _ => "1.1 staleguard",
    };
    address(head, upstream);
    if !client.is_believed {
        forget_way(&mut head.headers);
    }
    forwarded(&mut head.headers, client);
    head.headers.append(VIA, HeaderValue::from_static(via));
}

/// Makes the head of a guarded read: the whole representation is asked for, identity-coded.
pub fn read(head: &mut Parts) {
    head.method = Method::GET;
    without_conditions(&mut head.headers);
    head.headers.insert(ACCEPT_ENCODING, IDENTITY);
}

/// Asks for what is there now, and not for what some cache on the way was told before.
pub fn past_caches(head: &mut Parts) {
    head.headers.append(CACHE_CONTROL, NO_CACHE);
}

/// Makes the head of a probe from a write's: a GET of the same target with the writer's own credentials.
pub fn probe(write: &Parts) -> Parts {
    let mut head = write.clone();
    read(&mut head);
    let content: Vec<HeaderName> =
        head.headers.keys().filter(|name| name.as_str().starts_with("content-")).cloned().collect();
    for name in content {
        head.headers.remove(name);
    }
    head.headers.remove(http::header::TRAILER);
    head.headers.insert(CACHE_CONTROL, NO_CACHE);
    head
}

/// Makes the head of a probe that a service asks in the writer's place: of the writer it has the target, and what an
/// upstream must know to answer it at all. Any other field could lead the service's authority elsewhere.
pub fn probe_by_service(write: &Parts, service: &HeaderValue) -> Parts {
    let mut head = probe(write);
    let mut fields = HeaderMap::new();
    for name in OF_WRITER {
        if let Some(value) = head.headers.remove(&name) {
            fields.insert(name, value);
        }
    }
    fields.insert(AUTHORIZATION, service.clone());
    head.headers = fields;
    head.extensions.insert(ByService);
    head
}

/// Puts in place of the client's preconditions what the upstream is told instead.
pub fn write(head: &mut Parts, onward: &Onward) {
    let fields = &mut head.headers;
    if *onward == Onward::AsStated {
        return;
    }
    // RFC 9110 §13.1.4: whoever evaluates If-Match must ignore If-Unmodified-Since. So where the client stated only a
    // date, an If-Match of ours would take it out of force.
    if fields.contains_key(IF_MATCH) {
        fields.remove(IF_UNMODIFIED_SINCE);
    }
    fields.remove(IF_MATCH);
    fields.remove(IF_NONE_MATCH);
    match onward {
        Onward::IfMatch(_) if fields.contains_key(IF_UNMODIFIED_SINCE) => {}
        Onward::IfMatch(tag) => drop(fields.insert(IF_MATCH, tag.to_field())),
        Onward::IfNoneMatchAny => drop(fields.insert(IF_NONE_MATCH, HeaderValue::from_static("*"))),
        Onward::AsStated | Onward::Removed => {}
    }
}

/// Says how long a body is that was read whole.
///
/// No body at all is said to be empty only where one is expected (RFC 9110 §8.6): a DELETE stays as it came.
pub fn whole_body(head: &mut Parts, length: u64, has_trailers: bool) {
    if has_trailers {
        head.headers.remove(CONTENT_LENGTH);
    } else if length > 0 || matches!(head.method, Method::PUT | Method::POST | Method::PATCH) {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Says how a body that is passed on as it comes is delimited; hyper takes a GET without a word of it for one that has
/// no body.
pub fn streamed_body(fields: &mut HeaderMap, body: &impl Body) {
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

fn without_conditions(fields: &mut HeaderMap) {
    remove_all(fields, &PRECONDITIONS);
    fields.remove(RANGE);
}

/// Writes the target in origin-form; an absolute-form's authority replaces Host (RFC 9112 §3.2.2).
fn address(head: &mut Parts, upstream: &str) {
    if let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(HOST, host);
    }
    if !head.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(upstream)
    {
        head.headers.insert(HOST, host);
    }
    // Most come in origin-form already.
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        let target = head.uri.path_and_query().cloned();
        head.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    head.version = Version::HTTP_11;
}

/// Takes out what a client that is not believed says of the way of its request. X-Request-Id itself is ours by then.
fn forget_way(fields: &mut HeaderMap) {
    let tells_way = |name: &&HeaderName| {
        // Most fields are told by their first letter.
        if !name.as_str().starts_with(['x', 'f']) {
            return false;
        }
        let meant = read_by_cgi(name);
        let is_other_id = *name != X_REQUEST_ID && meant == X_REQUEST_ID.as_str();
        meant.starts_with("x-forwarded-") || is_other_id || meant == FORWARDED.as_str()
    };
    let told: Vec<HeaderName> = fields.keys().filter(tells_way).cloned().collect();
    for name in told {
        fields.remove(name);
    }
}

/// Adds where the request comes from, where it has an address, and what it asked for.
fn forwarded(fields: &mut HeaderMap, client: &Client) {
    if let Some(hops) = hops(fields, client) {
        fields.insert(X_FORWARDED_FOR, hops);
    }
    let scheme = if client.is_secure { "https" } else { "http" };
    fields.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(scheme));
    if let Some(host) = fields.get(HOST).cloned() {
        fields.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

/// Whom the request has come from so far, the client last.
fn hops(fields: &HeaderMap, client: &Client) -> Option<HeaderValue> {
    let mut so_far =
        fields.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).peekable();
    if so_far.peek().is_none() {
        return client.forwarded.clone();
    }
    let client = client.forwarded.as_ref().and_then(|client| client.to_str().ok());
    let hops: Vec<&str> = so_far.chain(client).collect();
    HeaderValue::try_from(hops.join(", ")).ok()
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|codings| codings.split(',').any(|c| c.trim().eq_ignore_ascii_case("trailers")))
}
