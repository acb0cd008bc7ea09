//! One connection and the exchange that is under way on it.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use mio::net::TcpStream;

use crate::request::Message;

/// The longest head of an answer.
const HEAD: usize = 64 * 1024;

/// A connection of the load.
#[derive(Debug)]
pub struct Connection {
    /// Its socket.
    pub stream: TcpStream,
    /// What it sends each time.
    pub message: Message,
    /// The number of the next request.
    pub number: u64,
    /// How many exchanges of the phase are done.
    pub done: u64,
    /// The entity-tag that the last answer showed.
    pub entity_tag: Option<String>,
    sent: usize,
    began: Instant,
    under_way: bool,
    head: Vec<u8>,
    status: u16,
    missing: u64,
}

/// An exchange that has come to its end.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// The answer's status.
    pub status: u16,
    /// When the request was begun.
    pub began: Instant,
}

impl Connection {
    /// A connection on which nothing was sent.
    pub fn new(stream: TcpStream) -> Self {
        let (message, head) = (Message::default(), Vec::new());
        let (began, entity_tag) = (Instant::now(), None);
        Self {
            stream,
            message,
            number: 0,
            done: 0,
            entity_tag,
            sent: 0,
            began,
            under_way: false,
            head,
            status: 0,
            missing: 0,
        }
    }

    /// Begins an exchange.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub fn begin(&mut self, now: Instant) -> io::Result<()> {
        (self.sent, self.began, self.under_way, self.status) = (0, now, true, 0);
        self.message.numbered(self.number);
        self.number += 1;
        self.send()
    }

    /// Sends what can be sent of the request.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub fn send(&mut self) -> io::Result<()> {
        while self.under_way && self.sent < self.message.bytes().len() {
            match self.stream.write(&self.message.bytes()[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has come: the exchange, if that was the end of it.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or what comes is no answer that ends.
    pub fn receive(&mut self, scratch: &mut [u8]) -> io::Result<Option<Exchange>> {
        loop {
            let read = match self.stream.read(scratch) {
                Ok(0) if self.under_way => return Err(ErrorKind::UnexpectedEof.into()),
                // Who is closed between two exchanges is noticed with the next.
                Ok(0) => return Ok(None),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if !self.under_way {
                return Err(io::Error::new(ErrorKind::InvalidData, "an answer to nothing"));
            }
            self.take(&scratch[..read])?;
            if self.status != 0 && self.missing == 0 {
                self.under_way = false;
                return Ok(Some(Exchange { status: self.status, began: self.began }));
            }
            // What is shorter has emptied the socket.
            if read < scratch.len() {
                return Ok(None);
            }
        }
    }

    fn take(&mut self, come: &[u8]) -> io::Result<()> {
        let kept;
        let mut input = come;
        if self.status == 0 {
            if !self.head.is_empty() {
                self.head.extend_from_slice(input);
                kept = std::mem::take(&mut self.head);
                input = &kept;
            }
            let Some(length) = self.parse(input)? else {
                if input.len() > HEAD {
                    return Err(io::Error::new(ErrorKind::InvalidData, "a head without an end"));
                }
                self.head = input.to_vec();
                return Ok(());
            };
            input = &input[length..];
        }
        let more = || io::Error::new(ErrorKind::InvalidData, "more than one answer");
        self.missing = self.missing.checked_sub(input.len() as u64).ok_or_else(more)?;
        Ok(())
    }

    /// The length of the head, if it is there whole; what it says is noted.
    fn parse(&mut self, input: &[u8]) -> io::Result<Option<usize>> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(length) = response.parse(input).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let status = response.code.unwrap_or_default();
        let (mut size, mut entity_tag) = ((status == 204).then_some(0), None);
        for field in response.headers.iter() {
            let text = || std::str::from_utf8(field.value).map_err(io::Error::other);
            if field.name.eq_ignore_ascii_case("content-length") {
                size = Some(text()?.parse().map_err(io::Error::other)?);
            } else if field.name.eq_ignore_ascii_case("etag") {
                entity_tag = Some(text()?);
            }
        }
        let endless = || io::Error::new(ErrorKind::Unsupported, "an answer without Content-Length");
        self.missing = size.ok_or_else(endless)?;
        self.status = status;
        // Only a first read has one to learn; those of the measured exchanges are not copied each time.
        if self.entity_tag.is_none() {
            self.entity_tag = entity_tag.map(str::to_owned);
        }
        Ok(Some(length))
    }
}
