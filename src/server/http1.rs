//! HTTP/1.1 with a client: its requests, one after the other.

use std::convert::Infallible;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::ahead::Ahead;
use super::connection::Connection;
use super::line::Line;
use crate::net::client::Client;

/// Serves a connection until it ends, or until draining begins and its exchange is over.
pub(super) async fn serve(stream: Ahead<Line>, client: Client, with: Connection) -> hyper::Result<()> {
    let (terms, drain) = (Arc::clone(&with.terms), with.drain.clone());
    let settings = &terms.settings;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.header_max)
        .preserve_header_case(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = with.answer(request, client);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}
