//! HTTP/2 with a client: its requests at the same time, as streams (RFC 9113).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::ahead::Ahead;
use super::connection::{Connection, LAST_CALL};
use super::line::Line;
use super::streams::Streams;
use crate::net::client::Client;

/// How many requests may be under way on one connection: what Envoy gives to clients that it does not know.
const STREAMS: u32 = 100;
/// How much a client may send of one request's body before some of it has been taken, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all requests of one connection together, in bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of one answer is held for a client that takes it slowly, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// How many streams a client may have reset before they were even looked at. With more the connection ends: whoever opens
/// streams only to reset them makes work that costs it nothing (CVE-2023-44487).
const RESETS: usize = 20;
/// How many streams may have been reset from here because of what the client did. With more the connection ends.
const ERRORS: usize = 100;

/// Serves a connection until it ends, or until draining begins and its exchanges are over.
pub(super) async fn serve(stream: Ahead<Line>, client: Client, with: Connection) -> hyper::Result<()> {
    let (terms, drain) = (Arc::clone(&with.terms), with.drain.clone());
    let settings = &terms.settings;
    let streams = Arc::new(Streams::new());
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // It bounds the number of CONTINUATION frames too.
        .max_header_list_size(u32::try_from(settings.header_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS)
        .keep_alive_interval(settings.header_timeout)
        .keep_alive_timeout(settings.header_timeout);
    let under_way = Arc::clone(&streams);
    let service = service_fn(move |request: Request<Incoming>| {
        let stream = under_way.open();
        // On the heap, because the HTTP library moves it about.
        Box::pin(with.answer(request, client.clone()))
            .map(|answer| Ok::<_, Infallible>(answer.map(|body| stream.watch(body))))
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut patience = settings.header_timeout;
    let mut look = every(settings.header_timeout.min(settings.send_timeout) / 2);
    let mut is_ending = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = drain.begun(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
                // The process is about to end, and waits for no client that has nothing under way.
                patience = patience.min(LAST_CALL);
                look = every(patience.min(settings.send_timeout) / 2);
            }
            _ = look.tick() => {
                streams.cut_off_stalled(settings.send_timeout);
                if streams.has_been_idle_for(patience) {
                    if is_ending {
                        // It was told, and does not even say goodbye.
                        return Ok(());
                    }
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn every(time: Duration) -> Interval {
    let mut every = interval(time.max(Duration::from_millis(1)));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}
