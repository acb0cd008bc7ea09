//! The way to a collector of OpenTelemetry: one connection for each batch, from the thread that sends them.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;

/// The longest answer that is read, in bytes; it says little more than that the spans have arrived.
const ANSWER_MAX: usize = 64 * 1024;

/// Sends one request after the other, on a runtime of its own: whoever sends them has none.
#[derive(Debug)]
pub(super) struct Collector {
    runtime: Mutex<Runtime>,
    time: Duration,
}

impl Collector {
    /// Each request may take so long.
    pub(super) fn new(time: Duration) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime: Mutex::new(runtime), time })
    }
}

impl HttpClient for Collector {
    fn send_bytes<'client, 'sending>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sending>>
    where
        'client: 'sending,
        Self: 'sending,
    {
        Box::pin(async move {
            let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
            // Blocking is what the thread that waits for this is there for.
            runtime.block_on(async { timeout(self.time, send(request)).await? })
        })
    }
}

async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().ok_or("the URL names no host")?.clone();
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    head.headers.insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let target = head.uri.path_and_query().cloned().ok_or("the URL has no path")?;
    head.uri = Uri::from(target);
    let (head, body) = sender.send_request(Request::from_parts(head, Full::new(body))).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}
