//! ADL_LRS of 2025: correct as long as requests come one at a time. A tag is looked for as a part of the field, an
//! unconditional PUT over State is a 409 under every version, and a raced creation breaks the document for good.

use std::borrow::Cow;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::address::Resource;
use crate::dates;
use crate::json;
use crate::manners::{Manners, Version, essence};

pub(crate) struct AdlLrs;

impl Manners for AdlLrs {
    /// The quoted tag stands somewhere in the field: lists and `W/` do, a tag without quotes does not.
    fn names(&self, field: &str, tag: &str) -> bool {
        field == "*" || field.contains(tag)
    }

    /// 409 over any document, State too, under every version; creating goes on.
    fn unconditional_put(&self, _resource: Resource, _version: Version, exists: bool) -> Option<u16> {
        exists.then_some(409)
    }

    /// Nothing in its database says that there is one row for a document.
    fn doubles(&self) -> bool {
        true
    }

    fn any_registration(&self) -> bool {
        true
    }

    fn not_utf8(&self) -> Option<u16> {
        Some(500)
    }

    fn not_an_object(&self) -> u16 {
        500
    }

    fn merged(&self, members: Map<String, Value>) -> String {
        json::PYTHON.printed(&Value::Object(members).to_string())
    }

    /// Parameters are dropped.
    fn content_type<'t>(&self, given: &'t str, _contents: &[u8]) -> Cow<'t, str> {
        essence(given).into()
    }

    fn last_modified(&self, at: OffsetDateTime) -> Option<String> {
        Some(dates::nearly_http_date(at))
    }

    fn version(&self, _asked: Version) -> &'static str {
        "2.0.0"
    }

    fn alternate_syntax(&self, _version: Version) -> bool {
        false
    }
}
