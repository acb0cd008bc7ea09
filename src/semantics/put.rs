//! A PUT, reduced to what tells it from another.

use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderMap};

use super::credentials::Credentials;
use super::fields::{PRECONDITIONS, X_FORWARDED_FOR, digest};

/// A PUT (RFC 9110 §9.3.4), but for its bytes: two that are equal and carry the same ask for the same, on the same ground,
/// for the same client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// On what ground it was made.
    pub ground: Ground,
    /// What its contents are said to be: the same bytes under another media type are another document.
    pub label: Label,
    /// Who it says it comes from.
    pub credentials: Credentials,
    /// Where it comes from. Behind a proxy in front, whoever connects is always the same.
    pub came: Came,
}

/// A digest of the preconditions that a request states, as it states them (RFC 9110 §13.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground(u128);

impl Ground {
    /// The ground that these fields state.
    pub fn of(fields: &HeaderMap) -> Self {
        Self(digest(fields, &PRECONDITIONS))
    }
}

/// A digest of the fields that say how contents are to be read (RFC 9110 §8.3 to §8.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(u128);

impl Label {
    /// The label that these fields put on contents.
    pub fn of(fields: &HeaderMap) -> Self {
        Self(digest(fields, &[CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE]))
    }
}

/// A digest of the addresses that a request has come from: the client's and those of the hops, each as the next one has
/// noted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came(u128);

impl Came {
    /// Where a request comes from whose fields are fit for the next hop: then X-Forwarded-For ends with whoever connected.
    pub fn of(fields: &HeaderMap) -> Self {
        Self(digest(fields, &[X_FORWARDED_FOR]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_media_type_or_coding_is_another_label() {
        let of = |fields: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                map.append(*name, value.parse().expect("a value"));
            }
            Label::of(&map)
        };
        let json = of(&[("content-type", "application/json")]);
        assert_eq!(json, of(&[("content-type", "application/json"), ("user-agent", "x")]));
        assert_ne!(json, of(&[]));
        assert_ne!(json, of(&[("content-type", "text/plain")]));
        assert_ne!(json, of(&[("content-encoding", "application/json")]));
        assert_ne!(json, of(&[("content-type", "application/json"), ("content-encoding", "gzip")]));
    }
}
