//! A guarded write. [`Exchange::write`] is the protocol, from the first stage to the last.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::{ETAG, EXPECT, HeaderMap};
use http::request::Parts;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Exchange;
use super::answer::{self, Answer, Asked};
use super::failure::Failure;
use super::outcome::Outcome;
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Interrupted, Paced};
use crate::fault;
use crate::guard::evaluate::evaluate;
use crate::guard::plan::{Plan, plan};
use crate::guard::settle::{Settlement, reads_back, settle};
use crate::guard::verdict::Verdict;
use crate::rule::Rule;
use crate::rule::identity::{Unidentified, identify, overridden_in_form};
use crate::semantics::fields::dangerous_connection_option;
use crate::semantics::preconditions::Preconditions;
use crate::semantics::representation::Representation;
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
        body: Paced,
        asked: &Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        // accept: the whole body first, so that a slow client never holds a scope
        let contents = self.whole_body(&head.headers, body, rule.document_max).await?;

        onward::relay(&mut head, outcome.client.ip(), &self.pool.settings().authority);

        // identify
        if overridden_in_form(&head, || contents.to_bytes()) {
            return Err(Failure::Ambiguous(
                "A form must not override the method here. Nothing was written.".into(),
            ));
        }
        let identity = match identify(rule, &head) {
            Ok(identity) => identity,
            Err(Unidentified::Ambiguous(what)) => return Err(Failure::Ambiguous(what)),
            Err(Unidentified::Unnamed(what)) => return self.unnamed(&head, what).await,
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
                let asks = Instant::now();
                let probed = self.pool.probe(&head, &super::reading(rule)).await;
                outcome.probe = Some(asks.elapsed());
                match probed.map_err(Failure::Unsent)? {
                    Probed::Found(found, lease) => {
                        let found = if identity.is_collection { found.of_collection() } else { found };
                        (evaluate(&policy, &stated, &found), Some(found), lease)
                    }
                    Probed::HandBack(response) => return Ok(answer::without_tag(response)),
                }
            }
        };
        outcome.verdict = Some(verdict.as_str());
        let clearance = match verdict {
            Verdict::Forward(clearance) => clearance,
            Verdict::Refuse(refusal) => return Ok(answer::refused(&refusal, asked)),
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

    /// Forwards a write, and once more without its precondition if the upstream refuses its own entity-tag although,
    /// under the hold, nothing has changed.
    ///
    /// An upstream that refuses `If-None-Match: *` is believed: it may know of a document that this writer cannot see.
    async fn forward(
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
        let max = rule.document_max;
        let (head, contents, clearance) =
            (write.head.clone(), write.contents.clone(), write.clearance.clone());
        let forwarded = self.pool.forward(write, lease, max, || !client_left.is_cancelled()).await;
        let (in_flight, response) = match forwarded {
            Forwarded::Answered(in_flight, response)
                if response.status() == StatusCode::PRECONDITION_FAILED && clearance.names_upstream_tag() =>
            {
                (in_flight, response)
            }
            forwarded => return forwarded,
        };
        // It has answered, so that what it holds can be learned anew under what is again just a hold.
        let hold = in_flight.settle();
        match self.pool.probe(&head, &super::reading(rule)).await {
            Ok(Probed::Found(now, lease)) if Some(&now) == found.as_ref() => {
                let write = Write { hold, clearance: clearance.untranslated(), head, contents };
                let lease = match self.pool.lend_for_write(lease).await {
                    Ok(lease) => lease,
                    Err(failure) => return Forwarded::Unsent(write.hold, failure),
                };
                // One answer was received, so this is no longer a write that its client can take back.
                let forwarded = self.pool.forward(write, lease, max, || true).await;
                self.stop_translating_if_it_was_that(rule, &forwarded);
                forwarded
            }
            _ => Forwarded::Answered(hold.begin(), response),
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
                "the upstream refuses its own entity-tag: preconditions are not passed on any more"
            );
        }
    }

    /// Runs the rest of a write in a task that nothing cancels; drain waits for it.
    ///
    /// It is handed the word that its client has left, which counts only as long as nothing was sent.
    pub(super) async fn detached<F>(
        &self,
        rest: impl FnOnce(CancellationToken) -> F,
    ) -> Result<Answer, Failure>
    where
        F: Future<Output = Result<Answer, Failure>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let client_left = CancellationToken::new();
        let rest = rest(client_left.clone());
        let _leaving = client_left.drop_guard();
        self.writes.spawn(async move {
            // Nobody may be there to be told; the write is done all the same.
            let _ = tell.send(rest.await);
        });
        told.await.unwrap_or(Err(Failure::Internal))
    }

    /// Reads a request's body up to the bound.
    pub(super) async fn whole_body(
        &self,
        fields: &HeaderMap,
        body: Paced,
        max: u64,
    ) -> Result<Contents, Failure> {
        if let Some(option) = dangerous_connection_option(fields) {
            self.discard(fields, body).await;
            let what = format!("Connection must not name {option} here. Nothing was written.");
            return Err(Failure::Ambiguous(what));
        }
        match body.collect(max).await {
            Ok(Collected::Whole(contents)) => Ok(contents),
            Ok(Collected::TooLarge(body)) => {
                self.discard(fields, body).await;
                Err(Failure::BodyTooLarge(max))
            }
            Err(Interrupted::Stalled) => Err(Failure::BodyStalled),
            Err(Interrupted::Broken(_)) => Err(Failure::BodyBroken),
        }
    }

    /// Reads what nobody wants and throws it away for a while: a client that is still uploading cannot read a
    /// refusal before it has finished. One that waits for a 100 has not begun.
    pub(super) async fn discard(&self, fields: &HeaderMap, body: Paced) {
        if !fields.contains_key(EXPECT) {
            body.discard(self.settings.linger).await;
        }
    }

    /// A write whose document cannot be named is never forwarded. The upstream may say what is wrong with its
    /// target; where it sees nothing wrong, the answer is made here.
    async fn unnamed(&self, head: &Parts, what: String) -> Result<Answer, Failure> {
        let (response, body, lease) = self.pool.ask(head).await.map_err(Failure::Unsent)?;
        if !response.status.is_client_error() {
            return Err(Failure::Ambiguous(what));
        }
        let streamed = Streamed::new(body, lease);
        Ok(answer::without_tag(http::Response::from_parts(response, streamed)))
    }
}
