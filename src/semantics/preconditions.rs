//! What a client stated about the representation it means to read or to change (RFC 9110 §13.1).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use super::entity_tag::{Comparison, EntityTag, is_etagc};
use super::repair::{Repair, Repairs};
use super::representation::Current;

/// The preconditions of one request, as they were understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preconditions {
    /// If-Match (RFC 9110 §13.1.1).
    pub if_match: Option<Condition>,
    /// If-None-Match (RFC 9110 §13.1.2).
    pub if_none_match: Option<Condition>,
}

/// One precondition field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `*`: any current representation.
    Any,
    /// `"*"`, which stands for `*` unless matching is strict.
    QuotedAny,
    /// A list of entity-tags; at least one.
    Tags(Vec<Stated>),
    /// The field is there and cannot be understood. It must never become "no precondition".
    Malformed,
}

/// One member of a precondition's list, with the form it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    tag: EntityTag,
    quoting: Quoting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Once,
    Never,
    Twice,
}

/// Whether the forms that clients and hops make of our entity-tags are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matching {
    /// Unquoted, doubly quoted, upper-case, weakened and suffixed forms of our tag name our tag.
    #[default]
    Lenient,
    /// Only what RFC 9110 §8.8.3.2 says.
    Strict,
}

/// The most members of a list that are understood. What waits for a hold keeps them all, and nobody has held so many
/// representations of one document.
const MEMBERS_MAX: usize = 1000;

/// The content codings that servers and hops append to an opaque-tag when they compress.
const CODINGS: [&[u8]; 4] = [b"gzip", b"br", b"zstd", b"deflate"];

impl Preconditions {
    /// Reads both fields of a request. Several lines of one field are one list (RFC 9110 §5.3).
    pub fn from_fields(fields: &HeaderMap, matching: Matching) -> Self {
        let read = |name| {
            let mut lines = fields.get_all(name).iter().map(HeaderValue::as_bytes);
            let mut list = Cow::from(lines.next()?);
            for line in lines {
                list.to_mut().extend_from_slice(b",");
                list.to_mut().extend_from_slice(line);
            }
            Some(Condition::parse(&list, matching))
        };
        Self { if_match: read(IF_MATCH), if_none_match: read(IF_NONE_MATCH) }
    }

    /// What the client would have stated if it had been given `ours` where the upstream gave it `theirs`.
    ///
    /// What is a tag of the upstream as it is compared anyway stays what it is.
    pub fn given(&self, ours: &EntityTag, theirs: &Stated) -> Self {
        let becomes = |stated: &Stated| match stated.given(ours, theirs) {
            Some(given) if *stated != *theirs || stated.quoting != Quoting::Once || stated.tag.is_weak() => {
                Member::Replaced(given)
            }
            Some(_) | None => Member::Kept,
        };
        let given = |condition: &Option<Condition>| condition.as_ref()?.rewritten(becomes);
        Self { if_match: given(&self.if_match), if_none_match: given(&self.if_none_match) }
    }

    /// What was read leniently, as this matching understands it.
    pub fn under(self, matching: Matching) -> Self {
        let under = |condition: Option<Condition>| condition.map(|read| read.under(matching));
        Self { if_match: under(self.if_match), if_none_match: under(self.if_none_match) }
    }

    /// True when either field lists an entity-tag that is like this.
    pub fn lists(&self, is_like: impl Fn(&Stated) -> bool) -> bool {
        [&self.if_match, &self.if_none_match].into_iter().flatten().any(|condition| match condition {
            Condition::Tags(tags) => tags.iter().any(&is_like),
            Condition::Any | Condition::QuotedAny | Condition::Malformed => false,
        })
    }

    /// True when the client stated nothing at all.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// True when one of the fields is there and cannot be understood.
    pub fn is_malformed(&self) -> bool {
        [&self.if_match, &self.if_none_match].into_iter().flatten().any(|c| *c == Condition::Malformed)
    }
}

/// What becomes of one member of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// It stays as it was stated.
    Kept,
    /// It is taken out.
    TakenOut,
    /// This one stands in its place.
    Replaced(Stated),
}

impl Condition {
    /// Reads `"*" / #entity-tag` (RFC 9110 §13.1.1). An empty list cannot be understood.
    pub fn parse(text: &[u8], matching: Matching) -> Self {
        let read = match text.trim_ascii() {
            b"*" => Self::Any,
            b"\"*\"" => Self::QuotedAny,
            _ => match members(text) {
                Some(tags) if !tags.is_empty() => Self::Tags(tags),
                Some(_) | None => Self::Malformed,
            },
        };
        read.under(matching)
    }

    /// What was read leniently, as this matching understands it.
    fn under(self, matching: Matching) -> Self {
        match self {
            read if matching == Matching::Lenient => read,
            Self::QuotedAny => match EntityTag::new(false, b"*") {
                Some(tag) => Self::Tags(vec![Stated { tag, quoting: Quoting::Once }]),
                None => Self::Malformed,
            },
            Self::Tags(tags) if tags.iter().any(|tag| tag.quoting != Quoting::Once) => Self::Malformed,
            read => read,
        }
    }

    /// Whether the field names the current representation, as `*` does and a list with one fitting member, and which
    /// repairs that took.
    ///
    /// A list that names it as RFC 9110 says took none, whatever its other members look like.
    pub fn names(&self, current: &Current, comparison: Comparison, matching: Matching) -> Option<Repairs> {
        match self {
            Self::Any => Some(Repairs::NONE),
            Self::QuotedAny => Some(Repairs::NONE.with(Repair::QuotedStar, true)),
            Self::Tags(tags) => {
                let mut naming = tags.iter().filter_map(|tag| tag.names(current, comparison, matching));
                let first = naming.next()?;
                Some(if naming.any(Repairs::is_empty) { Repairs::NONE } else { first })
            }
            Self::Malformed => None,
        }
    }

    /// The same list after each of its members became what `becomes` says; nothing where no member is left, and the
    /// condition as it was where none changed.
    pub fn rewritten(&self, becomes: impl Fn(&Stated) -> Member) -> Option<Self> {
        let Self::Tags(tags) = self else { return Some(self.clone()) };
        let rewritten = tags.iter().filter_map(|stated| match becomes(stated) {
            Member::Kept => Some(stated.clone()),
            Member::TakenOut => None,
            Member::Replaced(other) => Some(other),
        });
        let tags: Vec<Stated> = rewritten.collect();
        (!tags.is_empty()).then_some(Self::Tags(tags))
    }

    /// A list as a field value, each member in the form in which it was stated; nothing for what is no list.
    pub fn to_field(&self) -> Option<HeaderValue> {
        let Self::Tags(tags) = self else { return None };
        let mut list = Vec::new();
        for stated in tags {
            if !list.is_empty() {
                list.extend_from_slice(b", ");
            }
            stated.write_to(&mut list);
        }
        HeaderValue::from_maybe_shared(Bytes::from(list)).ok()
    }

    /// The entity-tags that the field lists; none for `*`.
    pub fn tags(&self) -> impl Iterator<Item = &EntityTag> {
        let listed = match self {
            Self::Tags(tags) => tags.as_slice(),
            Self::Any | Self::QuotedAny | Self::Malformed => &[],
        };
        listed.iter().map(|stated| &stated.tag)
    }
}

impl Stated {
    /// Reads one entity-tag in any form that servers and clients give it.
    pub fn read(value: &HeaderValue) -> Option<Self> {
        match members(value.as_bytes())?.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// Whether this is a form of a tag of ours, whose opaque-tags are the hexadecimal digits of digests with this many
    /// bytes.
    pub fn is_of_digest(&self, bytes: usize) -> bool {
        let opaque = self.tag.opaque();
        let opaque = without_coding(&opaque);
        opaque.len() == 2 * bytes && opaque.iter().all(u8::is_ascii_hexdigit)
    }

    /// What this would be if its client had been given `ours` where it was given `theirs`; nothing where it is no form of
    /// `theirs`.
    ///
    /// What was done to the one on the way would have been done to the other.
    pub fn given(&self, ours: &EntityTag, theirs: &Self) -> Option<Self> {
        let (opaque, given) = (self.tag.opaque(), theirs.tag.opaque());
        let suffix = opaque.strip_prefix(&*given)?;
        let is_suffixed = without_coding(&opaque) == &*given;
        (suffix.is_empty() || is_suffixed).then_some(())?;
        let weak = self.tag.is_weak() && !theirs.tag.is_weak();
        let quoting = if self.quoting == theirs.quoting { Quoting::Once } else { self.quoting };
        Some(Self { tag: EntityTag::new(weak, &[&*ours.opaque(), suffix].concat())?, quoting })
    }

    /// Whether this is a form of a tag of ours.
    pub fn is_form_of_ours(&self, ours: &EntityTag) -> bool {
        self.as_form_of(ours, Comparison::Weak).is_some()
    }

    /// Whether this is a form of another one, as hops and clients change it.
    pub fn is_form_of(&self, other: &Self) -> bool {
        self.given(&other.tag, other).is_some()
    }

    /// Writes it in the form in which it was stated.
    fn write_to(&self, list: &mut Vec<u8>) {
        let (weak, opaque) = (if self.tag.is_weak() { &b"W/"[..] } else { b"" }, self.tag.opaque());
        let quotes = match self.quoting {
            Quoting::Once => &b"\""[..],
            Quoting::Never => b"",
            Quoting::Twice => b"\"\"",
        };
        [weak, quotes, &opaque, quotes].into_iter().for_each(|part| list.extend_from_slice(part));
    }

    /// Whether this member names the current representation, by our tag, its alias, or the upstream's own, and which
    /// repairs that took.
    ///
    /// The repairs are for our tag and its alias alone: their opaque-tags are digests, so that a weakened or
    /// suffixed form of them still stands for exactly one sequence of bytes. Strict matching counts none, since what it
    /// accepts are tags that RFC 9110 lets an origin accept.
    fn names(&self, current: &Current, comparison: Comparison, matching: Matching) -> Option<Repairs> {
        let is_upstreams =
            || current.upstream_tag.as_ref().is_some_and(|upstream| self.tag.matches(upstream, comparison));
        let needed = if self.tag.matches(&current.tag, comparison) {
            Repairs::NONE
        } else if is_upstreams() {
            Repairs::NONE.with(Repair::UpstreamTag, true)
        } else if matching == Matching::Lenient {
            let as_alias = || {
                let repairs = self.as_form_of(current.alias.as_ref()?, comparison)?;
                Some(repairs.with(Repair::Alias, true))
            };
            self.as_form_of(&current.tag, comparison).or_else(as_alias)?
        } else {
            return None;
        };
        Some(match matching {
            Matching::Lenient => needed
                .with(Repair::Unquoted, self.quoting == Quoting::Never)
                .with(Repair::DoublyQuoted, self.quoting == Quoting::Twice),
            Matching::Strict => Repairs::NONE,
        })
    }

    /// What was done to our tag to make it this one, where it is one of its forms; quoting is seen to elsewhere.
    fn as_form_of(&self, ours: &EntityTag, comparison: Comparison) -> Option<Repairs> {
        let (stated, ours) = (self.tag.opaque(), ours.opaque());
        let opaque = without_coding(&stated);
        opaque.eq_ignore_ascii_case(&ours).then(|| {
            Repairs::NONE
                .with(Repair::UpperCase, opaque != &*ours)
                .with(Repair::Weak, comparison == Comparison::Strong && self.tag.is_weak())
                .with(Repair::CodingSuffix, opaque.len() < stated.len())
        })
    }
}

/// Takes the name of a coding off an opaque-tag: `-gzip`, `--gzip`, `;gzip` and the like.
fn without_coding(opaque: &[u8]) -> &[u8] {
    CODINGS
        .iter()
        .filter_map(|coding| opaque.strip_suffix(*coding))
        .find_map(|rest| [&b"--"[..], b"-", b";"].iter().find_map(|separator| rest.strip_suffix(*separator)))
        .unwrap_or(opaque)
}

/// Splits `#entity-tag` into its members; nothing when a member is no entity-tag in any known form, or there are too many.
///
/// Empty members are skipped, as RFC 9110 §5.6.1.2 asks of a recipient.
fn members(text: &[u8]) -> Option<Vec<Stated>> {
    let mut rest = text.trim_ascii();
    let mut members = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
            continue;
        }
        let (member, after) = member(rest)?;
        members.push(member);
        rest = after.trim_ascii_start();
        if members.len() > MEMBERS_MAX || !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
    }
    Some(members)
}

/// Reads one member and gives what stands behind it.
fn member(text: &[u8]) -> Option<(Stated, &[u8])> {
    let (weak, text) = match text.strip_prefix(b"W/") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (quoting, opaque, rest) = if let Some((opaque, rest)) = doubly_quoted(text) {
        (Quoting::Twice, opaque, rest)
    } else if let Some(quoted) = text.strip_prefix(b"\"") {
        let end = quoted.iter().position(|byte| *byte == b'"')?;
        (Quoting::Once, &quoted[..end], &quoted[end + 1..])
    } else {
        let end = text.iter().position(|byte| matches!(byte, b',' | b' ' | b'\t')).unwrap_or(text.len());
        // A lone star among other members, or nothing after `W/`, is not a tag.
        if end == 0 || &text[..end] == b"*" {
            return None;
        }
        (Quoting::Never, &text[..end], &text[end..])
    };
    Some((Stated { tag: EntityTag::new(weak, opaque)?, quoting }, rest))
}

/// Reads `""x""`, which is not the empty tag `""`: something other than a separator follows its first pair.
fn doubly_quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"\"")?;
    let end = inner.windows(2).position(|pair| pair == b"\"\"")?;
    let opaque = &inner[..end];
    let is_one_tag = !opaque.is_empty() && opaque.iter().all(|byte| is_etagc(*byte) && *byte != b',');
    is_one_tag.then(|| (opaque, &inner[end + 2..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

    fn current() -> Current {
        Current {
            tag: EntityTag::new(false, OURS.as_bytes()).expect("hexadecimal"),
            upstream_tag: EntityTag::new(false, b"Theirs-7"),
            alias: None,
        }
    }

    /// The repairs that it took for this text to name the current representation, if it does.
    fn repairs(text: &str, comparison: Comparison, matching: Matching) -> Option<Vec<&'static str>> {
        let named = Condition::parse(text.as_bytes(), matching).names(&current(), comparison, matching);
        named.map(|repairs| repairs.iter().map(Repair::as_str).collect())
    }

    fn names(text: &str, comparison: Comparison, matching: Matching) -> bool {
        repairs(text, comparison, matching).is_some()
    }

    #[test]
    fn forms_of_our_tag_that_clients_and_hops_make() {
        let upper = OURS.to_uppercase();
        // A form, and the repairs that the strong comparison takes; the weak one takes all of them but `weak`.
        for (form, counted) in [
            (format!("\"{OURS}\""), &[][..]),
            (OURS.to_owned(), &["unquoted"]),
            (format!("\"\"{OURS}\"\""), &["doubly-quoted"]),
            (format!("\"{upper}\""), &["upper-case"]),
            (upper.clone(), &["unquoted", "upper-case"]),
            (format!("W/\"{OURS}\""), &["weak"]),
            (format!("W/{OURS}"), &["unquoted", "weak"]),
            (format!("W/\"\"{upper}-br\"\""), &["doubly-quoted", "upper-case", "weak", "coding-suffix"]),
            (format!("\"{OURS}-gzip\""), &["coding-suffix"]),
            (format!("\"{OURS}--gzip\""), &["coding-suffix"]),
            (format!("\"{OURS};gzip\""), &["coding-suffix"]),
            (format!("\"{OURS}-br\""), &["coding-suffix"]),
            (format!("\"{OURS}-zstd\""), &["coding-suffix"]),
            (format!("\"{OURS}-deflate\""), &["coding-suffix"]),
            (format!("W/\"{OURS}-gzip\""), &["weak", "coding-suffix"]),
            (format!("\"other\", \"{OURS}\""), &[]),
            (format!("\"other\", {OURS}"), &["unquoted"]),
            (format!("W/\"{OURS}\", \"{OURS}\""), &[]),
            (format!("{OURS}, \"{OURS}-gzip\""), &["unquoted"]),
            (format!("W/\"other\", \"other-gzip\", OTHER, \"{OURS}\""), &[]),
            (format!(",, \"{OURS}\" ,"), &[]),
            ("*".to_owned(), &[]),
            ("\"*\"".to_owned(), &["quoted-star"]),
            ("\"Theirs-7\"".to_owned(), &["upstream-tag"]),
            ("Theirs-7".to_owned(), &["unquoted", "upstream-tag"]),
            (format!("\"Theirs-7\", \"{OURS}\""), &[]),
        ] {
            assert_eq!(
                repairs(&form, Comparison::Strong, Matching::Lenient).as_deref(),
                Some(counted),
                "{form}"
            );
            let counted: Vec<_> = counted.iter().copied().filter(|kind| *kind != "weak").collect();
            assert_eq!(repairs(&form, Comparison::Weak, Matching::Lenient), Some(counted), "{form}");
        }
    }

    #[test]
    fn a_tag_that_upstream_and_proxy_share_is_ours() {
        let current = Current { upstream_tag: Some(current().tag), ..current() };
        let stated = Condition::parse(format!("\"{OURS}\"").as_bytes(), Matching::Lenient);
        assert_eq!(stated.names(&current, Comparison::Strong, Matching::Lenient), Some(Repairs::NONE));
    }

    #[test]
    fn strict_matching_knows_only_the_rfc() {
        for form in [
            OURS.to_owned(),
            format!("\"\"{OURS}\"\""),
            format!("\"{}\"", OURS.to_uppercase()),
            format!("W/\"{OURS}\""),
            format!("\"{OURS}-gzip\""),
            "\"*\"".to_owned(),
        ] {
            assert!(!names(&form, Comparison::Strong, Matching::Strict), "{form} is a repaired form");
        }
        for (form, comparison) in [
            (format!("\"{OURS}\""), Comparison::Strong),
            (format!("W/\"{OURS}\""), Comparison::Weak),
            ("\"Theirs-7\"".to_owned(), Comparison::Strong),
            ("*".to_owned(), Comparison::Strong),
        ] {
            assert_eq!(repairs(&form, comparison, Matching::Strict), Some(vec![]), "{form}");
        }
    }

    #[test]
    fn what_is_not_ours_does_not_match() {
        for form in ["\"0000\"", "\"\"", "W/\"Theirs-7\"", "\"theirs-7\"", "\"Theirs-7-gzip\"", "\"gzip\""] {
            assert!(!names(form, Comparison::Strong, Matching::Lenient), "{form} names something else");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_never_no_precondition() {
        for text in [
            "",
            " ",
            ",",
            ", ,",
            "\"a",
            "a\"",
            "\"a\"b",
            "\"a\" \"b\"",
            "*, \"a\"",
            "\"a\", *",
            "W/",
            "\"a b\"",
        ] {
            assert_eq!(
                Condition::parse(text.as_bytes(), Matching::Lenient),
                Condition::Malformed,
                "{text:?}"
            );
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let mut fields = HeaderMap::new();
        fields.append(IF_MATCH, "\"a\"".parse().expect("a field value"));
        fields.append(IF_MATCH, format!("\"{OURS}\"").parse().expect("a field value"));
        let stated = Preconditions::from_fields(&fields, Matching::Strict);
        let if_match = stated.if_match.expect("stated");
        assert!(if_match.names(&current(), Comparison::Strong, Matching::Strict).is_some());
    }

    #[test]
    fn an_empty_field_is_stated_and_malformed() {
        let mut fields = HeaderMap::new();
        fields.append(IF_NONE_MATCH, "".parse().expect("a field value"));
        let stated = Preconditions::from_fields(&fields, Matching::Lenient);
        assert!(stated.is_malformed() && !stated.is_empty());
    }

    #[test]
    fn a_list_without_end_is_not_understood() {
        let list =
            |members: usize| Condition::parse(vec!["\"a\""; members].join(",").as_bytes(), Matching::Lenient);
        assert!(matches!(list(MEMBERS_MAX), Condition::Tags(_)));
        assert_eq!(list(MEMBERS_MAX + 1), Condition::Malformed);
    }

    fn opaque() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((0x21u8..=0xff).prop_filter("etagc", |b| is_etagc(*b) && *b != 0x7f), 0..24)
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text: Vec<u8>) {
            Condition::parse(&text, Matching::Lenient);
            Condition::parse(&text, Matching::Strict);
        }

        #[test]
        fn a_written_tag_is_read_back(weak: bool, opaque in opaque()) {
            let tag = EntityTag::new(weak, &opaque).expect("only etagc");
            prop_assert_eq!(EntityTag::from_field(&tag.to_field()), Some(tag));
        }

        #[test]
        fn a_list_holds_the_tags_it_was_made_of(opaques in prop::collection::vec(opaque(), 1..5)) {
            let tags: Vec<EntityTag> = opaques.iter().filter_map(|o| EntityTag::new(false, o)).collect();
            let text = tags.iter().map(|t| t.to_field().as_bytes().to_vec()).collect::<Vec<_>>().join(&b", "[..]);
            // The tag `*` alone is read as the star, leniently; strictly it is a tag like any other.
            let Condition::Tags(read) = Condition::parse(&text, Matching::Strict) else {
                return Err(TestCaseError::fail("a well-formed list was not understood"));
            };
            prop_assert_eq!(read.into_iter().map(|s| s.tag).collect::<Vec<_>>(), tags);
        }

        #[test]
        fn strict_accepts_nothing_that_lenient_refuses(text in "[ \"*,W/a-c]{0,12}") {
            for comparison in [Comparison::Strong, Comparison::Weak] {
                if names(&text, comparison, Matching::Strict) {
                    prop_assert!(names(&text, comparison, Matching::Lenient), "{}", text);
                }
            }
        }

        #[test]
        fn a_repair_is_counted_exactly_where_strict_matching_would_not_do(
            weak in "(W/)?",
            open in "\"{0,2}",
            opaque in "([A-Fa-f0-9]{40}|a9993e364706816aba3e25717850c26c9cd0d89d|A9993E364706816ABA3E25717850C26C9CD0D89D)",
            suffix in "(-gzip|--br|;zstd)?",
        ) {
            let text = format!("{weak}{open}{opaque}{suffix}{open}");
            for comparison in [Comparison::Strong, Comparison::Weak] {
                if let Some(repairs) = repairs(&text, comparison, Matching::Lenient) {
                    prop_assert_eq!(repairs.is_empty(), names(&text, comparison, Matching::Strict), "{}", text);
                }
            }
        }

        #[test]
        fn another_digest_never_matches(other in "[0-9a-f]{40}", suffix in "(-gzip|--gzip|;gzip|-br)?") {
            prop_assume!(other != OURS);
            let form = format!("\"{other}{suffix}\"");
            prop_assert!(!names(&form, Comparison::Weak, Matching::Lenient));
        }
    }
}
