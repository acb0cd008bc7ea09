//! What is under way on a connection of HTTP/2, where one socket says nothing of how each exchange gets on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::record::Logged;
use crate::body::paced::Interrupted;

/// The exchanges of one connection.
#[derive(Debug)]
pub(super) struct Streams(Mutex<State>);

#[derive(Debug)]
struct State {
    under_way: usize,
    /// When the last exchange ended.
    idle_since: Instant,
    answers: Vec<Weak<Mutex<Answer>>>,
}

/// An exchange that is under way.
pub(super) struct Stream(Arc<Streams>);

/// The body of an answer. Where its client has opened no window for it, nobody asks for more of it, and it is taken away
/// after a while: it may keep a connection to the upstream busy.
pub(super) struct Watched {
    answer: Arc<Mutex<Answer>>,
    _stream: Stream,
}

struct Answer {
    /// What is still to be sent; nothing once it was taken away.
    body: Option<Logged>,
    /// Since when it is the client's turn.
    given: Option<Instant>,
}

impl Streams {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { under_way: 0, idle_since: Instant::now(), answers: Vec::new() }))
    }

    /// Begins an exchange, which ends when what is given back is dropped.
    pub(super) fn open(self: &Arc<Self>) -> Stream {
        self.state().under_way += 1;
        Stream(Arc::clone(self))
    }

    /// Whether nothing has been under way for so long.
    pub(super) fn has_been_idle_for(&self, time: Duration) -> bool {
        let state = self.state();
        state.under_way == 0 && state.idle_since.elapsed() >= time
    }

    /// Takes away the answers of which their clients have taken nothing for so long.
    pub(super) fn cut_off_stalled(&self, pause: Duration) {
        let answers: Vec<_> = {
            let mut state = self.state();
            state.answers.retain(|answer| answer.strong_count() > 0);
            state.answers.iter().filter_map(Weak::upgrade).collect()
        };
        for answer in answers {
            let mut answer = lock(&answer);
            if answer.given.is_some_and(|given| given.elapsed() >= pause) {
                answer.body = None;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Watches over the body of the exchange's answer.
    pub(super) fn watch(self, body: Logged) -> Watched {
        let answer = Arc::new(Mutex::new(Answer { body: Some(body), given: Some(Instant::now()) }));
        self.0.state().answers.push(Arc::downgrade(&answer));
        Watched { answer, _stream: self }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.idle_since = Instant::now();
        state.answers.retain(|answer| answer.strong_count() > 0);
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let mut answer = lock(&self.answer);
        let Some(body) = &mut answer.body else { return Poll::Ready(Some(Err(Interrupted::Stalled))) };
        let polled = Pin::new(body).poll_frame(cx);
        answer.given = matches!(polled, Poll::Ready(Some(Ok(_)))).then(Instant::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.answer).body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.answer).body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

fn lock(answer: &Mutex<Answer>) -> MutexGuard<'_, Answer> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}
