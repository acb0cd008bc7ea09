//! A stream socket, over TCP or of the Unix kind.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use smallvec::SmallVec;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Up to how many bytes several pieces are put together before they are sent. The kernel takes longer to gather so few than
/// it takes to copy them here.
const FLAT: usize = 2048;

/// A connected stream socket.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// On this machine.
    Unix(UnixStream),
}

/// A socket between two runtimes: of none.
#[derive(Debug)]
pub enum Released {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// On this machine.
    Unix(std::os::unix::net::UnixStream),
}

/// Both directions of a stream.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

impl Socket {
    /// Takes the socket off its runtime.
    ///
    /// # Errors
    /// When the runtime does not let go of it.
    pub fn release(self) -> io::Result<Released> {
        Ok(match self {
            Self::Tcp(stream) => Released::Tcp(stream.into_std()?),
            Self::Unix(stream) => Released::Unix(stream.into_std()?),
        })
    }

    /// Closing it from here on sends what is left to be sent, whatever it was set to do before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_no_linger(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).set_linger(None),
            Self::Unix(_) => Ok(()),
        }
    }

    fn duplex(self: Pin<&mut Self>) -> Pin<&mut dyn Duplex> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
        }
    }
}

impl Released {
    /// Gives the socket to the runtime that this is called on.
    ///
    /// # Errors
    /// When the runtime cannot take it.
    pub fn adopt(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.duplex().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.duplex().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.duplex().poll_write(cx, only);
        }
        if slices.iter().map(|slice| slice.len()).sum::<usize>() > FLAT {
            return self.duplex().poll_write_vectored(cx, slices);
        }
        let mut flat: SmallVec<[u8; FLAT]> = SmallVec::new();
        slices.iter().for_each(|slice| flat.extend_from_slice(slice));
        self.duplex().poll_write(cx, &flat)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.duplex().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.duplex().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_their_order_whether_they_are_put_together_or_not() {
        for lengths in [&[5][..], &[1000, 0, 1048], &[1000, 1049], &[FLAT + 1], &[]] {
            let (near, mut far) = UnixStream::pair().expect("two ends");
            let mut socket = Socket::Unix(near);
            let pieces: Vec<Vec<u8>> =
                (b'a'..).zip(lengths).map(|(text, length)| vec![text; *length]).collect();
            let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let sent = socket.write_vectored(&slices).await.expect("there is room");
            drop(socket);
            let mut arrived = Vec::new();
            far.read_to_end(&mut arrived).await.expect("all of it");
            assert_eq!((sent, arrived), (lengths.iter().sum(), pieces.concat()));
        }
    }
}
