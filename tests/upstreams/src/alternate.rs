//! The alternate request syntax (1.0.3 Communication §1.3): a POST with `?method=` whose form holds everything else.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::address::parameters;
use crate::manners::essence;

/// The parameters of a form that stand for fields.
const FIELDS: [&str; 6] = [
    "authorization",
    "x-experience-api-version",
    "content-type",
    "content-length",
    "if-match",
    "if-none-match",
];

/// Whether a request is written in the alternate syntax.
pub(crate) fn is_alternate(request: &Request<Bytes>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::POST && query.split('&').any(|pair| pair.starts_with("method="))
}

/// The request that it stands for, or what is wrong with it. A form wins over the fields beside it.
pub(crate) fn unwrapped(request: Request<Bytes>) -> Result<Request<Bytes>, String> {
    let (mut head, body) = request.into_parts();
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !essence(media_type).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err("the alternate syntax needs a form".into());
    }
    let mut query = parameters(head.uri.query().unwrap_or_default())?;
    let method = query.remove("method").unwrap_or_default();
    if !query.is_empty() {
        return Err("beside method there may be no other parameter".into());
    }
    head.method = method.parse().map_err(|_| "not a method".to_owned())?;
    head.headers.remove(CONTENT_TYPE);
    head.headers.remove(CONTENT_LENGTH);
    let mut content = String::new();
    let mut pairs = Vec::new();
    for (name, value) in parameters(&String::from_utf8_lossy(&body))? {
        let folded = name.to_ascii_lowercase();
        if FIELDS.contains(&folded.as_str()) {
            let name: HeaderName = folded.parse().expect("one of the list");
            let value = HeaderValue::from_str(&value).map_err(|_| "not a field's value".to_owned())?;
            head.headers.insert(name, value);
        } else if name == "content" {
            content = value;
        } else {
            let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            pairs.push(format!("{}={}", encoded(&name), encoded(&value)));
        }
    }
    let target = format!("{}?{}", head.uri.path(), pairs.join("&"));
    head.uri = target.parse::<Uri>().map_err(|_| "not a target".to_owned())?;
    Ok(Request::from_parts(head, content.into()))
}
