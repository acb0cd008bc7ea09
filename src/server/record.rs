//! The record of an exchange, which is taken when the exchange is over, in whatever way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Records;
use crate::body::paced::Interrupted;
use crate::drain::Drain;
use crate::exchange::answer::AnswerBody;
use crate::exchange::outcome::Outcome;

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
        }
        self.records.take(&self.outcome, self.sent);
    }
}

/// The body of an answer; with its end, the exchange is over.
pub(super) struct Logged {
    pub(super) body: AnswerBody,
    pub(super) record: Record,
}

impl Body for Logged {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.record.sent += frame.data_ref().map_or(0, |piece| piece.len() as u64);
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
