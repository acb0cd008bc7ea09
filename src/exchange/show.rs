//! Show: where `observe.etags` says so, readers are shown our entity-tag, and the upstream never sees it.
//!
//! An upstream that shows none of its own gives its clients nothing to state, so that nothing could be foreseen of
//! them. Where it shows one, that one stays.

use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, ETAG, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tokio::time::timeout;

use super::Exchange;
use super::answer::{self, Answer, AnswerBody, Asked};
use super::failure::Failure;
use super::foresee::theirs;
use super::outcome::Outcome;
use super::read::{broken, is_event_stream, joined};
use super::recall::Lesson;
use super::relay::{purpose, unanswered};
use crate::body::paced::{Collected, Paced};
use crate::rule::Rule;
use crate::rule::identity::Identity;
use crate::semantics::credentials::is_signed;
use crate::semantics::preconditions::{Condition, Matching, Member, Preconditions, Stated};
use crate::semantics::representation::Representation;
use crate::upstream::intake::take_in;
use crate::upstream::onward;
use crate::upstream::pool::Lease;
use crate::upstream::probe::{Found, Probed};
use crate::upstream::send::Outgoing;

/// Whether an answer with these fields has no more contents than a document may.
fn fits(rule: &Rule, fields: &HeaderMap) -> bool {
    let length = || fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok();
    length().is_none_or(|length| length <= rule.document_max)
}

impl Exchange {
    /// Passes a read on, and its answer back as it came, with our entity-tag where it has none and is a whole document
    /// that can be held.
    pub(super) async fn read_showing(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        lesson: Option<Lesson>,
        mut head: Parts,
        body: Outgoing,
        asked: &mut Asked,
    ) -> Result<Answer, Failure> {
        self.conceal(rule, &mut head.headers, None);
        onward::streamed_body(&mut head.headers, &body);
        let purpose = purpose(&head.method);
        let sent = self.pool.fetch(Request::from_parts(head, body), purpose).await;
        let (response, lease) = sent.map_err(|failure| unanswered(failure, purpose))?;
        let (mut head, body) = response.into_parts();
        asked.heard(&head.headers);
        let body = Paced::new(body, self.pool.settings().response_timeout);
        let has_tag = head.headers.contains_key(ETAG);
        if head.status != StatusCode::OK || is_event_stream(&head) {
            return Ok(self.watched(rule, lesson, answer::relayed(joined(head, body, lease))));
        }
        self.observed.has_shown(rule, has_tag);
        if has_tag {
            return Ok(self.watched(rule, lesson, answer::relayed(joined(head, body, lease))));
        }
        let contents = match body.collect(rule.document_max, &self.buffers.reads).await.map_err(broken)? {
            Collected::Whole(contents) => contents,
            Collected::TooLarge(body) | Collected::OverBudget(body) => {
                return Ok(answer::relayed(joined(head, body, lease)));
            }
        };
        if let Some(took) = lease.took() {
            head.extensions.insert(took);
        }
        lease.give_back();
        let found = take_in(&head.headers, &contents, &super::reading(rule)).map(|(_, found)| found);
        if let (Some(lesson), Some(found)) = (&lesson, &found)
            && self.memory.questions.is_lasting(&head.headers)
        {
            self.seen(lesson, found);
        }
        if let Some(Representation::Current(current)) = found {
            head.headers.insert(ETAG, current.tag.to_field());
        }
        Ok(answer::whole(head, AnswerBody::Contents(contents)))
    }

    /// Passes a HEAD on, and its answer back as it came, with the entity-tag that a GET would show.
    ///
    /// An answer without contents says nothing of it, so that the upstream is asked: as often and for as long as it may be
    /// before a write.
    pub(super) async fn head_showing(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        identity: Option<&Identity>,
        mut head: Parts,
        body: Paced,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        self.conceal(rule, &mut head.headers, None);
        let question = head.clone();
        let mut answer = self.relay(head, body).await?;
        let fields = answer.headers();
        if answer.status() != StatusCode::OK || fields.contains_key(ETAG) || !fits(rule, fields) {
            return Ok(answer);
        }
        if let Some(tag) = self.tag_of_get(rule, identity, &question, outcome).await {
            answer.headers_mut().insert(ETAG, tag);
        }
        Ok(answer)
    }

    /// The entity-tag that the answer to a GET would show, if the upstream may be asked and tells it.
    ///
    /// What was told to a service is not for the reader, and a signature would say nothing of another request.
    async fn tag_of_get(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        identity: Option<&Identity>,
        head: &Parts,
        outcome: &mut Outcome,
    ) -> Option<HeaderValue> {
        if is_signed(head) || !self.observed.asks(self.settings.observe.sample) {
            return None;
        }
        let lesson = identity.and_then(|identity| self.lesson(rule, head, identity));
        let asks = Instant::now();
        let reading = super::reading(rule);
        let probed = timeout(self.pool.settings().read_back_timeout, self.pool.probe(head, &reading)).await;
        outcome.asked(asks);
        let Ok(Ok(Probed::Found(mut found))) = probed else { return None };
        found.lease.take().into_iter().for_each(Lease::give_back);
        self.told(lesson.as_ref(), &found);
        let Representation::Current(current) = &found.representation else { return None };
        self.observed.has_shown(rule, found.fields.contains_key(ETAG));
        if found.by_service || !fits(rule, &found.fields) {
            return None;
        }
        Some(found.fields.get(ETAG).cloned().unwrap_or_else(|| current.tag.to_field()))
    }

    /// Whether a request states what may be a tag of ours, and nothing says yet whether it can be the upstream's own.
    pub(super) fn must_know_tags(&self, rule: &Rule, fields: &HeaderMap) -> bool {
        let stated = || Preconditions::from_fields(fields, Matching::Lenient);
        let may_be_ours = |stated: &Stated| stated.is_of_digest(rule.etag.length());
        self.settings.observe.etags && self.observed.tags(rule).is_none() && stated().lists(may_be_ours)
    }

    /// Takes our entity-tags out of what goes on, or puts the upstream's own in their place where it is known; says
    /// whether anything has changed.
    ///
    /// What may be a tag of the upstream's stays: taken out, it would let a write through that the upstream refuses.
    pub(super) fn conceal(&self, rule: &Rule, fields: &mut HeaderMap, found: Option<&Found>) -> bool {
        if !self.settings.observe.etags {
            return false;
        }
        let stated = Preconditions::from_fields(fields, Matching::Lenient);
        let (ours, theirs) = match found.map(|found| (&found.representation, theirs(found))) {
            Some((Representation::Current(current), theirs)) => (Some(&current.tag), theirs),
            Some((Representation::Missing, _)) | None => (None, None),
        };
        let is_tagless = match ours {
            Some(_) if found.is_some_and(|found| !found.fields.is_empty()) => theirs.is_none(),
            Some(_) | None => self.observed.tags(rule) == Some(false),
        };
        let becomes = |stated: &Stated| match &theirs {
            _ if !stated.is_of_digest(rule.etag.length()) => Member::Kept,
            Some(theirs) if stated.is_form_of(theirs) => Member::Kept,
            Some(theirs) if ours.is_some_and(|ours| stated.is_form_of_ours(ours)) => {
                Member::Replaced(theirs.clone())
            }
            None if is_tagless => Member::TakenOut,
            Some(_) | None => Member::Kept,
        };
        let was = fields.clone();
        let mut put = |name, condition: Option<Condition>| {
            let Some(condition) = condition else { return };
            match condition.rewritten(becomes) {
                Some(rewritten) if rewritten == condition => {}
                Some(rewritten) => drop(rewritten.to_field().map(|value| fields.insert(name, value))),
                None => drop(fields.remove(name)),
            }
        };
        put(IF_MATCH, stated.if_match);
        put(IF_NONE_MATCH, stated.if_none_match);
        if was.contains_key(IF_MATCH) && !fields.contains_key(IF_MATCH) {
            // RFC 9110 §13.1.4: beside If-Match it was out of force, and must not come into it now.
            fields.remove(IF_UNMODIFIED_SINCE);
        }
        *fields != was
    }
}
