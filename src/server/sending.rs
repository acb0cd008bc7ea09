//! A client's socket that gives up on a client that takes nothing of its answer, and notices one that has left.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A socket with a longest pause between what its client takes.
///
/// An answer that is passed on as it comes keeps an exchange with the upstream under way, and of those there are few.
pub(super) struct Sending {
    stream: TcpStream,
    pause: Duration,
    /// Armed only while the client takes nothing.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the last read gave something. The HTTP library stops reading when it has bytes that it cannot use yet,
    /// such as the next request or a stray line end, and with that it stops seeing that a client has left.
    has_surplus: bool,
}

impl Sending {
    pub(super) fn new(stream: TcpStream, pause: Duration) -> Self {
        Self { stream, pause, timer: None, has_surplus: false }
    }

    /// Whether the client has ended its sending, without taking anything off the socket.
    fn has_left(&self, cx: &mut Context<'_>) -> bool {
        let mut next = [0];
        matches!(self.stream.poll_peek(cx, &mut ReadBuf::new(&mut next)), Poll::Ready(Ok(0) | Err(_)))
    }

    /// What came of writing, or an error when nothing has for too long.
    fn in_time(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let pause = self.pause;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(pause)));
        timer.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Sending {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.has_surplus = buffer.filled().len() > before;
        read
    }
}

impl AsyncWrite for Sending {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_surplus && self.has_left(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
