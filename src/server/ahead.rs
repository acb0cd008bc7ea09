//! A client's stream of which a little may be read before its time: to know what it speaks, and whether it has left.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A stream and what was read of it and not yet asked for.
#[derive(Debug)]
pub(super) struct Ahead<S> {
    stream: S,
    ahead: Vec<u8>,
    /// Whether the last read gave something. The HTTP library stops reading when it has bytes that it cannot use yet,
    /// such as the next request or a stray line end, and with that it stops seeing that a client has left.
    has_surplus: bool,
    /// What went wrong while something could still be given.
    failure: Option<io::Error>,
    /// Whether something was written since all of it was last flushed.
    has_more: bool,
    /// Whether it carries no HTTP any more, so that a client that ends its sending has not left.
    has_switched: bool,
}

impl<S: AsyncRead + Unpin> Ahead<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
            has_surplus: false,
            failure: None,
            has_more: false,
            has_switched: false,
        }
    }

    /// The same with another stream in its place, of which nothing else has been read.
    pub(super) fn map<T>(self, replace: impl FnOnce(S) -> T) -> Ahead<T> {
        Ahead {
            stream: replace(self.stream),
            ahead: self.ahead,
            has_surplus: self.has_surplus,
            failure: self.failure,
            has_more: self.has_more,
            has_switched: self.has_switched,
        }
    }

    /// The same once it carries no HTTP any more, with what the HTTP library has read and not used.
    ///
    /// Nothing, where the library may have had something more to write, which it has thrown away.
    pub(super) fn switched(mut self, read: &[u8]) -> Option<Self> {
        self.ahead.splice(..0, read.iter().copied());
        self.has_switched = true;
        (!self.has_more).then_some(self)
    }

    /// Whether the stream begins like this. It reads no further than it must to know.
    ///
    /// # Errors
    /// When the stream ends before that is known.
    pub(super) async fn begins_with(&mut self, beginning: &[u8]) -> io::Result<bool> {
        while self.ahead.len() < beginning.len() && beginning.starts_with(&self.ahead) {
            let room = (beginning.len() - self.ahead.len()) as u64;
            if (&mut self.stream).take(room).read_buf(&mut self.ahead).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.starts_with(beginning))
    }

    /// Whether the client has ended its sending. What it sends instead is kept for whoever reads next.
    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.ahead.is_empty() {
            return false;
        }
        let mut next = [0];
        let mut buffer = ReadBuf::new(&mut next);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.ahead.extend_from_slice(buffer.filled());
                false
            }
            Poll::Ready(_) => true,
            Poll::Pending => false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..count]);
            self.ahead.drain(..count);
            self.has_surplus = true;
            // What follows comes along: a stream of which a byte is looked at after every read would come byte by byte.
            if buffer.remaining() > 0
                && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_read(cx, buffer)
            {
                self.failure = Some(error);
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        let before = buffer.filled().len();
        self.has_surplus = false;
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.has_surplus = buffer.filled().len() > before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.has_more = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_more = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_surplus && !self.has_switched && self.has_left(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        // The HTTP library flushes when, and only when, it has nothing more to write.
        self.has_more = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_read_all_the_same() {
        for (sent, is_fitting) in
            [("PRI * HTTP/2.0", true), ("PRI * HTTP/1.1", false), ("GET / HTTP/1.1", false)]
        {
            let (near, mut far) = tokio::io::duplex(100);
            for piece in sent.as_bytes().chunks(3) {
                far.write_all(piece).await.expect("room");
            }
            drop(far);
            let mut stream = Ahead::new(near);
            assert_eq!(stream.begins_with(b"PRI * HTTP/2.0").await.expect("enough"), is_fitting, "{sent}");
            let mut read = String::new();
            stream.read_to_string(&mut read).await.expect("an orderly end");
            assert_eq!(read, sent);
        }
    }

    #[tokio::test]
    async fn an_end_before_it_is_known_is_an_error() {
        let (near, mut far) = tokio::io::duplex(100);
        far.write_all(b"PRI").await.expect("room");
        drop(far);
        Ahead::new(near).begins_with(b"PRI * ").await.expect_err("nobody knows");
    }

    #[tokio::test]
    async fn what_was_read_before_a_switch_comes_first() {
        let (near, mut far) = tokio::io::duplex(100);
        far.write_all(b" and then").await.expect("room");
        drop(far);
        let mut stream = Ahead::new(near);
        assert!(stream.begins_with(b" and").await.expect("enough"));
        let mut read = String::new();
        let mut stream = stream.switched(b"first").expect("nothing was written");
        stream.read_to_string(&mut read).await.expect("an orderly end");
        assert_eq!(read, "first and then");
    }

    #[tokio::test]
    async fn what_the_http_library_had_still_to_say_is_not_left_out_before_a_switch() {
        let (near, _far) = tokio::io::duplex(100);
        let mut stream = Ahead::new(near);
        stream.write_all(b"half of a head").await.expect("room");
        assert!(stream.switched(b"").is_none(), "the other half may have been thrown away");
        let (near, _far) = tokio::io::duplex(100);
        let mut stream = Ahead::new(near);
        stream.write_all(b"a head").await.expect("room");
        stream.flush().await.expect("room");
        assert!(stream.switched(b"").is_some());
    }

    #[tokio::test]
    async fn whoever_ends_their_sending_has_left_only_while_it_is_http() {
        for (is_switched, is_there) in [(false, false), (true, true)] {
            let (near, mut far) = tokio::io::duplex(100);
            far.write_all(b"a question").await.expect("room");
            let mut stream = Ahead::new(near);
            if is_switched {
                stream = stream.switched(b"").expect("nothing was written");
            }
            stream.read_exact(&mut [0; 10]).await.expect("it is there");
            far.shutdown().await.expect("it is open");
            assert_eq!(stream.flush().await.is_ok(), is_there);
        }
    }
}
