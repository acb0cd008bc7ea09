//! Connections to the upstream.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::failure::Failure;
use super::send::Outgoing;

/// A connection on which requests can be sent, one after the other.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Outgoing>,
    /// The task that moves its bytes; ending it drops the socket.
    pub(super) task: AbortHandle,
    pub(super) sending: Arc<Sending>,
}

/// How far the bytes that are to be sent on a connection have got.
#[derive(Debug, Default)]
pub(super) struct Sending {
    last_taken: Mutex<Option<Instant>>,
    has_more: AtomicBool,
}

impl Connection {
    /// Whether the last exchange is over in both directions. An answer may come before its request has been sent whole.
    pub(super) fn is_idle(&self) -> bool {
        self.sender.is_ready() && !self.sending.has_more()
    }
}

impl Sending {
    /// When the kernel last took some of it.
    pub(super) fn last_taken(&self) -> Option<Instant> {
        *self.last_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some of what is to be sent has not been taken yet.
    pub(super) fn has_more(&self) -> bool {
        self.has_more.load(Ordering::Relaxed)
    }

    fn took(&self, written: &Poll<io::Result<usize>>) {
        // The HTTP library flushes when, and only when, it has nothing more to write.
        self.has_more.store(true, Ordering::Relaxed);
        if let Poll::Ready(Ok(_)) = written {
            *self.last_taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

/// Connects to the upstream.
pub(super) async fn connect(authority: &str, time: Duration) -> Result<Connection, Failure> {
    let stream = match timeout(time, dial(authority)).await {
        Ok(dialled) => dialled?,
        Err(_) => return Err(Failure::ConnectionTimeout),
    };
    // From the start, so that even a killed process resets what it had begun.
    let prepared = stream.set_zero_linger().and_then(|()| stream.set_nodelay(true));
    prepared.map_err(|_| Failure::ConnectionTerminated)?;
    let sending = Arc::new(Sending::default());
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(Resetting { stream, sending: Arc::clone(&sending) }))
        .await
        .map_err(|_| Failure::ConnectionTerminated)?;
    let task = tokio::spawn(async move {
        // Whoever waits for an answer is told of an error by hyper; an idle connection has nobody to tell.
        let _ = connection.await;
    });
    Ok(Connection { sender, task: task.abort_handle(), sending })
}

/// Tries the addresses of the upstream in the resolver's order.
async fn dial(authority: &str) -> Result<TcpStream, Failure> {
    let addresses: Vec<_> = lookup_host(authority).await.map_err(|_| Failure::DnsError)?.collect();
    TcpStream::connect(&addresses[..]).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::ConnectionTimeout,
        _ => Failure::ConnectionRefused,
    })
}

/// A socket that ends with a reset, never with an orderly close.
///
/// Some servers take the half of a body that an orderly close leaves behind for the whole. The socket has linger
/// zero, so that closing it resets; and the close of the sending half alone, which would be orderly, is left out.
struct Resetting {
    stream: TcpStream,
    sending: Arc<Sending>,
}

impl AsyncRead for Resetting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resetting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sending.took(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.sending.took(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sending.has_more.store(false, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_upload_that_ends_early_is_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let stream = dial(&address).await.expect("it listens");
        stream.set_zero_linger().expect("a socket");
        let mut upload = Resetting { stream, sending: Arc::default() };
        let (mut server, _) = listener.accept().await.expect("a connection");
        upload.write_all(b"half").await.expect("it is open");
        // What hyper does when it is done with a connection before the request is.
        upload.shutdown().await.expect("nothing to do");
        upload.write_all(b"more").await.expect("its sending half was not closed");
        drop(upload);
        let ended = server.read_to_end(&mut Vec::new()).await.expect_err("no orderly end");
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
    }
}
