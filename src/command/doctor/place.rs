//! A server that is asked: the upstream itself, or whoever answers at the URL that clients use.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Method, Request, StatusCode, Uri};
use rustls::CertificateError;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::finding::{Side, shown};
use crate::body::budget::Budget;
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Paced};
use crate::fingerprint::{Algorithm, Subject};
use crate::rule::Rule;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::XAPI_VERSION;
use crate::semantics::representation::{Absent, Representation};
use crate::upstream::Settings;
use crate::upstream::failure::Failure;
use crate::upstream::intake::{Reading, take_in};
use crate::upstream::pool::{Pool, Purpose};
use crate::upstream::send::Outgoing;
use crate::upstream::tls::Connector;

/// The largest answer that is read, in bytes: what the doctor writes is far smaller.
const LONGEST: u64 = 1024 * 1024;
/// How many requests there may be in all: several times as many as there are questions.
const REQUESTS: u32 = 500;

/// A server, and how it is asked.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) side: Side,
    pool: Arc<Pool>,
    tls: Option<Arc<Connector>>,
    /// The path in front of the resources, as in `/xapi`.
    base: String,
    /// The fields of every request: Host, credentials, the version of xAPI.
    fields: HeaderMap,
    time: Duration,
    asked: Arc<Count>,
}

/// How many requests there were.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU32);

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) method: Method,
    /// The target behind the base path.
    pub(super) target: String,
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// Whether it carries nothing but its own fields, as a browser's preflight does.
    is_anonymous: bool,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    /// The contents as they came; nothing if they broke off or were too large.
    pub(super) contents: Option<Contents>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The server could not be asked, or answered no HTTP.
    Failed(Failure),
    /// It was not done in time.
    Late(Duration),
    /// There were more questions than there should be.
    Exhausted,
}

/// An answer, or why there is none.
pub(super) type Heard = Result<Told, Unanswered>;

impl Count {
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) < REQUESTS
    }
}

impl Place {
    /// A server that these settings lead to, which has no path in front of its resources.
    pub(super) fn new(
        side: Side,
        settings: Settings,
        tls: Option<Arc<Connector>>,
        fields: HeaderMap,
        time: Duration,
        asked: &Arc<Count>,
    ) -> Self {
        let settings = Settings { connect_timeout: time, response_timeout: time, connections: 2, ..settings };
        let pool =
            Pool::over_tls(settings, Arc::new(Semaphore::new(2)), Budget::new(4 * LONGEST), tls.clone());
        Self { side, pool, tls, base: String::new(), fields, time, asked: Arc::clone(asked) }
    }

    /// The same with a path in front of its resources.
    pub(super) fn at(&self, base: &str) -> Self {
        let (pool, fields, asked) = (Arc::clone(&self.pool), self.fields.clone(), Arc::clone(&self.asked));
        let tls = self.tls.clone();
        Self { side: self.side, pool, tls, base: base.to_owned(), fields, time: self.time, asked }
    }

    /// The same, asked in this version of xAPI unless the fields of every request name one.
    pub(super) fn speaking(mut self, version: &'static str) -> Self {
        self.fields.entry(XAPI_VERSION).or_insert(HeaderValue::from_static(version));
        self
    }

    /// Why the server's certificate is not accepted: one more handshake, without a request.
    pub(super) async fn certificate_error(&self) -> Option<CertificateError> {
        let (tls, settings) = (self.tls.as_ref()?, self.pool.settings());
        let look = async {
            let stream = TcpStream::connect(&settings.authority).await.ok()?;
            tls.certificate_error(stream).await
        };
        timeout(self.time, look).await.ok().flatten()
    }

    /// The path in front of the resources.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The version of xAPI that is spoken.
    pub(super) fn version(&self) -> &str {
        self.fields.get(XAPI_VERSION).and_then(|version| version.to_str().ok()).unwrap_or_default()
    }

    /// Asks, and waits for the whole answer. No redirect is followed, and nothing that changes anything is sent twice.
    pub(super) async fn ask(&self, question: Question) -> Heard {
        if !self.asked.take() {
            return Err(Unanswered::Exhausted);
        }
        timeout(self.time, self.answer(question)).await.unwrap_or(Err(Unanswered::Late(self.time)))
    }

    async fn answer(&self, question: Question) -> Heard {
        let Question { method, target, fields, body, is_anonymous } = question;
        let purpose = if method.is_safe() { Purpose::Repeatable } else { Purpose::Once };
        let target: Uri = format!("{}{target}", self.base)
            .parse()
            .map_err(|_| Unanswered::Failed(Failure::ProtocolError))?;
        let mut request = Request::new(Outgoing::Contents(Contents::from(body.clone())));
        if !body.is_empty() || matches!(method, Method::PUT | Method::POST) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        (*request.method_mut(), *request.uri_mut()) = (method, target);
        let own = [
            (USER_AGENT, HeaderValue::from_static(concat!("staleguard-doctor/", env!("CARGO_PKG_VERSION")))),
            (ACCEPT, HeaderValue::from_static("*/*")),
        ];
        request.headers_mut().extend(own);
        let mut of_all = self.fields.clone();
        if is_anonymous {
            let host = of_all.remove(HOST).map(|host| (HOST, host));
            of_all = host.into_iter().collect();
        }
        request.headers_mut().extend(of_all);
        // A question's own fields win over those of every request.
        for (name, value) in fields {
            request.headers_mut().insert(name, value);
        }
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(&self.pool.settings().authority)
        {
            request.headers_mut().insert(HOST, host);
        }
        let (answer, lease) = self.pool.fetch(request, purpose).await.map_err(Unanswered::Failed)?;
        let (head, body) = answer.into_parts();
        let collected = Paced::new(body, self.time).collect(LONGEST, &Budget::new(LONGEST)).await;
        let contents = match collected {
            Ok(Collected::Whole(contents)) => {
                lease.give_back();
                Some(contents)
            }
            Ok(Collected::TooLarge(_) | Collected::OverBudget(_)) | Err(_) => None,
        };
        Ok(Told { status: head.status, fields: head.headers, contents })
    }
}

impl Question {
    pub(super) fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), fields: Vec::new(), body: Bytes::new(), is_anonymous: false }
    }

    pub(super) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// The same with a field.
    pub(super) fn with(self, name: HeaderName, value: &'static str) -> Self {
        self.with_value(name, HeaderValue::from_static(value))
    }

    /// The same with a field whose value is somebody else's.
    pub(super) fn with_value(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The same without credentials.
    pub(super) fn anonymous(self) -> Self {
        Self { is_anonymous: true, ..self }
    }

    /// The same with a body.
    pub(super) fn sending(self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }
}

impl Told {
    /// The contents, identity-coded; nothing if they are not whole, or in a coding that cannot be undone here.
    pub(super) fn decoded(&self) -> Option<Bytes> {
        let absent = Absent { statuses: Vec::new(), empty: false, empty_object: false };
        let reading = Reading {
            etag: Algorithm::Xxh3,
            etag_of: Subject::Contents,
            absent: &absent,
            decoded_max: LONGEST,
            digests: None,
        };
        let contents = self.contents.as_ref()?;
        let (decoded, _) = take_in(&self.fields, contents, &reading)?;
        Some(decoded.as_ref().unwrap_or(contents).to_bytes())
    }

    /// The entity-tag that Staleguard makes of a document that the upstream answers with this.
    pub(super) fn guarded_tag(&self, rule: &Rule) -> Option<EntityTag> {
        let Rule { etag, etag_of, absent, .. } = rule;
        let reading = Reading { etag: *etag, etag_of: *etag_of, absent, decoded_max: LONGEST, digests: None };
        match take_in(&self.fields, self.contents.as_ref()?, &reading)?.1 {
            Representation::Current(current) => Some(current.tag),
            Representation::Missing => None,
        }
    }

    /// A field in one line, if it is there.
    pub(super) fn field(&self, name: &HeaderName) -> Option<String> {
        let lines: Vec<_> =
            self.fields.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    /// The ETag in words, to be shown and compared.
    pub(super) fn etag(&self) -> Option<String> {
        self.field(&ETAG)
    }

    /// The one ETag, byte for byte as it came; nothing if there are several.
    pub(super) fn tag(&self) -> Option<HeaderValue> {
        let mut tags = self.fields.get_all(ETAG).iter();
        tags.next().filter(|_| tags.next().is_none()).cloned()
    }

    /// Whether there is more than one ETag.
    pub(super) fn has_several_tags(&self) -> bool {
        self.fields.get_all(ETAG).iter().nth(1).is_some()
    }

    /// The first words of the contents, for a person.
    pub(super) fn words(&self) -> Option<String> {
        let contents = self.decoded()?;
        let text = String::from_utf8_lossy(contents.get(..2048).unwrap_or(&contents)).into_owned();
        // Of a page, what stands between its tags.
        let mut parts = text.split('<');
        let first = parts.next().unwrap_or_default().to_owned();
        let behind = parts.map(|part| part.split_once('>').map_or("", |(_, text)| text));
        let untagged = [first.as_str()].into_iter().chain(behind).collect::<Vec<_>>().join(" ");
        let words: Vec<String> = untagged.split_whitespace().map(str::to_owned).collect();
        (!words.is_empty()).then(|| shown(words.join(" ")))
    }

    /// `503 (Sorry)`: the status, and the first words of a refusal.
    pub(super) fn status_in_words(&self) -> String {
        let status = self.status.as_u16();
        self.words().map_or_else(|| status.to_string(), |words| format!("{status} ({words})"))
    }

    /// Whether this is a page for people, as no LRS answers for a document.
    pub(super) fn is_page(&self) -> bool {
        let media_type = self.field(&CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        self.status.is_success() && media_type.trim_start().starts_with("text/html")
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => f.write_str(match failure {
                Failure::ConnectionRefused => "the connection was refused",
                Failure::ConnectionTimeout => "no connection was accepted in time",
                Failure::DnsError => "its name cannot be resolved",
                Failure::ConnectionLimit => "too many requests are under way",
                Failure::TlsCertificateError => "its certificate is not accepted",
                Failure::TlsAlertReceived => "it refused to speak TLS",
                Failure::TlsProtocolError => "it does not speak TLS, or none that is spoken here",
                Failure::ConnectionTerminated => "it ended the connection without an answer",
                Failure::ResponseTimeout => "it did not answer in time",
                Failure::ProtocolError => "what it answered is not HTTP",
                Failure::ResponseIncomplete => "its answer broke off",
                Failure::ContentCoding => "its answer is compressed in an unknown way",
                Failure::RequestInterrupted => "the request could not be sent whole",
                Failure::UnusableProbe(_) => "its answer is of no use",
            }),
            Self::Late(time) => write!(f, "no answer within {}", humantime::format_duration(*time)),
            Self::Exhausted => f.write_str("there were too many questions"),
        }
    }
}
