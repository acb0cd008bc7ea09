//! A body that is received piece by piece and must not stall for too long.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

use super::budget::Budget;
use super::contents::Contents;

/// A received body with a longest pause between its pieces.
///
/// Pieces that were read ahead to learn the body's size stand in front of what is still to come.
pub struct Paced {
    ahead: Contents,
    rest: Incoming,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Where the bytes are counted that have come.
    received: Option<Arc<AtomicU64>>,
}

/// Why a body did not arrive whole.
#[derive(Debug)]
pub enum Interrupted {
    /// Its sender fell silent for longer than the longest pause.
    Stalled,
    /// The connection ended before the body did, or its framing is malformed.
    Broken(hyper::Error),
}

/// A body, read up to a bound.
pub enum Collected {
    /// It is whole.
    Whole(Contents),
    /// It is larger than the bound: what was read stands in front of the rest.
    TooLarge(Paced),
    /// All bodies together are larger than the budget: what was read stands in front of the rest.
    OverBudget(Paced),
}

/// A body, read until its time is up.
pub enum Timely {
    /// It was there, or too large, in time.
    Collected(Collected),
    /// Time was up: what was read is thrown away, and this is the rest.
    Late(Paced),
}

/// How far a body could be read.
enum Gathered {
    Whole(Contents),
    TooLarge,
    OverBudget,
}

impl Paced {
    /// A body as it arrives.
    pub fn new(body: Incoming, pause: Duration) -> Self {
        Self { ahead: Contents::default(), rest: body, pause, timer: None, received: None }
    }

    /// The same body, whose bytes are counted as they come.
    pub fn counting(self, received: Arc<AtomicU64>) -> Self {
        Self { received: Some(received), ..self }
    }

    /// Reads the body up to `max` bytes, charged to a budget. A declared length over the bound is enough to stop at once.
    pub async fn collect(mut self, max: u64, budget: &Arc<Budget>) -> Result<Collected, Interrupted> {
        let gathered = self.gather(max, budget).await?;
        Ok(self.collected(gathered))
    }

    /// The same, until time is up.
    pub async fn collect_until(
        mut self,
        until: Instant,
        max: u64,
        budget: &Arc<Budget>,
    ) -> Result<Timely, Interrupted> {
        match timeout_at(until, self.gather(max, budget)).await {
            Ok(gathered) => Ok(Timely::Collected(self.collected(gathered?))),
            Err(_) => Ok(Timely::Late(self)),
        }
    }

    /// Reads the body as far as it may be held. What is too much stands in front of the rest again.
    async fn gather(&mut self, max: u64, budget: &Arc<Budget>) -> Result<Gathered, Interrupted> {
        if self.rest.size_hint().lower() > max {
            return Ok(Gathered::TooLarge);
        }
        let mut contents = Contents::charged_to(budget);
        while let Some(frame) = self.frame().await {
            match frame?.into_data() {
                Ok(piece) => {
                    if let Err(piece) = contents.try_push(piece) {
                        contents.push(piece);
                        self.ahead = contents;
                        return Ok(Gathered::OverBudget);
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        contents.set_trailers(trailers);
                    }
                }
            }
            if contents.len() > max {
                self.ahead = contents;
                return Ok(Gathered::TooLarge);
            }
        }
        Ok(Gathered::Whole(contents))
    }

    fn collected(self, gathered: Gathered) -> Collected {
        match gathered {
            Gathered::Whole(contents) => Collected::Whole(contents),
            Gathered::TooLarge => Collected::TooLarge(self),
            Gathered::OverBudget => Collected::OverBudget(self),
        }
    }

    /// Reads and throws away, until the end or until time is up.
    pub async fn discard(mut self, time: Duration) {
        // What was read is given back to its budget now and not at the end.
        self.ahead = Contents::default();
        let end = Instant::now() + time;
        while let Ok(Some(Ok(_))) = timeout_at(end, self.frame()).await {}
    }

    /// The timer is armed only while nothing has come, so a body that flows never touches it.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause;
        self.timer.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx)
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        if let Some(piece) = self.ahead.pop() {
            if self.ahead.is_empty() {
                // What is still to come takes nothing of a budget.
                self.ahead = Contents::default();
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match Pin::new(&mut self.rest).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.timer = None;
                if let (Some(received), Some(Ok(frame))) = (&self.received, &frame) {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    received.fetch_add(bytes as u64, Ordering::Relaxed);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Interrupted::Broken)))
            }
            Poll::Pending => {
                ready!(self.poll_stalled(cx));
                Poll::Ready(Some(Err(Interrupted::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_end_stream() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (ahead, mut hint) = (self.ahead.len(), self.rest.size_hint());
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + ahead);
        }
        hint.set_lower(hint.lower() + ahead);
        hint
    }
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("ahead", &self.ahead.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => f.write_str("the body stalled"),
            Self::Broken(error) => write!(f, "the body broke off: {error}"),
        }
    }
}

impl std::error::Error for Interrupted {}
