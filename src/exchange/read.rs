//! A guarded read: forward → learn → evaluate → answer. It takes no hold and waits for none.

use http::header::{CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use super::Exchange;
use super::answer::{self, Answer, AnswerBody, Asked};
use super::course::Stage;
use super::failure::Failure;
use super::outcome::{Outcome, Step};
use super::recall::Lesson;
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Interrupted, Paced};
use crate::guard::evaluate::{ReadVerdict, evaluate_read, repairs};
use crate::guard::verdict::{Reason, Refusal};
use crate::resource::Document;
use crate::rule::Rule;
use crate::rule::identity::Identity;
use crate::semantics::credentials::{Certificate, Credentials};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::last_modified;
use crate::semantics::preconditions::Preconditions;
use crate::semantics::representation::{Current, Representation};
use crate::upstream::failure;
use crate::upstream::intake::{Reading, take_in};
use crate::upstream::onward;
use crate::upstream::pool::{Lease, Purpose};
use crate::upstream::send::Outgoing;
use crate::upstream::streamed::Streamed;

impl Exchange {
    /// Reads a guarded resource: the whole representation is asked for, and gets our entity-tag.
    ///
    /// Only what names one document is dated; a list of ids names none.
    pub(super) async fn read(
        &self,
        rule: &Rule,
        identity: Option<&Identity>,
        mut head: Parts,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        asked.course.reach(Stage::Read)?;
        let reader = Credentials::of(&head.headers, Certificate::of(&head));
        let read = identity.map(|identity| (super::document(&head, identity), reader));
        let stated = Preconditions::from_fields(&head.headers, rule.matching);
        let wants_body = head.method != Method::HEAD;
        let lesson = identity.and_then(|identity| self.lesson(rule, &head, identity));
        // forward
        onward::read(&mut head);
        if lesson.as_ref().is_some_and(Lesson::lasts) {
            onward::past_caches(&mut head);
        }
        let request = Request::from_parts(head, Outgoing::Contents(Contents::default()));
        outcome.begins(Step::Forward);
        let (response, lease) =
            self.pool.fetch(request, Purpose::Repeatable).await.map_err(Failure::Upstream)?;
        if let Some(took) = lease.took() {
            outcome.heard(took);
        }
        let (mut head, body) = response.into_parts();
        asked.heard(&head.headers);
        let body = Paced::new(body, self.pool.settings().response_timeout);
        let is_document = head.status == StatusCode::OK;
        if rule.absent.statuses.contains(&head.status) {
            // Caches keep a 404 by guesswork too (RFC 9110 §15.1), and a document that is created would look missing.
            answer::revalidated(&mut head.headers);
            self.learned(lesson.as_ref(), &head.headers, &Representation::Missing);
        }
        // What a HEAD does not want is read all the same where it ends, since that frees the connection.
        if is_event_stream(&head) || (wants_body && !is_document) {
            return Ok(without_body_for_head(answer::without_tag(joined(head, body, lease)), wants_body));
        }
        // learn
        let contents = match body.collect(rule.document_max, &self.buffers.reads).await.map_err(broken)? {
            Collected::Whole(contents) => contents,
            Collected::TooLarge(body) | Collected::OverBudget(body) if is_document => {
                return Ok(too_large(head, body, lease, wants_body));
            }
            Collected::TooLarge(body) | Collected::OverBudget(body) => {
                return Ok(without_body_for_head(answer::without_tag(joined(head, body, lease)), wants_body));
            }
        };
        lease.give_back();
        if !is_document {
            return Ok(without_body_for_head(answer::unchanged(head, contents), wants_body));
        }
        // What is no current representation, or coded in a way that cannot be undone, gets no tag.
        let reading = Reading { digests: Some(&self.memory.digests), ..super::reading(rule) };
        let Some((decoded, found)) = take_in(&head.headers, &contents, &reading) else {
            return Ok(without_body_for_head(answer::unchanged(head, contents), wants_body));
        };
        let contents = decoded.unwrap_or(contents);
        self.learned(lesson.as_ref(), &head.headers, &found);
        let Representation::Current(current) = &found else {
            answer::revalidated(&mut head.headers);
            return Ok(without_body_for_head(answer::unchanged(head, contents), wants_body));
        };
        self.date(&mut head.headers, read, &current.tag);
        // evaluate, answer
        outcome.repairs = repairs(&stated, &found, rule.matching);
        Ok(match evaluate_read(&stated, &found, rule.matching) {
            ReadVerdict::Send => {
                without_body_for_head(answer::stamped(head, contents, &current.tag), wants_body)
            }
            ReadVerdict::NotModified => answer::not_modified(head, &current.tag),
            ReadVerdict::Failed => answer::refused(&failed(current), asked),
        })
    }

    /// Puts the Last-Modified of a document into the form that HTTP knows, or makes one where somebody has read a single
    /// document of which the upstream does not say.
    fn date(&self, fields: &mut HeaderMap, read: Option<(Document, Credentials)>, tag: &EntityTag) {
        if fields.contains_key(LAST_MODIFIED) {
            last_modified::convert(fields);
        } else if let Some((document, reader)) = read {
            let dated = last_modified::date(fields);
            let since = self.memory.changes.since(document, reader, tag, dated);
            last_modified::make(fields, since);
        }
    }
}

pub(super) fn joined(head: http::response::Parts, body: Paced, lease: Lease) -> Response<Streamed> {
    Response::from_parts(head, Streamed::new(body, lease))
}

/// A document over the bound, or for which there is no room: streamed, with the upstream's own tag if that is a strong one.
fn too_large(head: http::response::Parts, body: Paced, lease: Lease, wants_body: bool) -> Answer {
    let own = EntityTag::strong_from_fields(&head.headers);
    let mut answer = answer::without_tag(joined(head, body, lease));
    last_modified::convert(answer.headers_mut());
    if let Some(tag) = own {
        answer.headers_mut().insert(ETAG, tag.to_field());
    }
    without_body_for_head(answer, wants_body)
}

/// The upstream was asked with GET, so that a HEAD must not wait for a body that nobody reads.
fn without_body_for_head(answer: Answer, wants_body: bool) -> Answer {
    if wants_body {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    if let Some(length) = http_body::Body::size_hint(&body).exact() {
        head.headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, AnswerBody::Contents(Contents::default()))
}

pub(super) fn is_event_stream(head: &http::response::Parts) -> bool {
    // An event stream has no end, so there is nothing to wait for.
    head.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

fn failed(current: &Current) -> Refusal {
    Refusal {
        status: StatusCode::PRECONDITION_FAILED,
        reason: Reason::IfMatchFailed,
        current: Some(current.tag.clone()),
    }
}

pub(super) fn broken(interrupted: Interrupted) -> Failure {
    Failure::Upstream(match interrupted {
        Interrupted::Stalled => failure::Failure::ResponseTimeout,
        Interrupted::Broken(_) => failure::Failure::ResponseIncomplete,
    })
}
