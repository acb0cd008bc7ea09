//! One client connection: what is spoken on it is found out first, and then it is served until it ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::ahead::Ahead;
use super::line::Line;
use super::record::{Logged, Record};
use super::sending::Sending;
use super::serving::{Served, Terms};
use super::tls::HANDSHAKE;
use super::{Records, http1, http2};
use crate::drain::Drain;
use crate::exchange::detached::Detached;
use crate::exchange::outcome::Outcome;
use crate::net::client::{Address, Client};
use crate::net::socket::Socket;
use crate::net::timers::Timers;
use crate::semantics::credentials::Certificate;

/// How HTTP/2 begins (RFC 9113 §3.4), which no request of HTTP/1.1 does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is said to a client that speaks no TLS where TLS is spoken.
const CLEARTEXT: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 49\r\n\r\nTLS is spoken here: ask again with https:// URLs.";

/// How much of what such a client sends is read and thrown away, in bytes, so that it can read why.
const CLEARTEXT_MAX: u64 = 64 * 1024;

/// How long a connection that has not begun anything may still do so once draining has begun.
pub(super) const LAST_CALL: Duration = Duration::from_secs(1);

/// A connection, and what it is served with. Clones are the same connection.
#[derive(Clone)]
pub(super) struct Connection {
    /// How it is served, from its first byte to its last.
    pub(super) terms: Arc<Terms>,
    /// With what its requests are seen through, each with what there is when it begins.
    exchanges: Arc<Served>,
    records: Records,
    pub(super) drain: Drain,
    /// What it leaves behind.
    detached: Detached,
    /// What its client has shown of itself.
    certificate: Option<Certificate>,
}

/// A connection on which something is spoken.
struct Opened {
    stream: Ahead<Line>,
    version: Version,
    certificate: Option<Certificate>,
}

impl Connection {
    pub(super) fn new(exchanges: Arc<Served>, records: Records, drain: Drain) -> Self {
        Self {
            terms: exchanges.terms(),
            exchanges,
            records,
            drain,
            detached: Detached::default(),
            certificate: None,
        }
    }

    /// What heads of requests are waited for with.
    pub(super) fn timers(&self) -> Timers {
        self.exchanges.timers.clone()
    }

    /// Serves it until it ends, or until draining begins and its exchanges are over.
    pub(super) async fn serve(mut self, socket: Socket, address: Address) {
        let opened = tokio::select! {
            opened = self.open(socket) => opened,
            () = self.last_call() => return,
        };
        let ended = match opened {
            Ok(Some(Opened { stream, version, certificate })) => {
                self.certificate = certificate;
                let client = Client {
                    is_secure: self.terms.tls.is_some(),
                    is_believed: self.terms.settings.believes(address),
                    ..Client::of(address)
                };
                match version {
                    // On the heap, because few connections need its state and each would have to hold it.
                    Version::HTTP_2 => Box::pin(http2::serve(stream, client, self)).await,
                    _ => http1::serve(stream, client, self).await,
                }
                .map_err(|error| error.to_string())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a client connection ended with an error");
        }
    }

    /// Completes the handshake of TLS and finds out the version of HTTP; nothing, if the client has been sent away.
    async fn open(&self, socket: Socket) -> io::Result<Option<Opened>> {
        let Terms { settings, tls } = &*self.terms;
        let mut stream = Ahead::new(Sending::new(socket, settings.send_timeout));
        let Some(tls) = tls else {
            // Within its time, as every head: nothing else bounds what a client takes to say what it speaks.
            let is_http2 = timeout(settings.header_timeout, stream.begins_with(PREFACE)).await;
            let version = if is_http2?? { Version::HTTP_2 } else { Version::HTTP_11 };
            return Ok(Some(Opened { stream: stream.map(Line::Clear), version, certificate: None }));
        };
        let handshake = async {
            match stream.begins_with(&[HANDSHAKE]).await? {
                true => tls.accept(stream).await.map(Some),
                false => send_away(stream).await.map(|()| None),
            }
        };
        // On the heap as well: it is over soon.
        let Some(stream) = timeout(settings.handshake_timeout, Box::pin(handshake)).await?? else {
            return Ok(None);
        };
        let session = stream.get_ref().1;
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        // The first of its chain is its own (RFC 8446 §4.4.2).
        let shown = session.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|certificate| Certificate::from_der(certificate));
        let version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
        Ok(Some(Opened { stream: Ahead::new(Line::Tls(Box::new(stream))), version, certificate }))
    }

    async fn last_call(&self) {
        self.drain.begun().await;
        sleep(LAST_CALL).await;
    }

    /// Serves one request, and puts its record into the body of its answer.
    ///
    /// A request keeps what it began with, whatever is reloaded meanwhile.
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
        client: Client,
    ) -> impl Future<Output = Response<Logged>> + Send + use<> {
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        let (exchange, detached) = (self.exchanges.exchange(), self.detached.clone());
        // Made before the first wait, so that a client that leaves early is recorded as well.
        let mut outcome = Outcome::of(&request, client);
        outcome.span = self.records.traces.as_ref().and_then(|traces| traces.begin(outcome.trace));
        let (records, drain) = (self.records.clone(), self.drain.clone());
        let mut record = Box::new(Record { outcome, sent: 0, records, drain });
        async move {
            let answer = exchange.serve(&detached, request, &mut record.outcome).await;
            answer.map(|body| Logged::new(body, record))
        }
    }
}

/// Tells a client in clear text that it must speak TLS. What it is about to send is read first, because closing a socket
/// with unread data would take the answer along.
async fn send_away(mut stream: Ahead<Sending>) -> io::Result<()> {
    stream.write_all(CLEARTEXT).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(CLEARTEXT_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}
