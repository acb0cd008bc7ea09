//! TRAX LRS 3: State has tags and no checks; on profiles PUT alone is checked; JSON comes back as PHP prints it.

use bytes::Bytes;
use http::Method;
use time::OffsetDateTime;

use crate::address::Resource;
use crate::cors::Cors;
use crate::json;
use crate::manners::{Attempt, Manners, Verdict, Version};

pub(crate) struct Trax;

impl Manners for Trax {
    /// `W/` is taken off and the rest is compared, quotes and all: no lists, and `*` is a tag like any other.
    fn names(&self, field: &str, tag: &str) -> bool {
        field.replace("W/", "") == tag
    }

    /// A profile must state something under every version: 409 over one that exists, 400 for a new one.
    fn unconditional_put(&self, _resource: Resource, _version: Version, exists: bool) -> Option<u16> {
        Some(if exists { 409 } else { 400 })
    }

    /// State, POST and DELETE: nothing that is stated counts.
    fn judge(&self, attempt: &Attempt<'_>) -> Verdict {
        if attempt.resource == Resource::State || attempt.method != Method::PUT {
            return Verdict::Apply;
        }
        let names = |field: &str| attempt.current.is_some_and(|current| self.names(field, &current.tag));
        match (attempt.if_match, attempt.if_none_match) {
            (Some(field), _) if !names(field) => Verdict::Refuse(412),
            (_, Some("*")) if attempt.current.is_some() => Verdict::Refuse(412),
            (None, None) => self
                .unconditional_put(attempt.resource, attempt.version, attempt.current.is_some())
                .map_or(Verdict::Apply, Verdict::Refuse),
            _ => Verdict::Apply,
        }
    }

    fn served(&self, stored: &Bytes) -> Bytes {
        json::PHP.print_anew(stored)
    }

    fn last_modified(&self, _at: OffsetDateTime) -> Option<String> {
        None
    }

    fn alternate_syntax(&self, _version: Version) -> bool {
        true
    }

    fn cors(&self) -> Cors {
        Cors::EtagAlone
    }
}
