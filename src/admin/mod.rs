//! The admin listener: is the process alive, is it ready, and what has it counted?

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::drain::Drain;

/// How many connections are served at a time; whoever asks is a probe or a person.
const CONNECTIONS: usize = 64;
/// How long a request's head may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What `/metrics` is made of (OpenMetrics 1.0.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Where the figures come from that are shown here: each is asked for anew with every request.
pub struct Figures {
    /// All of them as OpenMetrics text; nothing when it cannot be had.
    pub metrics: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Those that a person asks for.
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
}

/// Serves `/livez`, `/readyz`, `/startupz`, `/metrics` and `/status.json` for as long as it is polled.
///
/// It is the last to go: while the process drains, `/readyz` says so. It is asked for by its IP address, as localhost, or
/// by one of these names.
pub async fn serve(listener: TcpListener, figures: Figures, names: Vec<String>, drain: Drain) {
    let (figures, names) = (Arc::new(figures), Arc::<[String]>::from(names));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (figures, names, drain) = (Arc::clone(&figures), Arc::clone(&names), drain.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &figures, &names, &drain);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A prober that hangs up has its answer or does not want it.
            let _ = connection.await;
            drop(place);
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    figures: &Figures,
    names: &[String],
    drain: &Drain,
) -> Response<Full<Bytes>> {
    if !is_meant(request, names) {
        return text(
            StatusCode::MISDIRECTED_REQUEST,
            "ask by the IP address or as localhost, or add this Host to admin.hosts\n",
        );
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        // Nobody is served here before both addresses are bound and the configuration is in use.
        "/livez" | "/startupz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => readiness(drain, is_verbose(request)),
        "/metrics" => match (figures.metrics)() {
            Some(metrics) => made(StatusCode::OK, OPEN_METRICS, metrics),
            None => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written down\n"),
        },
        "/status.json" => made(StatusCode::OK, JSON, format!("{:#}\n", (figures.status)())),
        _ => text(StatusCode::NOT_FOUND, "there are /livez, /readyz, /startupz, /metrics and /status.json\n"),
    }
}

/// Whether clients should be sent here, and with `?verbose` what that was judged by, in the form of Kubernetes' own.
fn readiness(drain: &Drain, verbose: bool) -> Response<Full<Bytes>> {
    match (drain.has_begun(), verbose) {
        (false, false) => text(StatusCode::OK, "ok\n"),
        (true, false) => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (false, true) => text(
            StatusCode::OK,
            "[+]listening ok\n[+]configured ok\n[+]not-draining ok\nreadyz check passed\n",
        ),
        (true, true) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "[-]listening failed\n[+]configured ok\n[-]not-draining failed\nreadyz check failed\n",
        ),
    }
}

fn is_verbose(request: &Request<Incoming>) -> bool {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    parameters.any(|parameter| parameter.split('=').next() == Some("verbose"))
}

/// Whether a request means this listener by its Host.
///
/// A page may have its own name resolved to this address, and then read what is answered here as if it were its own (DNS
/// rebinding). It cannot make a browser say an IP address or localhost.
fn is_meant(request: &Request<Incoming>, names: &[String]) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_by_host = match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => {
            host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|host| is_named(&host, names))
        }
        (Some(_), Some(_)) => false,
    };
    is_by_host && request.uri().authority().is_none_or(|authority| is_named(authority, names))
}

fn is_named(authority: &Authority, names: &[String]) -> bool {
    let host = authority.host();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name =
        || names.iter().map(String::as_str).chain(["localhost"]).any(|name| name.eq_ignore_ascii_case(host));
    !authority.as_str().contains('@') && (literal.parse::<IpAddr>().is_ok() || is_name())
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    made(status, TEXT, text)
}

fn made(status: StatusCode, media_type: &'static str, contents: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(contents.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
