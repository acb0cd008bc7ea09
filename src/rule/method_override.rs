//! Method overrides: ways in which a request asks a framework to execute another method than the one of its request
//! line, past a guard that judged the one that it saw.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode;
use serde_json::Value;

use super::query::{Parameters, folded_name};
use crate::semantics::fields::{METHOD_OVERRIDES, PRECONDITIONS, XAPI_VERSION, read_by_cgi};

/// The parameter that Rails, Symfony, Laravel and Express's method-override read.
const OVERRIDE: &str = "_method";

/// The parameter of xAPI's alternate request syntax (Communication §1.3).
const ALTERNATE_SYNTAX: &str = "method";

/// No longer name is looked at: encoded twice over, the override has half as many bytes.
const NAME_MAX: usize = 64;

/// Why a request is refused whose fields or query override its method.
pub(super) fn refusal(fields: &HeaderMap, query: &Parameters<'_>, xapi: bool) -> Option<&'static str> {
    for name in fields.keys().filter(|name| may_decide(name)) {
        let read = read_by_cgi(name);
        if METHOD_OVERRIDES.iter().any(|known| known.as_str() == read) {
            return Some("A header field overrides the method: send the method itself.");
        }
        if matches!(&read, Cow::Owned(read) if decides(read)) {
            return Some(
                "A header field's name with _ in it stands for one that decides here: write it with -.",
            );
        }
    }
    if query.resembles(OVERRIDE) {
        return Some("The query parameter \"_method\" overrides the method: send the method itself.");
    }
    // Elsewhere than in xAPI a parameter of this name is a parameter like any other.
    (xapi && query.resembles(ALTERNATE_SYNTAX)).then_some(
        "The query parameter \"method\" belongs to the alternate request syntax (xAPI 1.0.x Communication §1.3): a POST \
         whose whole query is method=PUT, POST, GET, DELETE or HEAD and whose form holds everything else. Send that, \
         or a plain request.",
    )
}

/// Whether a field can be one of those that decide here, by its first letter: most are told by it.
fn may_decide(name: &HeaderName) -> bool {
    matches!(name.as_str().as_bytes(), [b'x' | b'i', ..])
}

/// Whether the guard goes by a field of this name. Written otherwise it would be joined with the real one behind the
/// guard, and a precondition that was translated would have the client's own words beside it again.
fn decides(name: &str) -> bool {
    PRECONDITIONS.iter().chain(&[XAPI_VERSION]).any(|known| known.as_str() == name)
}

/// Whether a body overrides the method of the request that carries it.
///
/// The body is asked for only when it is a form or JSON.
pub(super) fn is_in_body<B: AsRef<[u8]>>(method: &Method, fields: &HeaderMap, body: impl Fn() -> B) -> bool {
    is_in_form(fields, &body) || (*method == Method::POST && is_json(fields) && is_in_json(body().as_ref()))
}

/// Laravel's `isJson`, in any letter case.
fn is_json(fields: &HeaderMap) -> bool {
    fields.get_all(CONTENT_TYPE).iter().any(|content_type| {
        let content_type = content_type.as_bytes().to_ascii_lowercase();
        content_type.windows(5).any(|place| place == b"/json" || place == b"+json")
    })
}

/// Laravel reads the members of a JSON body as it reads the fields of a form, and Symfony below it takes `_method` for
/// the method if it is a word. A document that is not read here, as one that is nested too deeply, is judged by its text.
fn is_in_json(body: &[u8]) -> bool {
    let says = |text: &[u8]| body.windows(text.len()).any(|place| place == text);
    let may_override = says(OVERRIDE.as_bytes()) || says(b"\\u00");
    may_override
        && serde_json::from_slice(body).map_or(true, |json: Value| {
            let word = json.get(OVERRIDE).and_then(Value::as_str).unwrap_or_default();
            let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic());
            is_word && !word.eq_ignore_ascii_case(Method::POST.as_str())
        })
}

fn is_in_form<B: AsRef<[u8]>>(fields: &HeaderMap, body: &impl Fn() -> B) -> bool {
    fields.get_all(CONTENT_TYPE).iter().any(|content_type| {
        let essence = content_type.as_bytes().split(|byte| matches!(byte, b';' | b','));
        let essence = essence.map(<[u8]>::trim_ascii).next().unwrap_or_default();
        if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            is_in_urlencoded(body().as_ref())
        } else {
            essence.eq_ignore_ascii_case(b"multipart/form-data") && is_in_multipart(body().as_ref())
        }
    })
}

fn is_in_urlencoded(body: &[u8]) -> bool {
    body.split(|byte| matches!(byte, b'&' | b';')).any(|pair| {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        is_override(name)
    })
}

/// Looks for `name=_method` in whatever quoting, and for `name*=utf-8''_method` (RFC 8187), without reading the parts.
fn is_in_multipart(body: &[u8]) -> bool {
    let names = body.iter().enumerate().filter(|(_, byte)| **byte == b'=').filter(|(place, _)| {
        let before = body[..*place].trim_ascii_end();
        let before = before.strip_suffix(b"*").unwrap_or(before);
        before.len() >= 4 && before[before.len() - 4..].eq_ignore_ascii_case(b"name")
    });
    names.map(|(place, _)| &body[place + 1..]).any(|value| {
        let value = value.trim_ascii_start();
        let value = &value[..value.len().min(NAME_MAX)];
        let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
        let end =
            value.iter().position(|byte| matches!(byte, b'"' | b';' | b'\r' | b'\n')).unwrap_or(value.len());
        let value = value[..end].strip_suffix(b"'").unwrap_or(&value[..end]);
        let value = value.rsplit(|byte| *byte == b'\'').next().unwrap_or_default();
        is_override(value)
    })
}

fn is_override(name: &[u8]) -> bool {
    let can_be = (OVERRIDE.len()..=NAME_MAX).contains(&name.len());
    can_be && folded_name(&String::from_utf8_lossy(&Cow::from(percent_decode(name)))) == OVERRIDE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URLENCODED: &str = "application/x-www-form-urlencoded";
    const MULTIPART: &str = "multipart/form-data; boundary=x";

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    fn is_refused(lines: &[(&'static str, &'static str)], query: &str) -> bool {
        refusal(&fields(lines), &Parameters::read(query).expect("a form"), false).is_some()
    }

    #[test]
    fn what_decides_is_told_by_its_first_letter() {
        for name in METHOD_OVERRIDES.iter().chain(&PRECONDITIONS).chain(&[XAPI_VERSION]) {
            assert!(may_decide(name), "{name}");
        }
    }

    #[test]
    fn fields_and_parameters_that_override() {
        for name in ["x-http-method-override", "X-HTTP-Method", "x-method-override", "X_HTTP-METHOD_Override"]
        {
            assert!(is_refused(&[(name, "PUT")], ""), "{name}");
        }
        for query in ["_method=PUT", "_METHOD=put", "a=1&_%6dethod=PUT", "_Method", "_method[]=PUT"] {
            assert!(is_refused(&[], query), "{query}");
        }
        for query in ["", "method=PUT", "methods=1", "a=method", "_methods=1", "x_method=1"] {
            assert!(!is_refused(&[("x-method", "PUT")], query), "{query}");
        }
    }

    #[test]
    fn the_alternate_syntax_is_named() {
        let query = Parameters::read("method=PUT").expect("a form");
        let text = refusal(&HeaderMap::new(), &query, true).expect("refused");
        assert!(text.contains("alternate request syntax") && text.contains("or a plain request"));
    }

    #[test]
    fn forms_that_override() {
        for (content_type, body) in [
            (URLENCODED, "_method=PUT"),
            ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "a=b&_METHOD=delete"),
            (URLENCODED, "%5Fmethod=PUT"),
            (URLENCODED, "a=b;_method=PUT"),
            (URLENCODED, "+_method=PUT"),
            (URLENCODED, "_method"),
            (MULTIPART, "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nPUT\r\n--x--"),
            (MULTIPART, "--x\r\ncontent-disposition:form-data;NAME=_Method\r\n\r\nPUT\r\n--x--"),
            (MULTIPART, "--x\r\nContent-Disposition: form-data; name = '_method'; a=b\r\n\r\nPUT"),
            (MULTIPART, "--x\r\nContent-Disposition: form-data; name*=utf-8''%5fmethod\r\n\r\nPUT"),
            ("application/json", "{\"_method\":\"PUT\"}"),
            ("Application/LD+JSON; charset=utf-8", "{\"a\":1,\"\\u005fmethod\":\"delete\"}"),
            ("application/json", "{\"_method\":\"PUT\""),
        ] {
            assert!(is_in_body(&Method::POST, &fields(&[("content-type", content_type)]), || body), "{body}");
        }
    }

    #[test]
    fn bodies_that_do_not() {
        for (content_type, body) in [
            (URLENCODED, "method=PUT"),
            (URLENCODED, "a=_method"),
            ("application/json", "{\"_method\":\"POST\"}"),
            ("application/json", "{\"_method\":[\"PUT\"]}"),
            ("application/json", "{\"_method\":\"by hand\",\"a\":{\"_method\":\"PUT\"}}"),
            ("application/json", "{\"a\":\"\\u0001\"}"),
            ("application/json", "["),
            ("application/octet-stream", "_method=PUT"),
            (MULTIPART, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n_method\r\n--x--"),
            (MULTIPART, "name="),
        ] {
            assert!(
                !is_in_body(&Method::POST, &fields(&[("content-type", content_type)]), || body),
                "{body}"
            );
        }
        assert!(!is_in_body(&Method::POST, &HeaderMap::new(), || "_method=PUT"));
    }

    proptest! {
        #[test]
        fn any_form_is_read_without_a_panic(body: Vec<u8>, text in "(name|\\*|=|\"|'|_method|[&;\r\n %]){0,12}") {
            for content_type in [URLENCODED, MULTIPART, "application/json"] {
                is_in_body(&Method::POST, &fields(&[("content-type", content_type)]), || &body);
                is_in_body(&Method::POST, &fields(&[("content-type", content_type)]), || &text);
            }
        }
    }
}
