//! CORS as far as preconditions need it: what a page of another origin may read and send (Fetch standard, §3.2).
//!
//! Whether such a page may read anything at all is for the upstream to say. Where it has said so, the fields are
//! named without which entity-tags are of no use to the page; Access-Control-Allow-Origin itself is never touched.

use http::Method;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    VARY,
};

/// What a page must be able to read.
const EXPOSED: [&str; 2] = ["ETag", "Last-Modified"];
/// What it must be able to read besides where xAPI is spoken.
const EXPOSED_BY_XAPI: [&str; 2] = ["X-Experience-API-Version", "X-Experience-API-Consistent-Through"];
/// What it must be able to send.
const ALLOWED: [&str; 2] = ["If-Match", "If-None-Match"];

/// Whether what the upstream says of CORS is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cors {
    /// What is missing is named, and answers made here say what the upstream said.
    Repair,
    /// It is passed on as it came, and answers made here say nothing of it.
    Relay,
}

/// What the answer to a request from another origin may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Fields of the answer that the page may read.
    Exposed {
        /// Whether those of xAPI are among them.
        xapi: bool,
    },
    /// Fields of a request that the page may send: this is the answer to a preflight.
    Allowed,
}

impl Repair {
    /// What there may be to repair; nothing where no page asks, since only browsers send Origin.
    pub fn of(method: &Method, fields: &HeaderMap, xapi: bool) -> Option<Self> {
        let is_preflight = *method == Method::OPTIONS && fields.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let repair = if is_preflight { Self::Allowed } else { Self::Exposed { xapi } };
        fields.contains_key(ORIGIN).then_some(repair)
    }

    /// Names what is missing, if the answer is one that the page may read.
    pub fn apply(self, fields: &mut HeaderMap) {
        if !fields.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        match self {
            Self::Exposed { xapi } => {
                let by_xapi = EXPOSED_BY_XAPI.iter().filter(|_| xapi);
                complete(fields, ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.iter().chain(by_xapi));
            }
            Self::Allowed => complete(fields, ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED.iter()),
        }
    }
}

/// What an answer says of CORS, if it says that a page may read it: every Access-Control-* field, and Vary, which
/// tells for which other requests it holds.
pub fn said(fields: &HeaderMap) -> HeaderMap {
    let may_read = fields.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN);
    let concerns = |name: &HeaderName| name.as_str().starts_with("access-control-") || name == VARY;
    let said = fields.iter().filter(|(name, _)| may_read && concerns(name));
    said.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Appends to a list of field names those that it lacks. A list that lacks none stays as it came.
fn complete<'a>(fields: &mut HeaderMap, list: HeaderName, names: impl Iterator<Item = &'a &'a str>) {
    let lines: Vec<&[u8]> = fields.get_all(&list).iter().map(HeaderValue::as_bytes).collect();
    let has = |name: &[u8]| {
        let mut named = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
        named.any(|named| named.trim_ascii().eq_ignore_ascii_case(name))
    };
    // With credentials a `*` stands for a field of that name.
    if has(b"*") && !with_credentials(fields) {
        return;
    }
    let missing: Vec<&[u8]> = names.map(|name| name.as_bytes()).filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return;
    }
    // One line, since not everything between here and the page knows that several are one list.
    let filled = lines.iter().copied().filter(|line| !line.trim_ascii().is_empty());
    let whole: Vec<&[u8]> = filled.chain(missing).collect();
    if let Ok(value) = HeaderValue::from_bytes(&whole.join(&b", "[..])) {
        fields.insert(list, value);
    }
}

fn with_credentials(fields: &HeaderMap) -> bool {
    // Only this spelling counts, in lower case.
    fields.get_all(ACCESS_CONTROL_ALLOW_CREDENTIALS).iter().any(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        fields
    }

    fn after(repair: Repair, lines: &[(&'static str, &'static str)], list: HeaderName) -> Vec<String> {
        let mut fields = fields(lines);
        let before = fields.clone();
        repair.apply(&mut fields);
        let values = fields.get_all(&list).iter().map(|v| v.to_str().expect("ASCII").to_owned()).collect();
        let rest = |mut fields: HeaderMap| {
            fields.remove(&list);
            fields
        };
        assert_eq!(rest(fields), rest(before), "nothing else changes");
        values
    }

    const ANY: (&str, &str) = ("access-control-allow-origin", "*");
    const ONE: (&str, &str) = ("access-control-allow-origin", "https://page.example");
    const CREDENTIALS: (&str, &str) = ("access-control-allow-credentials", "true");

    #[test]
    fn what_a_page_may_read_is_completed() {
        type Row =
            (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)], &'static str);
        let all = "ETag, Last-Modified, X-Experience-API-Version, X-Experience-API-Consistent-Through";
        let rows: [Row; 9] = [
            ("nothing exposed", &[], &[ANY], all),
            ("nothing in it", &["", " "], &[ANY], all),
            (
                "some, in any case",
                &["eTAG,X-Mine"],
                &[ONE],
                "eTAG,X-Mine, Last-Modified, X-Experience-API-Version, X-Experience-API-Consistent-Through",
            ),
            (
                "two lines are one list",
                &["last-modified, x-experience-api-consistent-through", "X-Mine"],
                &[ONE],
                "last-modified, x-experience-api-consistent-through, X-Mine, ETag, X-Experience-API-Version",
            ),
            (
                "a name within a name",
                &["X-ETag, Not-Last-Modified"],
                &[ONE],
                "X-ETag, Not-Last-Modified, ETag, Last-Modified, X-Experience-API-Version, \
                 X-Experience-API-Consistent-Through",
            ),
            ("all by name without credentials", &["*"], &[ANY], "*"),
            ("all among others", &["X-Mine, *"], &[ANY], "X-Mine, *"),
            (
                "all, with credentials that are none",
                &["*"],
                &[ANY, ("access-control-allow-credentials", "True")],
                "*",
            ),
            (
                "all with credentials, which is no name of ours",
                &["*"],
                &[ONE, CREDENTIALS],
                "*, ETag, Last-Modified, X-Experience-API-Version, X-Experience-API-Consistent-Through",
            ),
        ];
        for (name, exposed, others, expected) in rows {
            let exposed = exposed.iter().map(|line| ("access-control-expose-headers", *line));
            let lines: Vec<_> = others.iter().copied().chain(exposed).collect();
            let list = ACCESS_CONTROL_EXPOSE_HEADERS;
            assert_eq!(after(Repair::Exposed { xapi: true }, &lines, list), [expected], "{name}");
        }
        let other = after(Repair::Exposed { xapi: false }, &[ANY], ACCESS_CONTROL_EXPOSE_HEADERS);
        assert_eq!(other, ["ETag, Last-Modified"], "xAPI's fields where xAPI is spoken");
    }

    #[test]
    fn a_list_that_lacks_nothing_stays_as_it_came() {
        let lines = [
            ANY,
            ("access-control-expose-headers", "etag"),
            ("access-control-expose-headers", "LAST-MODIFIED,"),
        ];
        let list = ACCESS_CONTROL_EXPOSE_HEADERS;
        assert_eq!(after(Repair::Exposed { xapi: false }, &lines, list), ["etag", "LAST-MODIFIED,"]);
    }

    #[test]
    fn what_a_page_may_send_is_completed() {
        for (lines, expected) in [
            (vec![ANY], "If-Match, If-None-Match"),
            (
                vec![ANY, ("access-control-allow-headers", "Authorization, if-match")],
                "Authorization, if-match, If-None-Match",
            ),
            (vec![ANY, ("access-control-allow-headers", "if-none-match,If-Match")], "if-none-match,If-Match"),
            (vec![ANY, ("access-control-allow-headers", "*")], "*"),
            (vec![ONE, CREDENTIALS, ("access-control-allow-headers", "*")], "*, If-Match, If-None-Match"),
        ] {
            assert_eq!(after(Repair::Allowed, &lines, ACCESS_CONTROL_ALLOW_HEADERS), [expected], "{lines:?}");
        }
    }

    #[test]
    fn an_answer_that_no_page_may_read_stays_as_it_came() {
        for repair in [Repair::Exposed { xapi: true }, Repair::Allowed] {
            let mut map = fields(&[CREDENTIALS, ("access-control-expose-headers", "X-Mine")]);
            let before = map.clone();
            repair.apply(&mut map);
            assert_eq!(map, before);
        }
    }

    #[test]
    fn a_repair_is_due_where_a_page_asks() {
        let origin = ("origin", "https://page.example");
        let asks = ("access-control-request-method", "PUT");
        for (method, lines, expected) in [
            (Method::GET, vec![origin], Some(Repair::Exposed { xapi: true })),
            (Method::PUT, vec![origin, asks], Some(Repair::Exposed { xapi: true })),
            (Method::OPTIONS, vec![origin], Some(Repair::Exposed { xapi: true })),
            (Method::OPTIONS, vec![origin, asks], Some(Repair::Allowed)),
            (Method::OPTIONS, vec![asks], None),
            (Method::GET, vec![], None),
        ] {
            assert_eq!(Repair::of(&method, &fields(&lines), true), expected, "{method} {lines:?}");
        }
    }

    #[test]
    fn what_was_said_of_cors_is_picked_out() {
        let lines =
            [CREDENTIALS, ("vary", "Origin"), ("vary", "Accept"), ("etag", "\"a\""), ("allow", "GET")];
        assert_eq!(said(&fields(&lines)), HeaderMap::new(), "nothing was allowed");
        let allowed: Vec<_> = lines.iter().copied().chain([ONE]).collect();
        let expected = fields(&[CREDENTIALS, ("vary", "Origin"), ("vary", "Accept"), ONE]);
        assert_eq!(said(&fields(&allowed)), expected);
    }

    proptest! {
        #[test]
        fn a_repair_is_done_once(lines in prop::collection::vec("[ -~\u{e9}]{0,12}|etag|\\*", 0..4), credentials: bool) {
            let mut map = fields(&[ONE]);
            if credentials {
                map.append(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            for line in lines {
                map.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_bytes(line.as_bytes()).expect("a value"));
            }
            Repair::Exposed { xapi: true }.apply(&mut map);
            let once = map.clone();
            Repair::Exposed { xapi: true }.apply(&mut map);
            prop_assert_eq!(map, once);
        }
    }
}
