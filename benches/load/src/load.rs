//! The loop that drives all connections, phase by phase.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::connection::Connection;
use crate::histogram::Durations;
use crate::request::Request;

/// How much is read at a time.
const READ: usize = 256 * 1024;
/// For how long nothing at all may come.
const SILENCE: Duration = Duration::from_secs(30);

/// How much each connection sends.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// So many requests.
    Each(u64),
    /// As many as can be begun in this time.
    For(Duration),
}

/// What came of a phase.
#[derive(Debug)]
pub struct Report {
    /// How many exchanges were completed.
    pub requests: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// How long each took.
    pub durations: Durations,
    /// How many the connection with the fewest completed.
    pub fewest: u64,
    /// How many the connection with the most completed.
    pub most: u64,
}

/// Connections, all open.
#[derive(Debug)]
pub struct Load {
    poll: Poll,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
}

impl Load {
    /// Opens so many connections.
    ///
    /// # Errors
    ///
    /// When one of them cannot be opened.
    pub fn connect(address: SocketAddr, connections: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let open = |number| -> io::Result<Connection> {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number), interest)?;
            Ok(Connection::new(stream))
        };
        let connections = (0..connections).map(open).collect::<io::Result<_>>()?;
        Ok(Self { poll, connections, scratch: vec![0; READ] })
    }

    /// Lets each connection make the reads before its first requests, so that it knows the entity-tag, and so does the
    /// proxy.
    ///
    /// # Errors
    ///
    /// When an answer is not a 200, or a connection breaks.
    pub fn learn(&mut self, request: &Request, reads: u64) -> io::Result<()> {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            connection.message = request.read(number);
            connection.number = 0;
        }
        self.run(Amount::Each(reads), 200).map(drop)
    }

    /// Lets each connection send this from then on, numbered from zero.
    pub fn send(&mut self, request: &Request) {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            connection.message = request.message(number, connection.entity_tag.as_deref());
            connection.number = 0;
            // So that no answer's is looked for.
            connection.entity_tag.get_or_insert_default();
        }
    }

    /// Sends as much, and waits for every answer.
    ///
    /// # Errors
    ///
    /// When an answer has another status, or a connection breaks.
    pub fn run(&mut self, amount: Amount, expected: u16) -> io::Result<Report> {
        let mut events = Events::with_capacity(1024);
        let mut durations = Durations::default();
        let began = Instant::now();
        let goes_on = |done: u64, now: Instant| match amount {
            Amount::Each(requests) => done < requests,
            Amount::For(time) => now - began < time,
        };
        let mut under_way = 0;
        for connection in &mut self.connections {
            connection.done = 0;
            if goes_on(0, began) {
                connection.begin(Instant::now())?;
                under_way += 1;
            }
        }
        while under_way > 0 {
            match self.poll.poll(&mut events, Some(SILENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                done => done?,
            }
            if events.is_empty() {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("{under_way} answers do not come")));
            }
            for event in &events {
                let connection = &mut self.connections[event.token().0];
                if event.is_writable() {
                    connection.send()?;
                }
                let Some(exchange) = connection.receive(&mut self.scratch)? else { continue };
                if exchange.status != expected {
                    let found = format!("an answer is {}, and not {expected}", exchange.status);
                    return Err(io::Error::new(ErrorKind::InvalidData, found));
                }
                let now = Instant::now();
                durations.add(now - exchange.began);
                connection.done += 1;
                if goes_on(connection.done, now) {
                    connection.begin(now)?;
                } else {
                    under_way -= 1;
                }
            }
        }
        let done = self.connections.iter().map(|connection| connection.done);
        let (fewest, most) = (done.clone().min().unwrap_or(0), done.clone().max().unwrap_or(0));
        Ok(Report { requests: done.sum(), elapsed: began.elapsed(), durations, fewest, most })
    }
}
