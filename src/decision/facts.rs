//! What is known of a write while it is under way, as far as a record may say it.

use std::hash::Hash;
use std::sync::Arc;

use compact_str::CompactString;
use http::header::{ETAG, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::client::Client;
use super::pseudonym::{Pseudonym, Pseudonyms};
use super::record::{Found, Stated};
use crate::resource::{ResourceKey, Scope};
use crate::semantics::fields::XAPI_VERSION;
use crate::semantics::representation::Representation;

/// The field by which hops tell requests apart (a convention of Envoy, nginx and others).
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is recorded, and the longest version.
const LONGEST: usize = 128;

/// What is known of a write.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Its method; of one in xAPI's alternate syntax, that of the plain request.
    pub method: Method,
    /// Where its rule was written.
    pub rule: Arc<str>,
    /// What hops in front call it.
    pub request: Option<CompactString>,
    /// Who sent it.
    pub client: Client,
    /// The address that it came from, as far as that is known.
    pub from: Option<Pseudonym>,
    /// X-Experience-API-Version.
    pub version: Option<CompactString>,
    /// Its preconditions.
    pub stated: Stated,
    /// What it names, once that is known.
    pub named: Option<Named>,
    /// What the resource was found to hold, if anybody asked.
    pub found: Option<Found>,
}

/// What a write names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The document.
    pub document: Pseudonym,
    /// What is held for it.
    pub scope: Pseudonym,
    /// Whether it is all documents of the scope.
    pub is_collection: bool,
}

impl Facts {
    /// What the head of a write tells whose rule was written there.
    pub fn of(head: &Parts, rule: &Arc<str>, pseudonyms: &Pseudonyms) -> Self {
        Self {
            method: head.method.clone(),
            rule: Arc::clone(rule),
            request: plain(&head.headers, &REQUEST_ID),
            client: Client::of(head, pseudonyms),
            from: None,
            version: plain(&head.headers, &XAPI_VERSION),
            stated: Stated::of(&head.headers),
            named: None,
            found: None,
        }
    }

    /// Notes which address the write came from.
    pub fn comes_from(&mut self, address: Option<impl Hash>, pseudonyms: &Pseudonyms) {
        self.from = address.map(|address| pseudonyms.of("address", &address));
    }

    /// Notes what the write names.
    pub fn names(&mut self, key: &ResourceKey, scope: Scope, is_collection: bool, pseudonyms: &Pseudonyms) {
        let (document, scope) = (pseudonyms.of("document", key), pseudonyms.of("scope", &scope));
        self.named = Some(Named { document, scope, is_collection });
    }

    /// Notes what the resource was found to hold, and with which fields that was told.
    pub fn found(&mut self, found: &Representation, told: &HeaderMap) {
        self.found = Some(Found::of(found, told.get(ETAG)));
    }
}

/// The value of a field, if it is nothing but a word.
fn plain(fields: &HeaderMap, name: &HeaderName) -> Option<CompactString> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    let text = fields.get(name)?.to_str().ok()?;
    (text.len() <= LONGEST && text.bytes().all(is_plain)).then(|| text.into())
}
