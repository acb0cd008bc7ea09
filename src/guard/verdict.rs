//! What `plan` and `evaluate` answer: a write goes on, or it is refused.

use http::StatusCode;

use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::Representation;

/// The outcome of asking whether a method may be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The write goes on.
    Forward(Clearance),
    /// The write is refused and never reaches the upstream.
    Refuse(Refusal),
    /// The very same PUT has just been applied, and this is what it produced: it succeeds without going upstream.
    Applied(EntityTag),
}

/// Evidence that a write may go on. Only `plan` and `evaluate` make one, and observe mode,
/// which refuses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    onward: Onward,
}

/// What the upstream is told in place of the preconditions that the client stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onward {
    /// The request's own precondition fields, as they came: the client stated none that we translate.
    AsStated,
    /// `If-Match` with the upstream's own entity-tag: it then checks once more, by itself.
    IfMatch(EntityTag),
    /// `If-None-Match: *`: there was no representation, and there should still be none.
    IfNoneMatchAny,
    /// Neither field: there is a representation, and the upstream has no strong tag of its own for it.
    Removed,
}

/// Why a write is refused, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A 4xx.
    pub status: StatusCode,
    /// The reason behind it.
    pub reason: Reason,
    /// The current entity-tag, where it is known and there is one.
    pub current: Option<EntityTag>,
}

/// The reasons for a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// If-Match named something other than the current representation.
    IfMatchFailed,
    /// If-None-Match named the current representation.
    IfNoneMatchFailed,
    /// A precondition field could not be understood.
    Malformed,
    /// A precondition was due and none was stated.
    Unstated,
}

impl Verdict {
    pub(super) fn forward(onward: Onward) -> Self {
        Self::Forward(Clearance { onward })
    }

    pub(super) fn applied(produced: EntityTag) -> Self {
        Self::Applied(produced)
    }

    pub(super) fn refuse(status: StatusCode, reason: Reason, current: Option<EntityTag>) -> Self {
        Self::Refuse(Refusal { status, reason, current })
    }

    /// All that [`Verdict::as_str`] says.
    pub const WORDS: [&'static str; 6] = [
        "forward",
        "replay",
        Reason::IfMatchFailed.as_str(),
        Reason::IfNoneMatchFailed.as_str(),
        Reason::Malformed.as_str(),
        Reason::Unstated.as_str(),
    ];

    /// The verdict in one word, for logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Forward(_) => "forward",
            Self::Refuse(refusal) => refusal.reason.as_str(),
            Self::Applied(_) => "replay",
        }
    }
}

impl Onward {
    /// That nothing may have changed since this was learned, in the upstream's own words.
    pub(super) fn over(found: &Representation) -> Self {
        match found {
            Representation::Missing => Self::IfNoneMatchAny,
            Representation::Current(current) => match &current.upstream_tag {
                Some(tag) => Self::IfMatch(tag.clone()),
                None => Self::Removed,
            },
        }
    }
}

impl Clearance {
    /// The clearance of observe mode, where a write goes on as it came, whatever the verdict.
    pub fn observed() -> Self {
        Self { onward: Onward::AsStated }
    }

    /// The same for an upstream that wants a precondition although the client stated none: it is told what was just
    /// learned, so that the last write wins.
    pub fn satisfying(self, found: &Representation) -> Self {
        match self.onward {
            Onward::AsStated => Self { onward: Onward::over(found) },
            Onward::IfMatch(_) | Onward::IfNoneMatchAny | Onward::Removed => self,
        }
    }

    /// The same, with the upstream's own entity-tag as it is now, where it was told the one that it had before.
    pub fn renewed(self, found: &Representation) -> Self {
        match self.onward {
            Onward::IfMatch(_) => Self { onward: Onward::over(found) },
            Onward::AsStated | Onward::IfNoneMatchAny | Onward::Removed => self,
        }
    }

    /// The same, without the upstream's own entity-tag, which it has refused before.
    ///
    /// `If-None-Match: *` names no tag and stays: the upstream may know of a document that this writer cannot see.
    pub fn untranslated(self) -> Self {
        match self.onward {
            Onward::IfMatch(_) => Self { onward: Onward::Removed },
            Onward::AsStated | Onward::IfNoneMatchAny | Onward::Removed => self,
        }
    }

    /// Whether the upstream is told its own entity-tag, which it has given under the same hold.
    pub fn names_upstream_tag(&self) -> bool {
        matches!(self.onward, Onward::IfMatch(_))
    }

    /// What goes on in place of the client's preconditions.
    pub fn onward(&self) -> &Onward {
        &self.onward
    }
}

impl Reason {
    /// The reason in a few words, for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfMatchFailed => "if-match-failed",
            Self::IfNoneMatchFailed => "if-none-match-failed",
            Self::Malformed => "malformed-precondition",
            Self::Unstated => "precondition-missing",
        }
    }
}
