//! Show: where `observe.etags` says so, readers are shown our entity-tag, and the upstream never sees it.
//!
//! An upstream that shows none of its own gives its clients nothing to state, so that nothing could be foreseen of
//! them. Where it shows one, that one stays.

use std::sync::Arc;

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};

use super::Exchange;
use super::answer::{self, Answer, AnswerBody, Asked};
use super::failure::Failure;
use super::foresee::theirs;
use super::read::{broken, is_event_stream, joined};
use super::relay::{purpose, unanswered};
use crate::body::paced::{Collected, Paced};
use crate::rule::Rule;
use crate::semantics::preconditions::{Condition, Matching, Member, Preconditions, Stated};
use crate::semantics::representation::Representation;
use crate::upstream::intake::take_in;
use crate::upstream::onward;
use crate::upstream::probe::Found;
use crate::upstream::send::Outgoing;

impl Exchange {
    /// Passes a read on, and its answer back as it came, with our entity-tag where it has none and is a whole document
    /// that can be held.
    pub(super) async fn read_showing(
        self: &Arc<Self>,
        rule: &Rule,
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
            return Ok(answer::relayed(joined(head, body, lease)));
        }
        self.observed.has_shown(rule, has_tag);
        if has_tag {
            return Ok(answer::relayed(joined(head, body, lease)));
        }
        let contents = match body.collect(rule.document_max, &self.buffers.reads).await.map_err(broken)? {
            Collected::Whole(contents) => contents,
            Collected::TooLarge(body) | Collected::OverBudget(body) => {
                return Ok(answer::relayed(joined(head, body, lease)));
            }
        };
        lease.give_back();
        if let Some((_, Representation::Current(current))) =
            take_in(&head.headers, &contents, &super::reading(rule))
        {
            head.headers.insert(ETAG, current.tag.to_field());
        }
        Ok(answer::whole(head, AnswerBody::Contents(contents)))
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
