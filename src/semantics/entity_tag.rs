//! Entity-tags (RFC 9110 §8.8.3): ours, the upstream's, and what clients and hops make of them.

use std::fmt;

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderMap, HeaderValue};

use super::hex::hex;

/// A well-formed entity-tag: `[ W/ ] DQUOTE *etagc DQUOTE` (RFC 9110 §8.8.3).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntityTag {
    weak: bool,
    opaque: Bytes,
}

/// How two entity-tags are compared (RFC 9110 §8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Both must be strong, and their opaque-tags identical. If-Match asks for this.
    Strong,
    /// The opaque-tags must be identical. If-None-Match asks for this.
    Weak,
}

impl EntityTag {
    /// The strong entity-tag whose opaque-tag is the digest in lower-case hexadecimal.
    pub fn from_digest(digest: &[u8]) -> Self {
        Self { weak: false, opaque: hex(digest).into() }
    }

    /// An entity-tag with this opaque-tag, or nothing when the bytes cannot stand in one.
    pub fn new(weak: bool, opaque: &[u8]) -> Option<Self> {
        opaque
            .iter()
            .all(|byte| is_etagc(*byte))
            .then(|| Self { weak, opaque: Bytes::copy_from_slice(opaque) })
    }

    /// Reads one entity-tag exactly as RFC 9110 §8.8.3 writes it; anything else is nothing.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (weak, rest) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Self::new(weak, rest.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
    }

    /// Reads the value of an ETag field: one entity-tag with optional white space around it.
    pub fn from_field(value: &HeaderValue) -> Option<Self> {
        Self::parse(value.as_bytes().trim_ascii())
    }

    /// The ETag of an answer, if it is a single well-formed strong one.
    pub fn strong_from_fields(fields: &HeaderMap) -> Option<Self> {
        let mut values = fields.get_all(ETAG).iter();
        match (values.next().and_then(Self::from_field), values.next()) {
            (Some(tag), None) if !tag.weak => Some(tag),
            _ => None,
        }
    }

    /// True when the tag is marked `W/`: it says only that two representations serve the same purpose.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// What stands between the quotes.
    pub fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// Compares as RFC 9110 §8.8.3.2 says.
    pub fn matches(&self, other: &Self, comparison: Comparison) -> bool {
        match comparison {
            Comparison::Strong => !self.weak && !other.weak && self.opaque == other.opaque,
            Comparison::Weak => self.opaque == other.opaque,
        }
    }

    /// The tag as a field value.
    pub fn to_field(&self) -> HeaderValue {
        let mut text = Vec::with_capacity(self.opaque.len() + 4);
        if self.weak {
            text.extend_from_slice(b"W/");
        }
        text.push(b'"');
        text.extend_from_slice(&self.opaque);
        text.push(b'"');
        HeaderValue::from_maybe_shared(Bytes::from(text))
            .expect("an opaque-tag holds only bytes that a field value may hold")
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", String::from_utf8_lossy(&self.opaque))
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `etagc = %x21 / %x23-7E / obs-text` (RFC 9110 §8.8.3).
pub(super) fn is_etagc(byte: u8) -> bool {
    byte == 0x21 || (0x23..=0x7e).contains(&byte) || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comparison_table_of_rfc_9110_holds() {
        // RFC 9110 §8.8.3.2, row by row: tag, tag, strong comparison, weak comparison.
        for (left, right, strong, weak) in [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
        ] {
            let (left, right) = (EntityTag::parse(left.as_bytes()), EntityTag::parse(right.as_bytes()));
            let (left, right) = (left.expect("well-formed"), right.expect("well-formed"));
            assert_eq!(left.matches(&right, Comparison::Strong), strong, "{left} {right} strong");
            assert_eq!(left.matches(&right, Comparison::Weak), weak, "{left} {right} weak");
        }
    }

    #[test]
    fn only_the_grammar_of_the_rfc_is_an_entity_tag() {
        for text in [r#""""#, r#""a""#, r#"W/"a""#, r#""a,b""#, "\"\u{e9}\""] {
            assert!(EntityTag::parse(text.as_bytes()).is_some(), "{text} is an entity-tag");
        }
        for text in ["", "a", "\"", r#"w/"a""#, r#""a"#, r#"a""#, r#""a b""#, r#""a"b""#, "*", r#""a" "#] {
            assert!(EntityTag::parse(text.as_bytes()).is_none(), "{text} is no entity-tag");
        }
    }

    #[test]
    fn a_digest_becomes_lower_case_hexadecimal() {
        assert_eq!(EntityTag::from_digest(&[0x00, 0xab, 0xff]).to_string(), "\"00abff\"");
    }
}
