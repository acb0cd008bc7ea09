//! A document server as many are: it keeps what was written last, and the later of two writers wins.
//!
//! It stands in for an old LRS. There are no entity-tags, no preconditions and no HEAD, and nothing outlives the
//! process. Only its bounds are better than those of the servers it stands for.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, SERVER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::semantics::fields::XAPI_VERSION;

/// How many documents are kept.
const DOCUMENTS: usize = 1000;
/// The largest document, in bytes.
const DOCUMENT_MAX: usize = 64 * 1024;
/// How many connections are served at a time.
const CONNECTIONS: usize = 1024;
/// How long the head of a request may take, and its body.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Response<Full<Bytes>>;

/// The server, which serves nobody yet.
pub(super) struct Legacy {
    listener: TcpListener,
    documents: Arc<Documents>,
}

impl Legacy {
    /// Binds any free port of the loopback interface.
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { listener, documents: Arc::default() })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves for as long as it is polled.
    pub(super) async fn serve(self) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let documents = Arc::clone(&self.documents);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let documents = Arc::clone(&documents);
                    async move { Ok::<_, Infallible>(answer(&documents, request).await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that hangs up has its answer or does not want it.
                let _ = connection.await;
                drop(place);
            });
        }
    }
}

async fn answer(documents: &Documents, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut answer = match head.method {
        Method::GET => documents.read(target),
        Method::DELETE => documents.remove(target),
        Method::PUT | Method::POST => match whole(body).await {
            Ok(contents) => documents.write(&head.method, target, Document::new(&head.headers, contents)),
            Err(refusal) => refusal,
        },
        _ => {
            let mut answer =
                text(StatusCode::METHOD_NOT_ALLOWED, "this server has GET, PUT, POST and DELETE");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, PUT, POST, DELETE"));
            answer
        }
    };
    answer.headers_mut().insert(SERVER, HeaderValue::from_static("staleguard-demo-legacy"));
    answer.headers_mut().insert(XAPI_VERSION, HeaderValue::from_static("1.0.3"));
    answer
}

/// A whole request body within the bounds, or the answer to one that is not.
async fn whole(body: Incoming) -> Result<Bytes, Answer> {
    match timeout(PATIENCE, Limited::new(body, DOCUMENT_MAX).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(text(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("this demo keeps documents of up to {DOCUMENT_MAX} bytes"),
        )),
        Ok(Err(_)) => Err(text(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// What was written, by the target it was written to, letter by letter.
#[derive(Default)]
struct Documents(Mutex<HashMap<String, Document>>);

/// One document.
#[derive(Clone)]
struct Document {
    media_type: HeaderValue,
    contents: Bytes,
}

impl Documents {
    fn read(&self, target: &str) -> Answer {
        let Some(document) = self.kept().get(target).cloned() else {
            return text(
                StatusCode::NOT_FOUND,
                "no document here (this demo's server is in memory and forgets all when it ends)",
            );
        };
        let mut answer = Response::new(Full::new(document.contents));
        answer.headers_mut().insert(CONTENT_TYPE, document.media_type);
        answer
    }

    /// Whoever writes last wins: this is the whole of its concurrency control.
    fn write(&self, method: &Method, target: &str, new: Document) -> Answer {
        let mut kept = self.kept();
        let new = match kept.get(target) {
            None if kept.len() >= DOCUMENTS => {
                return text(
                    StatusCode::INSUFFICIENT_STORAGE,
                    &format!("this demo keeps up to {DOCUMENTS} documents"),
                );
            }
            Some(old) if *method == Method::POST => match old.merged_with(&new) {
                Some(merged) => merged,
                None => {
                    return text(
                        StatusCode::BAD_REQUEST,
                        "only JSON objects can be merged, within the bounds",
                    );
                }
            },
            _ => new,
        };
        kept.insert(target.to_owned(), new);
        nothing()
    }

    fn remove(&self, target: &str) -> Answer {
        self.kept().remove(target);
        nothing()
    }

    /// The map is whole between any two statements, so a panic elsewhere does not spoil it.
    fn kept(&self) -> MutexGuard<'_, HashMap<String, Document>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Document {
    fn new(fields: &HeaderMap, contents: Bytes) -> Self {
        let unknown = HeaderValue::from_static("application/octet-stream");
        Self { media_type: fields.get(CONTENT_TYPE).cloned().unwrap_or(unknown), contents }
    }

    /// The top-level members of both, the newer before the older, as xAPI merges documents (Communication §2.2).
    fn merged_with(&self, newer: &Self) -> Option<Self> {
        let members = |document: &Self| serde_json::from_slice::<Map<String, Value>>(&document.contents).ok();
        let mut merged = members(self)?;
        merged.extend(members(newer)?);
        let contents = Bytes::from(Value::Object(merged).to_string());
        let fits = contents.len() <= DOCUMENT_MAX;
        fits.then(|| Self { media_type: HeaderValue::from_static("application/json"), contents })
    }
}

fn nothing() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn text(status: StatusCode, sentence: &str) -> Answer {
    let mut answer = Response::new(Full::from(format!("{sentence}\n")));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
