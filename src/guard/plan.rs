//! *Plan*: what must be known before a write can be judged?

use http::StatusCode;

use super::policy::{Policy, Treatment};
use super::verdict::{Onward, Reason, Verdict};
use crate::semantics::preconditions::Preconditions;

/// What a write needs first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the verdict is the same whatever the resource holds.
    Decided(Verdict),
    /// The representation: the verdict depends on it.
    Learn,
}

/// Says whether a write can be judged at once, or only once it is known what the resource holds.
pub fn plan(policy: &Policy, stated: &Preconditions) -> Plan {
    if stated.is_malformed() {
        return Plan::Decided(Verdict::refuse(StatusCode::PRECONDITION_FAILED, Reason::Malformed, None));
    }
    if !stated.is_empty() || policy.unconditional.existing != policy.unconditional.missing {
        return Plan::Learn;
    }
    Plan::Decided(match policy.unconditional.existing {
        Treatment::Forward => Verdict::forward(Onward::AsStated),
        Treatment::Refuse(status) => Verdict::refuse(status, Reason::Unstated, None),
    })
}
