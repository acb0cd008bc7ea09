//! Cross-origin resource sharing: what pages of other origins may do.

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
};
use http::{HeaderName, HeaderValue};

/// How far an LRS is open to pages of other origins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cors {
    /// It says nothing.
    Closed,
    /// Everything may be sent, and of the fields of xAPI ETag alone may be read.
    EtagAlone,
    /// Everything may be sent and read.
    Open,
}

impl Cors {
    /// The fields of every answer.
    pub(crate) fn add_to(self, fields: &mut HeaderMap) {
        let exposed = match self {
            Self::Closed => return,
            Self::EtagAlone => "ETag",
            Self::Open => {
                "ETag, Last-Modified, Cache-Control, Content-Type, Content-Length, WWW-Authenticate, \
                 X-Experience-API-Version, X-Experience-API-Consistent-Through"
            }
        };
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_ALLOW_METHODS, "HEAD, GET, POST, PUT, DELETE, OPTIONS"),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "Content-Type, Content-Length, Authorization, If-Match, If-None-Match, \
                 X-Experience-API-Version, Accept-Language",
            ),
            (ACCESS_CONTROL_EXPOSE_HEADERS, exposed),
        ] {
            let (name, value): (HeaderName, &'static str) = (name, value);
            fields.insert(name, HeaderValue::from_static(value));
        }
    }
}
