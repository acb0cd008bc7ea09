//! A guarded write. [`Exchange::write`] is the protocol, from the first stage to the last.

use std::sync::Arc;
use std::time::Instant;

use http::header::ETAG;
use http::request::Parts;

use super::Exchange;
use super::accept::Received;
use super::answer::{self, Answer, Asked};
use super::failure::Failure;
use super::outcome::Outcome;
use crate::body::contents::Contents;
use crate::fault;
use crate::guard::evaluate::evaluate;
use crate::guard::plan::{Plan, plan};
use crate::guard::settle::{Settlement, reads_back, settle};
use crate::guard::verdict::Verdict;
use crate::rule::Rule;
use crate::rule::identity::{Identity, Unidentified, identify, overridden_in_form};
use crate::semantics::preconditions::Preconditions;
use crate::upstream;
use crate::upstream::forward::{Forwarded, Write};
use crate::upstream::onward;
use crate::upstream::pool::Lease;
use crate::upstream::probe::Probed;
use crate::upstream::streamed::Streamed;

impl Exchange {
    /// Carries out a guarded write, or refuses it.
    ///
    /// Until the first byte goes upstream, a client that leaves takes its write with it: this future is dropped
    /// and nothing was sent. From then on the write runs in a task of its own, which nothing cancels.
    pub(super) async fn write(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        mut head: Parts,
        body: Received,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        // accept: the whole body first, so that a slow client never holds a scope
        let contents = self.whole_body(&head.headers, body, rule.document_max).await?;

        onward::relay(&mut head, outcome.client.ip(), &self.pool.settings().authority);

        // identify
        let identity = match named(rule, &head, &contents) {
            Ok(identity) => identity,
            Err(Unidentified::Ambiguous(what)) => return Err(Failure::Ambiguous(what)),
            Err(Unidentified::Unnamed(what)) => return self.unnamed(&head, what, asked).await,
        };

        // hold
        let waits = Instant::now();
        let hold = self.holds.take(identity.scope).await.map_err(Failure::Denied)?;
        outcome.hold = Some(waits.elapsed());
        assert!(!fault::is_ordered(&head.headers, "panic-under-hold"), "ordered by a test");

        // learn, evaluate
        let policy = rule.policy(&head.method, &head.headers);
        let stated = Preconditions::from_fields(&head.headers, rule.matching);
        let (verdict, found, probed) = match plan(&policy, &stated) {
            Plan::Decided(verdict) => (verdict, None, None),
            Plan::Learn => {
                match self.learn(rule, &head, &identity, outcome).await.map_err(Failure::Unsent)? {
                    Probed::Found(found, lease, fields) => {
                        asked.heard(&fields);
                        (evaluate(&policy, &stated, &found), Some(found), lease)
                    }
                    Probed::HandBack(response) => {
                        outcome.verdict = Some("handed-back");
                        return Ok(answer::without_tag(response));
                    }
                }
            }
        };
        outcome.verdict = Some(verdict.as_str());
        let clearance = match verdict {
            Verdict::Forward(clearance) => clearance,
            Verdict::Refuse(refusal) => {
                probed.into_iter().for_each(Lease::give_back);
                return Ok(answer::refused(&refusal, asked));
            }
        };

        // forward: the last thing a client that leaves can prevent is this
        let lease = self.pool.lend_for_write(probed).await.map_err(Failure::Unsent)?;
        let (this, rule) = (Arc::clone(self), Arc::clone(rule));
        self.detached(|client_left| async move {
            let write = Write { hold, clearance, head: head.clone(), contents: contents.clone() };
            let (in_flight, mut response) = match this.forward(&rule, write, found, lease, &client_left).await
            {
                Forwarded::Answered(in_flight, response) => (in_flight, response),
                Forwarded::Unsent(_, failure) => return Err(Failure::Unsent(failure)),
                Forwarded::Lost(_, failure) => return Err(Failure::OutcomeUnknown(failure)),
            };

            assert!(!fault::is_ordered(&head.headers, "panic-in-flight"), "ordered by a test");

            // settle: an in-flight write that is dropped leaves its scope unsettled
            response.headers_mut().remove(ETAG);
            let status = response.status();
            let _hold = match settle(status, &this.pool.settings().unknown_outcome) {
                Settlement::Known => in_flight.settle(),
                Settlement::Unknown => return Ok(answer::written(response)),
            };
            if reads_back(rule.read_back, &head.method, !stated.is_empty(), status)
                && let Some(tag) = this.pool.read_back(&head, &contents, &super::reading(&rule)).await
            {
                response.headers_mut().insert(ETAG, tag.to_field());
            }

            // answer
            Ok(answer::written(response))
        })
        .await
    }

    /// Asks what the resource holds.
    pub(super) async fn learn(
        &self,
        rule: &Rule,
        head: &Parts,
        identity: &Identity,
        outcome: &mut Outcome,
    ) -> Result<Probed, upstream::failure::Failure> {
        let asks = Instant::now();
        let probed = self.pool.probe(head, &super::reading(rule)).await;
        outcome.probe = Some(asks.elapsed());
        Ok(match probed? {
            Probed::Found(found, lease, fields) if identity.is_collection => {
                Probed::Found(found.of_collection(), lease, fields)
            }
            probed => probed,
        })
    }

    /// A write whose document cannot be named is never forwarded. The upstream may say what is wrong with its
    /// target; where it sees nothing wrong, the answer is made here.
    async fn unnamed(&self, head: &Parts, what: String, asked: &mut Asked) -> Result<Answer, Failure> {
        let (response, body, lease) = self.pool.ask(head).await.map_err(Failure::Unsent)?;
        asked.heard(&response.headers);
        if !response.status.is_client_error() {
            return Err(Failure::Ambiguous(what));
        }
        let streamed = Streamed::new(body, lease);
        Ok(answer::without_tag(http::Response::from_parts(response, streamed)))
    }
}

/// Names the document of a write, whose body must not make another method of it.
pub(super) fn named(rule: &Rule, head: &Parts, contents: &Contents) -> Result<Identity, Unidentified> {
    if overridden_in_form(head, || contents.to_bytes()) {
        return Err(Unidentified::Ambiguous(
            "A form must not override the method here. Nothing was written.".into(),
        ));
    }
    identify(rule, head)
}
