//! The alternate request syntax of xAPI 1.0.x (Communication §1.3): a plain request in the form that a POST carries.
//!
//! Browsers that could not send a PUT or a header field to another origin, and clients whose targets grow too long for
//! a request line, put them into an envelope: `POST …?method=PUT`, with fields, query and contents in a form. What is
//! judged is always the plain request; it is sealed again only where its target is too long for the upstream.

use std::fmt;
use std::sync::Arc;

use form_urlencoded::byte_serialize;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, TRAILER,
};
use http::request::Parts;
use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::version;
use crate::body::contents::Contents;
use crate::semantics::fields::{METHOD_OVERRIDES, XAPI_VERSION};

/// The methods that the syntax may ask for.
const METHODS: [Method; 5] = [Method::PUT, Method::POST, Method::GET, Method::DELETE, Method::HEAD];

/// The form's fields that are header fields. The list is closed: what is not on it never becomes one.
const FIELDS: [HeaderName; 7] =
    [AUTHORIZATION, XAPI_VERSION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, ACCEPT, ACCEPT_LANGUAGE];

/// The form's field that is the body.
const CONTENT: &str = "content";

/// No request of the syntax has more than a dozen.
const MOST_FIELDS: usize = 100;

/// What stands in a query as it is; everything else is encoded, so that it is read in one way only.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request's envelope said, for the way back into it. Its head carries it along, as an [`Arc`].
///
/// It holds credentials and learners' identifiers, so its `Debug` tells nothing of them.
pub struct Envelope {
    /// The form's fields as they came, without the body.
    fields: Vec<(String, String)>,
    /// Whether the body was among them.
    has_content: bool,
    /// The header fields outside in whose place those of the form stand.
    outside: HeaderMap,
}

/// Why an envelope cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The envelope is compressed.
    Coded,
    /// A field of the form also came as a header field, with another value.
    Contradicted,
    /// A GET or HEAD carries contents.
    ContentOfRead,
    /// The form is not percent-encoded UTF-8.
    Encoding,
    /// A field's name is one that some server takes for one of the syntax, or for a method override.
    Misread,
    /// The envelope's Content-Type is not that of a form in UTF-8.
    NotAForm,
    /// The form gives one of the syntax's fields more than once.
    Repeated,
    /// The plain request's target is longer than any target may be.
    TargetTooLong,
    /// The form has too many fields.
    TooManyFields,
    /// A value cannot be that of a header field.
    Value,
    /// The request speaks xAPI 2.x, which has no such syntax.
    Version,
}

/// What a field of the form stands for.
enum Place {
    /// This header field.
    Field(HeaderName),
    /// The body.
    Content,
    /// The body's length, which its contents tell better: browsers' clients counted characters.
    Length,
    /// A parameter of the query.
    Query,
}

/// A form, taken apart.
#[derive(Default)]
struct Form {
    /// All fields but the body.
    fields: Vec<(String, String)>,
    /// Those that are header fields.
    inside: HeaderMap,
    /// The body.
    content: Option<String>,
    /// What is left, as a query.
    query: String,
}

/// The method of the request in this one's envelope, if it has one.
///
/// The whole query is `method=…`. Whatever else names a method there is no alternate syntax but ambiguous.
pub fn wrapped(head: &Parts) -> Option<Method> {
    method_in(&head.uri).filter(|_| head.method == Method::POST)
}

/// The head of a browser's question whether a page may send an envelope, without the query that makes it look like
/// one: nothing in it names a document. `None` is any other request.
pub fn preflighted(head: &Parts) -> Option<Parts> {
    let is_preflight = head.method == Method::OPTIONS
        && head.headers.get(ACCESS_CONTROL_REQUEST_METHOD).is_some_and(|method| method == "POST");
    method_in(&head.uri).filter(|_| is_preflight)?;
    let mut plain = head.clone();
    plain.uri = with_query(&head.uri, "")?;
    Some(plain)
}

/// The method that is the whole query of a target.
fn method_in(target: &Uri) -> Option<Method> {
    let named = target.query()?.strip_prefix("method=")?;
    METHODS.into_iter().find(|method| method.as_str() == named)
}

/// Opens an envelope: makes of its head that of the plain request with this method, and gives the plain body.
///
/// A field that came both in the form and as a header field must say the same in both places. Accept and
/// Accept-Language need not: browsers send those by themselves, and the form's count. After a [`Problem`] the head is
/// fit for nothing but to see which version it speaks.
pub fn open(head: &mut Parts, method: Method, form: &[u8]) -> Result<Contents, Problem> {
    is_form(&head.headers)?;
    let Form { fields, inside, content, query } = Form::read(form)?;
    let outside = replace(&mut head.headers, inside)?;
    if version::is_second_family(&head.headers) {
        return Err(Problem::Version);
    }
    let has_content = content.is_some();
    let content = content.unwrap_or_default();
    if method.is_safe() && !content.is_empty() {
        return Err(Problem::ContentOfRead);
    }
    head.uri = with_query(&head.uri, &query).ok_or(Problem::TargetTooLong)?;
    head.method = method;
    head.extensions.insert(Arc::new(Envelope { fields, has_content, outside }));
    Ok(content.into())
}

impl Envelope {
    /// Seals a plain request into its envelope again: makes its head that of the POST, and gives the form.
    ///
    /// What came in the form goes there as the plain request has it by now, and so do If-Match and If-None-Match
    /// wherever they came. Everything else stays where it was.
    pub fn seal(&self, head: &mut Parts, contents: &Contents) -> Contents {
        let has_content = self.has_content && !head.method.is_safe();
        let mut outside = self.outside.clone();
        for (name, value) in &mut outside {
            // A probe may speak for somebody else than its writer, and then does so in both places.
            if let Some(now) = head.headers.get(name).filter(|_| name == AUTHORIZATION) {
                value.clone_from(now);
            }
        }
        let mut form = String::new();
        for (name, value) in &self.fields {
            match Place::of(name) {
                Ok(Place::Field(field)) => {
                    take(&mut head.headers, &field).into_iter().for_each(|now| push(&mut form, name, &now));
                }
                Ok(Place::Length) if !has_content => {}
                _ => push(&mut form, name, value.as_bytes()),
            }
        }
        for (name, field) in [("If-Match", IF_MATCH), ("If-None-Match", IF_NONE_MATCH)] {
            take(&mut head.headers, &field).into_iter().for_each(|now| push(&mut form, name, &now));
        }
        if has_content {
            push(&mut form, CONTENT, &contents.to_bytes());
        }
        head.headers.extend(outside);
        head.headers.insert(CONTENT_LENGTH, form.len().into());
        // The envelope came with this query, or with that of a longer method.
        head.uri = with_query(&head.uri, &format!("method={}", head.method)).unwrap_or_default();
        head.method = Method::POST;
        form.into()
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(..)")
    }
}

impl Form {
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let mut form = Self::default();
        for (name, value) in pairs(bytes)? {
            let is_repeated = match Place::of(&name)? {
                Place::Content if form.content.is_some() => true,
                Place::Content => {
                    form.content = Some(value);
                    continue;
                }
                Place::Field(field) => form.inside.insert(field, field_value(&value)?).is_some(),
                Place::Length => false,
                Place::Query => {
                    push_parameter(&mut form.query, &name, &value);
                    false
                }
            };
            if is_repeated {
                return Err(Problem::Repeated);
            }
            form.fields.push((name, value));
        }
        Ok(form)
    }
}

impl Place {
    fn of(name: &str) -> Result<Self, Problem> {
        if let Some(field) = FIELDS.into_iter().find(|field| field.as_str().eq_ignore_ascii_case(name)) {
            return Ok(Self::Field(field));
        }
        if name == CONTENT {
            return Ok(Self::Content);
        }
        if CONTENT_LENGTH.as_str().eq_ignore_ascii_case(name) {
            return Ok(Self::Length);
        }
        // PHP and its like drop spaces and what stands behind a bracket or NUL; CGI reads `_` as `-`.
        let loose = name.split(['[', '\0']).next().unwrap_or_default().trim().replace('_', "-");
        let is_read = |known: &HeaderName| known.as_str().eq_ignore_ascii_case(&loose);
        let is_known =
            FIELDS.iter().any(is_read) || METHOD_OVERRIDES.iter().any(is_read) || is_read(&CONTENT_LENGTH);
        if is_known || loose.eq_ignore_ascii_case(CONTENT) {
            return Err(Problem::Misread);
        }
        Ok(Self::Query)
    }
}

/// Whether an envelope carries a form: browsers that could only send text labelled it so.
fn is_form(fields: &HeaderMap) -> Result<(), Problem> {
    if fields.contains_key(CONTENT_ENCODING) {
        return Err(Problem::Coded);
    }
    let mut lines = fields.get_all(CONTENT_TYPE).iter();
    let (Some(Ok(line)), None) = (lines.next().map(HeaderValue::to_str), lines.next()) else {
        return Err(Problem::NotAForm);
    };
    let mut pieces = line.split(';').map(|piece| piece.trim().to_ascii_lowercase());
    let is_known =
        matches!(pieces.next().as_deref(), Some("application/x-www-form-urlencoded" | "text/plain"));
    let is_utf8 = pieces
        .filter_map(|parameter| parameter.strip_prefix("charset").map(str::to_owned))
        .all(|charset| charset.trim_start_matches([' ', '=']).trim_matches('"') == "utf-8");
    if is_known && is_utf8 { Ok(()) } else { Err(Problem::NotAForm) }
}

/// Reads a form strictly: what two servers could decode differently is refused.
fn pairs(form: &[u8]) -> Result<Vec<(String, String)>, Problem> {
    let is_encoded = |rest: &[u8]| rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit);
    let is_well_encoded = form.split(|byte| *byte == b'%').skip(1).all(is_encoded);
    // `&` and `=` end any sequence of UTF-8, so that the whole is valid only if every name and value is.
    if !is_well_encoded || percent_decode(form).decode_utf8().is_err() {
        return Err(Problem::Encoding);
    }
    let mut pairs = form_urlencoded::parse(form);
    let fields = pairs.by_ref().take(MOST_FIELDS);
    let fields = fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    if pairs.next().is_some() { Err(Problem::TooManyFields) } else { Ok(fields) }
}

fn field_value(value: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(value.trim_matches([' ', '\t'])).map_err(|_| Problem::Value)
}

/// Puts the form's header fields in place of those outside, which it gives back; what described the envelope goes.
fn replace(fields: &mut HeaderMap, inside: HeaderMap) -> Result<HeaderMap, Problem> {
    let mut outside = HeaderMap::new();
    outside.extend(fields.get(CONTENT_TYPE).map(|own| (CONTENT_TYPE, own.clone())));
    let about_the_form: Vec<HeaderName> =
        fields.keys().filter(|name| name.as_str().starts_with("content-")).cloned().collect();
    for name in about_the_form.iter().chain([&TRAILER]) {
        fields.remove(name);
    }
    let mut contradicted = false;
    for (name, value) in &inside {
        let lines: Vec<HeaderValue> = fields.get_all(name).iter().cloned().collect();
        let may_differ = [ACCEPT, ACCEPT_LANGUAGE].contains(name);
        contradicted |= !lines.is_empty() && !may_differ && lines != [value];
        // What the upstream is told in place of a precondition goes into the form alone.
        if ![IF_MATCH, IF_NONE_MATCH].contains(name) {
            outside.extend(lines.into_iter().map(|line| (name.clone(), line)));
        }
        fields.insert(name, value.clone());
    }
    if contradicted { Err(Problem::Contradicted) } else { Ok(outside) }
}

/// Takes a header field out, in one line.
fn take(fields: &mut HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let joined = (!lines.is_empty()).then(|| lines.join(&b", "[..]));
    fields.remove(name);
    joined
}

fn push(form: &mut String, name: &str, value: &[u8]) {
    if !form.is_empty() {
        form.push('&');
    }
    form.extend(byte_serialize(name.as_bytes()));
    form.push('=');
    form.extend(byte_serialize(value));
}

fn push_parameter(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.extend(utf8_percent_encode(name, IN_QUERY));
    query.push('=');
    query.extend(utf8_percent_encode(value, IN_QUERY));
}

/// The same target with another query; nothing where it would be longer than a target may be.
fn with_query(target: &Uri, query: &str) -> Option<Uri> {
    let mut parts = target.clone().into_parts();
    let mark = if query.is_empty() { "" } else { "?" };
    parts.path_and_query = Some(format!("{}{mark}{query}", target.path()).try_into().ok()?);
    Uri::from_parts(parts).ok()
}

/// The sentence for the client; it never quotes the request.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("In the alternate request syntax (xAPI 1.0.x Communication §1.3) ")?;
        f.write_str(match self {
            Self::Coded => "the form must not have a Content-Encoding.",
            Self::Contradicted => {
                "a field must not be given in the form and as a header field with another value."
            }
            Self::ContentOfRead => "a GET or HEAD has no content.",
            Self::Encoding => "the form must be percent-encoded UTF-8.",
            Self::Misread => {
                "a field of the form is named almost as one of the syntax, or overrides the method."
            }
            Self::NotAForm => {
                "the request's own Content-Type is application/x-www-form-urlencoded or text/plain, in UTF-8."
            }
            Self::Repeated => "each of its fields may be given once.",
            Self::TargetTooLong => "the parameters are longer than any target may be.",
            Self::TooManyFields => "the form has too many fields.",
            Self::Value => "a field's value cannot be that of a header field.",
            Self::Version => "a request speaks 1.0.x: under 2.x, send a plain request.",
        })?;
        f.write_str(" Nothing was written.")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::{CONNECTION, TRANSFER_ENCODING};
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn head(target: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut head = Request::post(target).body(()).expect("a request").into_parts().0;
        for (name, value) in fields {
            head.headers.append(*name, value.parse().expect("a value"));
        }
        head
    }

    fn opened(
        method: Method,
        fields: &[(&'static str, &str)],
        form: &str,
    ) -> Result<(Parts, Contents), Problem> {
        let mut head = head(&format!("/xapi/activities/state?method={method}"), fields);
        open(&mut head, method, form.as_bytes()).map(|contents| (head, contents))
    }

    fn problem(fields: &[(&'static str, &str)], form: &str) -> Option<Problem> {
        let fields: Vec<_> = [("content-type", FORM)].into_iter().chain(fields.iter().copied()).collect();
        opened(Method::PUT, &fields, form).err()
    }

    #[test]
    fn an_envelope_is_known_by_its_whole_query() {
        for method in ["PUT", "POST", "GET", "DELETE", "HEAD"] {
            assert_eq!(
                wrapped(&head(&format!("/a?method={method}"), &[])).map(|m| m.to_string()).as_deref(),
                Some(method)
            );
        }
        for query in [
            "",
            "?",
            "?method",
            "?method=",
            "?method=put",
            "?method=PATCH",
            "?Method=PUT",
            "?m%65thod=PUT",
            "?method=PUT&a=b",
            "?a=b&method=PUT",
            "?method=PUT&method=PUT",
            "?method=PUT&",
        ] {
            assert_eq!(wrapped(&head(&format!("/a{query}"), &[])), None, "{query}");
        }
        let mut put = head("/a?method=PUT", &[]);
        put.method = Method::PUT;
        assert_eq!(wrapped(&put), None);
    }

    #[test]
    fn what_an_envelope_says_does_not_reach_the_logs() {
        let (head, _) = opened(Method::PUT, &[("content-type", FORM)], "Authorization=secret&agent=learner")
            .expect("an envelope");
        let envelope = head.extensions.get::<Arc<Envelope>>().expect("it is carried along");
        assert_eq!(format!("{envelope:?}"), "Envelope(..)");
    }

    #[test]
    fn a_browser_may_ask_whether_an_envelope_may_be_sent() {
        let preflight = |method, target, asked: &str| {
            let mut head = head(target, &[("access-control-request-method", asked)]);
            head.method = method;
            preflighted(&head).map(|plain| plain.uri.to_string())
        };
        assert_eq!(preflight(Method::OPTIONS, "/a?method=PUT", "POST").as_deref(), Some("/a"));
        assert_eq!(preflight(Method::OPTIONS, "/a?method=PUT", "PUT"), None);
        assert_eq!(preflight(Method::OPTIONS, "/a?method=PUT&stateId=a", "POST"), None);
        assert_eq!(preflight(Method::POST, "/a?method=PUT", "POST"), None);
    }

    #[test]
    fn the_plain_request_is_taken_out() {
        let outside = [
            ("content-type", "text/plain;charset=\"UTF-8\""),
            ("content-length", "99"),
            ("content-language", "de"),
            ("trailer", "x"),
            ("accept", "*/*"),
            ("authorization", "Basic YTpi"),
            ("x-custom", "1"),
        ];
        let form = "authorization=+Basic+YTpi&X-Experience-API-Version=1.0.3&Content-Type=application/json\
                    &Content-Length=3&IF-MATCH=%22a%22&Accept=text/html&stateId=a+b%2B%C3%A9&x=1&x=2\
                    &content=%7B%22a%22%3A%22%26%3D%2B%22%7D";
        let (head, contents) = opened(Method::PUT, &outside, form).expect("an envelope");
        assert_eq!((head.method, contents.to_bytes()), (Method::PUT, "{\"a\":\"&=+\"}".into()));
        assert_eq!(head.uri, "/xapi/activities/state?stateId=a%20b%2B%C3%A9&x=1&x=2");
        let mut fields: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII")))
            .collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                ("accept", "text/html"),
                ("authorization", "Basic YTpi"),
                ("content-type", "application/json"),
                ("if-match", "\"a\""),
                ("x-custom", "1"),
                ("x-experience-api-version", "1.0.3"),
            ]
        );
    }

    #[test]
    fn what_the_envelope_says_of_itself_is_not_the_documents() {
        let (head, contents) = opened(Method::DELETE, &[("content-type", FORM)], "a=b").expect("an envelope");
        assert_eq!((head.headers.len(), contents.is_empty()), (0, true));
        let (head, _) = opened(Method::GET, &[("content-type", FORM)], "").expect("an envelope");
        assert_eq!(head.uri, "/xapi/activities/state");
    }

    #[test]
    fn envelopes_that_are_none() {
        for (fields, expected) in [
            (&[][..], Problem::NotAForm),
            (&[("content-type", "application/json")], Problem::NotAForm),
            (&[("content-type", "multipart/form-data; boundary=x")], Problem::NotAForm),
            (&[("content-type", "text/plain; charset=utf-16")], Problem::NotAForm),
            (&[("content-type", "text/plain; charset = \"latin1\"")], Problem::NotAForm),
            (&[("content-type", FORM), ("content-type", FORM)], Problem::NotAForm),
            (&[("content-type", FORM), ("content-encoding", "gzip")], Problem::Coded),
        ] {
            assert_eq!(opened(Method::PUT, fields, "a=b").err(), Some(expected), "{fields:?}");
        }
    }

    #[test]
    fn forms_that_can_be_read_in_two_ways() {
        use Problem::*;
        let many = "a=b&".repeat(MOST_FIELDS + 1);
        let long = format!("a={}", "x".repeat(70_000));
        for (form, expected) in [
            ("a=%ff", Encoding),
            ("%c3=1", Encoding),
            ("a=%", Encoding),
            ("a=%4", Encoding),
            ("a=%4g", Encoding),
            (&many, TooManyFields),
            (&long, TargetTooLong),
            ("content=a&content=a", Repeated),
            ("If-Match=a&If-Match=a", Repeated),
            ("If-Match=a&if-match=a", Repeated),
            ("Content=a", Misread),
            ("content[]=a", Misread),
            ("+If-Match=a", Misread),
            ("If_Match=a", Misread),
            ("If-Match%00x=a", Misread),
            ("Authorization[0]=a", Misread),
            ("X-HTTP-Method-Override=DELETE", Misread),
            ("If-Match=a%0D%0AX:+b", Value),
            ("If-Match=a%00", Value),
            ("Authorization=%0A", Value),
            ("X-Experience-API-Version=2.0.0", Version),
        ] {
            assert_eq!(problem(&[], form), Some(expected), "{form:.80}");
        }
        let (bytes, mut head) = (b"a=\xff", head("/a?method=PUT", &[("content-type", FORM)]));
        assert_eq!(open(&mut head, Method::PUT, bytes).err(), Some(Encoding));
        let read = opened(Method::GET, &[("content-type", FORM)], "content=a");
        assert_eq!(read.err(), Some(ContentOfRead));
    }

    #[test]
    fn a_field_that_came_twice_says_the_same_in_both_places() {
        let version = "x-experience-api-version";
        for (fields, form, expected) in [
            (&[("if-match", "\"a\"")][..], "If-Match=%22a%22", None),
            (&[("if-match", "\"a\"")], "If-Match=%22b%22", Some(Problem::Contradicted)),
            (&[("if-match", "\"a\"")], "If-Match=", Some(Problem::Contradicted)),
            (&[("if-match", "a"), ("if-match", "b")], "If-Match=a", Some(Problem::Contradicted)),
            (&[("if-none-match", "*")], "If-None-Match=a", Some(Problem::Contradicted)),
            (&[("authorization", "a")], "Authorization=b", Some(Problem::Contradicted)),
            (&[("authorization", "a")], "authorization=a", None),
            (&[(version, "1.0.3")], "X-Experience-API-Version=1.0.2", Some(Problem::Contradicted)),
            (&[(version, "1.0.3")], "X-Experience-API-Version=1.0.3", None),
            (&[(version, "2.0.0")], "", Some(Problem::Version)),
            (&[("accept", "*/*"), ("accept-language", "de")], "Accept=a&Accept-Language=en", None),
        ] {
            assert_eq!(problem(fields, form), expected, "{fields:?} {form}");
        }
    }

    /// A plain request that came in an envelope with most fields in both places.
    fn plain() -> (Parts, Contents) {
        let outside = [
            ("content-type", "text/plain"),
            ("accept", "*/*"),
            ("authorization", "a"),
            ("if-match", "\"a\""),
            ("if-none-match", "\"x\""),
        ];
        let form = "if-match=%22a%22&accept=text%2Fhtml&Content-Type=application%2Fjson&Content-Length=2&id=a+b\
                    &Authorization=a&content=%7B%7D";
        opened(Method::PUT, &outside, form).expect("an envelope")
    }

    /// Seals a request: its target, its Authorization and its form.
    fn sealed(mut head: Parts, contents: &Contents) -> (String, HeaderValue, String) {
        let envelope = head.extensions.remove::<Arc<Envelope>>().expect("it came in one");
        let form = envelope.seal(&mut head, contents);
        assert_eq!(head.method, Method::POST);
        let fields = &head.headers;
        assert_eq!(
            (&fields[CONTENT_TYPE], &fields[ACCEPT]),
            (&"text/plain".parse().expect("a value"), &"*/*".parse().expect("a value"))
        );
        assert_eq!(fields[CONTENT_LENGTH], form.len().to_string());
        assert!(!fields.contains_key(IF_MATCH) && !fields.contains_key(IF_NONE_MATCH));
        (
            head.uri.to_string(),
            fields[AUTHORIZATION].clone(),
            String::from_utf8(form.to_bytes().into()).expect("UTF-8"),
        )
    }

    #[test]
    fn a_write_is_sealed_with_what_the_upstream_is_told() {
        let (mut write, contents) = plain();
        write.headers.remove(IF_NONE_MATCH);
        write.headers.insert(IF_MATCH, "\"own\"".parse().expect("a value"));
        let (target, _, form) = sealed(write, &contents);
        assert_eq!(target, "/xapi/activities/state?method=PUT");
        let rest =
            "accept=text%2Fhtml&Content-Type=application%2Fjson&Content-Length=2&id=a+b&Authorization=a";
        assert_eq!(form, format!("if-match=%22own%22&{rest}&content=%7B%7D"));

        let (mut write, contents) = plain();
        write.headers.remove(IF_MATCH);
        write.headers.insert(IF_NONE_MATCH, "*".parse().expect("a value"));
        let (_, _, form) = sealed(write, &contents);
        assert_eq!(form, format!("{rest}&If-None-Match=*&content=%7B%7D"));
    }

    #[test]
    fn a_probe_is_sealed_without_content_and_with_its_own_credentials() {
        let (mut probe, _) = plain();
        probe.method = Method::GET;
        for name in [IF_MATCH, IF_NONE_MATCH, CONTENT_TYPE] {
            probe.headers.remove(name);
        }
        probe.headers.insert(AUTHORIZATION, "service".parse().expect("a value"));
        let (target, outside, form) = sealed(probe, &Contents::default());
        assert_eq!(target, "/xapi/activities/state?method=GET");
        assert_eq!(
            (outside, form.as_str()),
            ("service".parse().expect("a value"), "accept=text%2Fhtml&id=a+b&Authorization=service")
        );
    }

    /// Fields of a form, encoded as they must be, with names that are often those of the syntax.
    fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
        let name = prop_oneof![
            "Authorization|If-Match|if-none-match|Accept|Content-Length|content|CONTENT-TYPE|Host|Connection",
            "Transfer-Encoding|Cookie|X-HTTP-Method|_method|method|\\PC{0,8}",
        ];
        prop::collection::vec((name, "\\PC{0,12}|[\\x00-\\x7f]{0,6}"), 0..8)
    }

    fn encoded(fields: &[(String, String)]) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
    }

    proptest! {
        #[test]
        fn any_form_is_read_without_a_panic(form: Vec<u8>, text in "([&=+%]|%[0-9a-f]{2}|content|If-Match|a){0,20}") {
            for form in [form.as_slice(), text.as_bytes()] {
                let mut head = head("/a?method=PUT", &[("content-type", FORM)]);
                let _ = open(&mut head, Method::PUT, form);
            }
        }

        #[test]
        fn no_field_outside_the_list_becomes_a_header_field(fields in fields()) {
            if let Ok((head, _)) = opened(Method::PUT, &[("content-type", FORM)], &encoded(&fields)) {
                prop_assert!(head.headers.keys().all(|name| FIELDS.contains(name)), "{:?}", head.headers);
                prop_assert!(!head.headers.contains_key(CONNECTION) && !head.headers.contains_key(TRANSFER_ENCODING));
            }
        }

        #[test]
        fn what_is_sealed_is_the_same_request_when_it_is_opened(fields in fields(), accept: bool) {
            let outside = [("content-type", FORM), ("accept", "*/*")];
            let outside = &outside[..1 + usize::from(accept)];
            if let Ok((mut head, contents)) = opened(Method::PUT, outside, &encoded(&fields)) {
                let plain = head.clone();
                let envelope = head.extensions.remove::<Arc<Envelope>>().expect("it came in one");
                let form = envelope.seal(&mut head, &contents);
                prop_assert_eq!(wrapped(&head), Some(Method::PUT));
                let again = open(&mut head, Method::PUT, &form.to_bytes()).expect("what was sealed");
                prop_assert_eq!((head.method, head.uri, head.headers), (plain.method, plain.uri, plain.headers));
                prop_assert_eq!(again.to_bytes(), contents.to_bytes());
            }
        }
    }
}
