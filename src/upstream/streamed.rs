//! An answer of the upstream that is passed on as it comes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::pool::Lease;
use super::send::Took;
use crate::body::paced::{Interrupted, Paced};
use crate::memory::holds::Unheld;

/// The body of an answer, which gives its connection back once it has ended.
#[derive(Debug)]
pub struct Streamed {
    body: Paced,
    lease: Option<Lease>,
    unheld: Option<Unheld>,
    took: Option<Took>,
}

impl Streamed {
    /// Joins a body and the connection that it comes from.
    pub fn new(body: Paced, lease: Lease) -> Self {
        let took = lease.took();
        let mut streamed = Self { body, lease: Some(lease), unheld: None, took };
        streamed.give_back_at_end();
        streamed
    }

    /// The same body, of the answer to a question of our own: how long it took says nothing of the client's.
    pub fn untimed(self) -> Self {
        Self { took: None, ..self }
    }

    /// How long the answer took to its head.
    pub fn took(&self) -> Option<Took> {
        self.took
    }

    /// The same body, of the answer to what went on without a hold: once it has ended, the outcome is known.
    pub fn settling(mut self, unheld: Unheld) -> Self {
        self.unheld = Some(unheld);
        self.give_back_at_end();
        self
    }

    fn give_back_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
        if let Some(unheld) = self.unheld.take() {
            unheld.settle();
        }
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.give_back(),
            // Nothing follows trailers, so nobody may ask for more.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => self.give_back(),
            // Dropping the connection resets it: what is left of the answer will not come.
            Poll::Ready(Some(Err(_))) => self.lease = None,
            // Whoever was promised a length does not ask for more once it has been reached.
            Poll::Ready(Some(Ok(_))) => self.give_back_at_end(),
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
