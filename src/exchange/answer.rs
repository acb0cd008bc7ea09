//! *Answer*: the upstream's response, stamped, or one made here.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, RETRY_AFTER, TRAILER, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use serde_json::json;

use super::course::Course;
use super::failure::Failure;
use super::upgrade::Tunnel;
use super::watch::Watched;
use crate::body::contents::Contents;
use crate::body::paced::Interrupted;
use crate::guard::policy::Mode;
use crate::guard::verdict::{Reason, Refusal};
use crate::memory::holds::Unheld;
use crate::rule::Rule;
use crate::semantics::cors::{self, Cors, Repair};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::{PROXY_STATUS, XAPI_VERSION, remove_all, strip_hop_by_hop};
use crate::semantics::request_id::RequestId;
use crate::semantics::websocket::Handshake;
use crate::upstream::ahead::Ahead;
use crate::upstream::forward::Answered;
use crate::upstream::probe::Found;
use crate::upstream::send::Took;
use crate::upstream::streamed::Streamed;
use crate::xapi::version::answer_version;

/// An answer on its way to the client.
pub type Answer = Response<AnswerBody>;

/// The body of an answer.
#[derive(Debug)]
pub enum AnswerBody {
    /// A whole one.
    Contents(Contents),
    /// The upstream's, as it comes.
    Streamed(Box<Streamed>),
    /// The upstream's to an observed read, as it comes.
    Watched(Box<Watched>),
    /// The upstream's to an observed write, as it comes.
    Ahead(Box<Ahead>),
    /// None, since another protocol is spoken from here on.
    Tunnel(Box<Tunnel>),
}

/// What of a request shapes the answers that are made here.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The name of the request, for whoever asks about its answer.
    request_id: RequestId,
    /// Whether the client wants `application/problem+json` (RFC 9457).
    problem_json: bool,
    /// The value for X-Experience-API-Version, where the exchange concerns xAPI.
    xapi_version: Option<&'static str>,
    /// What of CORS is repaired, where a page of another origin asks for a guarded resource.
    cors: Option<Repair>,
    /// What the upstream has said of CORS to this very request.
    said: HeaderMap,
    /// Whether what the resource holds was learned with a credential that is not the client's.
    hides_found: bool,
    /// How far the exchange has come, and by when it must be over.
    pub(super) course: Course,
}

impl Asked {
    pub(super) fn of(head: &Parts, rule: Option<&Rule>, course: Course, request_id: &RequestId) -> Self {
        let fields = &head.headers;
        let wants = |value: &HeaderValue| {
            value.to_str().is_ok_and(|accepts| {
                accepts.split(',').any(|range| {
                    let media_type = range.split(';').next().unwrap_or_default();
                    media_type.trim().eq_ignore_ascii_case("application/problem+json")
                })
            })
        };
        Self {
            request_id: request_id.clone(),
            problem_json: fields.get_all(ACCEPT).iter().any(wants),
            xapi_version: rule.is_some_and(|rule| rule.xapi).then(|| answer_version(fields)),
            cors: rule
                .filter(|rule| rule.cors == Cors::Repair && rule.mode == Mode::Enforce)
                .and_then(|rule| Repair::of(&head.method, fields, rule.xapi)),
            said: HeaderMap::new(),
            hides_found: false,
            course,
        }
    }

    /// Repairs what the upstream says of CORS also where verdicts are not carried out: pages of other origins must be able
    /// to read the entity-tags that they are shown, and to state them.
    pub(super) fn repair_cors_of(&mut self, head: &Parts, rule: &Rule) {
        let repair = Repair::of(&head.method, &head.headers, rule.xapi);
        self.cors = repair.filter(|_| rule.cors == Cors::Repair);
    }

    /// Notes what the upstream says of CORS, for an answer that may yet be made here: without it no page could read
    /// a 412.
    ///
    /// It counts only for the request that it was said to, or for the write whose probe this was: other origins, and
    /// other credentials, may be told something else. So a page cannot read what is answered before the upstream
    /// was asked, such as a 428, a malformed precondition, or a 503 of a scope that is not free.
    pub(super) fn heard(&mut self, fields: &HeaderMap) {
        if self.cors.is_some() {
            self.said = cors::said(fields);
        }
    }

    /// Notes what the answer to a probe says, or that it was not meant for this client.
    pub(super) fn heard_from(&mut self, found: &Found) {
        self.hides_found = found.by_service;
        if !found.by_service {
            self.heard(&found.fields);
        }
    }

    /// Repairs what an answer says of CORS, whoever made it.
    pub(super) fn repair(&self, answer: &mut Answer) {
        if let Some(repair) = self.cors {
            repair.apply(answer.headers_mut());
        }
    }
}

/// The answer to an exchange that failed.
pub(super) fn failed(failure: &Failure, asked: &Asked) -> Answer {
    let mut answer = made(failure.status(), failure.proxy_error(), &failure.sentence(), asked);
    if let Some(left) = failure.retry_after() {
        // Whole seconds, rounded up: nobody should come back too early.
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if failure.ends_connection() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The answer to a request whose preconditions failed or were missing.
pub(super) fn refused(refusal: &Refusal, asked: &Asked) -> Answer {
    let mut answer = made(refusal.status, "http_request_error", &advice(refusal, asked.hides_found), asked);
    if let Some(tag) = refusal.current.as_ref().filter(|_| !asked.hides_found) {
        answer.headers_mut().insert(ETAG, tag.to_field());
    }
    answer
}

/// The answer to a PUT that has just been applied: what it got then, or would have got (RFC 9110 §13.1.1).
pub(super) fn applied(produced: &EntityTag, asked: &Asked) -> Answer {
    let mut answer = empty(StatusCode::NO_CONTENT, "staleguard; details=\"already applied\"", asked);
    if !asked.hides_found {
        answer.headers_mut().insert(ETAG, produced.to_field());
    }
    answer
}

/// What happened and what to do next. xAPI 1.0.3 (Communication §3.1) prescribes what the text of a 409 explains.
pub fn advice(refusal: &Refusal, hides_found: bool) -> String {
    let next = match &refusal.current {
        _ if hides_found => "Repeat the request with what you know of its current state, or not at all.",
        Some(_) => "Read it again, and repeat the request with the current ETag in If-Match.",
        None => "There is no current representation; to create one, send If-None-Match: *.",
    };
    match (refusal.reason, refusal.status) {
        (Reason::IfMatchFailed, _) => {
            format!("Nothing was written: If-Match does not name the current state of the resource. {next}")
        }
        (Reason::IfNoneMatchFailed, _) => {
            format!("Nothing was written: If-None-Match names the current state of the resource. {next}")
        }
        (Reason::Malformed, _) => "Nothing was written: If-Match or If-None-Match is malformed. Send entity-tags in \
             double quotes, separated by commas, or a single *."
            .into(),
        (Reason::Unstated, StatusCode::CONFLICT) => {
            "Nothing was written: a document exists and the request states no precondition. Check the current state \
             of the resource with a GET, then set the \"If-Match\" header with the current ETag and send the request \
             again."
                .into()
        }
        (Reason::Unstated, _) => {
            "Nothing was written: the request must state a precondition. Set If-Match with the current ETag of the \
             resource, or If-None-Match: * to create it."
                .into()
        }
    }
}

/// An answer made here that says why.
fn made(status: StatusCode, proxy_error: &str, sentence: &str, asked: &Asked) -> Answer {
    let (media_type, text) = if asked.problem_json {
        let title = status.canonical_reason().unwrap_or("Refused");
        let request_id = asked.request_id.as_str();
        let problem = json!({
            "title": title,
            "status": status.as_u16(),
            "detail": sentence,
            "request_id": request_id,
        });
        ("application/problem+json", problem.to_string())
    } else {
        ("text/plain; charset=utf-8", format!("{sentence}\n"))
    };
    let mut answer = empty(status, &format!("staleguard; error={proxy_error}"), asked);
    *answer.body_mut() = AnswerBody::Contents(text.into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// The head of an answer made here: never cached, and Proxy-Status tells an operator who made it (RFC 9209).
fn empty(status: StatusCode, proxy_status: &str, asked: &Asked) -> Answer {
    let mut answer = Response::new(AnswerBody::Contents(Contents::default()));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(proxy_status) {
        fields.insert(PROXY_STATUS, value);
    }
    if let Some(version) = asked.xapi_version {
        fields.insert(XAPI_VERSION, HeaderValue::from_static(version));
    }
    fields.extend(asked.said.clone());
    answer
}

/// The upstream's response, passed on as it comes.
pub(super) fn relayed(mut response: Response<Streamed>) -> Answer {
    strip_hop_by_hop(response.headers_mut(), true);
    response.map(|body| AnswerBody::Streamed(Box::new(body)))
}

/// The upstream's word that it speaks another protocol from here on.
pub(super) fn switched(head: http::response::Parts, handshake: &Handshake, tunnel: Tunnel) -> Answer {
    let mut answer = whole(head, AnswerBody::Tunnel(Box::new(tunnel)));
    without_framing(answer.headers_mut());
    handshake.answer(answer.headers_mut());
    answer
}

/// The upstream's response whose contents are at hand, passed on as they came.
pub(super) fn whole(head: http::response::Parts, contents: AnswerBody) -> Answer {
    let mut answer = Response::from_parts(head, contents);
    strip_hop_by_hop(answer.headers_mut(), true);
    answer
}

/// The upstream's response to something on a guarded resource that is no current representation.
///
/// Its ETag, if it has one, is no document's tag.
pub(super) fn without_tag(response: Response<Streamed>) -> Answer {
    let mut answer = relayed(response);
    answer.headers_mut().remove(ETAG);
    answer
}

/// The upstream's response to a write.
pub(super) fn written(mut response: Response<Answered>) -> Answer {
    strip_hop_by_hop(response.headers_mut(), true);
    response.map(|body| match body {
        Answered::Whole(contents) => AnswerBody::Contents(contents),
        Answered::Streamed(streamed) => AnswerBody::Streamed(streamed),
    })
}

/// Contents that were read and are passed on as they came.
pub(super) fn unchanged(head: http::response::Parts, contents: Contents) -> Answer {
    let mut answer = Response::from_parts(head, AnswerBody::Contents(contents));
    strip_hop_by_hop(answer.headers_mut(), true);
    answer.headers_mut().remove(ETAG);
    answer
}

/// A current representation with our entity-tag on it.
pub(super) fn stamped(head: http::response::Parts, contents: Contents, tag: &EntityTag) -> Answer {
    let mut answer = Response::from_parts(head, AnswerBody::Contents(contents));
    let fields = answer.headers_mut();
    strip_hop_by_hop(fields, true);
    // The contents are identity-coded and whole, so hyper says how long they are.
    without_framing(fields);
    fields.insert(ETAG, tag.to_field());
    revalidated(fields);
    answer
}

/// 304 in place of a representation that the client has (RFC 9110 §15.4.5).
pub(super) fn not_modified(mut head: http::response::Parts, tag: &EntityTag) -> Answer {
    head.status = StatusCode::NOT_MODIFIED;
    let mut answer = stamped(head, Contents::default(), tag);
    remove_all(answer.headers_mut(), &[CONTENT_TYPE, CONTENT_RANGE, TRAILER]);
    answer
}

/// Without a word from the upstream, a validator would let caches answer by guesswork (RFC 9111 §4.2.2), and more of
/// the hops that compress would change the tag: some heed no-transform.
pub(super) fn revalidated(fields: &mut HeaderMap) {
    fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-cache, no-transform"));
}

fn without_framing(fields: &mut HeaderMap) {
    remove_all(fields, &[CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING]);
}

impl AnswerBody {
    /// How long the upstream took to the head of what is passed on as it comes.
    pub(super) fn took(&self) -> Option<Took> {
        match self {
            Self::Streamed(streamed) => streamed.took(),
            Self::Watched(watched) => watched.took(),
            Self::Contents(_) | Self::Ahead(_) | Self::Tunnel(_) => None,
        }
    }

    /// The same body, of the answer to what went on without a hold: once it is whole, the outcome is known.
    pub(super) fn settling(self, unheld: Unheld) -> Self {
        match self {
            Self::Contents(contents) => {
                unheld.settle();
                Self::Contents(contents)
            }
            Self::Streamed(streamed) => Self::Streamed(Box::new(streamed.settling(unheld))),
            // Only what is no write is watched.
            Self::Watched(watched) => Self::Watched(watched),
            // Only a write under a hold is read ahead of its client, and that settles by itself.
            Self::Ahead(ahead) => Self::Ahead(ahead),
            // Only what is no write opens one.
            Self::Tunnel(tunnel) => Self::Tunnel(tunnel),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        match self.get_mut() {
            Self::Contents(contents) => Pin::new(contents)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never: Infallible| match never {}))),
            Self::Streamed(streamed) => Pin::new(streamed.as_mut()).poll_frame(cx),
            Self::Watched(watched) => Pin::new(watched.as_mut()).poll_frame(cx),
            Self::Ahead(ahead) => Pin::new(ahead.as_mut()).poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Contents(contents) => contents.is_end_stream(),
            Self::Streamed(streamed) => streamed.is_end_stream(),
            Self::Watched(watched) => watched.is_end_stream(),
            Self::Ahead(ahead) => ahead.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Contents(contents) => contents.size_hint(),
            Self::Streamed(streamed) => streamed.size_hint(),
            Self::Watched(watched) => watched.size_hint(),
            Self::Ahead(ahead) => ahead.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
