//! What distinguishes one LRS from another. The provided methods are what most of them do.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value};
use sha1::Digest;
use time::OffsetDateTime;

use crate::address::Resource;
use crate::cors::Cors;
use crate::documents::Document;

/// The family of the standard that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// 1.0.x, and whatever is not 2.x.
    One,
    /// 2.x (IEEE 9274.1.1).
    Two,
}

/// A write on one document, as far as its preconditions matter.
pub(crate) struct Attempt<'a> {
    pub(crate) resource: Resource,
    pub(crate) method: &'a Method,
    pub(crate) version: Version,
    /// A field without a value is as good as none to all of them.
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    /// What the document holds, as the LRS read it some time before it stores.
    pub(crate) current: Option<&'a Document>,
}

/// What an LRS makes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is carried out.
    Apply,
    /// It is answered as if it had been, and nothing is stored.
    Pretend,
    /// It is refused with this status.
    Refuse(u16),
}

/// The manners of an LRS.
pub(crate) trait Manners: Send + Sync {
    /// Its ETag of what was stored, with the quotes.
    fn tag(&self, stored: &[u8]) -> String {
        sha1_tag(stored)
    }

    /// Whether a precondition field names the document with this tag, quotes included.
    fn names(&self, field: &str, tag: &str) -> bool;

    /// What a PUT gets that states nothing, if it is refused.
    fn unconditional_put(&self, resource: Resource, version: Version, exists: bool) -> Option<u16>;

    /// Whether a write is carried out: If-Match first, then If-None-Match; PUT alone must state something.
    fn judge(&self, attempt: &Attempt<'_>) -> Verdict {
        let names = |field: &str| attempt.current.is_some_and(|current| self.names(field, &current.tag));
        if let Some(field) = attempt.if_match
            && !names(field)
        {
            return Verdict::Refuse(412);
        }
        if let Some(field) = attempt.if_none_match
            && attempt.current.is_some()
            && (field == "*" || names(field))
        {
            return Verdict::Refuse(412);
        }
        let is_unconditional = attempt.if_match.is_none() && attempt.if_none_match.is_none();
        let refusal = (is_unconditional && attempt.method == Method::PUT)
            .then(|| self.unconditional_put(attempt.resource, attempt.version, attempt.current.is_some()));
        refusal.flatten().map_or(Verdict::Apply, Verdict::Refuse)
    }

    /// Whether reading, judging and storing are one step, so that of simultaneous writers only one wins.
    fn is_atomic(&self) -> bool {
        false
    }

    /// Whether two creations at the same time make two rows of one document, over which every later request trips (500).
    fn doubles(&self) -> bool {
        false
    }

    /// Whether a request without registration means State of whatever registration.
    fn any_registration(&self) -> bool {
        false
    }

    /// The status of a DELETE of what is not there.
    fn delete_of_missing(&self, _resource: Resource) -> u16 {
        204
    }

    /// The status for a PUT without a body, if it is refused.
    fn empty_put(&self, _resource: Resource) -> Option<u16> {
        Some(400)
    }

    /// The status for contents that are not UTF-8, if they are refused.
    fn not_utf8(&self) -> Option<u16> {
        None
    }

    /// The status for a JSON array or scalar that is merged into an object.
    fn not_an_object(&self) -> u16 {
        400
    }

    /// How a merged document is printed before it is stored.
    fn merged(&self, members: Map<String, Value>) -> String {
        Value::Object(members).to_string()
    }

    /// The Content-Type of a document, made of the one that it came with.
    fn content_type<'t>(&self, given: &'t str, _contents: &[u8]) -> Cow<'t, str> {
        given.into()
    }

    /// The bytes that a reader of JSON is served.
    fn served(&self, stored: &Bytes) -> Bytes {
        stored.clone()
    }

    /// Whether documents come in chunks instead of with a Content-Length.
    fn chunks(&self) -> bool {
        false
    }

    /// The ETag of a list of ids.
    fn tag_of_list(&self, _list: &[u8]) -> Option<String> {
        None
    }

    /// The ETag of a 404.
    fn tag_of_missing(&self, _text: &[u8]) -> Option<String> {
        None
    }

    /// Whether the answer to a PUT or POST carries the new ETag.
    fn tags_writes(&self) -> bool {
        false
    }

    /// The Last-Modified of a document.
    fn last_modified(&self, at: OffsetDateTime) -> Option<String>;

    /// The X-Experience-API-Version of an answer.
    fn version(&self, asked: Version) -> &'static str {
        match asked {
            Version::One => "1.0.3",
            Version::Two => "2.0.0",
        }
    }

    /// Whether the alternate request syntax is understood: a POST with `?method=` whose form holds everything else.
    fn alternate_syntax(&self, version: Version) -> bool {
        version == Version::One
    }

    /// What pages of other origins may do.
    fn cors(&self) -> Cors {
        Cors::Open
    }
}

/// The SHA-1 of bytes as an ETag.
pub(crate) fn sha1_tag(bytes: &[u8]) -> String {
    format!("\"{}\"", sha1_hex(bytes))
}

/// The SHA-1 of bytes in lower-case hex.
pub(crate) fn sha1_hex(bytes: &[u8]) -> String {
    sha1::Sha1::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

/// A media type without its parameters.
pub(crate) fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Whether a media type is JSON's.
pub(crate) fn is_json(media_type: &str) -> bool {
    essence(media_type).eq_ignore_ascii_case("application/json")
}
