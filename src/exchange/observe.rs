//! Observe: the verdict is reached and logged, and nothing is refused or altered.
//!
//! A write still waits for its turn where that is possible, so that the verdict is that of an enforcing proxy.
//! Whatever goes wrong on the way to a verdict, the request goes on as it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Body;

use super::Exchange;
use super::accept::differently_cased;
use super::alternate::{alternate_method, envelope_asked_for, form_max};
use super::answer::{self, Answer, AnswerBody, Asked};
use super::detached::Detached;
use super::failure::Failure;
use super::foresee::Foreseen;
use super::outcome::{Outcome, Step};
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Interrupted, Paced};
use crate::guard::settle::{Settlement, settle};
use crate::guard::verdict::Clearance;
use crate::memory::holds::InFlight;
use crate::resource::Document;
use crate::rule::Rule;
use crate::rule::identity::{Identity, Unidentified, identify};
use crate::semantics::fields::dangerous_connection_option;
use crate::semantics::last_modified::date;
use crate::upstream::ahead::read_ahead;
use crate::upstream::forward::{Answered, Forwarded, Write};
use crate::upstream::onward;
use crate::upstream::pool::Lease;
use crate::upstream::send::Outgoing;
use crate::upstream::streamed::Streamed;
use crate::xapi::alternate::{Envelope, open};

/// What observe mode costs and shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether observed writes to one scope wait for each other.
    pub serialise: bool,
    /// Of how many observed writes the upstream is asked what it holds, where the verdict depends on it.
    pub sample: Sample,
    /// Whether readers are shown our entity-tag where the upstream shows none of its own.
    pub etags: bool,
}

/// A share, from none to all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample(f64);

impl Eq for Sample {}

/// What the observed exchanges of all cores share.
#[derive(Debug, Default)]
pub struct Observed {
    /// How many writes there were of which the upstream could be asked.
    askable: AtomicU64,
    /// Whether the upstream has ever shown an entity-tag of its own, by the names of resources.
    tagging: DashMap<Arc<str>, bool>,
}

impl Sample {
    /// A share between 0 and 1; nothing for any other number.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// Whether the nth of many belongs to the sample.
    ///
    /// The multiples of an irrational number are spread evenly and never in step with what clients do in turns.
    fn takes(self, nth: u64) -> bool {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let spread = nth.wrapping_mul(GOLDEN) >> 32;
        #[expect(clippy::cast_precision_loss, reason = "it has 32 bits")]
        let at = spread as f64 / f64::from(u32::MAX);
        self.0 > at || self.0 >= 1.0
    }
}

impl Observed {
    /// Whether the upstream is asked this time.
    pub(super) fn asks(&self, sample: Sample) -> bool {
        sample.takes(self.askable.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes whether the upstream has shown an entity-tag of its own with a representation.
    pub(super) fn has_shown(&self, rule: &Rule, tag: bool) {
        if self.tags(rule) != Some(true) {
            self.tagging.insert(Arc::clone(&rule.name), tag);
        }
    }

    /// Whether the upstream shows entity-tags of its own, as far as that is known.
    pub(super) fn tags(&self, rule: &Rule) -> Option<bool> {
        self.tagging.get(&rule.name).map(|tags| *tags)
    }
}

impl Exchange {
    /// Passes a request on as it came, and notes what it would have got.
    pub(super) async fn observe(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        spelling: Option<String>,
        mut head: Parts,
        body: Paced,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        if self.settings.observe.etags {
            asked.repair_cors_of(&head, rule);
        }
        if spelling.is_none()
            && let Some(method) = alternate_method(rule, &head)
        {
            return self.observe_sealed(rule, method, head, body, asked, outcome).await;
        }
        let is_write = !matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
        let identity = identify(rule, &head);
        let is_ambiguous = spelling.is_some()
            || differently_cased(&head.method).is_some()
            || is_ambiguous(rule, envelope_asked_for(rule, &head, &body).as_ref().unwrap_or(&head))
            || (is_write && dangerous_connection_option(&head.headers).is_some());
        onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
        if is_ambiguous {
            outcome.foresee("ambiguous", Some(StatusCode::BAD_REQUEST));
            return self.relay_unheld(head, body).await;
        }
        if !is_write {
            return self.observe_read(rule, identity.ok().as_ref(), head, body, asked, outcome).await;
        }
        let document = identity.ok().map(|identity| super::document(&head, &identity));
        let contents = match self.observed_body(body, rule.document_max, outcome).await? {
            Ok(contents) => contents,
            Err(body) => {
                self.withdraw(document);
                return self.relay_unheld(head, body).await;
            }
        };
        let foreseen = self.foresee(rule, &head, &contents, outcome).await;
        if let Some(foreseen) = &foreseen {
            self.conceal(rule, &mut head.headers, foreseen.found.as_ref());
        }
        outcome.begins(Step::Forward);
        self.go_on(foreseen, head, contents).await
    }

    /// Passes on what writes nothing, and looks at what its answer tells. The head is already fit for the next hop.
    async fn observe_read(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        identity: Option<&Identity>,
        head: Parts,
        body: Paced,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        // What a representation depends on may be in a body.
        let is_plain = head.method == Method::GET && body.is_end_stream();
        let lesson = identity.filter(|_| is_plain).and_then(|identity| self.lesson(rule, &head, identity));
        outcome.begins(Step::Forward);
        let answer = match (&head.method, self.settings.observe.etags) {
            (&Method::GET, true) => self.read_showing(rule, lesson, head, body.into(), asked).await?,
            (&Method::HEAD, true) => self.head_showing(rule, identity, head, body, outcome).await?,
            _ => {
                let answer = self.relay(head, body).await?;
                self.watched(rule, lesson, answer)
            }
        };
        self.note_read(identity, &answer, outcome);
        Ok(answer)
    }

    /// Reads a write's whole body, or gives back what cannot be held, which then goes on without a hold.
    ///
    /// A body that stalls or breaks off cannot go on: that is the client's doing, and answered as any server would.
    async fn observed_body(
        &self,
        body: Paced,
        max: u64,
        outcome: &mut Outcome,
    ) -> Result<Result<Contents, Paced>, Failure> {
        match body.collect(max, &self.buffers.writes).await {
            Ok(Collected::Whole(contents)) => Ok(Ok(contents)),
            Ok(Collected::TooLarge(body)) => {
                outcome.foresee_failure(&Failure::BodyTooLarge(max));
                Ok(Err(body))
            }
            Ok(Collected::OverBudget(body)) => {
                outcome.foresee_failure(&Failure::OverBudget);
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
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        outcome.is_alternate = true;
        let is_dangerous = dangerous_connection_option(&head.headers).is_some();
        onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
        let mut form = match self.observed_body(body, form_max(rule), outcome).await? {
            Ok(form) => form,
            Err(body) => return self.relay_unheld(head, body).await,
        };
        let mut plain = head.clone();
        let contents = match open(&mut plain, method, &form.to_bytes()) {
            Ok(contents) if !is_dangerous && !is_ambiguous(rule, &plain) => contents,
            Ok(_) | Err(_) => {
                outcome.foresee("ambiguous", Some(StatusCode::BAD_REQUEST));
                return self.go_on(None, head, form).await;
            }
        };
        self.note_facts(rule, &plain, outcome);
        if contents.len() > rule.document_max {
            outcome.foresee_failure(&Failure::BodyTooLarge(rule.document_max));
            return self.go_on(None, head, form).await;
        }
        let is_read = plain.method.is_safe();
        let foreseen = if is_read { None } else { self.foresee(rule, &plain, &contents, outcome).await };
        let found = foreseen.as_ref().and_then(|foreseen| foreseen.found.as_ref());
        if (is_read || foreseen.is_some()) && self.conceal(rule, &mut plain.headers, found) {
            (head, form) = sealed_anew(plain.clone(), &contents).unwrap_or((head, form));
        }
        if plain.method == Method::GET && self.settings.observe.etags {
            return self.read_showing(rule, None, head, form.into(), asked).await;
        }
        self.go_on(foreseen, head, form).await
    }

    /// Lets a write go on as it came, under its hold if it has one.
    async fn go_on(
        self: &Arc<Self>,
        foreseen: Option<Foreseen>,
        head: Parts,
        contents: Contents,
    ) -> Result<Answer, Failure> {
        // Without an identity or a hold it is a request like any other.
        let Some(mut foreseen) = foreseen else {
            return self.relay_unheld(head, Outgoing::from(contents)).await;
        };
        let lease = foreseen.found.take().and_then(|found| found.lease);
        if let Some(hold) = foreseen.hold.take() {
            let (head, clearance) = (Arc::new(head), Clearance::observed());
            let write = Write { hold, clearance, head, contents };
            return self.forward_observed(foreseen, write, lease).await;
        }
        lease.into_iter().for_each(Lease::give_back);
        self.withdraw(Some(foreseen.intent.document));
        let answer = self.relay_unheld(head, Outgoing::from(contents)).await?;
        self.note_observed(&foreseen, &answer);
        Ok(answer)
    }

    /// Forwards a write as it came, under its hold, and passes the upstream's answer on as it comes.
    async fn forward_observed(
        self: &Arc<Self>,
        foreseen: Foreseen,
        write: Write,
        lease: Option<Lease>,
    ) -> Result<Answer, Failure> {
        let lease = self.pool.lend_for_write(lease).await.map_err(Failure::Unsent)?;
        let this = Arc::clone(self);
        // In observe mode nothing is refused for what a connection has left behind.
        self.detached(&Detached::default(), |client_left| async move {
            this.withdraw(Some(foreseen.intent.document));
            let wanted = || !client_left.is_cancelled();
            match this.pool.forward(write, lease, None, wanted).await {
                Forwarded::Answered(in_flight, response) => {
                    let answer = this.settle_observed(&foreseen, in_flight, response);
                    Ok(answer)
                }
                Forwarded::Unsent(_, failure) => Err(Failure::Unsent(failure)),
                Forwarded::Lost(_, failure) => Err(Failure::OutcomeUnknown(failure)),
            }
        })
        .await
    }

    /// Gives an answer on as it comes. The hold ends when the answer has ended, and not when its client has taken it.
    fn settle_observed(
        self: &Arc<Self>,
        foreseen: &Foreseen,
        in_flight: InFlight,
        response: Response<Answered>,
    ) -> Answer {
        let is_known = settle(response.status(), &self.pool.settings().unknown_outcome) == Settlement::Known;
        let answer = answer::written(response);
        if is_known {
            self.note_observed(foreseen, &answer);
        }
        if answer.body().is_end_stream() || !is_known {
            release(in_flight, is_known);
            return answer;
        }
        let (head, body) = answer.into_parts();
        let body = match body {
            AnswerBody::Streamed(body) => self.ahead(foreseen, *body, in_flight),
            body => {
                release(in_flight, is_known);
                body
            }
        };
        Answer::from_parts(head, body)
    }

    fn ahead(self: &Arc<Self>, foreseen: &Foreseen, body: Streamed, in_flight: InFlight) -> AnswerBody {
        let (ahead, reading) = read_ahead(body, in_flight, &self.buffers.reads);
        let time = self.pool.settings().response_timeout;
        drop(self.writes.spawn(reading.run(foreseen.intent.rule.document_max, time)));
        AnswerBody::Ahead(Box::new(ahead))
    }

    /// Forgets what was last written there: it is about to be written again.
    fn withdraw(&self, document: Option<Document>) {
        document.into_iter().for_each(|document| self.memory.puts.withdraw(document));
    }

    /// Remembers an observed write that has succeeded and that an enforcing proxy would have let go on.
    fn note_observed(&self, foreseen: &Foreseen, answer: &Answer) {
        let Foreseen { intent, goes_on, .. } = foreseen;
        if !answer.status().is_success() {
            return;
        }
        self.memory.changes.written(intent.document, date(answer.headers()));
        if let Some(put) = intent.put().filter(|_| *goes_on) {
            self.memory.puts.remember(intent.document, put, &intent.contents, None);
        }
    }
}

pub(super) fn is_ambiguous(rule: &Rule, head: &Parts) -> bool {
    matches!(identify(rule, head), Err(Unidentified::Ambiguous(_)))
}

/// Seals a request into its envelope again, whose fields have changed.
fn sealed_anew(mut plain: Parts, contents: &Contents) -> Option<(Parts, Contents)> {
    let envelope = plain.extensions.remove::<Arc<Envelope>>()?;
    plain.headers.remove(CONTENT_LENGTH);
    let form = envelope.seal(&mut plain, contents);
    Some((plain, form))
}

/// Gives the hold back if the outcome is known; dropping it otherwise leaves the scope unsettled.
fn release(in_flight: InFlight, is_known: bool) {
    match is_known {
        true => drop(in_flight.settle()),
        false => drop(in_flight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_share_that_it_says() {
        for (share, least, most) in [(0.0, 0, 0), (1.0, 1000, 1000), (0.5, 499, 501), (0.01, 9, 11)] {
            let sample = Sample::new(share).expect("a share");
            let taken = (0..1000).filter(|nth| sample.takes(*nth)).count();
            assert!((least..=most).contains(&taken), "{share}: {taken}");
        }
        assert_eq!([Sample::new(-0.1), Sample::new(1.1), Sample::new(f64::NAN)], [None; 3]);
    }

    #[test]
    fn clients_that_take_turns_are_all_in_a_sample() {
        let sample = Sample::new(0.2).expect("a share");
        for client in 0..4 {
            let taken = (0..1000).filter(|nth| nth % 4 == client && sample.takes(*nth)).count();
            assert!((48..=52).contains(&taken), "{client}: {taken}");
        }
    }
}
