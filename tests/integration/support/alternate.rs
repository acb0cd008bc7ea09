//! xAPI's alternate request syntax, as clients write it and as servers read it.

use super::store::Seen;
use super::xapi::encoded;

/// The Content-Type of a form.
pub(crate) const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// What of the form is a header field to the server.
const FIELDS: [&str; 7] = [
    "Authorization",
    "X-Experience-API-Version",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Accept",
    "Accept-Language",
];

/// The target and the form of a plain request.
pub(crate) fn sealed(
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    content: Option<&str>,
) -> (String, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fields = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    let content = content.map(|content| format!("content={}", encoded(content)));
    let parts: Vec<String> = fields.chain([query.to_owned()]).chain(content).collect();
    (format!("{path}?method={method}"), parts.join("&"))
}

/// The fields of a form, decoded.
pub(crate) fn form(bytes: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(bytes).into_owned().collect()
}

/// What a server understands a request in the alternate syntax to be.
pub(crate) fn opened(seen: &Seen) -> Option<Seen> {
    let (path, method) = seen.target.split_once("?method=").filter(|_| seen.method == "POST")?;
    let mut opened = Seen { method: method.to_owned(), body: Vec::new(), ..seen.clone() };
    opened.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
    let mut query = Vec::new();
    for (name, value) in form(&seen.body) {
        match name.as_str() {
            "content" => opened.body = value.into_bytes(),
            name if FIELDS.contains(&name) => opened.fields.push((name.to_owned(), value)),
            _ => query.push(format!("{name}={}", encoded(&value))),
        }
    }
    opened.target = format!("{path}?{}", query.join("&"));
    Some(opened)
}
