//! One request over a connection of its own, within a bounded time.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Trouble;

/// How long an exchange may take from the first packet to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 256 * 1024;

/// Sends a request and reads the whole answer.
pub(super) async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Trouble> {
    let sentence = match timeout(PATIENCE, send(address, request)).await {
        Ok(Ok(response)) => return Ok(response),
        Ok(Err(error)) => format!("http://{address} gave no answer: {error}"),
        Err(_) => format!("http://{address} gave no answer within {} seconds", PATIENCE.as_secs()),
    };
    Err(Trouble::Told(sentence))
}

async fn send(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong on the connection is told to whoever waits for its answer.
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let contents = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
    Ok(Response::from_parts(head, contents))
}
