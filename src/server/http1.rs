//! HTTP/1.1 with a client: its requests, one after the other, and the tunnel that the last one may have opened.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::ahead::Ahead;
use super::connection::Connection;
use super::line::Line;
use super::tunnel::Opening;
use crate::net::client::Client;

/// Serves a connection until it ends, or until draining begins and its exchange is over. A tunnel is over at once.
pub(super) async fn serve(stream: Ahead<Line>, client: Client, with: Connection) -> hyper::Result<()> {
    let (terms, drain) = (Arc::clone(&with.terms), with.drain.clone());
    let settings = &terms.settings;
    let mut builder = http1::Builder::new();
    builder
        .timer(with.timers())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(settings.header_max)
        .preserve_header_case(true);
    let opened = Arc::new(Mutex::new(None));
    let opens = Arc::clone(&opened);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let switch = hyper::upgrade::on(&mut request);
        let opens = Arc::clone(&opens);
        // On the heap, because the HTTP library moves it about.
        Box::pin(with.answer(request, client.clone())).map(move |mut answer| {
            if let Some((tunnel, record)) = answer.body_mut().take_tunnel() {
                let opening = Opening { switch, tunnel, record };
                *opens.lock().unwrap_or_else(PoisonError::into_inner) = Some(opening);
            }
            Ok::<_, Infallible>(answer)
        })
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended?,
        () = drain.begun() => {
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    let opening = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(opening) = opening {
        // On the heap, because hardly any connection becomes a tunnel and each would have to hold its state.
        Box::pin(opening.run(&drain)).await;
    }
    Ok(())
}
