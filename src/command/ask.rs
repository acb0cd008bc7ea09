//! A question to the admin listener of a Staleguard that runs on this machine or in this container.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;

use super::check::read_text;
use super::{AdminArguments, colours};
use crate::config::{Config, Overrides};

/// How long an answer may take. The listener looks nothing up, so that only a process that hangs takes longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// What the listener answered.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// Where the Staleguard that is meant is asked.
///
/// # Errors
/// The problems of the file or the flag that keep its address from being known.
pub(super) fn address(of: &AdminArguments) -> Result<SocketAddr, String> {
    let file = match &of.config {
        None => None,
        Some(path) => Some((path.display().to_string(), read_text(path)?)),
    };
    let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let overrides = Overrides { admin: of.admin.clone(), ..Overrides::default() };
    // Connecting to the address that stands for all of them reaches this machine.
    Config::admin(file, &overrides).map_err(|problems| problems.render(colours()))
}

/// What the questions of one verb run on.
///
/// # Errors
/// A sentence, where the kernel refuses.
pub(super) fn runtime() -> Result<Runtime, String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("cannot start: {error}"))
}

/// Asks on a connection of its own.
///
/// # Errors
/// A sentence that says what kept the answer from coming.
pub(super) async fn ask(address: SocketAddr, method: Method, path: &str) -> Result<Told, String> {
    match timeout(PATIENCE, answer(address, method, path)).await {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(what)) => Err(format!("no answer from {address}: {what}")),
        Err(_) => Err(format!("no answer from {address} within {} seconds", PATIENCE.as_secs())),
    }
}

async fn answer(address: SocketAddr, method: Method, path: &str) -> Result<Told, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let told = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let contents = Limited::new(answer.into_body(), LONGEST).collect().await;
        let contents = contents.map_err(|error| error.to_string())?.to_bytes();
        Ok(Told { status, text: String::from_utf8_lossy(&contents).trim().to_owned() })
    };
    // The connection carries the exchange, and ends with it or before it.
    let mut told = std::pin::pin!(told);
    tokio::select! {
        told = told.as_mut() => told,
        _ = connection => told.await,
    }
}
