//! What an exchange came to: the record that is logged and counted once it is over.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri, Version};
use percent_encoding::{CONTROLS, percent_encode};

use crate::decision::facts::Facts;
use crate::guard::policy::Mode;
use crate::net::client::Client;
use crate::semantics::fields::X_FORWARDED_FOR;
use crate::semantics::repair::Repairs;
use crate::semantics::request_id::RequestId;
use crate::semantics::trace::TraceParent;
use crate::upstream::send::Took;

/// What an exchange came to. It tells no query, no credentials and nothing of a body.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// When the request's head had arrived.
    pub began: Instant,
    /// Who sent it.
    pub client: Client,
    /// The version of HTTP that it came in.
    pub protocol: Version,
    /// Its method.
    pub method: Method,
    /// Its name, which it has brought or was given here.
    pub request_id: RequestId,
    /// The trace that it is a part of, if it says so.
    pub trace: Option<TraceParent>,
    /// What else it said of itself.
    pub said: Said,
    /// How many bytes of its body have come.
    pub received: Arc<AtomicU64>,
    /// The status of the answer; none while there is none, and for ever if its client left before.
    pub status: Option<StatusCode>,
    /// The resource whose rule applied; none for what is relayed untouched.
    pub resource: Option<Arc<str>>,
    /// The mode of that rule.
    pub mode: Option<Mode>,
    /// Whether it came in xAPI's alternate request syntax.
    pub is_alternate: bool,
    /// The verdict on a write, where one was reached.
    pub verdict: Option<&'static str>,
    /// In observe mode, what an enforcing proxy would have answered by itself.
    pub foreseen: Option<StatusCode>,
    /// What it took for a stated entity-tag to name the current representation, where that was learned.
    pub repairs: Repairs,
    /// Whether a write states an entity-tag that its peer was given only just before.
    pub suspicious: bool,
    /// Why the answer was made here, where it was and no verdict asked for it.
    pub failure: Option<&'static str>,
    /// What is recorded of a write.
    pub facts: Option<Box<Facts>>,
    /// How long the write waited for its hold.
    pub hold: Option<Duration>,
    /// Whether what the upstream holds was known without a probe.
    pub recalled: bool,
    /// How long the probe took.
    pub probe: Option<Duration>,
    /// How long the upstream took to the head of its answer to the request itself.
    pub upstream: Option<Duration>,
    /// The span that it is here, where it is recorded: what goes on is a part of that.
    pub span: Option<TraceParent>,
    /// When its parts were of which there are spans.
    pub parts: Parts,
    /// What of it has begun and is not over, and when it began.
    pub under_way: Option<(Step, Instant)>,
}

/// What an exchange may be waiting for when its client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The sole right to write.
    Hold,
    /// What the upstream holds.
    Probe,
    /// The upstream's answer to the request itself.
    Forward,
}

/// What a request said of itself, kept as it came: few are ever shown, and only through what is here.
#[derive(Clone)]
pub struct Said {
    target: Uri,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    forwarded_for: Option<HeaderValue>,
}

/// A part of an exchange: when it was and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// When it began.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
}

/// The parts of an exchange that somebody else has a share in, as far as it came to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// It waited for the sole right to write.
    pub hold: Option<Part>,
    /// The upstream was asked what it holds.
    pub probe: Option<Part>,
    /// The upstream was sent the request itself, to the head of its answer.
    pub forward: Option<Part>,
    /// The upstream was asked what a write has left behind.
    pub read_back: Option<Part>,
}

impl Part {
    /// What began at a moment and is over.
    pub fn since(began: Instant) -> Self {
        Self { began, took: began.elapsed() }
    }
}

impl Parts {
    /// Each by its name.
    pub fn named(self) -> impl Iterator<Item = (&'static str, Part)> {
        let Self { hold, probe, forward, read_back } = self;
        let named = [("hold", hold), ("probe", probe), ("forward", forward), ("read-back", read_back)];
        named.into_iter().filter_map(|(name, part)| Some((name, part?)))
    }
}

impl Outcome {
    /// Notes that a step begins now, and gives the moment.
    pub(super) fn begins(&mut self, step: Step) -> Instant {
        let now = Instant::now();
        self.under_way = Some((step, now));
        now
    }

    /// Nothing is waited for any more: a step that had begun, and of whose end nobody has told, has ended now.
    pub fn is_over(&mut self) {
        let Some((step, began)) = self.under_way.take() else { return };
        let part = match step {
            Step::Hold => &mut self.parts.hold,
            Step::Probe => &mut self.parts.probe,
            Step::Forward => &mut self.parts.forward,
        };
        part.get_or_insert_with(|| Part::since(began));
    }

    /// Notes that the wait for a hold that began then is over.
    pub(super) fn waited(&mut self, began: Instant) {
        let part = Part::since(began);
        (self.hold, self.parts.hold) = (Some(part.took), Some(part));
        self.under_way = None;
    }

    /// Notes that the question to the upstream that began then is over.
    pub(super) fn asked(&mut self, began: Instant) {
        let part = Part::since(began);
        (self.probe, self.parts.probe) = (Some(part.took), Some(part));
        self.under_way = None;
    }

    /// Notes that the head of the upstream's answer to the request itself has come.
    pub(super) fn heard(&mut self, took: Took) {
        let Took { began, time } = took;
        (self.upstream, self.parts.forward) = (Some(time), Some(Part { began, took: time }));
    }

    /// The method, if it is one that somebody has defined.
    pub fn known_method(&self) -> Option<&'static str> {
        const KNOWN: [&str; 9] =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
        KNOWN.into_iter().find(|known| *known == self.method.as_str())
    }

    /// The address that the request comes from: the first that X-Forwarded-For names, where that is believed, or else that
    /// of whoever connects.
    pub(super) fn origin(&self) -> Option<Cow<'_, str>> {
        let named = self.said.forwarded_for();
        let first = named.as_deref().and_then(|named| named.split(',').next()).map(str::trim);
        let first = first.filter(|first| !first.is_empty()).map(|first| first.to_owned().into());
        first.or_else(|| self.client.forwarded.as_ref()?.to_str().ok().map(Cow::from))
    }

    /// The outcome of a request that has only just begun.
    pub fn of<B>(request: &Request<B>, client: Client) -> Self {
        let fields = request.headers();
        let brought = RequestId::brought(fields).filter(|_| client.is_believed);
        let forwarded_for = fields.get(X_FORWARDED_FOR).filter(|_| client.is_believed).cloned();
        Self {
            began: Instant::now(),
            client,
            protocol: request.version(),
            method: request.method().clone(),
            request_id: brought.unwrap_or_else(RequestId::made),
            trace: TraceParent::of(fields),
            said: Said {
                target: request.uri().clone(),
                host: fields.get(HOST).cloned(),
                user_agent: fields.get(USER_AGENT).cloned(),
                forwarded_for,
            },
            received: Arc::default(),
            status: None,
            resource: None,
            mode: None,
            is_alternate: false,
            verdict: None,
            foreseen: None,
            repairs: Repairs::NONE,
            suspicious: false,
            failure: None,
            facts: None,
            hold: None,
            recalled: false,
            probe: None,
            upstream: None,
            span: None,
            parts: Parts::default(),
            under_way: None,
        }
    }

    /// The status that was sent, as a number. Where there is none, 499 is what nginx calls a client that left before it
    /// was answered, and 0 is what Envoy says of any other exchange without an answer.
    pub fn code(&self) -> u16 {
        match (self.status, self.failure) {
            (Some(status), _) => status.as_u16(),
            (None, Some("client-left")) => 499,
            (None, _) => 0,
        }
    }
}

impl Said {
    /// The host that was asked for, as it may stand in a log, without what may stand before it: a password has no place
    /// there.
    pub fn authority(&self) -> Option<String> {
        let host = self.target.authority().map(|authority| authority.as_str().as_bytes());
        let host = host.or_else(|| self.host.as_ref().map(HeaderValue::as_bytes))?;
        let host = host.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
        Some(shown(host, 256))
    }

    /// What its client calls itself, as it may stand in a log.
    pub fn user_agent(&self) -> Option<String> {
        self.user_agent.as_ref().map(|value| shown(value.as_bytes(), 256))
    }

    /// Whom those before this proxy say that they speak for, where they are believed, as it may stand in a log.
    pub fn forwarded_for(&self) -> Option<String> {
        self.forwarded_for.as_ref().map(|value| shown(value.as_bytes(), 256))
    }

    /// The path of its target, as it may stand in a log, without the query, also one that was encoded by mistake or stands
    /// behind `;`.
    pub fn path(&self) -> String {
        plain(without_parameters(self.target.path()))
    }
}

/// It tells nothing, since the query names learners.
impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said(..)")
    }
}

/// A path as it may stand in a log.
fn plain(path: &str) -> String {
    shown(path.as_bytes(), 1024)
}

/// What a client has sent, as it may stand in a log: what is no visible ASCII is percent-encoded, since it could steer a
/// terminal, and no more of it is kept than anybody reads.
fn shown(sent: &[u8], longest: usize) -> String {
    let (shown, ellipsis) = match sent.get(..longest) {
        Some(start) if sent.len() > longest => (start, "..."),
        _ => (sent, ""),
    };
    format!("{}{ellipsis}", percent_encode(shown, CONTROLS))
}

/// Learners are named in queries, and some clients encode the question mark too, or put parameters behind `;`.
fn without_parameters(path: &str) -> &str {
    let lower = path.to_ascii_lowercase();
    let ends = [";", "%3f", "%253f", "%3b", "%253b"].into_iter().filter_map(|mark| lower.find(mark));
    &path[..ends.min().unwrap_or(path.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::Address;

    #[test]
    fn what_a_client_says_of_itself_is_bounded_and_steers_no_terminal() {
        let request = Request::get("http://user:password@a.example:80/x")
            .header("host", "b.example")
            .header("user-agent", "a\t".to_owned() + &"x".repeat(300))
            .header("x-forwarded-for", HeaderValue::from_bytes(b"\xff, ::1").expect("a value"));
        let request = request.body(()).expect("a request");
        let outcome = Outcome::of(&request, Client::of(Address::Unix));
        assert_eq!(outcome.said.authority().as_deref(), Some("a.example:80"));
        let agent = outcome.said.user_agent().expect("one");
        assert!(agent.starts_with("a%09xxx") && agent.ends_with("x...") && agent.len() < 270, "{agent}");
        assert_eq!(outcome.said.forwarded_for().as_deref(), Some("%FF, ::1"));
        assert!(!format!("{outcome:?}").contains("password"));
    }

    #[test]
    fn no_path_steers_a_terminal_or_fills_a_log() {
        assert_eq!(plain("/a/%2Fb~;x"), "/a/%2Fb~;x");
        assert_eq!(plain("/\u{9b}2J\u{202e}\u{7f}"), "/%C2%9B2J%E2%80%AE%7F");
        let long = "x".repeat(1024);
        assert_eq!(plain(&long), long);
        assert_eq!(plain(&format!("{long}\u{e9}")), format!("{long}..."));
        let split = format!("{}\u{e9}", "x".repeat(1023));
        assert!(plain(&split).ends_with("x%C3..."), "a character may be cut");
    }
}
