//! An answer to an observed write, which is passed on as it comes.
//!
//! What ends a write's hold is the end of its answer, and not the pace of a client that reads it. So the answer is read
//! as fast as the upstream sends it, within bounds, while its client takes what has come.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

use super::streamed::Streamed;
use crate::body::budget::{Budget, Share};
use crate::body::paced::Interrupted;
use crate::memory::holds::InFlight;

/// The body of an answer that is read ahead of its client.
#[derive(Debug)]
pub struct Ahead {
    pieces: UnboundedReceiver<Piece>,
    /// What was not read ahead, once all that was is gone.
    rest: Option<Streamed>,
    hint: SizeHint,
    ended: bool,
    /// What has been read ahead counts until the answer is over.
    _share: Arc<Share>,
}

/// Reads an answer ahead, and settles its write.
#[derive(Debug)]
pub struct ReadAhead {
    body: Streamed,
    pieces: UnboundedSender<Piece>,
    share: Arc<Share>,
    in_flight: InFlight,
}

#[derive(Debug)]
enum Piece {
    Frame(Frame<Bytes>),
    Broken(Interrupted),
    Rest(Box<Streamed>),
}

/// Splits the answer to a write into what its client is given and what reads it, which is to be run in a task that
/// nothing cancels.
pub fn read_ahead(body: Streamed, in_flight: InFlight, budget: &Arc<Budget>) -> (Ahead, ReadAhead) {
    let (sender, pieces) = unbounded_channel();
    let share = Share::of(budget);
    let hint = body.size_hint();
    let ahead = Ahead { pieces, rest: None, hint, ended: false, _share: Arc::clone(&share) };
    (ahead, ReadAhead { body, pieces: sender, share, in_flight })
}

impl ReadAhead {
    /// Reads until the answer has ended. The outcome of its write is known then, and also once `max` bytes of it have
    /// come, or more than there is room for. It is unknown if the answer breaks off, or is not whole in time: the scope
    /// must not be held for as long as an upstream cares to trickle.
    ///
    /// What is not read ahead is left to the client.
    pub async fn run(self, max: u64, time: Duration) {
        let Self { mut body, pieces, share, in_flight } = self;
        let deadline = Instant::now() + time;
        let mut left = max;
        loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return drop(in_flight.settle()),
                Ok(Some(Err(broken))) => {
                    drop(in_flight);
                    let _ = pieces.send(Piece::Broken(broken));
                    return;
                }
                Err(_) => {
                    drop(in_flight);
                    let _ = pieces.send(Piece::Rest(Box::new(body)));
                    return;
                }
            };
            let length = frame.data_ref().map_or(0, |piece| piece.len() as u64);
            let has_room = length <= left && share.grow(length);
            left = left.saturating_sub(length);
            // A client that has left hears nothing more, and the write is seen to its end all the same.
            let _ = pieces.send(Piece::Frame(frame));
            if !has_room {
                drop(in_flight.settle());
                let _ = pieces.send(Piece::Rest(Box::new(body)));
                return;
            }
        }
    }
}

impl Ahead {
    fn passed_on(&mut self, length: u64) {
        let (lower, upper) = (self.hint.lower(), self.hint.upper());
        self.hint = SizeHint::new();
        self.hint.set_lower(lower.saturating_sub(length));
        if let Some(upper) = upper {
            self.hint.set_upper(upper.saturating_sub(length).max(self.hint.lower()));
        }
    }
}

impl Body for Ahead {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = match &mut self.rest {
            Some(rest) => ready!(Pin::new(rest).poll_frame(cx)),
            None => match ready!(self.pieces.poll_recv(cx)) {
                Some(Piece::Frame(frame)) => Some(Ok(frame)),
                Some(Piece::Broken(broken)) => Some(Err(broken)),
                Some(Piece::Rest(rest)) => {
                    self.rest = Some(*rest);
                    return self.poll_frame(cx);
                }
                None => None,
            },
        };
        match &polled {
            Some(Ok(frame)) => self.passed_on(frame.data_ref().map_or(0, |piece| piece.len() as u64)),
            Some(Err(_)) | None => self.ended = true,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.rest.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}
