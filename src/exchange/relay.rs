//! Relay: what no rule selects passes through untouched, streamed in both directions.

use http::request::Parts;
use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::Exchange;
use super::answer::{self, Answer};
use super::failure::Failure;
use crate::body::paced::Paced;
use crate::guard::settle::{Settlement, settle};
use crate::upstream;
use crate::upstream::onward;
use crate::upstream::pool::{Lease, Purpose};
use crate::upstream::send::Outgoing;
use crate::upstream::streamed::Streamed;

impl Exchange {
    /// Relays what may be a write on a guarded resource and has no hold: nothing is known of any document until its
    /// outcome is.
    pub(super) async fn relay_unheld(
        &self,
        head: Parts,
        body: impl Into<Outgoing>,
    ) -> Result<Answer, Failure> {
        let unheld = self.holds.begin_unheld();
        let answer = self.relay(head, body).await?;
        Ok(match (settle(answer.status(), &self.pool.settings().unknown_outcome), unheld) {
            (Settlement::Known, Some(unheld)) => answer.map(|body| body.settling(unheld)),
            // Dropping it says that the outcome is unknown.
            (Settlement::Unknown, _) | (Settlement::Known, None) => answer,
        })
    }

    /// Passes a request on, and the answer back, as they come. The head is already fit for the next hop.
    pub(super) async fn relay(&self, mut head: Parts, body: impl Into<Outgoing>) -> Result<Answer, Failure> {
        let purpose = purpose(&head.method);
        let body = body.into();
        onward::streamed_body(&mut head.headers, &body);
        let request = Request::from_parts(head, body);
        let (response, lease) =
            self.pool.fetch(request, purpose).await.map_err(|failure| unanswered(failure, purpose))?;
        Ok(self.passed_on(response, lease))
    }

    /// The upstream's answer, passed on as it comes.
    pub(super) fn passed_on(&self, response: Response<Incoming>, lease: Lease) -> Answer {
        let pause = self.pool.settings().response_timeout;
        answer::relayed(response.map(|body| Streamed::new(Paced::new(body, pause), lease)))
    }
}

/// Safe methods may be sent again when a kept-alive connection turns out to be closed (RFC 9110 §9.2.2).
pub(super) fn purpose(method: &Method) -> Purpose {
    if method.is_safe() { Purpose::Repeatable } else { Purpose::Once }
}

/// What is told of a request that got no answer: whether it may have changed something.
pub(super) fn unanswered(failure: upstream::failure::Failure, purpose: Purpose) -> Failure {
    match purpose {
        Purpose::Repeatable => Failure::Upstream(failure),
        Purpose::Once if failure.is_before_sending() => Failure::Unsent(failure),
        Purpose::Once => Failure::OutcomeUnknown(failure),
    }
}
