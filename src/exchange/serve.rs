//! Serving one request: *accept* its head, *select* its rule, and see it through.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::header::{HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Version};
use hyper::body::Incoming;

use super::Exchange;
use super::answer::{self, Answer, Asked};
use super::failure::Failure;
use super::outcome::Outcome;
use crate::body::paced::Paced;
use crate::guard::policy::Mode;
use crate::rule::Rule;
use crate::rule::identity::{Unidentified, identify};
use crate::rule::select::Selection;
use crate::upstream::onward;

impl Exchange {
    /// Serves one request. There is always an answer, and a record of what the exchange came to.
    pub async fn serve(self: &Arc<Self>, request: Request<Incoming>, outcome: &mut Outcome) -> Answer {
        let (head, body) = request.into_parts();
        let mut asked = Asked::of(&head.headers, None);
        let served = AssertUnwindSafe(self.see_through(head, body, &mut asked, outcome)).catch_unwind().await;
        let answer = served.unwrap_or(Err(Failure::Internal)).unwrap_or_else(|failure| {
            outcome.failure = Some(failure.as_str());
            answer::failed(&failure, &asked)
        });
        outcome.status = Some(answer.status());
        answer
    }

    /// The inner half of [`Exchange::serve`], which is free to leave with `?`.
    async fn see_through(
        self: &Arc<Self>,
        mut head: Parts,
        body: Incoming,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Answer, Failure> {
        // accept
        well_formed(&head)?;
        let body = Paced::new(body, self.settings.body_timeout);

        // select
        let rules = Arc::clone(&self.rules);
        let (rule, spelling) = match rules.select(&head) {
            Selection::Relay => {
                onward::relay(&mut head, client_of(outcome), &self.pool.settings().authority);
                return self.relay(head, body).await;
            }
            Selection::Guarded(rule) => (rule, None),
            Selection::Ambiguous(rule, what) => (rule, Some(what)),
        };
        outcome.resource = Some(Arc::clone(&rule.name));
        outcome.mode = Some(rule.mode);
        *asked = Asked::of(&head.headers, Some(rule));
        if rule.mode == Mode::Observe {
            return self.observe(rule, spelling, head, body, outcome).await;
        }
        if let Some(what) = spelling {
            self.discard(&head.headers, body).await;
            return Err(Failure::Ambiguous(what));
        }

        if let Some(method) = differently_cased(&head.method) {
            self.discard(&head.headers, body).await;
            return Err(Failure::Ambiguous(format!("Methods are case-sensitive: send {method}.")));
        }

        match head.method {
            Method::GET | Method::HEAD => {
                named_at_most_once(rule, &head)?;
                onward::relay(&mut head, client_of(outcome), &self.pool.settings().authority);
                if http_body::Body::is_end_stream(&body) {
                    self.read(rule, head, asked).await
                } else {
                    // What the representation depends on is in the body, so its tag would say too little.
                    self.relay(head, body).await
                }
            }
            Method::OPTIONS | Method::TRACE => {
                named_at_most_once(rule, &head)?;
                onward::relay(&mut head, client_of(outcome), &self.pool.settings().authority);
                self.relay(head, body).await
            }
            _ => self.write(rule, head, body, asked, outcome).await,
        }
    }
}

fn client_of(outcome: &Outcome) -> std::net::IpAddr {
    outcome.client.ip()
}

/// Refuses heads that the next server may read differently, and protocols that are not spoken here.
fn well_formed(head: &Parts) -> Result<(), Failure> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(Failure::Malformed("The request has more than one Host.")),
        (None, None) if head.version >= Version::HTTP_11 => {
            return Err(Failure::Malformed("The request has no Host."));
        }
        (Some(host), None) if !is_host(host) => {
            return Err(Failure::Malformed("The request's Host is malformed."));
        }
        _ => {}
    }
    if head.method == Method::CONNECT {
        return Err(Failure::Unsupported("Tunnels are not opened here."));
    }
    if head.uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
        || (head.uri.authority().is_some() && head.uri.scheme().is_none())
    {
        return Err(Failure::Malformed("The request's target is malformed."));
    }
    if !is_only_chunked(&head.headers) {
        return Err(Failure::Unsupported("No transfer coding but chunked is undone here."));
    }
    match upgrade(&head.headers) {
        // A server declines h2c by answering in HTTP/1.1 (RFC 9110 §7.8); some clients offer it with every request.
        None => Ok(()),
        Some(protocol) if protocol.as_bytes().eq_ignore_ascii_case(b"h2c") => Ok(()),
        Some(_) => Err(Failure::Unsupported("Upgrades to another protocol are not supported here.")),
    }
}

/// The method that some servers would take this one for, although methods are case-sensitive (RFC 9110 §9.1).
fn differently_cased(method: &Method) -> Option<Method> {
    const KNOWN: [Method; 8] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ];
    KNOWN.into_iter().find(|known| known != method && known.as_str().eq_ignore_ascii_case(method.as_str()))
}

/// `uri-host [ ":" port ]`, or nothing where the target has no authority (RFC 9110 §7.2).
fn is_host(host: &HeaderValue) -> bool {
    let is_authority =
        |text| Authority::try_from(text).is_ok_and(|authority| !authority.as_str().contains('@'));
    host.is_empty() || is_authority(host.as_bytes())
}

/// Transfer-Encoding ends at this hop, so that another coding than chunked would lose its name (RFC 9112 §6.1).
fn is_only_chunked(fields: &HeaderMap) -> bool {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

fn upgrade(fields: &HeaderMap) -> Option<&HeaderValue> {
    fields.get(UPGRADE)
}

/// A read needs no identity; but what could name two documents, or be executed as a write, is refused all the same.
fn named_at_most_once(rule: &Rule, head: &Parts) -> Result<(), Failure> {
    match identify(rule, head) {
        Err(Unidentified::Ambiguous(what)) => Err(Failure::Ambiguous(what)),
        Ok(_) | Err(Unidentified::Unnamed(_)) => Ok(()),
    }
}
