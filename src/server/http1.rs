//! HTTP/1.1 with a client: its requests, one after the other.

use std::convert::Infallible;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::ahead::Ahead;
use super::connection::Serving;
use super::line::Line;
use crate::net::client::Client;

/// Serves a connection until it ends, or until draining begins and its exchange is over.
pub(super) async fn serve(stream: Ahead<Line>, client: Client, with: Serving) -> hyper::Result<()> {
    let (settings, drain) = (with.settings.clone(), with.drain.clone());
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.header_max)
        .preserve_header_case(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let (with, record) = (with.clone(), with.record(&request, client));
        async move { Ok::<_, Infallible>(with.answer(request, record).await) }
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
