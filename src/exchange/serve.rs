//! Serving one request: *accept* its head, *select* its rule, and see it through.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::request::Parts;
use http::{Method, Request};
use hyper::body::Incoming;

use super::Exchange;
use super::accept::{NO_UPGRADE, Received, differently_cased, in_one_version, well_formed};
use super::alternate::{alternate_method, envelope_asked_for};
use super::answer::{self, Answer, Asked};
use super::course::Course;
use super::detached::Detached;
use super::failure::Failure;
use super::outcome::{Outcome, Step};
use super::write::ReadBackAt;
use crate::body::paced::Paced;
use crate::guard::policy::Mode;
use crate::rule::Rule;
use crate::rule::identity::{Identity, Unidentified, identify};
use crate::rule::select::Selection;
use crate::semantics::credentials::is_signed;
use crate::semantics::fields::{TRACEPARENT, TRACESTATE};
use crate::upstream::onward;

impl Exchange {
    /// Serves one request. There is always an answer, and a record of what the exchange came to.
    ///
    /// `detached` is what the client's connection leaves behind, the same for all that comes on it.
    pub async fn serve(
        self: &Arc<Self>,
        detached: &Detached,
        request: Request<Incoming>,
        outcome: &mut Outcome,
    ) -> Answer {
        let (mut head, body) = request.into_parts();
        outcome.request_id.put(&mut head.headers);
        if let Some(span) = outcome.span {
            head.headers.insert(TRACEPARENT, span.to_field());
            if outcome.trace.is_none() {
                // It says more of a trace that this request is no part of (W3C Trace Context §3.3.1.4).
                head.headers.remove(TRACESTATE);
            }
        }
        let until = outcome.began + self.settings.exchange_timeout;
        let mut asked =
            Asked::of(&head, None, Course::new(until.into(), detached, &self.timers), &outcome.request_id);
        let served = AssertUnwindSafe(self.see_through(head, body, &mut asked, outcome)).catch_unwind().await;
        let mut answer = served.unwrap_or(Err(Failure::Internal)).unwrap_or_else(|failure| {
            let failure = if self.drain.has_begun() { failure.while_draining() } else { failure };
            outcome.failure = Some(failure.as_str());
            answer::failed(&failure, &asked)
        });
        asked.repair(&mut answer);
        // The upstream was told this one too, so that there is no other which its own could be.
        outcome.request_id.put(answer.headers_mut());
        outcome.status = Some(answer.status());
        if let Some(took) = answer.body().took().or_else(|| answer.extensions_mut().remove()) {
            outcome.heard(took);
        }
        outcome.is_over();
        outcome.parts.read_back = answer.extensions_mut().remove().map(|ReadBackAt(part)| part);
        answer
    }

    /// The inner half of [`Exchange::serve`], which is free to leave with `?`.
    async fn see_through(
        self: &Arc<Self>,
        mut head: Parts,
        body: Incoming,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        // accept
        in_one_version(&mut head)?;
        let handshake = well_formed(&head)?;
        let body = Paced::new(body, self.settings.body_timeout).counting(Arc::clone(&outcome.received));

        // select
        let rules = Arc::clone(&self.rules);
        let (rule, spelling) = match rules.select(&head) {
            Selection::Relay => {
                onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
                outcome.begins(Step::Forward);
                return match handshake {
                    Some(handshake) => Box::pin(self.upgrade(head, &handshake)).await,
                    None => self.relay(head, body).await,
                };
            }
            Selection::Guarded(rule) => (rule, None),
            Selection::Ambiguous(rule, what) => (rule, Some(what)),
        };
        if handshake.is_some() {
            // What is said in a tunnel could not be judged.
            return Err(NO_UPGRADE);
        }
        outcome.resource = Some(Arc::clone(&rule.name));
        outcome.mode = Some(rule.mode);
        self.note_facts(rule, &head, outcome);
        *asked = Asked::of(&head, Some(rule), asked.course.clone(), &outcome.request_id);
        if rule.mode == Mode::Observe {
            return Box::pin(self.observe(rule, spelling, head, body, asked, outcome)).await;
        }
        let course = asked.course.clone();
        course.bound(Box::pin(self.guarded(rule, spelling, head, body, asked, outcome))).await
    }

    /// Sees a guarded exchange through, where verdicts are carried out.
    async fn guarded(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        spelling: Option<String>,
        mut head: Parts,
        body: Paced,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        if let Some(what) = spelling {
            self.discard(&head.headers, body).await;
            return Err(Failure::Ambiguous(what));
        }

        if let Some(method) = differently_cased(&head.method) {
            self.discard(&head.headers, body).await;
            return Err(Failure::Ambiguous(format!("Methods are case-sensitive: send {method}.")));
        }

        if let Some(method) = alternate_method(rule, &head) {
            return Box::pin(self.opened(rule, method, head, body, asked, outcome)).await;
        }
        match head.method {
            Method::GET | Method::HEAD => {
                let identity = named_at_most_once(rule, &head)?;
                onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
                // What a representation depends on may be in a body, so its tag would say too little; and a signature
                // covers the method, so that a signed HEAD cannot become a GET.
                let is_whole_in_head = http_body::Body::is_end_stream(&body);
                let may_be_get = head.method == Method::GET || !is_signed(&head);
                if is_whole_in_head && may_be_get {
                    let answer = self.read(rule, identity.as_ref(), head, asked, outcome).await?;
                    self.note_read(identity.as_ref(), &answer, outcome);
                    Ok(answer)
                } else {
                    self.relay(head, body).await
                }
            }
            Method::OPTIONS | Method::TRACE => {
                named_at_most_once(rule, envelope_asked_for(rule, &head, &body).as_ref().unwrap_or(&head))?;
                onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
                self.relay(head, body).await
            }
            _ => Box::pin(self.write(rule, head, Received::Coming(body), asked, outcome)).await,
        }
    }
}

/// A read needs no identity; but what could name two documents, or be executed as a write, is refused all the same.
pub(super) fn named_at_most_once(rule: &Rule, head: &Parts) -> Result<Option<Identity>, Failure> {
    match identify(rule, head) {
        Err(Unidentified::Ambiguous(what)) => Err(Failure::Ambiguous(what)),
        Ok(identity) => Ok(Some(identity)),
        Err(Unidentified::Unnamed(_)) => Ok(None),
    }
}
