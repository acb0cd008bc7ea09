//! A guarded write. [`Exchange::write`] is the protocol, from the first stage to the last.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use http::header::ETAG;
use http::request::Parts;

use super::Exchange;
use super::accept::Received;
use super::answer::{self, Answer, Asked};
use super::failure::Failure;
use super::outcome::Outcome;
use super::reconsider::{Judged, put};
use crate::body::contents::Contents;
use crate::fault;
use crate::guard::evaluate::evaluate;
use crate::guard::plan::{Plan, plan};
use crate::guard::settle::{Settlement, reads_back, settle};
use crate::guard::verdict::Verdict;
use crate::rule::Rule;
use crate::rule::identity::{Identity, Unidentified, identify, overridden_in_body};
use crate::semantics::fields::dangerous_trailer;
use crate::semantics::last_modified::date;
use crate::semantics::preconditions::Preconditions;
use crate::upstream;
use crate::upstream::forward::{Forwarded, Write};
use crate::upstream::onward;
use crate::upstream::probe::{Found, Probed};
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
            Err(Unidentified::Unnamed(what)) => return self.unnamed(rule, &head, what, asked).await,
        };

        let stated = Preconditions::from_fields(&head.headers, rule.matching);
        outcome.suspicious = self.is_suspicious(&identity, stated.if_match.as_ref(), outcome);

        // hold
        let waits = Instant::now();
        let hold = self.holds.take(identity.scope).await.map_err(Failure::Denied)?;
        outcome.hold = Some(waits.elapsed());
        assert!(!fault::is_ordered(&head.headers, "panic-under-hold"), "ordered by a test");

        // learn, evaluate
        let policy = rule.policy(&head.method, &head.headers);
        let document = super::document(&head, &identity);
        let (verdict, found) = match plan(&policy, &stated) {
            Plan::Decided(verdict) => (verdict, None),
            Plan::Learn => {
                match self.learn(rule, &head, &identity, outcome).await.map_err(Failure::Unsent)? {
                    Probed::Found(found) => {
                        asked.heard_from(&found);
                        let verdict = evaluate(&policy, &stated, &found.representation);
                        let write = Judged {
                            rule,
                            policy: &policy,
                            head: &head,
                            stated: &stated,
                            contents: &contents,
                            client: outcome.client.ip(),
                            document,
                            found: &found.representation,
                        };
                        let (verdict, repairs) = self.reconsider(verdict, &write).await;
                        outcome.repairs = repairs;
                        (verdict, Some(found))
                    }
                    Probed::HandBack(response) => {
                        outcome.verdict = Some("handed-back");
                        return Ok(answer::without_tag(response));
                    }
                    Probed::Untold(untold) => return Err(Failure::Untold(untold)),
                }
            }
        };
        outcome.verdict = Some(verdict.as_str());
        let mut clearance = match verdict {
            Verdict::Forward(clearance) => clearance,
            Verdict::Refuse(refusal) => {
                found.into_iter().for_each(Found::give_back);
                self.doubt(rule, &head, &refusal).await;
                return Ok(answer::refused(&refusal, asked));
            }
            Verdict::Applied(tag) => {
                found.into_iter().for_each(Found::give_back);
                return Ok(answer::applied(&tag, asked));
            }
        };
        let found = if rule.satisfies && head.method == Method::PUT && stated.is_empty() {
            self.satisfy(rule, &head, &identity, found, &mut clearance, outcome).await
        } else {
            found
        };
        let (found, probed) = found.map(|found| (found.representation, found.lease)).unzip();

        self.trust(rule, &stated);

        // forward: the last thing a client that leaves can prevent is this
        let lease = self.pool.lend_for_write(probed.flatten()).await.map_err(Failure::Unsent)?;
        let (this, rule, client) = (Arc::clone(self), Arc::clone(rule), outcome.client.ip());
        self.detached(|client_left| async move {
            this.memory.puts.withdraw(document);
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
            let shown = match reads_back(rule.read_back, &head.method, !stated.is_empty(), status) {
                true => this.pool.read_back(&head, &contents, &super::reading(&rule)).await,
                false => None,
            };
            if let Some(tag) = &shown {
                response.headers_mut().insert(ETAG, tag.to_field());
            }
            if status.is_success() {
                this.memory.changes.written(document, date(response.headers()));
                if let Some(put) = put(&head, &stated, &contents, client) {
                    this.remember(document, put, &contents, shown);
                }
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
            Probed::Found(found) if identity.is_collection => {
                Probed::Found(Found { representation: found.representation.of_collection(), ..found })
            }
            probed => probed,
        })
    }

    /// A write whose document cannot be named is never forwarded. The upstream may say what is wrong with its
    /// target; where it sees nothing wrong, the answer is made here.
    async fn unnamed(
        &self,
        rule: &Rule,
        head: &Parts,
        what: String,
        asked: &mut Asked,
    ) -> Result<Answer, Failure> {
        let told = self.pool.ask(head, &rule.absent).await.map_err(Failure::Unsent)?;
        // What is said to a service, or for want of one, is no answer to this writer.
        let Some(told) = told.ok().filter(|told| !told.by_service) else {
            return Err(Failure::Ambiguous(what));
        };
        asked.heard(&told.head.headers);
        if !told.head.status.is_client_error() {
            return Err(Failure::Ambiguous(what));
        }
        let streamed = Streamed::new(told.body, told.lease);
        Ok(answer::without_tag(http::Response::from_parts(told.head, streamed)))
    }
}

/// Names the document of a write, of which neither body nor trailers must make another request.
pub(super) fn named(rule: &Rule, head: &Parts, contents: &Contents) -> Result<Identity, Unidentified> {
    if let Some(field) = contents.trailers().and_then(dangerous_trailer) {
        let what =
            format!("{field} must not stand in the trailers: send it before the body. Nothing was written.");
        return Err(Unidentified::Ambiguous(what));
    }
    if overridden_in_body(head, || contents.to_bytes()) {
        return Err(Unidentified::Ambiguous(
            "A body must not override the method here, as \"_method\" does. Nothing was written.".into(),
        ));
    }
    identify(rule, head)
}
