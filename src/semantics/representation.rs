//! What a resource holds, as it was learned from the upstream.

use http::StatusCode;

use super::entity_tag::EntityTag;

/// What the upstream holds for a resource at the moment it was learned (RFC 9110 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Representation {
    /// There is no current representation: `If-Match: *` fails, `If-None-Match: *` holds.
    Missing,
    /// There is one, and these are its validators.
    Current(Current),
}

impl Representation {
    /// The same without the upstream's own entity-tag: that of a list of ids is no document's tag, and the upstream
    /// would compare it with one.
    pub fn of_collection(self) -> Self {
        match self {
            Self::Missing => Self::Missing,
            Self::Current(current) => Self::Current(Current { upstream_tag: None, ..current }),
        }
    }
}

/// The validators of a current representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Our entity-tag: the fingerprint of the identity-coded contents, or of their canonical form. Clients are shown this one.
    pub tag: EntityTag,
    /// The upstream's own entity-tag, when it sent a single well-formed strong one.
    pub upstream_tag: Option<EntityTag>,
    /// What else names it to clients that take the SHA-1 of what they sent for its entity-tag.
    pub alias: Option<EntityTag>,
}

/// What an answer to a GET looks like when the document does not exist.
///
/// Some servers answer with something other than 404, so a rule may say what else counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Statuses that mean there is none.
    pub statuses: Vec<StatusCode>,
    /// A 200 without contents means there is none.
    pub empty: bool,
    /// A 200 whose contents are `{}` means there is none.
    pub empty_object: bool,
}
