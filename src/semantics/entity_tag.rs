//! Entity-tags (RFC 9110 §8.8.3): ours, the upstream's, and what clients and hops make of them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderMap, HeaderValue};

use super::hex;

/// How long an opaque-tag may be that is kept where its entity-tag is, in bytes; digests may be longer.
const SHORT: usize = 21;

/// A well-formed entity-tag: `[ W/ ] DQUOTE *etagc DQUOTE` (RFC 9110 §8.8.3).
///
/// There are many of them, on the way and in memory, and nearly all are digests or short. So these take 24 bytes and
/// nothing elsewhere.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntityTag(Form);

/// Whether it is weak, and what stands between the quotes. What has the form of a digest is always kept as one, and what
/// is short always as a [`Form::Short`], so that equal tags have equal forms.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// 40 lower-case hexadecimal digits.
    Sha1(bool, [u8; 20]),
    /// 32 lower-case hexadecimal digits.
    Xxh3(bool, [u8; 16]),
    /// As many bytes as its second member says; zeros follow.
    Short(bool, u8, [u8; SHORT]),
    Long(bool, Arc<[u8]>),
}

/// What stands between the quotes of an entity-tag.
#[derive(Debug, Clone, Copy)]
pub struct OpaqueTag<'a>(Text<'a>);

#[derive(Debug, Clone, Copy)]
enum Text<'a> {
    Digits([u8; 40], usize),
    Bytes(&'a [u8]),
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
        if let Ok(digest) = digest.try_into() {
            return Self(Form::Sha1(false, digest));
        }
        if let Ok(digest) = digest.try_into() {
            return Self(Form::Xxh3(false, digest));
        }
        Self(Form::of_text(false, hex::hex(digest).as_bytes()))
    }

    /// An entity-tag with this opaque-tag, or nothing when the bytes cannot stand in one.
    pub fn new(weak: bool, opaque: &[u8]) -> Option<Self> {
        let form = Form::of_digits(weak, opaque)
            .or_else(|| opaque.iter().all(|byte| is_etagc(*byte)).then(|| Form::of_text(weak, opaque)))?;
        Some(Self(form))
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
            (Some(tag), None) if !tag.is_weak() => Some(tag),
            _ => None,
        }
    }

    /// True when the tag is marked `W/`: it says only that two representations serve the same purpose.
    pub fn is_weak(&self) -> bool {
        match self.0 {
            Form::Sha1(weak, _) | Form::Xxh3(weak, _) | Form::Short(weak, ..) | Form::Long(weak, _) => weak,
        }
    }

    /// What stands between the quotes.
    pub fn opaque(&self) -> OpaqueTag<'_> {
        OpaqueTag(match &self.0 {
            Form::Sha1(_, digest) => Text::of_digest(digest),
            Form::Xxh3(_, digest) => Text::of_digest(digest),
            Form::Short(_, length, text) => Text::Bytes(&text[..usize::from(*length)]),
            Form::Long(_, text) => Text::Bytes(text),
        })
    }

    /// What it takes elsewhere, in bytes.
    pub fn apart(&self) -> u64 {
        match &self.0 {
            Form::Long(_, text) => text.len() as u64,
            _ => 0,
        }
    }

    /// Compares as RFC 9110 §8.8.3.2 says.
    pub fn matches(&self, other: &Self, comparison: Comparison) -> bool {
        let is_same = match (&self.0, &other.0) {
            (Form::Sha1(_, ours), Form::Sha1(_, theirs)) => ours == theirs,
            (Form::Xxh3(_, ours), Form::Xxh3(_, theirs)) => ours == theirs,
            // No opaque-tag has zeros.
            (Form::Short(_, _, ours), Form::Short(_, _, theirs)) => ours == theirs,
            (Form::Long(_, ours), Form::Long(_, theirs)) => ours == theirs,
            _ => false,
        };
        is_same && (comparison == Comparison::Weak || !self.is_weak() && !other.is_weak())
    }

    /// The tag as a field value.
    pub fn to_field(&self) -> HeaderValue {
        let (weak, opaque) = (if self.is_weak() { &b"W/"[..] } else { b"" }, self.opaque());
        HeaderValue::from_maybe_shared(Bytes::from([weak, b"\"", &opaque, b"\""].concat()))
            .expect("an opaque-tag holds only bytes that a field value may hold")
    }
}

impl Form {
    /// That of hexadecimal digits as a digest has them; nothing for any other text.
    fn of_digits(weak: bool, text: &[u8]) -> Option<Self> {
        match text.len() {
            40 => Some(Self::Sha1(weak, hex::read(text)?)),
            32 => Some(Self::Xxh3(weak, hex::read(text)?)),
            _ => None,
        }
    }

    /// That of a text that is no digest's.
    fn of_text(weak: bool, text: &[u8]) -> Self {
        match u8::try_from(text.len()) {
            Ok(length) if text.len() <= SHORT => {
                let mut short = [0; SHORT];
                short[..text.len()].copy_from_slice(text);
                Self::Short(weak, length, short)
            }
            _ => Self::Long(weak, text.into()),
        }
    }
}

impl Text<'_> {
    fn of_digest(digest: &[u8]) -> Self {
        let mut digits = [0; 40];
        hex::write(digest, &mut digits);
        Self::Digits(digits, 2 * digest.len())
    }
}

impl Deref for OpaqueTag<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Text::Digits(digits, length) => &digits[..*length],
            Text::Bytes(bytes) => bytes,
        }
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.is_weak() { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", String::from_utf8_lossy(&self.opaque()))
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
        for length in [1, 16, 20, 32] {
            let tag = EntityTag::from_digest(&vec![0xa5; length]);
            assert_eq!(tag.to_string(), format!("\"{}\"", "a5".repeat(length)));
            assert_eq!(EntityTag::parse(tag.to_string().as_bytes()), Some(tag));
        }
    }

    #[test]
    fn what_is_remembered_for_each_document_is_small() {
        assert_eq!(size_of::<EntityTag>(), 24);
        assert_eq!(size_of::<Option<EntityTag>>(), 24);
    }

    proptest::proptest! {
        /// In whichever form they are kept: those that are alike are one tag, and others are not.
        #[test]
        fn tags_are_compared_by_their_text(
            opaques in proptest::collection::vec("[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-fA-F]{40}|a{0,45}|[!#-~]{0,45}", 2),
            weak in proptest::array::uniform2(proptest::bool::ANY),
            is_same: bool,
        ) {
            let opaques = [&opaques[0], &opaques[usize::from(!is_same)]];
            let [left, right] = [0, 1].map(|at| EntityTag::new(weak[at], opaques[at].as_bytes()).expect("etagc"));
            proptest::prop_assert_eq!(&*left.opaque(), opaques[0].as_bytes());
            proptest::prop_assert_eq!(left.is_weak(), weak[0]);
            let is_alike = opaques[0] == opaques[1];
            proptest::prop_assert_eq!(left.matches(&right, Comparison::Weak), is_alike);
            proptest::prop_assert_eq!(left.matches(&right, Comparison::Strong), is_alike && weak == [false; 2]);
            proptest::prop_assert_eq!(left == right, is_alike && weak[0] == weak[1]);
        }
    }
}
