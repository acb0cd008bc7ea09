//! pelotech xapi-lrs 0.9: correct statuses, but its tags are of the bytes that it was sent, while it serves JSON printed
//! anew; and neither lists nor `*` name anything in If-Match.

use bytes::Bytes;
use time::OffsetDateTime;

use crate::address::Resource;
use crate::dates;
use crate::json;
use crate::manners::{Manners, Version};

pub(crate) struct Pelotech;

impl Manners for Pelotech {
    /// One quote is taken off at each end and the rest is compared: no lists, no `W/`, no `*`.
    fn names(&self, field: &str, tag: &str) -> bool {
        let unquoted = |text: &str| text.trim_start_matches('"').trim_end_matches('"').to_owned();
        unquoted(field) == unquoted(tag)
    }

    /// State may be overwritten under 1.0.x and not under 2.x. A profile must state something under both, even a new one.
    fn unconditional_put(&self, resource: Resource, version: Version, exists: bool) -> Option<u16> {
        match (resource, exists) {
            (Resource::State, true) => (version == Version::Two).then_some(409),
            (Resource::State, false) => None,
            (_, true) => Some(409),
            (_, false) => Some(400),
        }
    }

    fn served(&self, stored: &Bytes) -> Bytes {
        json::JAVASCRIPT.print_anew(stored)
    }

    fn last_modified(&self, at: OffsetDateTime) -> Option<String> {
        Some(dates::http_date(at))
    }
}
