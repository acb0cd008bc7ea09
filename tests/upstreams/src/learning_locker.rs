//! Learning Locker, xapi-service 3.6: preconditions count on profiles and are ignored on State, tags are random, and
//! JSON comes back printed anew.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Method;
use time::OffsetDateTime;

use crate::address::Resource;
use crate::dates;
use crate::json;
use crate::manners::{Attempt, Manners, Verdict, Version, essence, is_json, sha1_hex, sha1_tag};

pub(crate) struct LearningLocker;

impl Manners for LearningLocker {
    /// Another one with every write, whatever was written.
    fn tag(&self, _stored: &[u8]) -> String {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        sha1_tag(format!("{number}-{}", OffsetDateTime::now_utc()).as_bytes())
    }

    /// All quotes are taken off and the rest is compared: no lists, no `W/`, and `*` is a tag like any other.
    fn names(&self, field: &str, tag: &str) -> bool {
        field.replace('"', "") == tag.replace('"', "")
    }

    /// A profile must state something under every version: 409 over one that exists, 400 for a new one.
    fn unconditional_put(&self, _resource: Resource, _version: Version, exists: bool) -> Option<u16> {
        Some(if exists { 409 } else { 400 })
    }

    /// State: nothing that is stated counts. Profiles: not both fields at once; If-Match on one that is missing creates
    /// it; a PUT with If-None-Match and a tag over one that exists is answered as if it had been written.
    fn judge(&self, attempt: &Attempt<'_>) -> Verdict {
        if attempt.resource == Resource::State {
            return Verdict::Apply;
        }
        let is_put = attempt.method == Method::PUT;
        match (attempt.if_match, attempt.if_none_match, attempt.current) {
            (Some(_), Some(_), _) => Verdict::Refuse(400),
            (Some(field), None, Some(current)) if !self.names(field, &current.tag) => Verdict::Refuse(412),
            (None, Some("*"), Some(_)) if attempt.method != Method::DELETE => Verdict::Refuse(412),
            (None, Some(_), Some(_)) if is_put => Verdict::Pretend,
            (None, None, current) if is_put => self
                .unconditional_put(attempt.resource, attempt.version, current.is_some())
                .map_or(Verdict::Apply, Verdict::Refuse),
            _ => Verdict::Apply,
        }
    }

    /// The condition is part of the one command that stores.
    fn is_atomic(&self) -> bool {
        true
    }

    fn any_registration(&self) -> bool {
        true
    }

    /// State may be empty.
    fn empty_put(&self, resource: Resource) -> Option<u16> {
        (resource != Resource::State).then_some(400)
    }

    /// JSON loses its parameters; what only claims to be JSON is kept as text.
    fn content_type<'t>(&self, given: &'t str, contents: &[u8]) -> Cow<'t, str> {
        match (is_json(given), json::is_valid(contents)) {
            (true, true) => essence(given).into(),
            (true, false) => "text/plain".into(),
            (false, _) => given.into(),
        }
    }

    fn served(&self, stored: &Bytes) -> Bytes {
        json::JAVASCRIPT.print_anew(stored)
    }

    fn chunks(&self) -> bool {
        true
    }

    fn tag_of_list(&self, list: &[u8]) -> Option<String> {
        Some(express_tag(list))
    }

    fn tag_of_missing(&self, text: &[u8]) -> Option<String> {
        Some(express_tag(text))
    }

    fn last_modified(&self, at: OffsetDateTime) -> Option<String> {
        Some(dates::iso_8601(at))
    }

    fn version(&self, _asked: Version) -> &'static str {
        "1.0.3"
    }

    fn alternate_syntax(&self, _version: Version) -> bool {
        true
    }
}

/// What the Express framework puts on every answer that has no ETag yet: weak, of its length and its hash.
fn express_tag(body: &[u8]) -> String {
    format!("W/\"{:x}-{}\"", body.len(), sha1_hex(body))
}
