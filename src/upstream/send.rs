//! Sending a request and waiting for the head of its answer.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use super::failure::Failure;
use super::onward::ByService;
use super::pool::{Lease, Pool, Purpose};
use crate::body::contents::Contents;
use crate::body::paced::{Interrupted, Paced};
use crate::net::timers::Elapsed;
use crate::semantics::credentials::is_signed;
use crate::xapi::alternate::Envelope;

/// A body on its way to the upstream.
#[derive(Debug)]
pub enum Outgoing {
    /// A whole one.
    Contents(Contents),
    /// One that is passed on as it comes. On the heap, because the HTTP library moves requests about.
    Streamed(Box<Coming>),
}

/// A body that is passed on as it comes.
#[derive(Debug)]
pub struct Coming {
    /// Where it comes from.
    body: Paced,
    /// Set once it has ended.
    ended: Arc<AtomicBool>,
}

/// How long the upstream took to the head of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// When the request began to be sent.
    pub began: std::time::Instant,
    /// How long it took.
    pub time: Duration,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub failure: Failure,
    /// The request itself, when not one byte of it was sent.
    pub unsent: Option<Request<Outgoing>>,
}

impl Lease {
    /// Sends a request and waits for the head of its answer.
    ///
    /// The answer's time begins anew when the upstream takes more of the request, and as long as more of it is still to
    /// come: then it is not the upstream that is silent. Cancelling resets the connection.
    pub async fn send(
        &mut self,
        request: Request<Outgoing>,
        time: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        let request = sealed(request, self.settings().target_max);
        let asks_to_switch = request.headers().contains_key(UPGRADE);
        let Some(connection) = &mut self.connection else {
            return Err(Unanswered { failure: Failure::ConnectionTerminated, unsent: Some(request) });
        };
        let sending = Arc::clone(&connection.sending);
        let ended = request.body().ended();
        sending.begin(&ended);
        let timers = &self.pool.timers;
        let mut answer = std::pin::pin!(connection.sender.try_send_request(request));
        let began = Instant::now();
        let mut since = began;
        loop {
            match timers.timeout_at(since + time, &mut answer).await {
                Ok(Ok(answer)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS && !asks_to_switch => {
                    // Nobody asked for another protocol, so this is no answer to anything.
                    return Err(Unanswered { failure: Failure::ProtocolError, unsent: None });
                }
                Ok(answer) => {
                    self.took = Some(Took { began: began.into_std(), time: began.elapsed() });
                    return answer.map(as_ours).map_err(unanswered);
                }
                Err(Elapsed) => {
                    let is_clients_turn = !sending.has_more() && !ended.load(Ordering::Relaxed);
                    since = match sending.last_taken() {
                        _ if is_clients_turn => Instant::now(),
                        Some(taken) if taken > since => taken,
                        _ => return Err(Unanswered { failure: Failure::ResponseTimeout, unsent: None }),
                    };
                }
            }
        }
    }
}

/// Seals a request that came in xAPI's alternate syntax into its envelope again, if its target would be too long or a
/// signature covers the envelope.
///
/// Here alone, behind everything that prepares requests, so that each of them deals with the plain request only.
fn sealed(request: Request<Outgoing>, target_max: u64) -> Request<Outgoing> {
    if request.extensions().get::<Arc<Envelope>>().is_none() {
        return request;
    }
    let (mut head, body) = request.into_parts();
    let envelope = head.extensions.remove::<Arc<Envelope>>();
    let length = head.uri.path_and_query().map_or(0, |target| target.as_str().len() as u64);
    let is_bound = envelope.is_some() && is_signed(&head) && head.extensions.get::<ByService>().is_none();
    match (envelope, body) {
        (Some(envelope), Outgoing::Contents(contents)) if length > target_max || is_bound => {
            let form = envelope.seal(&mut head, &contents);
            Request::from_parts(head, form.into())
        }
        (_, body) => Request::from_parts(head, body),
    }
}

/// An intermediary sends its own version, whatever the upstream's is (RFC 9112 §2.3).
fn as_ours(mut response: Response<Incoming>) -> Response<Incoming> {
    *response.version_mut() = Version::HTTP_11;
    response
}

fn unanswered(mut error: TrySendError<Request<Outgoing>>) -> Unanswered {
    let unsent = error.take_message();
    let error = error.into_error();
    let failure = if error.source().is_some_and(|source| source.is::<Interrupted>()) {
        Failure::RequestInterrupted
    } else if error.is_parse() || error.is_parse_status() {
        Failure::ProtocolError
    } else {
        Failure::ConnectionTerminated
    };
    Unanswered { failure, unsent }
}

impl Pool {
    /// Sends a request that changes nothing, on any connection.
    ///
    /// A kept-alive connection may have been closed in the meantime. A request of which nothing was sent is sent
    /// on a new one, and so is a repeatable one without a body that got no answer.
    pub async fn fetch(
        self: &Arc<Self>,
        request: Request<Outgoing>,
        purpose: Purpose,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let again = (purpose == Purpose::Repeatable && request.body().is_end_stream())
            .then(|| request_head(&request));
        let mut lease = self.lend(purpose).await?;
        let unanswered = match lease.send(request, self.settings().response_timeout).await {
            Ok(response) => return Ok((response, lease)),
            Err(unanswered) => unanswered,
        };
        let was_closed = lease.reused && unanswered.failure == Failure::ConnectionTerminated;
        let request = match unanswered.unsent.or(again) {
            Some(request) if was_closed => request,
            _ => return Err(unanswered.failure),
        };
        drop(lease);
        let mut lease = self.lend_new().await?;
        match lease.send(request, self.settings().response_timeout).await {
            Ok(response) => Ok((response, lease)),
            Err(unanswered) => Err(unanswered.failure),
        }
    }
}

/// The same request once more, without a body.
fn request_head(request: &Request<Outgoing>) -> Request<Outgoing> {
    let mut copy = Request::new(Outgoing::Contents(Contents::default()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

impl Outgoing {
    /// Whether all of it has been handed on; a whole body is from the start.
    fn ended(&self) -> Arc<AtomicBool> {
        match self {
            Self::Contents(_) => Arc::new(AtomicBool::new(true)),
            Self::Streamed(coming) => Arc::clone(&coming.ended),
        }
    }
}

impl From<Contents> for Outgoing {
    fn from(contents: Contents) -> Self {
        Self::Contents(contents)
    }
}

impl From<Paced> for Outgoing {
    fn from(body: Paced) -> Self {
        if body.is_end_stream() {
            return Self::Contents(Contents::default());
        }
        Self::Streamed(Box::new(Coming { body, ended: Arc::default() }))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        match self.get_mut() {
            Self::Contents(contents) => Pin::new(contents)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never: Infallible| match never {}))),
            Self::Streamed(coming) => {
                let Coming { body, ended } = &mut **coming;
                let polled = Pin::new(&mut *body).poll_frame(cx);
                let is_last = match &polled {
                    Poll::Ready(None) => true,
                    // What has broken off has not ended, whoever waits for it.
                    Poll::Ready(Some(Err(_))) => false,
                    // Whoever has been given trailers does not ask for more.
                    Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || body.is_end_stream(),
                    Poll::Pending => false,
                };
                ended.store(is_last, Ordering::Relaxed);
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Contents(contents) => contents.is_end_stream(),
            Self::Streamed(coming) => coming.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Contents(contents) => contents.size_hint(),
            Self::Streamed(coming) => coming.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::body::budget::Budget;
    use crate::upstream::Settings;
    use crate::xapi::alternate::open;

    #[tokio::test]
    async fn an_upstream_that_has_taken_a_request_has_the_response_timeout_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let settings = Settings::of(&listener);
        let time = settings.response_timeout;
        let pool = Pool::new(settings, Arc::new(Semaphore::new(1)), Budget::new(1 << 20));
        let mut lease = pool.lend_new().await.expect("it listens");
        let request = Request::get("/").body(Outgoing::from(Contents::default())).expect("a request");
        // Time goes on by itself as soon as there is nothing to do but wait.
        tokio::time::pause();
        let began = Instant::now();
        let unanswered = lease.send(request, time).await.expect_err("it says nothing");
        assert_eq!(unanswered.failure, Failure::ResponseTimeout);
        assert_eq!(began.elapsed().as_secs(), time.as_secs());
    }

    /// Reads a request that ends like this, and answers it.
    async fn answer(stream: &mut TcpStream, end: &str) -> String {
        let mut request = String::new();
        while !request.ends_with(end) {
            request.push(stream.read_u8().await.expect("a request").into());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("a client");
        request
    }

    #[tokio::test]
    async fn what_is_asked_again_is_sealed_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut settings = Settings::of(&listener);
        settings.target_max = 1;
        let pool = Pool::new(settings, Arc::new(Semaphore::new(1)), Budget::new(1 << 20));
        let envelope = Request::post("/a?method=GET").header("content-type", "text/plain");
        let (mut head, ()) = envelope.body(()).expect("a request").into_parts();
        open(&mut head, http::Method::GET, b"id=1").expect("a form");
        let asks = async {
            let warm = Request::get("/").body(Contents::default().into()).expect("a request");
            let (_, lease) = pool.fetch(warm, Purpose::Repeatable).await.expect("an answer");
            lease.give_back();
            let request = Request::from_parts(head, Contents::default().into());
            pool.fetch(request, Purpose::Repeatable).await.expect("it may be asked again");
        };
        let upstream = async {
            let (mut first, _) = listener.accept().await.expect("a connection");
            answer(&mut first, "\r\n\r\n").await;
            assert!(first.read(&mut [0; 16]).await.expect("the first time") > 0);
            drop(first);
            answer(&mut listener.accept().await.expect("another").0, "id=1").await
        };
        let ((), again) = tokio::join!(asks, upstream);
        assert!(again.starts_with("POST /a?method=GET HTTP/1.1"), "{again}");
    }
}
