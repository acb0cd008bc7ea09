//! The forms of the page.
//!
//! They come by POST, so that what they name stands in no URL, history or log; and yet they change nothing.

use std::collections::HashMap;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::Asked;

/// The largest form, in bytes; a target may be as long as that.
const LARGEST: usize = 64 * 1024;
/// Where a request comes from, by the browser's word (W3C Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The fields of a form, each of them once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form(HashMap<String, String>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`.
    pub(super) fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Receives one; nothing where it is too large or broken off.
    pub(super) async fn receive(body: Incoming) -> Option<Self> {
        let body = Limited::new(body, LARGEST).collect().await.ok()?;
        Some(Self::read(&body.to_bytes()))
    }

    /// A field without white space around it; nothing is the empty text.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    /// The request that a form tries.
    pub(super) fn asked(&self) -> Asked {
        let some = |name| Some(self.text(name).to_owned()).filter(|text| !text.is_empty());
        let fields = self.text("fields").lines().map(str::trim).filter(|line| !line.is_empty());
        Asked {
            method: some("method").unwrap_or_else(|| "PUT".to_owned()),
            target: self.text("target").to_owned(),
            fields: fields.map(str::to_owned).collect(),
            form: some("form"),
            current: some("current"),
        }
    }

    /// The fields that say who may do this: those of the request, or the token that stands in the form.
    pub(super) fn permission(&self, mut fields: HeaderMap) -> HeaderMap {
        if let Ok(value) = HeaderValue::try_from(format!("Bearer {}", self.text("token")))
            && !fields.contains_key(AUTHORIZATION)
        {
            fields.insert(AUTHORIZATION, value);
        }
        fields
    }
}

/// Whether a page of another origin sends this. It could not read the answer, and changes nothing: this only spares the
/// work.
pub(super) fn is_foreign(fields: &HeaderMap) -> bool {
    let text = |name: &HeaderName| fields.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(&HOST).unwrap_or_default();
    let is_own = |origin: &str| {
        // Browsers say "null" of a form on a page that has no-referrer, this one included.
        origin == "null" || origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host))
    };
    let is_own_site = |site: &str| matches!(site, "same-origin" | "none");
    !text(&SEC_FETCH_SITE).is_none_or(is_own_site) || !text(&ORIGIN).is_none_or(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_tried_as_it_was_typed() {
        let form =
            Form::read(b"method=&target=+%2Fa+&fields=If-Match%3A+a%0D%0A%0D%0AX%3A+b&current=missing");
        let expected = Asked {
            method: "PUT".to_owned(),
            target: "/a".to_owned(),
            fields: vec!["If-Match: a".to_owned(), "X: b".to_owned()],
            form: None,
            current: Some("missing".to_owned()),
        };
        assert_eq!(form.asked(), expected);
    }

    #[test]
    fn pages_of_other_origins_are_told_by_what_browsers_say() {
        for (site, origin, expected) in [
            (None, None, false),
            (Some("same-origin"), Some("http://127.0.0.1:9901"), false),
            (Some("same-origin"), Some("null"), false),
            (None, Some("null"), false),
            (Some("none"), None, false),
            (Some("cross-site"), Some("null"), true),
            (Some("same-site"), None, true),
            (None, Some("http://127.0.0.1:9902"), true),
            (None, Some("http://evil.example"), true),
            (None, Some("127.0.0.1:9901"), true),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(HOST, "127.0.0.1:9901".parse().expect("a value"));
            let mut put = |name, value: Option<&str>| {
                value.map(|value| fields.insert(name, value.parse().expect("a value")));
            };
            put(SEC_FETCH_SITE, site);
            put(ORIGIN, origin);
            assert_eq!(is_foreign(&fields), expected, "{site:?} {origin:?}");
        }
    }
}
