//! LaRS of xapi-rs 0.1: speaks 2.0; `If-None-Match: *` overwrites, a field that it cannot read counts as none, and over
//! what is missing nothing that is stated counts.

use std::borrow::Cow;

use http::Method;
use sha1::Digest;
use time::OffsetDateTime;

use crate::address::Resource;
use crate::cors::Cors;
use crate::dates;
use crate::manners::{Attempt, Manners, Verdict, Version};

pub(crate) struct Lars;

impl Manners for Lars {
    /// The length and a number of 128 bits that the contents make.
    fn tag(&self, stored: &[u8]) -> String {
        let hash = sha1::Sha1::digest(stored);
        let number = hash.iter().take(16).fold(0u128, |number, byte| number << 8 | u128::from(*byte));
        format!("\"{}-{number}\"", stored.len())
    }

    /// A list of strong tags, or `*`.
    fn names(&self, field: &str, tag: &str) -> bool {
        field == "*" || members(field).is_some_and(|members| members.contains(&tag))
    }

    /// 409 over any document, State too, under every version; creating goes on.
    fn unconditional_put(&self, _resource: Resource, _version: Version, exists: bool) -> Option<u16> {
        exists.then_some(409)
    }

    /// What cannot be read, such as a tag without quotes, is as good as absent, and so is everything over what is
    /// missing. `If-None-Match: *` always holds.
    fn judge(&self, attempt: &Attempt<'_>) -> Verdict {
        let Some(current) = attempt.current else { return Verdict::Apply };
        let readable =
            |field: Option<&'_ str>| field.is_some_and(|field| field == "*" || members(field).is_some());
        let names = |field: Option<&str>| field.is_some_and(|field| self.names(field, &current.tag));
        match (readable(attempt.if_match), readable(attempt.if_none_match)) {
            (true, _) if !names(attempt.if_match) => Verdict::Refuse(412),
            (_, true) if attempt.if_none_match != Some("*") && names(attempt.if_none_match) => {
                Verdict::Refuse(412)
            }
            (false, false) if attempt.method == Method::PUT => self
                .unconditional_put(attempt.resource, attempt.version, true)
                .map_or(Verdict::Apply, Verdict::Refuse),
            _ => Verdict::Apply,
        }
    }

    /// 404, but for the profile of an activity.
    fn delete_of_missing(&self, resource: Resource) -> u16 {
        if resource == Resource::ActivityProfile { 204 } else { 404 }
    }

    fn not_utf8(&self) -> Option<u16> {
        Some(400)
    }

    /// Whatever was stored is served as JSON.
    fn content_type<'t>(&self, _given: &'t str, _contents: &[u8]) -> Cow<'t, str> {
        "application/json".into()
    }

    fn tag_of_list(&self, list: &[u8]) -> Option<String> {
        Some(self.tag(list))
    }

    fn tags_writes(&self) -> bool {
        true
    }

    fn last_modified(&self, at: OffsetDateTime) -> Option<String> {
        Some(dates::iso_8601(at))
    }

    fn version(&self, _asked: Version) -> &'static str {
        "2.0.0"
    }

    fn alternate_syntax(&self, _version: Version) -> bool {
        false
    }

    fn cors(&self) -> Cors {
        Cors::Closed
    }
}

/// The members of a list of tags, if all of them are quoted. A weak one stays with its `W/`, so that it names nothing.
fn members(field: &str) -> Option<Vec<&str>> {
    let is_tag = |member: &&str| {
        let quoted = member.strip_prefix("W/").unwrap_or(member);
        quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"')
    };
    let members: Vec<&str> = field.split(',').map(str::trim).collect();
    members.iter().all(is_tag).then_some(members)
}
