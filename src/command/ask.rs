//! A question to the admin listener of a Staleguard that runs on this machine or in this container.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;

use super::check::read_text;
use super::{AdminArguments, colours};
use crate::config::environment::Environment;
use crate::config::{AdminPlace, Config, Overrides};

/// How long an answer may take. The listener looks nothing up, so that only a process that hangs takes longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// What is asked, and where.
pub(super) struct Asked {
    pub(super) address: SocketAddr,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) authorization: Option<HeaderValue>,
}

/// What the listener answered.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nobody listens, or nobody does any more.
    Broken { address: SocketAddr, what: String },
    /// Somebody listens and says nothing.
    Late { address: SocketAddr },
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { address, what } => write!(f, "no answer from {address}: {what}"),
            Self::Late { address } => {
                write!(f, "no answer from {address} within {} seconds", PATIENCE.as_secs())
            }
        }
    }
}

/// Which Staleguard is meant: where it is asked, and where its token is.
///
/// # Errors
/// The problems of the file or the flag that keep its address from being known.
pub(super) fn whom(of: &AdminArguments) -> Result<AdminPlace, String> {
    let file = match &of.config {
        None => None,
        Some(path) => Some((path.display().to_string(), read_text(path)?)),
    };
    let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let environment = Environment::of_process();
    let overrides = Overrides { admin: of.admin.clone(), environment, ..Overrides::default() };
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
pub(super) async fn ask(asked: Asked) -> Result<Told, Unanswered> {
    let address = asked.address;
    match timeout(PATIENCE, answer(asked)).await {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(error)) => Err(Unanswered::Broken { address, what: error.to_string() }),
        Err(_) => Err(Unanswered::Late { address }),
    }
}

async fn answer(asked: Asked) -> Result<Told, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(asked.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::builder()
        .method(asked.method)
        .uri(asked.path)
        .header(HOST, asked.address.to_string())
        .body(Empty::<Bytes>::new())?;
    if let Some(authorization) = asked.authorization {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    let mut told = std::pin::pin!(async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let contents = Limited::new(answer.into_body(), LONGEST).collect().await?.to_bytes();
        Ok(Told { status, text: String::from_utf8_lossy(&contents).trim().to_owned() })
    });
    // The connection carries the exchange, and ends with it or before it.
    tokio::select! {
        told = told.as_mut() => told,
        _ = connection => told.await,
    }
}
