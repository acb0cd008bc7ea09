//! The record of an exchange, which is taken when the exchange is over, in whatever way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Records;
use crate::body::contents::Contents;
use crate::body::paced::Interrupted;
use crate::drain::Drain;
use crate::exchange::answer::AnswerBody;
use crate::exchange::outcome::Outcome;
use crate::exchange::upgrade::Tunnel;

/// What an exchange has come to so far.
pub(super) struct Record {
    pub(super) outcome: Outcome,
    pub(super) sent: u64,
    pub(super) records: Records,
    pub(super) drain: Drain,
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.outcome.status.is_none() {
            let left = if self.drain.has_cut_off() { "cut-off" } else { "client-left" };
            self.outcome.failure.get_or_insert(left);
            self.outcome.is_over();
        }
        self.records.take(&mut self.outcome, self.sent);
    }
}

/// The body of an answer; with its end, the exchange is over.
pub(super) struct Logged {
    body: AnswerBody,
    /// There until it is handed to a tunnel. On the heap, because the HTTP library moves bodies about.
    record: Option<Box<Record>>,
}

impl Logged {
    pub(super) fn new(body: AnswerBody, record: Box<Record>) -> Self {
        Self { body, record: Some(record) }
    }

    /// The tunnel that follows this answer, if one does, and the record, which is taken when the tunnel ends.
    pub(super) fn take_tunnel(&mut self) -> Option<(Tunnel, Box<Record>)> {
        if !matches!(self.body, AnswerBody::Tunnel(_)) {
            return None;
        }
        match std::mem::replace(&mut self.body, AnswerBody::Contents(Contents::default())) {
            AnswerBody::Tunnel(tunnel) => Some(*tunnel).zip(self.record.take()),
            AnswerBody::Contents(_)
            | AnswerBody::Streamed(_)
            | AnswerBody::Watched(_)
            | AnswerBody::Ahead(_) => None,
        }
    }
}

impl Body for Logged {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(record)) = (&polled, &mut self.record) {
            record.sent += frame.data_ref().map_or(0, |piece| piece.len() as u64);
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
