//! A tunnel: a client and the upstream say to each other what they like, once what they speak is no HTTP any more.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

use super::ahead::Ahead;
use super::line::Line;
use super::record::Record;
use crate::drain::Drain;
use crate::exchange::upgrade::Tunnel;

/// A tunnel that has been promised to a client.
pub(super) struct Opening {
    /// Where its connection comes from, once the promise has been sent.
    pub(super) switch: OnUpgrade,
    pub(super) tunnel: Tunnel,
    pub(super) record: Box<Record>,
}

/// A client's side, of which it is known when something last came or went.
struct Watched {
    stream: Ahead<Line>,
    last: Arc<Mutex<Instant>>,
    sent: u64,
}

impl Opening {
    /// Joins both sides until both have ended, one breaks off, both are silent for too long, or draining begins. It does
    /// not wait for the end of what may never end.
    pub(super) async fn run(self, drain: &Drain) {
        let Self { switch, tunnel, mut record } = self;
        let Some(stream) = client(switch).await else {
            record.outcome.failure = Some("client-left");
            return;
        };
        let last = Arc::new(Mutex::new(Instant::now()));
        let mut client = Watched { stream, last: Arc::clone(&last), sent: 0 };
        let mut upstream = tunnel.upstream;
        record.outcome.failure = tokio::select! {
            ended = copy_bidirectional(&mut client, &mut upstream.stream) => {
                ended.is_err().then_some("tunnel-broken")
            }
            () = silence(&last, tunnel.idle_timeout) => Some("tunnel-idle"),
            () = drain.begun() => Some("draining"),
        };
        record.sent = client.sent;
    }
}

/// The client's side, which goes on behind the head that promised the tunnel.
async fn client(switch: OnUpgrade) -> Option<Ahead<Line>> {
    let parts = switch.await.ok()?.downcast::<TokioIo<Ahead<Line>>>().ok()?;
    parts.io.into_inner().switched(&parts.read_buf)
}

/// Waits until nothing has come or gone for as long.
async fn silence(last: &Mutex<Instant>, time: Duration) {
    loop {
        let end = *last.lock().unwrap_or_else(PoisonError::into_inner) + time;
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

impl Watched {
    fn noted<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        polled
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.noted(polled)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.sent += count as u64;
        }
        self.noted(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
