//! One client connection: its requests, one after the other.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::Records;
use super::sending::Sending;
use super::serving::Served;
use crate::body::paced::Interrupted;
use crate::drain::Drain;
use crate::exchange::answer::AnswerBody;
use crate::exchange::detached::Detached;
use crate::exchange::outcome::Outcome;

/// Serves a connection until it ends, or until draining begins and its exchange is over.
pub(super) fn serve(
    stream: TcpStream,
    client: SocketAddr,
    exchanges: Arc<Served>,
    records: Records,
    drain: Drain,
) -> impl Future<Output = ()> + use<> {
    let serving = exchanges.serving();
    let settings = &serving.settings;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.header_max)
        .preserve_header_case(true);
    let draining = drain.clone();
    let detached = Detached::default();
    let service = service_fn(move |request: Request<Incoming>| {
        // A request keeps what it began with, whatever is reloaded meanwhile.
        let (exchange, records, detached) = (exchanges.exchange(), records.clone(), detached.clone());
        // Made before the first wait, so that a client that leaves early is recorded as well.
        let mut record =
            Record { outcome: Outcome::of(&request, client), sent: 0, records, drain: draining.clone() };
        async move {
            let answer = exchange.serve(&detached, request, &mut record.outcome).await;
            Ok::<_, Infallible>(answer.map(|body| Logged { body, record }))
        }
    });
    let stream = Sending::new(stream, settings.send_timeout);
    async move {
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = drain.begun() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a client connection ended with an error");
        }
    }
}

/// The record of an exchange, which is taken when the exchange is over, in whatever way.
struct Record {
    outcome: Outcome,
    sent: u64,
    records: Records,
    drain: Drain,
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.outcome.status.is_none() {
            let left = if self.drain.has_cut_off() { "cut-off" } else { "client-left" };
            self.outcome.failure.get_or_insert(left);
        }
        self.records.take(&self.outcome, self.sent);
    }
}

/// The body of an answer; with its end, the exchange is over.
struct Logged {
    body: AnswerBody,
    record: Record,
}

impl Body for Logged {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.record.sent += frame.data_ref().map_or(0, |piece| piece.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
