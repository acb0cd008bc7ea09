//! *Accept*, for xAPI's alternate request syntax: the envelope is opened, and the plain request seen through.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body::Body;
use tokio::time::Instant;

use super::Exchange;
use super::accept::Received;
use super::answer::{Answer, Asked};
use super::failure::Failure;
use super::outcome::Outcome;
use super::serve::named_at_most_once;
use crate::body::contents::Contents;
use crate::body::paced::Paced;
use crate::rule::Rule;
use crate::upstream::onward;
use crate::xapi::alternate::{open, preflighted, wrapped};

/// What a form holds beside the document: its parameters and header fields.
const BESIDE_CONTENT: u64 = 256 * 1024;

impl Exchange {
    /// Opens a request's envelope and sees the plain request through.
    pub(super) async fn opened(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        method: Method,
        mut head: Parts,
        body: Paced,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        outcome.is_alternate = true;
        let form = self.whole_form(rule, &head.headers, body, asked.course.until()).await?;
        let opened = open(&mut head, method, &form.to_bytes());
        // An answer is shaped by the plain request, also one that says what is wrong with the form.
        *asked = Asked::of(&head, Some(rule), asked.course.clone(), &outcome.request_id);
        self.note_facts(rule, &head, outcome);
        let contents = opened.map_err(|problem| Failure::Ambiguous(problem.to_string()))?.in_place_of(&form);
        drop(form);
        if !head.method.is_safe() {
            return self.write(rule, head, Received::Whole(contents), asked, outcome).await;
        }
        let identity = named_at_most_once(rule, &head)?;
        onward::relay(&mut head, &outcome.client, &self.pool.settings().authority);
        let wants_body = head.method != Method::HEAD;
        let answer = self.read(rule, identity.as_ref(), head, asked, outcome).await?;
        self.note_read(identity.as_ref(), &answer, outcome);
        Ok(if wants_body { answer } else { without_length(answer) })
    }

    /// Reads an envelope: percent-encoded, a document is up to three times as long.
    async fn whole_form(
        &self,
        rule: &Rule,
        fields: &HeaderMap,
        body: Paced,
        until: Instant,
    ) -> Result<Contents, Failure> {
        let read = self.whole_body(fields, Received::Coming(body), form_max(rule), until).await;
        read.map_err(|failure| match failure {
            Failure::BodyTooLarge(_) => Failure::BodyTooLarge(rule.document_max),
            failure => failure,
        })
    }
}

/// The method of the plain request, where a rule's exchanges speak xAPI and this one came in the alternate syntax.
pub(super) fn alternate_method(rule: &Rule, head: &Parts) -> Option<Method> {
    wrapped(head).filter(|_| rule.xapi)
}

/// What to judge a browser's question by that asks whether a page may send an envelope; `None` is any other request.
pub(super) fn envelope_asked_for(rule: &Rule, head: &Parts, body: &Paced) -> Option<Parts> {
    preflighted(head).filter(|_| rule.xapi && body.is_end_stream())
}

/// The largest form in which a document of a rule may come.
pub(super) fn form_max(rule: &Rule) -> u64 {
    rule.document_max.saturating_mul(3).saturating_add(BESIDE_CONTENT)
}

/// The answer to a HEAD whose request was a POST on the wire: there a length announces a body, and none follows.
fn without_length(mut answer: Answer) -> Answer {
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer
}

#[cfg(test)]
mod tests {
    use super::super::answer::AnswerBody;
    use super::*;

    #[test]
    fn the_answer_to_a_head_in_a_post_announces_no_body() {
        let mut answer = Answer::new(AnswerBody::Contents(Contents::default()));
        answer.headers_mut().insert(CONTENT_LENGTH, 7.into());
        assert_eq!(without_length(answer).headers().get(CONTENT_LENGTH), None);
    }
}
