//! Does the proxy's memory stay bounded while any number of documents pass? `tests/memory` runs it.
//!
//! Every document is in a scope of its own, and is read, written and read again by one of a thousand credentials,
//! through a proxy that remembers as much as it may (`upstream.exclusive`); now and then the outcome of a write is
//! unknown. What is left of a document is at most what `guard.remembered-max` has room for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::number;
use crate::run::resident;
use crate::support::proxy::Proxy;

/// How many clients there are.
const CLIENTS: u64 = 16;
/// Of so many writes one is answered in a way that leaves its outcome unknown.
const RARE: u64 = 500;
/// How many documents pass from one figure to the next, at most.
const EVERY: u64 = 100_000;
/// What may be remembered, in MiB: little, so that it is soon full.
const REMEMBERED_MIB: u64 = 4;
/// By then it is: it has room for 24,000 answers and fewer entries of each other kind, and the records are full too.
const WARM: u64 = 40_000;
/// What the process may have in use, in KiB: what may be remembered, 6 MiB for the program and the table of generations,
/// 8 MiB for the records of the last 10,000 writes, and 512 KiB for each client with its two connections.
const MOST: u64 = REMEMBERED_MIB * 1024 + (6 + 8) * 1024 + CLIENTS * 512;
/// How much more it may have at any time after it was warm, in KiB: one byte a document, of 2,000,000.
const GROWTH: u64 = 2 * 1024;

/// Which documents are there; what they hold follows from their numbers.
type There = Arc<Vec<AtomicBool>>;

#[test]
#[ignore = "it takes as long as it is told to: tests/memory"]
fn memory() {
    let documents = number("STALEGUARD_MEMORY_DOCUMENTS").expect("tests/memory says how many");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(pass(documents));
}

/// Lets so many documents pass, and looks at the proxy's memory meanwhile.
async fn pass(documents: u64) {
    let there: There = Arc::new((0..documents).map(|_| AtomicBool::new(false)).collect());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, Arc::clone(&there)));
    let proxy = Proxy::spawn(&upstream, &configuration(), &[]);
    let memory = || resident(proxy.pid()).expect("the system tells");
    eprintln!("memory: {} KiB before the first document", memory());
    let (next, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut warm = None;
    let every = EVERY.min(documents / 5);
    for end in (1..=documents.div_ceil(every)).map(|n| (n * every).min(documents)) {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(work(proxy.address, Arc::clone(&next), end));
        }
        clients.join_all().await;
        next.store(end, Ordering::Relaxed);
        let now = memory();
        eprintln!("memory: {now} KiB after {end} documents and {:.0?}; it may be {MOST}", began.elapsed());
        if end >= WARM {
            let warm = *warm.get_or_insert(now);
            assert!(now <= MOST, "{now} KiB are in use, and it may be {MOST}");
            assert!(now <= warm + GROWTH, "it was warm with {warm} KiB, and has grown to {now}");
        }
    }
    assert!(there.iter().all(|there| there.load(Ordering::Relaxed)), "every document was written");
}

/// The proxy's configuration.
fn configuration() -> String {
    format!("upstream.exclusive = true\nlog.access = false\nguard.remembered-max = \"{REMEMBERED_MIB}MiB\"")
}

/// What a document holds.
fn contents(id: u64) -> String {
    format!("{{\"id\":{id},\"text\":\"{}\"}}", "x".repeat(usize::try_from(id % 1000).expect("it is small")))
}

/// Takes documents until they are used up, and reads and creates each.
async fn work(proxy: SocketAddr, next: Arc<AtomicU64>, end: u64) {
    let stream = TcpStream::connect(proxy).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        if id >= end {
            return;
        }
        let request = |method: Method, body: String| {
            let agent = format!("%7B%22mbox%22%3A%22mailto%3Alearner{id}%40example.com%22%7D");
            Request::builder()
                .method(method)
                .uri(format!(
                    "/xapi/activities/state?activityId=http%3A%2F%2Fexample.com&agent={agent}&stateId={id}"
                ))
                .header("Host", "lrs")
                .header("X-Experience-API-Version", "1.0.3")
                .header("Authorization", format!("Basic {}", id % 1000))
                .header("Content-Type", "application/json")
                .body(Full::new(Bytes::from(body)))
                .unwrap()
        };
        let mut send = async |request| {
            sender.ready().await.unwrap();
            let (head, body) = sender.send_request(request).await.unwrap().into_parts();
            body.collect().await.unwrap();
            (head.status, head.headers.contains_key("etag"))
        };
        assert_eq!(send(request(Method::GET, String::new())).await, (StatusCode::NOT_FOUND, false));
        // One in three states nothing, and is remembered with its contents.
        let mut put = request(Method::PUT, contents(id));
        let is_stated = !id.is_multiple_of(3);
        if is_stated {
            put.headers_mut().insert("If-None-Match", "*".parse().unwrap());
        }
        let is_known = !id.is_multiple_of(RARE);
        let expected = if is_known { StatusCode::NO_CONTENT } else { StatusCode::GATEWAY_TIMEOUT };
        assert_eq!(send(put).await, (expected, is_known && is_stated));
        assert_eq!(send(request(Method::GET, String::new())).await, (StatusCode::OK, true));
    }
}

/// The upstream: it knows which documents are there, and keeps none.
async fn serve(listener: TcpListener, there: There) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let there = Arc::clone(&there);
        let service = service_fn(move |request| answer(Arc::clone(&there), request));
        tokio::spawn(server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(there: There, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let (_, id) = request.uri().query().unwrap().rsplit_once('=').unwrap();
    let id: u64 = id.parse().unwrap();
    let is_there = &there[usize::try_from(id).unwrap()];
    let is_read = request.method() == Method::GET;
    request.into_body().collect().await?;
    let (status, body) = match is_read {
        true if is_there.load(Ordering::Relaxed) => (StatusCode::OK, contents(id)),
        true => (StatusCode::NOT_FOUND, String::new()),
        false => {
            is_there.store(true, Ordering::Relaxed);
            let is_known = !id.is_multiple_of(RARE);
            let status = if is_known { StatusCode::NO_CONTENT } else { StatusCode::GATEWAY_TIMEOUT };
            (status, String::new())
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert("Content-Type", "application/json".parse().unwrap());
    Ok(response)
}
