//! Forwarding a guarded write, and once more if the upstream refuses its own entity-tag.

use std::sync::Arc;

use http::StatusCode;
use tokio_util::sync::CancellationToken;

use super::Exchange;
use crate::fingerprint::Subject;
use crate::guard::settle::{Settlement, settle};
use crate::rule::Rule;
use crate::semantics::representation::Representation;
use crate::upstream::forward::{Forwarded, Write};
use crate::upstream::pool::Lease;
use crate::upstream::probe::Probed;

impl Exchange {
    /// Forwards a write, and once more without its precondition if the upstream refuses its own entity-tag although,
    /// under the hold, nothing has changed.
    ///
    /// An upstream that refuses `If-None-Match: *` is believed: it may know of a document that this writer cannot see.
    pub(super) async fn forward(
        &self,
        rule: &Rule,
        mut write: Write,
        found: Option<Representation>,
        lease: Lease,
        client_left: &CancellationToken,
    ) -> Forwarded {
        if self.untranslated.contains(&rule.name) {
            write.clearance = write.clearance.untranslated();
        }
        let max = Some(rule.document_max);
        let (head, contents, clearance) =
            (Arc::clone(&write.head), write.contents.clone(), write.clearance.clone());
        let forwarded = self.pool.forward(write, lease, max, || !client_left.is_cancelled()).await;
        let (in_flight, response) = match forwarded {
            Forwarded::Answered(in_flight, response)
                if response.status() == StatusCode::PRECONDITION_FAILED
                    && clearance.names_upstream_tag()
                    && self.is_known(response.status()) =>
            {
                (in_flight, response)
            }
            forwarded => return forwarded,
        };
        // It has answered, so that what it holds can be learned anew under what is again just a hold.
        let hold = in_flight.settle();
        match self.pool.probe(&head, &super::reading(rule)).await {
            Ok(Probed::Found(now)) if is_unchanged(rule, found.as_ref(), &now.representation) => {
                let write = Write { hold, clearance: clearance.untranslated(), head, contents };
                let lease = match self.pool.lend_for_write(now.lease).await {
                    Ok(lease) => lease,
                    Err(failure) => return Forwarded::Unsent(write.hold, failure),
                };
                // One answer was received, so this is no longer a write that its client can take back.
                let forwarded = self.pool.forward(write, lease, max, || true).await;
                self.stop_translating_if_it_was_that(rule, &forwarded);
                forwarded
            }
            Ok(Probed::Found(now)) if self.is_outdated(found.as_ref(), &now.representation) => {
                let clearance = clearance.renewed(&now.representation);
                let write = Write { hold, clearance, head, contents };
                match self.pool.lend_for_write(now.lease).await {
                    Ok(lease) => self.pool.forward(write, lease, max, || true).await,
                    Err(failure) => Forwarded::Unsent(write.hold, failure),
                }
            }
            Ok(Probed::Found(now)) => {
                now.give_back();
                Forwarded::Answered(hold.begin(), response)
            }
            Ok(Probed::HandBack(_) | Probed::Untold(_)) | Err(_) => {
                Forwarded::Answered(hold.begin(), response)
            }
        }
    }

    /// Whether an answer with this status tells the outcome of a write; the configuration may say otherwise even of 412.
    fn is_known(&self, status: StatusCode) -> bool {
        settle(status, &self.pool.settings().unknown_outcome) == Settlement::Known
    }

    /// Whether the upstream has another entity-tag of its own by now for the very same document: one that was recalled
    /// may be older than its last restart.
    fn is_outdated(&self, before: Option<&Representation>, now: &Representation) -> bool {
        match (before, now) {
            (Some(Representation::Current(before)), Representation::Current(now)) => {
                self.memory.answers.are_recalled()
                    && before.tag == now.tag
                    && now.upstream_tag.is_some()
                    && before.upstream_tag != now.upstream_tag
            }
            _ => false,
        }
    }

    /// Notes that the upstream does not know its own entity-tags, once a write has succeeded without.
    ///
    /// One that fails without as well was refused for another reason, such as a date in If-Unmodified-Since, and one
    /// client must not end the upstream's own check for all others.
    fn stop_translating_if_it_was_that(&self, rule: &Rule, forwarded: &Forwarded) {
        let succeeded =
            matches!(forwarded, Forwarded::Answered(_, response) if response.status().is_success());
        if succeeded && self.untranslated.insert(Arc::clone(&rule.name)) {
            tracing::warn!(
                resource = &*rule.name,
                "the upstream refuses its own entity-tag: it is not told any more"
            );
        }
    }
}

/// Whether the upstream still holds what was found before.
///
/// Where our entity-tags are to outlast a change of spelling, the upstream's own may be of the spelling, and does not
/// count.
fn is_unchanged(rule: &Rule, before: Option<&Representation>, now: &Representation) -> bool {
    match (rule.etag_of, before, now) {
        (Subject::CanonicalJson, Some(Representation::Current(before)), Representation::Current(now)) => {
            before.tag == now.tag
        }
        (_, before, now) => before == Some(now),
    }
}
