//! Requests, and what is read of their answers.

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full};
use staleguard_upstreams::lrs::Lrs;

pub(crate) const RESOURCES: [&str; 3] = ["state", "agent profile", "activity profile"];
pub(crate) const VERSION: &str = "X-Experience-API-Version";
const AGENT: &str = "%7B%22mbox%22%3A%22mailto%3Alearner%40example.com%22%7D";

/// A document of a resource.
pub(crate) fn target(resource: &str, id: usize) -> String {
    match resource {
        "state" => format!("/xapi/activities/state?activityId=http://a.example&agent={AGENT}&stateId={id}"),
        "agent profile" => format!("/agents/profile?agent={AGENT}&profileId={id}"),
        _ => format!("/a/b/activities/profile?activityId=http://a.example&profileId={id}"),
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    head: Response<()>,
}

impl Answer {
    /// A field, or "none".
    pub(crate) fn field(&self, name: &str) -> &str {
        let name: HeaderName = name.parse().unwrap();
        self.head.headers().get(name).map_or("none", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) async fn send(
    lrs: &Lrs,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response: Response<Full<Bytes>> = lrs.answer(request.body(body.into()).unwrap()).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), body, head: Response::from_parts(head, ()) }
}
