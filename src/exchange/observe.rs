//! Observe: the verdict is reached and logged, and nothing is refused or altered.
//!
//! A write still waits for its turn where that is possible, so that the verdict is that of an enforcing proxy.
//! Whatever goes wrong on the way to a verdict, the request goes on as it came.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{Method, StatusCode};

use super::Exchange;
use super::accept::differently_cased;
use super::alternate::{alternate_method, envelope_asked_for, form_max};
use super::answer::{self, Answer};
use super::detached::Detached;
use super::failure::Failure;
use super::outcome::Outcome;
use super::write::named;
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Interrupted, Paced};
use crate::guard::evaluate::{evaluate, repairs};
use crate::guard::plan::{Plan, plan};
use crate::guard::settle::{Settlement, settle};
use crate::guard::verdict::Clearance;
use crate::memory::holds::{Hold, InFlight};
use crate::rule::Rule;
use crate::rule::identity::{Unidentified, identify};
use crate::semantics::fields::dangerous_connection_option;
use crate::semantics::preconditions::Preconditions;
use crate::upstream::forward::{Forwarded, Write};
use crate::upstream::onward;
use crate::upstream::probe::Probed;
use crate::upstream::send::Outgoing;
use crate::xapi::alternate::open;

impl Exchange {
    /// Passes a request on as it came, and notes what it would have got.
    pub(super) async fn observe(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        spelling: Option<String>,
        mut head: Parts,
        body: Paced,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        if spelling.is_none()
            && let Some(method) = alternate_method(rule, &head)
        {
            return self.observe_sealed(rule, method, head, body, outcome).await;
        }
        let is_write = !matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        let identity = identify(rule, &head);
        let is_ambiguous = spelling.is_some()
            || differently_cased(&head.method).is_some()
            || is_ambiguous(rule, envelope_asked_for(rule, &head, &body).as_ref().unwrap_or(&head))
            || (is_write && dangerous_connection_option(&head.headers).is_some());
        onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
        if is_ambiguous {
            outcome.verdict = Some("ambiguous");
            return self.relay_unheld(head, body).await;
        }
        if !is_write {
            let answer = self.relay(head, body).await?;
            self.note_read(identity.ok().as_ref(), &answer, outcome);
            return Ok(answer);
        }
        let contents = match self.observed_body(body, rule.document_max, outcome).await? {
            Ok(contents) => contents,
            Err(body) => return self.relay_unheld(head, body).await,
        };
        let foreseen = self.foresee(rule, &head, &contents, outcome).await;
        self.go_on(rule, foreseen, head, contents).await
    }

    /// Reads a write's whole body, or gives back what cannot be held, which then goes on without a hold.
    async fn observed_body(
        &self,
        body: Paced,
        max: u64,
        outcome: &mut Outcome,
    ) -> Result<Result<Contents, Paced>, Failure> {
        match body.collect(max, &self.buffers.writes).await {
            Ok(Collected::Whole(contents)) => Ok(Ok(contents)),
            Ok(Collected::TooLarge(body)) => {
                outcome.verdict = Some("body-too-large");
                Ok(Err(body))
            }
            Ok(Collected::OverBudget(body)) => {
                outcome.verdict = Some(Failure::OverBudget.as_str());
                Ok(Err(body))
            }
            Err(Interrupted::Stalled) => Err(Failure::BodyStalled),
            Err(Interrupted::Broken(_)) => Err(Failure::BodyBroken),
        }
    }

    /// Passes a request in xAPI's alternate syntax on in its envelope, and notes what the plain one would have got.
    async fn observe_sealed(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        method: Method,
        mut head: Parts,
        body: Paced,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        outcome.is_alternate = true;
        let is_dangerous = dangerous_connection_option(&head.headers).is_some();
        onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
        let form = match self.observed_body(body, form_max(rule), outcome).await? {
            Ok(form) => form,
            Err(body) => return self.relay_unheld(head, body).await,
        };
        let mut plain = head.clone();
        let opened = open(&mut plain, method, &form.to_bytes());
        let foreseen = match opened {
            Ok(_) if is_dangerous || is_ambiguous(rule, &plain) => {
                outcome.verdict = Some("ambiguous");
                None
            }
            Ok(contents) if contents.len() > rule.document_max => {
                outcome.verdict = Some("body-too-large");
                None
            }
            Ok(_) if plain.method.is_safe() => None,
            Ok(contents) => self.foresee(rule, &plain, &contents, outcome).await,
            Err(_) => {
                outcome.verdict = Some("ambiguous");
                None
            }
        };
        self.go_on(rule, foreseen, head, form).await
    }

    /// Lets a write go on as it came, under its hold if it has one.
    async fn go_on(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        foreseen: Option<(Hold, Clearance)>,
        head: Parts,
        contents: Contents,
    ) -> Result<Answer, Failure> {
        match foreseen {
            Some((hold, clearance)) => {
                self.forward_observed(rule, Write { hold, clearance, head, contents }).await
            }
            // Without a hold it is a request like any other.
            None => self.relay_unheld(head, Outgoing::from(contents)).await,
        }
    }

    /// Reaches the verdict that an enforcing proxy would have reached, as far as that is possible.
    async fn foresee(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        head: &Parts,
        contents: &Contents,
        outcome: &mut Outcome,
    ) -> Option<(Hold, Clearance)> {
        let Ok(identity) = named(rule, head, contents) else {
            outcome.verdict = Some("unidentified");
            return None;
        };
        let stated = Preconditions::from_fields(&head.headers, rule.matching);
        outcome.suspicious = self.is_suspicious(&identity, stated.if_match.as_ref(), outcome);
        let waits = Instant::now();
        let hold = self.holds.take(identity.scope).await;
        outcome.hold = Some(waits.elapsed());
        let hold = match hold {
            Ok(hold) => hold,
            Err(denied) => {
                outcome.verdict = Some(Failure::Denied(denied).as_str());
                return None;
            }
        };
        let policy = rule.policy(&head.method, &head.headers);
        let verdict = match plan(&policy, &stated) {
            Plan::Decided(verdict) => verdict.as_str(),
            Plan::Learn => match self.learn(rule, head, &identity, outcome).await {
                Ok(Probed::Found(found)) => {
                    outcome.repairs = repairs(&stated, &found.representation, policy.matching);
                    let verdict = evaluate(&policy, &stated, &found.representation);
                    found.give_back();
                    verdict.as_str()
                }
                Ok(Probed::Untold(untold)) => untold.as_str(),
                Ok(Probed::HandBack(_)) | Err(_) => "unknown",
            },
        };
        outcome.verdict = Some(verdict);
        Some((hold, Clearance::observed()))
    }

    /// Forwards a write as it came, under its hold, and gives the upstream's answer as it came.
    async fn forward_observed(self: &Arc<Self>, rule: &Arc<Rule>, write: Write) -> Result<Answer, Failure> {
        let lease = self.pool.lend_for_write(None).await.map_err(Failure::Unsent)?;
        let (this, max) = (Arc::clone(self), rule.document_max);
        // In observe mode nothing is refused for what a connection has left behind.
        self.detached(&Detached::default(), |client_left| async move {
            let wanted = || !client_left.is_cancelled();
            match this.pool.forward(write, lease, max, wanted).await {
                Forwarded::Answered(in_flight, response) => {
                    release(in_flight, response.status(), &this.pool.settings().unknown_outcome);
                    Ok(answer::written(response))
                }
                Forwarded::Unsent(_, failure) => Err(Failure::Unsent(failure)),
                Forwarded::Lost(_, failure) => Err(Failure::OutcomeUnknown(failure)),
            }
        })
        .await
    }
}

fn is_ambiguous(rule: &Rule, head: &Parts) -> bool {
    matches!(identify(rule, head), Err(Unidentified::Ambiguous(_)))
}

/// Gives the hold back if the outcome is known; dropping it otherwise leaves the scope unsettled.
fn release(in_flight: InFlight, status: StatusCode, unknown_outcome: &[StatusCode]) {
    match settle(status, unknown_outcome) {
        Settlement::Known => drop(in_flight.settle()),
        Settlement::Unknown => drop(in_flight),
    }
}
