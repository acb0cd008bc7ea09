//! A guarded write. [`Exchange::write`] is the protocol, from the first stage to the last.

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use http::header::ETAG;
use http::request::Parts;

use super::accept::Received;
use super::answer::{self, Answer, Asked};
use super::course::Stage;
use super::failure::Failure;
use super::judge::{Intent, Judged};
use super::outcome::{Outcome, Part, Step};
use super::{Exchange, tag_of};
use crate::body::contents::Contents;
use crate::fault::{self, Mutant};
use crate::fingerprint::Algorithm;
use crate::guard::settle::{Settlement, reads_back, settle};
use crate::memory::puts::Shown;
use crate::resource::Scope;
use crate::rule::Rule;
use crate::rule::identity::{Identity, Unidentified, identify, overridden_in_body};
use crate::semantics::fields::dangerous_trailer;
use crate::semantics::last_modified::date;
use crate::upstream::forward::{Answered, Forwarded, Write};
use crate::upstream::onward;
use crate::upstream::streamed::Streamed;

/// When a write was read back: an extension of its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadBackAt(pub(super) Part);

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
        let contents = self.whole_body(&head.headers, body, rule.document_max, asked.course.until()).await?;

        onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);

        // identify
        let identity = match named(rule, &head, &contents) {
            Ok(identity) => identity,
            Err(Unidentified::Ambiguous(what)) => return Err(Failure::Ambiguous(what)),
            Err(Unidentified::Unnamed(what)) => return self.unnamed(rule, &head, what, asked).await,
        };

        let intent = Intent::of(rule, head, contents, identity);
        self.note_identity(&intent.identity, outcome);
        outcome.suspicious = self.is_suspicious(&intent.identity, intent.stated.if_match.as_ref(), outcome);

        // hold
        asked.course.reach(Stage::Hold)?;
        self.has_room_beside(asked.course.detached())?;
        let waits = outcome.begins(Step::Hold);
        let hold = self.hold(rule, scope(&intent.identity, outcome)).await.map_err(Failure::Denied)?;
        outcome.waited(waits);
        assert!(!fault::is_ordered(&intent.head.headers, "panic-under-hold"), "ordered by a test");

        // learn, evaluate
        asked.course.reach(Stage::Learn)?;
        let (clearance, found) = match self.judge(&intent, asked, outcome).await? {
            Judged::Cleared(clearance, found) => (clearance, found),
            Judged::Answered(answer) => return Ok(answer),
        };

        let hold = match fault::is_mutant(Mutant::CheckedBeforeHold) {
            true => self.hold(rule, intent.identity.scope).await.map_err(Failure::Denied)?,
            false => hold,
        };

        // forward: the last thing a client that leaves can prevent is this
        let (found, probed) = found.map(|found| (found.representation, found.lease)).unzip();
        let lease = self.pool.lend_for_write(probed.flatten()).await.map_err(Failure::Unsent)?;
        asked.course.reach(Stage::Forward)?;
        outcome.begins(Step::Forward);
        let (this, course) = (Arc::clone(self), asked.course.clone());
        self.detached(asked.course.detached(), |client_left| async move {
            this.memory.puts.withdraw(intent.document);
            let Intent { rule, head, contents, .. } = &intent;
            let write = Write { hold, clearance, head: Arc::clone(head), contents: contents.clone() };
            let (in_flight, mut response) = match this.forward(rule, write, found, lease, &client_left).await
            {
                Forwarded::Answered(in_flight, response) => (in_flight, response),
                Forwarded::Unsent(_, failure) => return Err(Failure::Unsent(failure)),
                Forwarded::Lost(_, failure) => return Err(Failure::OutcomeUnknown(failure)),
            };
            assert!(!fault::is_ordered(&head.headers, "panic-in-flight"), "ordered by a test");

            course.was_answered();

            // settle: an in-flight write that is dropped leaves its scope unsettled
            response.headers_mut().remove(ETAG);
            match settle(response.status(), &this.pool.settings().unknown_outcome) {
                Settlement::Known => {
                    let _hold = in_flight.settle();
                    this.note_written(&intent, &mut response).await;
                }
                Settlement::Unknown => drop(in_flight),
            }

            // answer
            Ok(answer::written(response))
        })
        .await
    }

    /// Reads back what a successful write left behind, puts the entity-tag of what was sent on its answer, and
    /// remembers it. Its hold is still held.
    async fn note_written(self: &Arc<Self>, intent: &Intent, response: &mut Response<Answered>) {
        let Intent { rule, head, contents, identity, stated, .. } = intent;
        let status = response.status();
        let asks = Instant::now();
        let shown = match reads_back(rule.read_back, &head.method, !stated.is_empty(), status) {
            true => {
                let shown = self.read_back(rule, head, identity, contents).await;
                response.extensions_mut().insert(ReadBackAt(Part::since(asks)));
                shown
            }
            false => None,
        };
        if let Some(tag) = &shown {
            response.headers_mut().insert(ETAG, tag.to_field());
        }
        if status.is_success() {
            self.memory.changes.written(intent.document, date(response.headers()));
            if let Some(put) = intent.put() {
                let shown = shown.map(|tag| Shown { tag, sent: tag_of(Algorithm::Sha1, contents) });
                self.memory.puts.remember(intent.document, put, contents, shown);
            }
        }
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
        asked.course.reach(Stage::Learn)?;
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
        Ok(answer::without_tag(Response::from_parts(told.head, streamed)))
    }
}

/// What a write holds; with some defects, which a test orders, nothing that anybody else would hold.
fn scope(identity: &Identity, outcome: &Outcome) -> Scope {
    if fault::is_mutant(Mutant::HoldTakenOut) || fault::is_mutant(Mutant::CheckedBeforeHold) {
        return Scope::new("nobody else's", [outcome.client.address.to_string().as_str()]);
    }
    identity.scope
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
