//! The admin listener: is the process alive, is it ready, what has it counted, and what does it decide? Whoever has the token may tell it to
//! read its configuration again, or to drain.

pub mod page;
pub mod token;

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, VARY, WWW_AUTHENTICATE,
};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use self::page::Page;
use crate::decision::Decisions;
use crate::drain::Drain;

/// How many connections are served at a time; whoever asks is a probe or a person.
const CONNECTIONS: usize = 64;
/// How long a request's head may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause in which somebody takes nothing of what is sent.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// What `/metrics` is made of (OpenMetrics 1.0.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What it is made of for those who want something else: the text format of Prometheus.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// An answer: at hand as a whole, or events as they happen.
type Answer = Response<Either<Full<Bytes>, Events>>;
/// Events as they happen.
type Events = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>;

/// Reads the configuration again.
const RELOAD: &str = "/-/reload";
/// Ends the process in good order, as SIGTERM does.
const DRAIN: &str = "/-/drain";

/// Where the figures come from that are shown here: each is asked for anew with every request.
pub struct Figures {
    /// All of them as OpenMetrics text; nothing when it cannot be had.
    pub open_metrics: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// All of them in the text format of Prometheus; nothing when it cannot be had.
    pub prometheus: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// Those that a person asks for.
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
}

/// The wish that the configuration is read again; it is told what came of it, in a sentence.
#[derive(Debug)]
pub struct Reload(pub oneshot::Sender<Result<String, String>>);

/// What the admin listener shows, to whom, and what it can be told.
pub struct Admin {
    /// What has been counted.
    pub figures: Figures,
    /// The page.
    pub page: Page,
    /// What has been decided.
    pub decisions: Decisions,
    /// By which names it is asked for, beside IP addresses and localhost.
    pub names: Vec<String>,
    /// Where the token is of those who may change something; nobody may where there is none.
    pub token_file: Option<PathBuf>,
    /// Who reads the configuration again.
    pub reloads: mpsc::Sender<Reload>,
    /// What ends the process in good order.
    pub drain: Drain,
}

/// Serves the page, `/livez`, `/readyz`, `/startupz`, `/metrics`, `/status.json` and `/decisions.json`, and
/// `POST /-/reload` and `/-/drain`, for as long as it is polled.
///
/// It is the last to go: while the process drains, `/readyz` says so.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let admin = Arc::new(admin);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            serve_one(stream, admin).await;
            drop(place);
        });
    }
}

/// Serves a connection, for twice as long as decisions are followed at most, and only as long as what is sent on it is
/// taken: whoever takes nothing keeps no place.
async fn serve_one(stream: TcpStream, admin: Arc<Admin>) {
    // The kernel ends it; where it cannot, the longest time still does.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(SEND_TIMEOUT));
    let service = service_fn(|request| {
        let admin = Arc::clone(&admin);
        async move { Ok::<_, Infallible>(admin.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A prober that hangs up has its answer or does not want it.
    if timeout(2 * page::LONGEST, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(HEADER_TIMEOUT, connection).await;
    }
}

impl Admin {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let mut answer = match is_meant(&request, &self.names) && Page::takes(request.uri().path()) {
            true if request.method() == Method::POST => {
                let (head, body) = request.into_parts();
                self.page.posted(head, body, |fields| async move { self.refusal(&fields).await }).await
            }
            _ => self.answer_whole(&request).await,
        };
        page::guard(answer.headers_mut());
        answer
    }

    async fn answer_whole(&self, request: &Request<Incoming>) -> Answer {
        if !is_meant(request, &self.names) {
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "ask by the IP address or as localhost, or add this Host to admin.hosts\n",
            );
        }
        let path = request.uri().path();
        match *request.method() {
            Method::GET | Method::HEAD if is_order(path) => not_allowed("POST", "this is done by POST\n"),
            Method::GET | Method::HEAD => self.shown(request),
            Method::POST if is_order(path) => match self.refusal(request.headers()).await {
                Some(refusal) => refusal,
                None => self.carry_out(path).await,
            },
            _ => not_allowed("GET, HEAD", "only GET and HEAD are answered here\n"),
        }
    }

    fn shown(&self, request: &Request<Incoming>) -> Answer {
        match request.uri().path() {
            // Nobody is served here before both addresses are bound and the configuration is in use.
            "/livez" | "/startupz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => readiness(&self.drain, is_verbose(request)),
            "/metrics" => self.metrics(request),
            "/decisions.json" => decisions(request, &self.decisions),
            "/status.json" => made(StatusCode::OK, JSON, format!("{:#}\n", (self.figures.status)())),
            path => {
                match self.page.shown(request.method(), path, request.uri().query().unwrap_or_default()) {
                    Some(answer) => answer,
                    None => text(
                        StatusCode::NOT_FOUND,
                        "there are /, /livez, /readyz, /startupz, /metrics, /status.json, /decisions.json, /decisions/events, \
                         /rules.json and /page/{state,minutes,forecast,clients,hot,lookup}.json; and by POST /-/reload, \
                         /-/drain, /page/lookup.json and /page/try.json\n",
                    ),
                }
            }
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Answer {
        let (metrics, media_type) = match wants_open_metrics(request) {
            true => ((self.figures.open_metrics)(), OPEN_METRICS),
            false => ((self.figures.prometheus)(), PROMETHEUS),
        };
        let mut answer = match metrics {
            Some(metrics) => made(StatusCode::OK, media_type, metrics),
            None => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written down\n"),
        };
        answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
        answer
    }

    /// Why a request may change nothing here, if that is so: only the token says that it may.
    async fn refusal(&self, fields: &HeaderMap) -> Option<Answer> {
        let Some(file) = self.token_file.clone() else {
            let help = "nobody may do this: name a file with a token in admin.token-file\n";
            return Some(text(StatusCode::FORBIDDEN, help));
        };
        let token = tokio::task::spawn_blocking(move || token::read(&file)).await;
        match token {
            Ok(Ok(token)) if token::is_carried(fields, &token) => None,
            Ok(Ok(_)) => {
                let help = "send Authorization: Bearer with the token of admin.token-file\n";
                let mut refusal = text(StatusCode::UNAUTHORIZED, help);
                refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                Some(refusal)
            }
            Ok(Err(_)) | Err(_) => {
                Some(text(StatusCode::FORBIDDEN, "nobody may do this: admin.token-file holds no token\n"))
            }
        }
    }

    async fn carry_out(&self, path: &str) -> Answer {
        if path == DRAIN {
            self.drain.begin();
            return text(StatusCode::ACCEPTED, "draining\n");
        }
        let (tell, told) = oneshot::channel();
        // What is not taken is dropped with its end of the channel, and then nothing is told.
        drop(self.reloads.try_send(Reload(tell)));
        match told.await {
            Ok(Ok(done)) => made(StatusCode::OK, TEXT, done + "\n"),
            Ok(Err(problem)) => {
                made(StatusCode::UNPROCESSABLE_ENTITY, TEXT, problem.trim_end().to_owned() + "\n")
            }
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "nothing can be reloaded at the moment\n"),
        }
    }
}

fn is_order(path: &str) -> bool {
    [RELOAD, DRAIN].contains(&path)
}

/// The last decisions, the newest first: `?limit=` of them, or a hundred.
fn decisions(request: &Request<Incoming>, decisions: &Decisions) -> Answer {
    const USUAL: usize = 100;
    let parameters = || request.uri().query().unwrap_or_default().split('&').filter(|one| !one.is_empty());
    if parameters().any(|parameter| !parameter.starts_with("limit=")) {
        return text(
            StatusCode::BAD_REQUEST,
            "only limit is understood, as in ?limit=100; select by anything else in what comes, as jq does\n",
        );
    }
    let limit = parameters().find_map(|parameter| parameter.strip_prefix("limit="));
    let Ok(limit) = limit.map_or(Ok(USUAL), str::parse) else {
        return text(StatusCode::BAD_REQUEST, "limit is a whole number, as in ?limit=100\n");
    };
    let last = decisions.last(limit);
    match serde_json::to_string(&json!({ "decisions": last })) {
        Ok(json) => made(StatusCode::OK, JSON, json + "\n"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the decisions cannot be written down\n"),
    }
}

/// Whether clients should be sent here, and with `?verbose` what that was judged by, in the form of Kubernetes' own.
fn readiness(drain: &Drain, verbose: bool) -> Answer {
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

/// Whether OpenMetrics is wanted: by whoever names it, and by whoever does not say what is wanted.
///
/// Whoever takes anything is a person with `curl`, and pipes it into `promtool`, which reads the older format only.
fn wants_open_metrics(request: &Request<Incoming>) -> bool {
    let names = |value: &HeaderValue| {
        value.to_str().is_ok_and(|accepts| accepts.contains("application/openmetrics-text"))
    };
    let mut accepts = request.headers().get_all(ACCEPT).iter().peekable();
    accepts.peek().is_none() || accepts.any(names)
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

fn not_allowed(allow: &'static str, sentence: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, sentence);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    made(status, TEXT, text)
}

fn made(status: StatusCode, media_type: &'static str, contents: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(contents.into())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
