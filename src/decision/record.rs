//! The record of one decision, as it is kept, written down as JSON, and read again.

use std::borrow::Cow;
use std::sync::Arc;

use compact_str::{CompactString, ToCompactString};
use http::HeaderName;
use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::facts::Facts;
use super::pseudonym::Pseudonym;
use crate::guard::policy::Mode;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::XAPI_VERSION;
use crate::semantics::preconditions::{Condition, Matching, Preconditions, Stated as Member};
use crate::semantics::representation::{Current, Representation};

/// A word of a closed set, as it is told in logs.
pub type Word = Cow<'static, str>;

/// What was decided of one write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When the exchange was over (RFC 3339, in milliseconds).
    pub time: CompactString,
    /// What hops in front call the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<CompactString>,
    /// The name of the resource.
    pub resource: Arc<str>,
    /// Where its rule was written, as in `staleguard.toml:14`.
    pub rule: Arc<str>,
    /// The rule's mode.
    #[serde(with = "ModeName")]
    pub mode: Mode,
    /// The method of the plain request.
    pub method: CompactString,
    /// The status of the answer; 499 and 0 as in the access log.
    pub status: u16,
    /// The verdict, or why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Word>,
    /// What an enforcing proxy comes to; without observe mode this is what was done.
    pub would_be: WouldBe,
    /// Who sent it.
    pub client: Client,
    /// The address that it came from: two devices that share a credential and a program are told apart by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Pseudonym>,
    /// The document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Pseudonym>,
    /// What is held for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Pseudonym>,
    /// Whether it is all documents of the scope.
    #[serde(default, skip_serializing_if = "is_false")]
    pub collection: bool,
    /// X-Experience-API-Version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<CompactString>,
    /// Its preconditions.
    pub stated: Stated,
    /// What the resource was found to hold; nothing where nobody asked or was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// By which entity-tag the client named what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Word>,
    /// What it took for a stated entity-tag to name what was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<Word>,
    /// Whether it states an entity-tag that its peer was given only just before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspicious: bool,
    /// Whether it came in xAPI's alternate syntax.
    #[serde(default, skip_serializing_if = "is_false")]
    pub alternate: bool,
    /// Whether what was found was known without asking.
    #[serde(default, skip_serializing_if = "is_false")]
    pub recalled: bool,
    /// How long it waited for its hold, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<f64>,
    /// How long the upstream was asked, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_ms: Option<f64>,
}

/// What an enforcing proxy comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldBe {
    /// The verdict, or why there is none.
    pub verdict: Word,
    /// The status of the answer that it makes; nothing where the answer is the upstream's, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// The preconditions of a write. What cannot be understood is not recorded, since it may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stated {
    /// `none`, `if-match`, `if-none-match`, `star`, `both` or `malformed`.
    pub kind: Word,
    /// If-Match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<CompactString>,
    /// If-None-Match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_none_match: Option<CompactString>,
    /// Whether a field is too long to be recorded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

/// What a resource was found to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Our entity-tag; nothing where there is no representation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<CompactString>,
    /// The upstream's own, as it has sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<CompactString>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Mode", rename_all = "lowercase")]
enum ModeName {
    Enforce,
    Observe,
}

/// The longest field that is recorded, in bytes: several entity-tags of any kind.
const LONGEST: usize = 512;

impl Decision {
    /// The record of a write of which only the facts are known.
    pub fn of(facts: Facts, resource: Arc<str>, mode: Mode) -> Self {
        let Facts { method, rule, request, client, from, version, stated, named, found } = facts;
        // A method is any token, and no more of it is kept than anybody reads.
        let method = method.as_str();
        Self {
            time: CompactString::default(),
            request,
            resource,
            rule,
            mode,
            method: method.get(..24).unwrap_or(method).into(),
            status: 0,
            verdict: None,
            would_be: WouldBe { verdict: "none".into(), status: None },
            client,
            from,
            document: named.map(|named| named.document),
            scope: named.map(|named| named.scope),
            collection: named.is_some_and(|named| named.is_collection),
            version,
            stated,
            found,
            named: None,
            repairs: Vec::new(),
            suspicious: false,
            alternate: false,
            recalled: false,
            hold_ms: None,
            probe_ms: None,
        }
    }

    /// The fields of the request that policies go by, as far as they are recorded.
    pub fn fields(&self) -> HeaderMap {
        let put = |name: HeaderName, text: &Option<CompactString>| {
            text.as_deref().and_then(|text| HeaderValue::from_str(text).ok()).map(|value| (name, value))
        };
        let fields = [
            put(XAPI_VERSION, &self.version),
            put(IF_MATCH, &self.stated.if_match),
            put(IF_NONE_MATCH, &self.stated.if_none_match),
        ];
        fields.into_iter().flatten().collect()
    }
}

impl Stated {
    /// What these fields state.
    pub fn of(fields: &HeaderMap) -> Self {
        let stated = Preconditions::from_fields(fields, Matching::Lenient);
        let text = |condition: &Option<Condition>| match condition.as_ref()? {
            Condition::Any => Some("*".into()),
            Condition::QuotedAny => Some("\"*\"".into()),
            Condition::Malformed => None,
            tags @ Condition::Tags(_) => Some(CompactString::from_utf8_lossy(tags.to_field()?.as_bytes())),
        };
        let (if_match, if_none_match) = (text(&stated.if_match), text(&stated.if_none_match));
        let is_long = |text: &Option<CompactString>| text.as_ref().is_some_and(|text| text.len() > LONGEST);
        let cut = is_long(&if_match) || is_long(&if_none_match);
        let short = |text: Option<CompactString>| text.filter(|text| text.len() <= LONGEST);
        Self {
            kind: kind(&stated).into(),
            if_match: short(if_match),
            if_none_match: short(if_none_match),
            cut,
        }
    }
}

fn kind(stated: &Preconditions) -> &'static str {
    let is_star = |condition: &Condition| matches!(condition, Condition::Any | Condition::QuotedAny);
    match (&stated.if_match, &stated.if_none_match) {
        _ if stated.is_malformed() => "malformed",
        (None, None) => "none",
        (Some(_), Some(_)) => "both",
        (Some(one), None) | (None, Some(one)) if is_star(one) => "star",
        (Some(_), None) => "if-match",
        (None, Some(_)) => "if-none-match",
    }
}

impl Found {
    /// What was found, with the upstream's own entity-tag as it was sent.
    pub fn of(found: &Representation, theirs: Option<&HeaderValue>) -> Self {
        let Representation::Current(current) = found else { return Self { tag: None, upstream: None } };
        let sent = theirs.and_then(|value| value.to_str().ok()).map(CompactString::from);
        let upstream = sent.or_else(|| current.upstream_tag.as_ref().map(EntityTag::to_compact_string));
        Self {
            tag: Some(current.tag.to_compact_string()),
            upstream: upstream.filter(|text| text.len() <= LONGEST),
        }
    }

    /// The same as what it was taken from.
    pub fn representation(&self) -> Representation {
        let Some(tag) = self.tag.as_deref().and_then(|text| EntityTag::parse(text.as_bytes())) else {
            return Representation::Missing;
        };
        let upstream_tag = self.upstream.as_deref().and_then(|text| EntityTag::parse(text.as_bytes()));
        let upstream_tag = upstream_tag.filter(|tag| !tag.is_weak());
        Representation::Current(Current { tag, upstream_tag, alias: None })
    }

    /// The upstream's own entity-tag in whatever form it was sent.
    pub fn theirs(&self) -> Option<Member> {
        Member::read(&HeaderValue::from_str(self.upstream.as_deref()?).ok()?)
    }
}

fn is_false(is: &bool) -> bool {
    !is
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::decision::pseudonym::Pseudonyms;
    use crate::resource::{ResourceKey, Scope};

    fn stated(fields: &[(HeaderName, &str)]) -> Stated {
        let fields = fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value")));
        Stated::of(&fields.collect())
    }

    #[test]
    fn preconditions_are_told_by_their_kind() {
        let long = format!("\"{}\"", "x".repeat(600));
        for (fields, kind, recorded) in [
            (&[][..], "none", None),
            (&[(IF_MATCH, "\"a\", W/\"b\"")], "if-match", Some("\"a\", W/\"b\"")),
            (&[(IF_MATCH, "a")], "if-match", Some("a")),
            (&[(IF_MATCH, "*")], "star", Some("*")),
            (&[(IF_NONE_MATCH, "*")], "star", None),
            (&[(IF_NONE_MATCH, "\"a\"")], "if-none-match", None),
            (&[(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "*")], "both", Some("\"a\"")),
            (&[(IF_MATCH, "\"a bob@example.com")], "malformed", None),
            (&[(IF_MATCH, &long)], "if-match", None),
        ] {
            let stated = stated(fields);
            assert_eq!((&*stated.kind, stated.if_match.as_deref()), (kind, recorded), "{fields:?}");
            assert_eq!(stated.cut, fields.iter().any(|(_, value)| value.len() > LONGEST));
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_names_nobody() {
        let request = Request::put("/?agent=bob").header("if-match", "\"a\"").header("x-request-id", "r-1");
        let request =
            request.header("x-experience-api-version", "1.0.3").header("authorization", "Basic bob");
        let (head, ()) = request.header("user-agent", "bob@x").body(()).expect("a request").into_parts();
        let pseudonyms = Pseudonyms::new();
        let mut facts = Facts::of(&head, &"f.toml:1".into(), &pseudonyms);
        facts.names(
            &ResourceKey::new("state", [Some("bob")]),
            Scope::new("state", ["bob"]),
            true,
            &pseudonyms,
        );
        let tag = EntityTag::from_digest(&[1; 20]);
        let found = Representation::Current(Current { tag, upstream_tag: None, alias: None });
        let told = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("W/\"t\""))]);
        facts.found(&found, &told);
        let decision = Decision::of(facts, "state".into(), Mode::Observe);
        let line = serde_json::to_string(&decision).expect("a string takes it");
        assert!(!line.contains("bob"), "{line}");
        let read: Decision = serde_json::from_str(&line).expect("a record");
        assert_eq!(read, decision);
        let read_found = read.found.expect("it was found");
        assert_eq!(read_found.representation(), found);
        assert!(read_found.theirs().is_some());
        assert_eq!(decision.fields().len(), 2);
    }
}
