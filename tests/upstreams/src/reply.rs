//! An answer while it is made.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// A status, fields and a body.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn bare(status: u16) -> Self {
        Self { status, fields: HeaderMap::new(), body: Bytes::new() }
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self { body: text.into().into(), ..Self::bare(status) }.with(CONTENT_TYPE, "text/plain")
    }

    pub(crate) fn json(text: impl Into<String>) -> Self {
        Self { body: text.into().into(), ..Self::bare(200) }.with(CONTENT_TYPE, "application/json")
    }

    pub(crate) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        // What a client sent as a Content-Type was a field's value before.
        let value = HeaderValue::from_str(value.as_ref()).expect("a field's value");
        self.fields.insert(name, value);
        self
    }

    pub(crate) fn with_some(self, name: HeaderName, value: Option<String>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        *response.headers_mut() = self.fields;
        response
    }
}
