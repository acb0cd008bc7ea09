//! HTTP/1.1 as bytes on a socket: just enough reading for a client and an upstream that must see what a library
//! would hide, such as the difference between an upload that ended and one that was broken off.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A start line with its fields, as they stood on the wire.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// How the other side ended what it was sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As its framing said.
    Complete,
    /// By an orderly close, before the framing said so.
    Fin,
    /// By a reset.
    Reset,
}

/// What delimits a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A body as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) ending: Ending,
}

/// A socket with what was read from it and not yet used.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Head {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Self { start, fields }
    }

    /// The n-th word of the start line.
    pub(crate) fn word(&self, n: usize) -> &str {
        self.start.split(' ').nth(n).unwrap_or_default()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.fields, name)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The framing that the fields state, if they state one.
    pub(crate) fn framing(&self) -> Option<Framing> {
        if self
            .field("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"))
        {
            return Some(Framing::Chunked);
        }
        self.field("content-length").map(|length| Framing::Length(length.parse().unwrap()))
    }
}

/// The first field of a name.
pub(crate) fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes; whether they could be sent.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Leaves with a reset instead of a close.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Whether the other side has reset the connection; what it sent before can still be read.
    #[allow(dead_code, reason = "only the upstream of tests/model must know")]
    pub(crate) fn was_reset(&self) -> bool {
        self.stream.take_error().unwrap().is_some()
    }

    /// Whether there is nothing to read, not even an ending.
    pub(crate) async fn is_silent(&self) -> bool {
        // What the kernel has is noticed when the runtime looks for it.
        tokio::task::yield_now().await;
        self.buffer.is_empty() && self.stream.peek(&mut [0]).now_or_never().is_none()
    }

    /// Reads a head. An ending where there is none: between messages or in the middle of one.
    pub(crate) async fn head(&mut self) -> Result<Head, Ending> {
        let end = self.find(b"\r\n\r\n").await?;
        let head = Head::parse(&self.buffer[..end]);
        self.buffer.drain(..end + 4);
        Ok(head)
    }

    /// Reads a body into memory.
    pub(crate) async fn body(&mut self, framing: Framing) -> Body {
        let mut bytes = Vec::new();
        let (ending, trailers) = self.pour(framing, &mut |piece| bytes.extend_from_slice(piece)).await;
        Body { bytes, trailers, ending }
    }

    /// Reads a body piece by piece.
    pub(crate) async fn pour(
        &mut self,
        framing: Framing,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> (Ending, Vec<(String, String)>) {
        match framing {
            Framing::Length(length) => (self.exactly(length, take).await, Vec::new()),
            Framing::UntilClose => {
                let ending = match self.exactly(u64::MAX, take).await {
                    Ending::Fin => Ending::Complete,
                    ending => ending,
                };
                (ending, Vec::new())
            }
            Framing::Chunked => match self.chunks(take).await {
                Ok(trailers) => (Ending::Complete, trailers),
                Err(ending) => (ending, Vec::new()),
            },
        }
    }

    /// Reads on and throws away until the other side ends; says how it did and how many bytes came.
    pub(crate) async fn rest(&mut self) -> (Ending, u64) {
        let mut count = 0;
        let ending = self.exactly(u64::MAX, &mut |piece| count += piece.len() as u64).await;
        (ending, count)
    }

    async fn chunks(
        &mut self,
        take: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Vec<(String, String)>, Ending> {
        loop {
            let line = self.line().await?;
            let size = line.split(';').next().unwrap().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| Ending::Fin)?;
            if size == 0 {
                break;
            }
            match self.exactly(size, take).await {
                Ending::Complete => self.line().await?,
                ending => return Err(ending),
            };
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { return Ok(trailers) };
            trailers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    async fn line(&mut self) -> Result<String, Ending> {
        let end = self.find(b"\r\n").await?;
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 2);
        Ok(line)
    }

    async fn exactly(&mut self, mut length: u64, take: &mut (dyn FnMut(&[u8]) + Send)) -> Ending {
        while length > 0 {
            if self.buffer.is_empty()
                && let Err(ending) = self.fill().await
            {
                return ending;
            }
            let count = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
            take(&self.buffer[..count]);
            self.buffer.drain(..count);
            length -= count as u64;
        }
        Ending::Complete
    }

    async fn find(&mut self, mark: &[u8]) -> Result<usize, Ending> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].windows(mark.len()).position(|window| window == mark) {
                return Ok(from + at);
            }
            from = self.buffer.len().saturating_sub(mark.len());
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Ending> {
        self.buffer.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Ending::Fin),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(Ending::Reset),
            Err(error) => panic!("cannot read: {error}"),
        }
    }
}
