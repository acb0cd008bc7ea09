//! Watch: what an observed reader is given is looked at while it passes, so that whoever writes around this proxy is
//! noticed before anything is enforced too.
//!
//! The answer passes as it comes, and nothing of it is kept: its bytes go through a digest on their way.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::Exchange;
use super::answer::{Answer, AnswerBody};
use super::recall::Lesson;
use crate::body::paced::Interrupted;
use crate::fingerprint::Subject;
use crate::rule::Rule;
use crate::semantics::representation::Representation;
use crate::upstream::intake::Intake;
use crate::upstream::send::Took;
use crate::upstream::streamed::Streamed;

/// The upstream's answer to an observed read, on its way.
pub struct Watched {
    body: Streamed,
    /// Until there is nothing more to see.
    eye: Option<Eye>,
}

struct Eye {
    exchange: Arc<Exchange>,
    rule: Arc<Rule>,
    lesson: Lesson,
    intake: Intake,
    /// How many bytes more the document may have.
    left: u64,
}

impl Exchange {
    /// Passes the answer to an observed read on as it comes, and looks at it where it says what the document holds.
    ///
    /// What is coded is not decoded for that, and of what is over `document-max` only the beginning is looked at, in
    /// vain. A canonical form would need the whole document at once, so that such rules learn from their questions
    /// alone.
    pub(super) fn watched(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        lesson: Option<Lesson>,
        answer: Answer,
    ) -> Answer {
        let Some(lesson) = lesson.filter(|_| self.memory.questions.is_lasting(answer.headers())) else {
            return answer;
        };
        if rule.absent.statuses.contains(&answer.status()) {
            self.seen(&lesson, &Representation::Missing);
            return answer;
        }
        let is_of_bytes = rule.etag_of == Subject::Contents;
        let fits = answer.body().size_hint().lower() <= rule.document_max;
        if answer.status() != StatusCode::OK || !is_of_bytes || !fits {
            return answer;
        }
        let Some(intake) = Intake::of_identity(answer.headers(), &super::reading(rule)) else {
            return answer;
        };
        let left = rule.document_max;
        let eye = Eye { exchange: Arc::clone(self), rule: Arc::clone(rule), lesson, intake, left };
        answer.map(|body| match body {
            AnswerBody::Streamed(body) => AnswerBody::Watched(Box::new(Watched::new(*body, eye))),
            body => body,
        })
    }
}

impl Watched {
    fn new(body: Streamed, eye: Eye) -> Self {
        let mut watched = Self { body, eye: Some(eye) };
        watched.tell_at_end();
        watched
    }

    /// How long the answer took to its head.
    pub(super) fn took(&self) -> Option<Took> {
        self.body.took()
    }

    /// Whoever was promised a length does not ask for more once it has been reached.
    fn tell_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.eye.take().into_iter().for_each(Eye::tell);
        }
    }

    fn see(&mut self, piece: &Bytes) {
        self.eye = self.eye.take().and_then(|eye| eye.see(piece));
    }
}

impl Eye {
    /// Looks at the next piece; there is nothing more to see of what is larger than a document may be.
    fn see(mut self, piece: &Bytes) -> Option<Self> {
        self.left = self.left.checked_sub(piece.len() as u64)?;
        self.intake.push(piece.clone()).ok()?;
        Some(self)
    }

    fn tell(self) {
        // The upstream's own entity-tag is not compared, so that its fields need not be kept.
        if let Ok((_, found)) = self.intake.finish(&HeaderMap::new(), &self.rule.absent) {
            self.exchange.seen(&self.lesson, &found);
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(piece) = frame.data_ref() {
                    self.see(piece);
                }
                if frame.is_trailers() {
                    self.eye.take().into_iter().for_each(Eye::tell);
                }
                self.tell_at_end();
            }
            Poll::Ready(None) => self.eye.take().into_iter().for_each(Eye::tell),
            // Half a document is none.
            Poll::Ready(Some(Err(_))) => self.eye = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("body", &self.body).finish_non_exhaustive()
    }
}
