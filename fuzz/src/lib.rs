//! What each fuzz target does with its input, and what must hold of it.
//!
//! The fuzzer and `cargo test` share this file: `tests/seeds.rs` runs every committed seed through it.

use std::sync::{Arc, OnceLock};

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use percent_encoding::percent_decode_str;
use staleguard::config::environment::Environment;
use staleguard::config::{Config, Overrides};
use staleguard::json::canonical::canonical as form_of;
use staleguard::json::same::same_value;
use staleguard::rule::identity::identify;
use staleguard::rule::pattern::Pattern;
use staleguard::rule::select::{Rules, Selection};
use staleguard::semantics::entity_tag::{Comparison, EntityTag};
use staleguard::semantics::preconditions::{Condition, Matching, Preconditions};
use staleguard::semantics::representation::Current;
use staleguard::xapi::alternate::{Envelope, open, wrapped};

/// A target and the name under which it is run.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 6] = [
    ("alternate", alternate),
    ("canonical", canonical),
    ("config", config),
    ("identity", identity),
    ("pattern", pattern),
    ("preconditions", preconditions),
];

/// The entity-tag of the one document that [`preconditions`] knows.
const CURRENT: &str = "356a192b7913b04c54574d18c28d46e6395428ab";

/// Lists of entity-tags: each line is a line of If-Match, or of If-None-Match behind `!`.
pub fn preconditions(data: &[u8]) {
    let mut fields = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let (name, value) = match line.strip_prefix(b"!") {
            Some(value) => (IF_NONE_MATCH, value),
            None => (IF_MATCH, line),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.append(name, value);
        }
    }
    let [lenient, strict] =
        [Matching::Lenient, Matching::Strict].map(|matching| Preconditions::from_fields(&fields, matching));
    for (name, lenient, strict) in [
        (IF_MATCH, &lenient.if_match, &strict.if_match),
        (IF_NONE_MATCH, &lenient.if_none_match, &strict.if_none_match),
    ] {
        let is_there = fields.contains_key(&name);
        assert_eq!(lenient.is_some(), is_there, "a field never becomes none");
        assert_eq!(strict.is_some(), is_there, "a field never becomes none");
        let (Some(lenient), Some(strict)) = (lenient, strict) else { continue };
        let lines: Vec<&[u8]> = fields.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
        one_precondition(&lines.join(&b","[..]), lenient, strict);
    }
}

fn one_precondition(text: &[u8], lenient: &Condition, strict: &Condition) {
    assert_eq!(&Condition::parse(text, Matching::Lenient), lenient, "several lines are one list");
    // The one list of RFC 9110 that is taken for something else.
    if *strict != Condition::Malformed && *lenient != Condition::QuotedAny {
        assert_eq!(lenient, strict, "what RFC 9110 allows needs no leniency");
    }
    for tag in lenient.tags() {
        assert_eq!(EntityTag::parse(tag.to_field().as_bytes()).as_ref(), Some(tag), "what is read is a tag");
    }
    let tag = EntityTag::new(false, CURRENT.as_bytes()).expect("hexadecimal digits");
    let current = Current { tag, upstream_tag: None, alias: None };
    let says = |what: &[u8]| text.windows(what.len()).any(|place| place.eq_ignore_ascii_case(what));
    for comparison in [Comparison::Strong, Comparison::Weak] {
        let names =
            |condition: &Condition, matching| condition.names(&current, comparison, matching).is_some();
        let (lenient, strict) = (names(lenient, Matching::Lenient), names(strict, Matching::Strict));
        assert!(lenient || !strict, "leniency takes nothing away");
        assert!(!lenient || says(CURRENT.as_bytes()) || says(b"*"), "nothing is named that is not there");
    }
}

/// Targets: what selects a rule and names a document there.
pub fn identity(data: &[u8]) {
    let Some(head) = text(data).and_then(request) else { return };
    let (rule, path) = match rules().select(&head) {
        Selection::Guarded(rule) => (rule, head.uri.path()),
        Selection::Ambiguous(..) | Selection::Relay => return,
    };
    for method in [Method::PUT, Method::DELETE] {
        let mut head = head.clone();
        head.method = method;
        let Ok(named) = identify(rule, &head) else { continue };
        let respelt = format!("{path}?{}", respelt(head.uri.query().unwrap_or_default()));
        // A target has a length, and three bytes for one can be too much.
        let Some(mut respelt) = request(&respelt) else { continue };
        respelt.method = head.method.clone();
        let again = identify(rule, &respelt);
        let same = again.as_ref().is_ok_and(|again| (&again.key, again.scope) == (&named.key, named.scope));
        assert!(same, "another spelling and order is another document: {} {}", head.uri, respelt.uri);
    }
}

/// The same parameters in another order, every byte of them encoded, and a further one.
fn respelt(query: &str) -> String {
    let encode = |text: &str| -> String {
        percent_decode_str(&text.replace('+', " ")).map(|byte| format!("%{byte:02x}")).collect()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).rev().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        format!("{}={}", encode(name), encode(value))
    });
    pairs.chain(["cachebuster=1".to_owned()]).collect::<Vec<_>>().join("&")
}

/// Envelopes of xAPI's alternate syntax: a method, then header fields, each on a line; a blank line; the form.
pub fn alternate(data: &[u8]) {
    let end = data.windows(2).position(|place| place == b"\n\n").unwrap_or(data.len());
    let (head, form) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let Some(mut lines) = text(head).map(str::lines) else { return };
    let target = format!("/xapi/activities/state?method={}", lines.next().unwrap_or_default());
    let Some(mut sealed) = request(&target) else { return };
    sealed.method = Method::POST;
    let Some(method) = wrapped(&sealed) else { return };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.trim().parse::<HeaderValue>()) {
            sealed.headers.append(name, value);
        }
    }
    let mut plain = sealed.clone();
    let Ok(contents) = open(&mut plain, method.clone(), form) else { return };
    assert_eq!(plain.method, method);
    assert_eq!(plain.uri.path(), sealed.uri.path(), "the path is the envelope's");
    for name in plain.headers.keys() {
        let is_listed = [AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH].contains(name)
            || matches!(name.as_str(), "accept" | "accept-language" | "x-experience-api-version");
        assert!(is_listed || sealed.headers.contains_key(name), "{name} comes from the form");
    }
    // What is sealed again and opened again is the same request.
    let mut again = plain.clone();
    let envelope =
        again.extensions.get::<Arc<Envelope>>().cloned().expect("an opened request has its envelope");
    let form = envelope.seal(&mut again, &contents).to_bytes();
    assert_eq!(
        (&again.method, again.uri.query()),
        (&Method::POST, Some(format!("method={method}").as_str()))
    );
    assert_eq!(again.headers.get(CONTENT_LENGTH), Some(&HeaderValue::from(form.len())));
    let reopened =
        open(&mut again, method, &form).unwrap_or_else(|problem| panic!("sealed wrongly: {problem}"));
    assert_eq!((again.method, again.uri), (plain.method, plain.uri));
    assert_eq!(reopened.to_bytes(), contents.to_bytes());
    for name in again.headers.keys().chain(plain.headers.keys()) {
        // Several lines of one field are one list.
        let list = |fields: &HeaderMap| {
            let lines: Vec<&[u8]> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            lines.join(&b", "[..]).trim_ascii().to_vec()
        };
        assert_eq!(list(&again.headers), list(&plain.headers), "{name}");
    }
}

/// A path pattern on the first line, and a path on the second.
pub fn pattern(data: &[u8]) {
    let Some((pattern, path)) = text(data).and_then(|text| text.split_once('\n')) else { return };
    let Ok(parsed) = Pattern::parse(pattern) else { return };
    let mut rule = (*rules().0[0]).clone();
    rule.pattern = parsed;
    let rules = Rules(vec![Arc::new(rule)]);
    let Some(head) = request(path) else { return };
    let Selection::Guarded(_) = rules.select(&head) else { return };
    let path = head.uri.path();
    for disguise in [
        path.to_ascii_uppercase(),
        path.replace('/', "//"),
        path.replace('/', "/./"),
        path.replace('/', "/x/../"),
        format!("{path}/"),
        format!("{path}/%2e"),
        format!("{path};x=y"),
        path.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02x}") }).collect(),
    ] {
        let Some(disguised) = request(&disguise) else { continue };
        let is_relayed = matches!(rules.select(&disguised), Selection::Relay);
        assert!(!is_relayed, "{pattern} guards {path} and relays {disguise}");
    }
}

/// Configuration files.
pub fn config(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let checked = Config::check("fuzzed.toml", text, &Environment::default());
    if let Err(problems) = &checked {
        assert!(!problems.is_empty() && !problems.render(Default::default()).is_empty());
    }
    // Running reads the file that this key names, which a fuzzer should not.
    if text.contains("authorization") || text.contains("\\") {
        return;
    }
    let overrides = Overrides { upstream: Some("http://192.0.2.1:1".to_owned()), ..Overrides::default() };
    let read = Config::read(Some(("fuzzed.toml", text)), &overrides);
    assert_eq!(read.is_ok(), checked.is_ok(), "what is found good runs, and nothing else");
}

/// JSON texts and their canonical form.
pub fn canonical(data: &[u8]) {
    let Some(form) = form_of(data) else { return };
    assert_eq!(form_of(&form).as_deref(), Some(form.as_slice()), "the form of the form is itself");
    let [given, said] = [data, &form].map(|json| serde_json::from_slice(json).expect("it has a form"));
    assert!(same_value(&given, &said), "the form says the same");
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn request(target: &str) -> Option<Parts> {
    let target: Uri = target.parse().ok()?;
    Some(Request::put(target).body(()).ok()?.into_parts().0)
}

/// The rules of the xAPI preset, and two in which the path names the document.
fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| {
        let own = "[resource.notes]\npath = \"/api/{user}/notes/{id}\"\nidentity = [\"path\", \"lang?\"]\n\
                   [resource.files]\npath = \"/files/**\"\nidentity = [\"path\"]\n";
        let overrides = Overrides { upstream: Some("http://192.0.2.1:1".to_owned()), ..Overrides::default() };
        let config = Config::read(Some(("rules.toml", own)), &overrides);
        config.unwrap_or_else(|problems| panic!("{}", problems.render(Default::default()))).rules
    })
}
