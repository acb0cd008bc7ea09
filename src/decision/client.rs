//! Who a client is in a record: which credential, which program, which page. Nobody is named.

use std::borrow::Cow;

use compact_str::CompactString;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, ORIGIN, USER_AGENT};
use http::request::Parts;
use serde::{Deserialize, Serialize};

use super::pseudonym::{Pseudonym, Pseudonyms};
use crate::semantics::credentials::{Certificate, is_signed};
use crate::semantics::fields::digest;

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Client {
    /// Its credential: that of Authorization, or else of Cookie, and the certificate that it has shown. None where it has
    /// none, or makes one for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Pseudonym>,
    /// The family of its User-Agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<CompactString>,
    /// The page that it asks for, where a browser names one (RFC 6454 §7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<CompactString>,
}

/// Programs that are told by a word of their own, wherever it stands in the field; the first that fits counts.
const PROGRAMS: [(&str, &str); 11] = [
    ("tincanjs", "TinCanJS"),
    ("tincanphp", "TinCanPHP"),
    ("storyline", "Storyline"),
    ("articulate", "Articulate"),
    ("captivate", "Captivate"),
    ("moodle", "Moodle"),
    ("python-requests", "python-requests"),
    ("okhttp", "okhttp"),
    ("apache-httpclient", "Apache-HttpClient"),
    ("go-http-client", "Go-http-client"),
    ("curl", "curl"),
];

/// Browsers by a word of theirs; the first that fits counts, since they name each other.
const BROWSERS: [(&str, &str); 12] = [
    ("edg/", "Edge"),
    ("edgios/", "Edge"),
    ("edga/", "Edge"),
    ("opr/", "Opera"),
    ("samsungbrowser/", "Samsung Internet"),
    ("firefox/", "Firefox"),
    ("fxios/", "Firefox"),
    ("crios/", "Chrome"),
    ("chrome/", "Chrome"),
    ("safari/", "Safari"),
    ("applewebkit/", "WebKit"),
    ("mozilla/", "Mozilla"),
];

/// What browsers run on, by a word of theirs; the first that fits counts.
const PLATFORMS: [(&str, &str); 7] = [
    ("iphone", "iPhone"),
    ("ipad", "iPad"),
    ("android", "Android"),
    ("cros", "ChromeOS"),
    ("windows", "Windows"),
    ("macintosh", "Mac"),
    ("linux", "Linux"),
];

/// What is unlike anything that is expected here, and may be anything.
const OTHER: &str = "other";

impl Client {
    /// The client that a request comes from.
    pub fn of(head: &Parts, pseudonyms: &Pseudonyms) -> Self {
        let fields = &head.headers;
        let carried = [AUTHORIZATION, COOKIE].into_iter().find(|name| fields.contains_key(name));
        let carried = carried.filter(|_| !is_signed(head)).map(|name| digest(fields, &[name]));
        let certificate = Certificate::of(head);
        let has_any = carried.is_some() || certificate.is_some();
        let key = has_any.then(|| pseudonyms.of("client", &(carried, certificate)));
        Self {
            key,
            agent: text(fields, &USER_AGENT).map(|text| family(text).into()),
            origin: text(fields, &ORIGIN).map(|text| origin(text).into()),
        }
    }
}

/// A field's text; `Some("")` is one that is none.
fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// The family of a User-Agent, without versions (RFC 9110 §10.1.5).
fn family(agent: &str) -> Cow<'_, str> {
    let lower = agent.to_ascii_lowercase();
    let named = |words: &'static [(&str, &str)]| {
        words.iter().find(|(word, _)| lower.contains(word)).map(|(_, name)| *name)
    };
    if let Some(program) = named(&PROGRAMS) {
        return program.into();
    }
    if let Some(browser) = named(&BROWSERS) {
        return match named(&PLATFORMS) {
            Some(platform) => format!("{browser} on {platform}").into(),
            None => browser.into(),
        };
    }
    let product = agent.split(['/', ' ', '(', ';']).next().unwrap_or_default();
    let is_plain =
        product.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let is_name = product.starts_with(|c: char| c.is_ascii_alphabetic()) && product.len() <= 24;
    if is_plain && is_name { product.into() } else { OTHER.into() }
}

/// An origin as browsers serialise it (RFC 6454 §6.1).
fn origin(text: &str) -> &str {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'[' | b']');
    match host {
        Some(host) if !host.is_empty() && host.len() <= 120 && host.bytes().all(is_plain) => text,
        _ if text == "null" => text,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn programs_are_told_by_their_family() {
        for (agent, expected) in [
            ("TinCanJS", "TinCanJS"),
            ("curl/8.5.0", "curl"),
            ("python-requests/2.31", "python-requests"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", "Firefox on Linux"),
            ("Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36", "Chrome"),
            ("Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Edg/120.0", "Edge"),
            (
                "Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605 Version/17 Safari/605",
                "Safari on iPad",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) CriOS/120 Safari/604",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537 Chrome/120 Mobile Safari/537",
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/120 Safari/537 Edg/120",
                "Edge on Windows",
            ),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605", "WebKit on Mac"),
            ("Mozilla/5.0", "Mozilla"),
            ("Moodle/4.2 (core_xapi)", "Moodle"),
            ("lms-proxy/1.2 (bob@example.com)", "lms-proxy"),
            ("bob@example.com", OTHER),
            ("", OTHER),
            ("5", OTHER),
            ("a-product-of-whom-nobody-has-ever-heard", OTHER),
        ] {
            assert_eq!(family(agent), expected, "{agent}");
        }
    }

    #[test]
    fn only_an_origin_is_one() {
        for (text, expected) in [
            ("https://courses.example:8443", "https://courses.example:8443"),
            ("null", "null"),
            ("https://courses.example/?mbox=bob", OTHER),
            ("https://bob@courses.example", OTHER),
            ("https://", OTHER),
            ("file:///x", OTHER),
        ] {
            assert_eq!(origin(text), expected);
        }
    }

    #[test]
    fn credentials_are_told_apart_and_tell_nothing() {
        let pseudonyms = Pseudonyms::new();
        let of = |fields: &[(&str, &str)]| {
            let mut request = Request::put("/");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            Client::of(&request.body(()).expect("a request").into_parts().0, &pseudonyms).key
        };
        let basic = of(&[("authorization", "Basic dTpw")]);
        assert!(basic.is_some());
        assert_eq!(basic, of(&[("authorization", "Basic dTpw"), ("cookie", "session=1")]));
        assert_ne!(basic, of(&[("authorization", "Basic dTpx")]));
        assert!(of(&[("cookie", "session=1")]).is_some());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("authorization", "OAuth oauth_signature=\"s\"")]), None, "another each time");
    }
}
