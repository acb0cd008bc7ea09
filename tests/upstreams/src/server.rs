//! Serving an LRS over HTTP/1.1.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::lrs::Lrs;

/// Serves connections until the future is dropped. What a connection began goes on in a task of its own.
pub async fn serve(listener: TcpListener, lrs: Arc<Lrs>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&lrs)));
            }
            // Out of descriptors, most likely: others will close theirs.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, lrs: Arc<Lrs>) {
    // A latency that it does not lower is no reason to refuse a connection.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let lrs = Arc::clone(&lrs);
        async move {
            let (head, body) = request.into_parts();
            // An upload that breaks off changes nothing, and its connection ends.
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok::<_, io::Error>(lrs.answer(Request::from_parts(head, body)).await)
        }
    });
    // Clients leave as they like.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
