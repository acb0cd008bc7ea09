//! What a rule asks of a writer, above all of one that stated nothing.

use std::time::Duration;

use http::StatusCode;

use crate::semantics::preconditions::Matching;

/// What holds for one write: the rule's words for its method and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// What a writer that stated no precondition gets.
    pub unconditional: Unconditional,
    /// Whether repaired forms of our entity-tags are accepted.
    pub matching: Matching,
    /// How long after it succeeded a PUT that comes once more is answered as it was then; zero is not at all.
    pub replay_window: Duration,
}

/// Whether verdicts are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A refused write never reaches the upstream.
    #[default]
    Enforce,
    /// The verdict is reached and logged; nothing is refused or altered.
    Observe,
}

impl Mode {
    /// The mode in a word, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

/// What an unconditional write gets, by what the resource holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unconditional {
    /// Over a current representation.
    pub existing: Treatment,
    /// Where there is none.
    pub missing: Treatment,
}

/// What happens to an unconditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It goes on.
    Forward,
    /// It is refused with this status, a 4xx.
    Refuse(StatusCode),
}

impl Unconditional {
    /// Goes on in any case.
    pub const FORWARD: Self = Self { existing: Treatment::Forward, missing: Treatment::Forward };
    /// 409 over a current representation (xAPI Communication §3.1); creating goes on.
    pub const CONFLICT: Self =
        Self { existing: Treatment::Refuse(StatusCode::CONFLICT), missing: Treatment::Forward };
    /// 428 in any case (RFC 6585 §3).
    pub const REQUIRE: Self = Self {
        existing: Treatment::Refuse(StatusCode::PRECONDITION_REQUIRED),
        missing: Treatment::Refuse(StatusCode::PRECONDITION_REQUIRED),
    };
}
