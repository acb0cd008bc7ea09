//! One of Ada's devices: it has a copy of her progress, and saves the copy as a whole.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HOST, HeaderValue, IF_MATCH};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value};

use super::Trouble;
use super::screen::Screen;
use super::wire;
use crate::semantics::fields::XAPI_VERSION;

/// Ada's progress in a course: activityId `http://example.org/course`, agent `{"mbox":"mailto:ada@example.org"}`.
pub(super) const TARGET: &str = "/xapi/activities/state?activityId=http%3A%2F%2Fexample.org%2Fcourse\
    &agent=%7B%22mbox%22%3A%22mailto%3Aada%40example.org%22%7D&stateId=progress";
/// The version of xAPI that the devices speak.
pub(super) const VERSION: &str = "1.0.3";

/// A device, with what it read last and the changes since.
pub(super) struct Device {
    name: &'static str,
    server: SocketAddr,
    copy: Map<String, Value>,
    tag: Option<HeaderValue>,
}

/// What became of a copy that was sent to be saved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// It is stored.
    Yes,
    /// It was refused because the document is no longer the one that was read.
    Stale,
}

impl Device {
    /// A device that has read nothing yet.
    pub(super) fn new(name: &'static str, server: SocketAddr) -> Self {
        let copy = Map::from_iter([("page".to_owned(), Value::from(3))]);
        Self { name, server, copy, tag: None }
    }

    /// Its copy of the document.
    pub(super) fn copy(&self) -> &Map<String, Value> {
        &self.copy
    }

    /// The ETag that came with the copy, if any did.
    pub(super) fn tag(&self) -> Option<&HeaderValue> {
        self.tag.as_ref()
    }

    /// Ada answers a question: only the copy changes.
    pub(super) fn note(&mut self, (question, choice): (&str, &str)) {
        let answers = self.copy.entry("answers").or_insert_with(|| Map::new().into());
        if let Value::Object(answers) = answers {
            answers.insert(question.to_owned(), choice.into());
        }
    }

    /// Reads the document: what is stored takes the place of the copy.
    pub(super) async fn read(&mut self, screen: &mut Screen<'_>) -> Result<(), Trouble> {
        let response = self.exchange(Method::GET, Bytes::new(), screen).await?;
        if response.status() != StatusCode::OK {
            return Err(self.unexpected("read", response.status()));
        }
        self.copy = serde_json::from_slice(response.body())
            .map_err(|error| Trouble::Told(format!("the {} read no JSON object: {error}", self.name)))?;
        self.tag = response.headers().get(ETAG).cloned();
        Ok(())
    }

    /// Saves the copy as a whole, on condition that nothing changed since it was read, if its ETag is known.
    pub(super) async fn save(&mut self, screen: &mut Screen<'_>) -> Result<Saved, Trouble> {
        let contents = Bytes::from(Value::Object(self.copy.clone()).to_string());
        let response = self.exchange(Method::PUT, contents, screen).await?;
        match response.status() {
            status if status.is_success() => {
                self.tag = response.headers().get(ETAG).cloned();
                Ok(Saved::Yes)
            }
            StatusCode::PRECONDITION_FAILED => Ok(Saved::Stale),
            status => Err(self.unexpected("save", status)),
        }
    }

    /// Sends a request for the document, and shows it and its answer.
    async fn exchange(
        &self,
        method: Method,
        contents: Bytes,
        screen: &mut Screen<'_>,
    ) -> Result<Response<Bytes>, Trouble> {
        let mut request = Request::builder()
            .method(&method)
            .uri(TARGET)
            .header(HOST, self.server.to_string())
            .header(XAPI_VERSION, VERSION);
        if method == Method::PUT {
            request = request.header(CONTENT_TYPE, "application/json");
            if let Some(tag) = &self.tag {
                request = request.header(IF_MATCH, tag);
            }
        }
        let request = request
            .body(contents)
            .map_err(|error| Trouble::Told(format!("cannot make a request: {error}")))?;
        screen.request(self.name, &request)?;
        let response = wire::exchange(self.server, request.map(Full::new)).await?;
        screen.answer(&response)?;
        Ok(response)
    }

    fn unexpected(&self, what: &str, status: StatusCode) -> Trouble {
        Trouble::Told(format!("the {} could not {what} the document: {status}", self.name))
    }
}
