//! The loop that serves.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::reply::{Asked, Replies};

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
/// How much is read at a time. What is shorter has emptied the socket, so that nothing has to ask again.
const READ: usize = 256 * 1024;
/// The longest head of a request.
const HEAD: usize = 64 * 1024;
/// How many connections are served at a time.
const CONNECTIONS: usize = 16_384;

/// Listens, and answers for as long as [`Server::run`] runs.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    replies: Replies,
    calls: u64,
    stop: Arc<Waker>,
}

/// Ends the server that it belongs to, from any thread.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Waker>);

impl Stop {
    /// Lets [`Server::run`] return.
    ///
    /// # Errors
    ///
    /// When the system does not wake it.
    pub fn stop(&self) -> io::Result<()> {
        self.0.wake()
    }
}

impl Server {
    /// Listens at an address.
    ///
    /// # Errors
    ///
    /// When the system does not let it.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Arc::new(Waker::new(poll.registry(), STOP)?);
        let (connections, free, replies) = (Vec::new(), Vec::new(), Replies::new());
        Ok(Self { poll, listener, connections, free, replies, calls: 0, stop })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What ends it.
    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.stop))
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    ///
    /// When the system fails at something that is not one connection's own affair.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; READ];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                done => done?,
            }
            for event in &events {
                match event.token() {
                    STOP => return Ok(()),
                    LISTENER => self.accept()?,
                    Token(place) => self.serve(place, event.is_read_closed(), &mut scratch),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // A client that has left before it was served.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            if self.connections.len() - self.free.len() == CONNECTIONS {
                continue;
            }
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(place), interest)?;
            self.connections[place] = Some(Connection::new(stream));
        }
    }

    fn serve(&mut self, place: usize, closed: bool, scratch: &mut [u8]) {
        // An event may be left of a connection that has ended in the same round.
        let Some(connection) = self.connections.get_mut(place).and_then(Option::as_mut) else { return };
        if connection.go_on(closed, scratch, &mut self.replies, &mut self.calls).is_err() {
            self.connections[place] = None;
            self.free.push(place);
        }
    }
}

/// One client's connection.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// What has come of a head that is not there whole.
    head: Vec<u8>,
    /// A write whose body is coming, and how much of it is missing.
    body: Option<(u64, Rc<[u8]>)>,
    /// What is to be sent, and how much of the first was.
    out: VecDeque<Rc<[u8]>>,
    sent: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, head: Vec::new(), body: None, out: VecDeque::new(), sent: 0 }
    }

    /// Does what can be done at once; an error ends the connection.
    fn go_on(
        &mut self,
        closed: bool,
        scratch: &mut [u8],
        replies: &mut Replies,
        calls: &mut u64,
    ) -> io::Result<()> {
        self.send()?;
        loop {
            // Who does not take its answers is not read from; the event that it does comes here again.
            if !self.out.is_empty() {
                return Ok(());
            }
            let read = match self.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.take(&scratch[..read], replies, calls)?;
            self.send()?;
            if read < scratch.len() && !closed {
                return Ok(());
            }
        }
    }

    /// Takes what has come, and puts the answers to all that is complete in line.
    fn take(&mut self, come: &[u8], replies: &mut Replies, calls: &mut u64) -> io::Result<()> {
        let kept;
        let mut input = come;
        if !self.head.is_empty() {
            self.head.extend_from_slice(input);
            kept = std::mem::take(&mut self.head);
            input = &kept;
        }
        loop {
            if let Some((missing, reply)) = self.body.take() {
                let taken = missing.min(input.len() as u64);
                input = &input[usize::try_from(taken).map_err(io::Error::other)?..];
                if taken < missing {
                    self.body = Some((missing - taken, reply));
                    return Ok(());
                }
                self.out.push_back(reply);
            }
            if input.is_empty() {
                return Ok(());
            }
            let Some(parsed) = parse(input, replies, calls)? else {
                if input.len() > HEAD {
                    return Err(ErrorKind::InvalidData.into());
                }
                self.head = input.to_vec();
                return Ok(());
            };
            input = &input[parsed.head..];
            self.body = Some((parsed.body, parsed.reply));
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while let Some(reply) = self.out.front() {
            match self.stream.write(&reply[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.sent == reply.len() {
                self.out.pop_front();
                self.sent = 0;
            }
        }
        Ok(())
    }
}

/// A request whose head is there whole.
struct Parsed {
    /// The length of the head.
    head: usize,
    /// The length of the body behind it.
    body: u64,
    reply: Rc<[u8]>,
}

/// The request at the beginning of what has come; nothing if its head is not there whole.
fn parse(input: &[u8], replies: &mut Replies, calls: &mut u64) -> io::Result<Option<Parsed>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head) = request.parse(input).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let mut body = 0;
    for field in request.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).map_err(io::Error::other)?;
            body = text.parse().map_err(io::Error::other)?;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(ErrorKind::Unsupported.into());
        }
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let reply = replies.to(Asked::of(method), target, *calls);
    *calls += 1;
    Ok(Some(Parsed { head, body, reply }))
}
