//! A hop of the test's own between a client and a server: it sees each request and may alter what goes on and what
//! comes back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of a request.
pub(crate) enum Turn {
    /// It goes on as it is by now.
    Pass,
    /// It goes on, and its answer is kept back for ever.
    Swallow,
    /// It is answered here.
    Answer(Response<Bytes>),
    /// It is never answered.
    Silence,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) fields: HeaderMap,
}

type Onward = dyn Fn(&mut Request<Bytes>) -> Turn + Send + Sync;
type Back = dyn Fn(&Came, &mut Response<Bytes>) + Send + Sync;

/// A running hop, which ends when it is dropped.
pub(crate) struct Hop {
    pub(crate) address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    serving: JoinHandle<()>,
}

impl Hop {
    /// One that alters requests on their way to a server, and answers on their way back.
    pub(crate) async fn before(
        server: SocketAddr,
        onward: impl Fn(&mut Request<Bytes>) -> Turn + Send + Sync + 'static,
        back: impl Fn(&Came, &mut Response<Bytes>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let (onward, back): (Arc<Onward>, Arc<Back>) = (Arc::new(onward), Arc::new(back));
        let seen = Arc::clone(&came);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (onward, back, seen) = (Arc::clone(&onward), Arc::clone(&back), Arc::clone(&seen));
                let service = service_fn(move |request| {
                    exchange(server, request, Arc::clone(&onward), Arc::clone(&back), Arc::clone(&seen))
                });
                // Clients leave as they like.
                tokio::spawn(async move {
                    server::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { address, came, serving }
    }

    /// Everything that came.
    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn exchange(
    server: SocketAddr,
    request: Request<Incoming>,
    onward: Arc<Onward>,
    back: Arc<Back>,
    seen: Arc<Mutex<Vec<Came>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let mut request = Request::from_parts(head, body.collect().await?.to_bytes());
    let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
    let came = Came { method: request.method().clone(), target, fields: request.headers().clone() };
    seen.lock().unwrap().push(came.clone());
    let (is_swallowed, answer) = match onward(&mut request) {
        Turn::Answer(answer) => (false, Some(answer)),
        Turn::Silence => std::future::pending().await,
        Turn::Pass => (false, None),
        Turn::Swallow => (true, None),
    };
    let mut answer = match answer {
        Some(answer) => answer,
        None => {
            let stream = TcpStream::connect(server).await.unwrap();
            let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
            let answer = Response::from_parts(head, body.collect().await?.to_bytes());
            connection.abort();
            answer
        }
    };
    if is_swallowed {
        std::future::pending::<()>().await;
    }
    back(&came, &mut answer);
    // What is sent is framed anew; the length of what a HEAD is about is nobody's here.
    answer.headers_mut().remove("content-length");
    answer.headers_mut().remove("transfer-encoding");
    Ok(answer.map(Full::new))
}
