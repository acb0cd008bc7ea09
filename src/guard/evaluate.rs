//! *Evaluate*: may the method be applied to what the resource holds? (RFC 9110 §13.2.2)

use http::StatusCode;

use super::policy::{Policy, Treatment};
use super::verdict::{Onward, Reason, Verdict};
use crate::semantics::entity_tag::Comparison;
use crate::semantics::preconditions::{Condition, Matching, Preconditions};
use crate::semantics::repair::Repairs;
use crate::semantics::representation::Representation;

/// Judges a write: If-Match first, then If-None-Match; both must hold (RFC 9110 §13.2.2, steps 1 and 3).
pub fn evaluate(policy: &Policy, stated: &Preconditions, found: &Representation) -> Verdict {
    let refuse = |status, reason| {
        let current = match found {
            Representation::Current(current) => Some(current.tag.clone()),
            Representation::Missing => None,
        };
        Verdict::refuse(status, reason, current)
    };
    if stated.is_empty() {
        let treatment = match found {
            Representation::Current(_) => policy.unconditional.existing,
            Representation::Missing => policy.unconditional.missing,
        };
        return match treatment {
            Treatment::Forward => Verdict::forward(Onward::AsStated),
            Treatment::Refuse(status) => refuse(status, Reason::Unstated),
        };
    }
    match failed(stated, found, policy.matching) {
        Some(reason) => refuse(StatusCode::PRECONDITION_FAILED, reason),
        None => Verdict::forward(Onward::over(found)),
    }
}

/// What a read gets once its representation is known (RFC 9110 §13.2.2, steps 1 and 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadVerdict {
    /// The representation is sent.
    Send,
    /// 304: the client has this representation.
    NotModified,
    /// 412: If-Match names another one.
    Failed,
}

/// Judges a GET or HEAD that found a current representation.
///
/// A field that cannot be understood never saves a transfer: If-None-Match is then as good as absent.
pub fn evaluate_read(stated: &Preconditions, found: &Representation, matching: Matching) -> ReadVerdict {
    let without_malformed = Preconditions {
        if_match: stated.if_match.clone(),
        if_none_match: stated.if_none_match.clone().filter(|condition| *condition != Condition::Malformed),
    };
    match failed(&without_malformed, found, matching) {
        None => ReadVerdict::Send,
        Some(Reason::IfNoneMatchFailed) => ReadVerdict::NotModified,
        Some(Reason::IfMatchFailed | Reason::Malformed | Reason::Unstated) => ReadVerdict::Failed,
    }
}

/// Which repairs it took for what was stated to name the current representation, with the comparisons that are due for
/// If-Match and If-None-Match (RFC 9110 §13.1.1, §13.1.2).
pub fn repairs(stated: &Preconditions, found: &Representation, matching: Matching) -> Repairs {
    let Representation::Current(current) = found else { return Repairs::NONE };
    let taken = |condition: &Option<Condition>, comparison| {
        condition
            .as_ref()
            .and_then(|condition| condition.names(current, comparison, matching))
            .unwrap_or_default()
    };
    taken(&stated.if_match, Comparison::Strong) | taken(&stated.if_none_match, Comparison::Weak)
}

/// The first stated condition that does not hold.
fn failed(stated: &Preconditions, found: &Representation, matching: Matching) -> Option<Reason> {
    if let Some(condition) = &stated.if_match {
        let holds = match found {
            Representation::Missing => false,
            Representation::Current(current) => {
                condition.names(current, Comparison::Strong, matching).is_some()
            }
        };
        if !holds {
            return Some(Reason::IfMatchFailed);
        }
    }
    if let Some(condition) = &stated.if_none_match {
        let names_current = match (condition, found) {
            (Condition::Malformed, _) => true,
            (_, Representation::Missing) => false,
            (_, Representation::Current(current)) => {
                condition.names(current, Comparison::Weak, matching).is_some()
            }
        };
        if names_current {
            return Some(Reason::IfNoneMatchFailed);
        }
    }
    None
}
