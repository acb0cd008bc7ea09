//! lrsql of Yet Analytics: whatever looks like a word in a precondition is a tag, State is checked like a profile under
//! every version, and lists of ids and even 404s have tags.

use time::OffsetDateTime;

use crate::address::Resource;
use crate::dates;
use crate::manners::{Manners, Version, sha1_tag};

pub(crate) struct Lrsql;

impl Manners for Lrsql {
    /// The tag is one of the field's words: quoted, unquoted, weak and in a list alike.
    fn names(&self, field: &str, tag: &str) -> bool {
        let mut words = field.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        field == "*" || words.any(|word| word == tag.trim_matches('"'))
    }

    /// 409 over any document, State too, under every version. A new profile is a 400 under 1.0.x and goes on under 2.x.
    fn unconditional_put(&self, resource: Resource, version: Version, exists: bool) -> Option<u16> {
        match (exists, resource, version) {
            (true, _, _) => Some(409),
            (false, Resource::State, _) | (false, _, Version::Two) => None,
            (false, _, Version::One) => Some(400),
        }
    }

    fn tag_of_list(&self, list: &[u8]) -> Option<String> {
        Some(sha1_tag(list))
    }

    /// The hash of nothing: the same for all that is missing.
    fn tag_of_missing(&self, _text: &[u8]) -> Option<String> {
        Some(sha1_tag(b"0"))
    }

    fn last_modified(&self, at: OffsetDateTime) -> Option<String> {
        Some(dates::iso_8601(at))
    }
}
