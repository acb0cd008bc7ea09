//! Ways around the guard: every one of them is guarded or refused, and none is relayed.

use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as Cases, TestRunner};
use staleguard::config::{Config, Overrides};
use staleguard::rule::select::{Rules, Selection};

use crate::support::alternate::{FORM, sealed};
use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{On, Store};
use crate::support::xapi::{ACTIVITY, AGENT, JSON, V1, activity_profile, agent_profile, state};
use crate::support::{assert_refused, assert_untouched};

/// A tag that no document has: a guarded write that states it never goes on.
const STALE: (&str, &str) = ("If-Match", "\"0000000000000000000000000000000000000000\"");

const GUARDED: [&str; 3] = ["/activities/state", "/activities/profile", "/agents/profile"];

/// Every spelling of a character that some server reads as that character.
fn spellings(character: char) -> Vec<String> {
    let (byte, code) = (character as u8, u32::from(character));
    let wide = char::from_u32(code - 0x21 + 0xff01).expect("a full-width form");
    let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
    let mut spellings = vec![
        format!("%{byte:02x}"),
        format!("%{byte:02X}"),
        format!("%25{byte:02x}"),
        format!("%2525{byte:02x}"),
        format!("%%3{}{:x}", byte >> 4, byte & 15),
        format!("%u{code:04x}"),
        format!("%U{code:04X}"),
        format!("%25u{code:04x}"),
        // Overlong: two, three and four bytes of UTF-8 for what has one.
        format!("%{:02x}%{:02x}", 0xc0 | (byte >> 6), 0x80 | (byte & 0x3f)),
        format!("%e0%{:02x}%{:02x}", 0x80 | (byte >> 6), 0x80 | (byte & 0x3f)),
        format!("%f0%80%{:02x}%{:02x}", 0x80 | (byte >> 6), 0x80 | (byte & 0x3f)),
        // Full-width forms.
        wide.to_string(),
        encoded(&wide.to_string()),
        format!("%u{:04x}", u32::from(wide)),
        // With what falls away on both sides.
        format!("%00{character}"),
        format!("{character}%00"),
        format!("%01{character}"),
        format!("{character}%ff"),
        format!("{character}%7f"),
    ];
    match character {
        's' => spellings.extend(["\u{17f}".to_owned(), encoded("\u{17f}"), "%u017f".to_owned()]),
        'i' => spellings.extend(["\u{131}".to_owned(), encoded("\u{131}")]),
        '/' => spellings.extend(
            [
                "\\",
                "//",
                "/./",
                "/x/../",
                "/%2e/",
                "/x/%2e%2e/",
                "/x/..;y/",
                "/.;x/",
                "/x//../",
                "/x%2f../",
                ";x=y/",
                ";/",
                "%3bx/",
                "%5c",
                "%255c",
                "/%5c",
                "%c1%9c",
                "%u2215",
                "%u2044",
                "%e2%88%95",
                "%e2%81%84",
                "%u2216",
                "%20/",
                "/%20",
                "/+",
                "+/",
                "/+",
                "./",
                "%09/",
                "/x/y/../..//",
            ]
            .map(str::to_owned),
        ),
        _ => (),
    }
    if character.is_ascii_lowercase() {
        spellings.push(character.to_ascii_uppercase().to_string());
        spellings.push(format!("%{:02x}", byte - 32));
    }
    spellings
}

/// What may stand behind a path, and that some server cuts off.
const ENDS: [&str; 29] = [
    "", "/", "//", "/.", "/x/..", ";", ";x=y", "/;x", "%3b", "%3bx=y", "%00", "%00.html", "%00/x", "%2500",
    "%20", "/%20", "/+", "+", "%0a", "%09/", ".", "..json", ".json", ".json/", "%2ejson", "%3fx", "%23x",
    "%253f", "%c2%a0",
];

/// A spelling of a guarded path: what to write for some of its characters, and what to write behind it.
fn disguised() -> impl Strategy<Value = String> {
    let base = prop::sample::select(vec!["", "/xapi", "/data/xAPI", "/a%20b", "/x;v=1", "//x"]);
    let changes = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..5);
    (base, prop::sample::select(&GUARDED[..]), changes, prop::sample::select(&ENDS[..])).prop_map(
        |(base, guarded, changes, end)| {
            let mut pieces: Vec<String> = guarded.chars().map(String::from).collect();
            for (place, choice) in changes {
                let place = place.index(pieces.len());
                let character = guarded.as_bytes()[place] as char;
                // No change of the first slash may leave a path that begins with none: that is no target.
                let choices: Vec<String> =
                    spellings(character).into_iter().filter(|s| place > 0 || s.starts_with('/')).collect();
                pieces[place] = choices[choice.index(choices.len())].clone();
            }
            format!("{base}{}{end}", pieces.concat())
        },
    )
}

/// Whether the loosest server that can be thought of takes a target for a guarded one.
///
/// It knows nothing of how the product goes about it: it undoes everything, in one go and in one order, and again
/// until nothing is left to undo.
fn is_guarded_to_the_loosest(target: &str) -> bool {
    let path =
        target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..10 {
        bytes = undone_once(&bytes);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let cut = text.split(['\0', '?', '#']).next().unwrap_or_default();
    [cut, &text].into_iter().any(|text| {
        let segments = resolved(text);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        GUARDED.iter().any(|guarded| segments.ends_with(&guarded[1..].split('/').collect::<Vec<_>>()))
    })
}

/// Takes one layer of encoding off, overlong forms and look-alikes with it.
fn undone_once(bytes: &[u8]) -> Vec<u8> {
    let hex = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let mut undone = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if let Some(code) = rest.get(2..6).filter(|_| rest[0] == b'%' && rest[1] | 32 == b'u').and_then(hex) {
            undone.extend(char::from_u32(code).unwrap_or(' ').to_string().bytes());
            at += 6;
        } else if let Some(code) = rest.get(1..3).filter(|_| rest[0] == b'%').and_then(hex) {
            undone.push(u8::try_from(code).expect("two digits"));
            at += 3;
        } else {
            undone.push(rest[0]);
            at += 1;
        }
    }
    let mut plain = String::new();
    let mut rest = undone.as_slice();
    while let [first, after @ ..] = rest {
        rest = after;
        let length = match first {
            0..=0x7f => 0,
            0xc0..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf7 => 3,
            _ => continue,
        };
        if length == 0 {
            plain.push(char::from(*first));
        } else if after.len() >= length && after[..length].iter().all(|byte| (0x80..0xc0).contains(byte)) {
            let first = u32::from(*first) & (0x3f >> length);
            let code = after[..length].iter().fold(first, |code, byte| code << 6 | u32::from(byte & 0x3f));
            plain.extend(char::from_u32(code));
            rest = &after[length..];
        }
    }
    let ascii = |character: char| match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(character) - 0xff01 + 0x21).expect("ASCII"),
        '\u{17f}' => 's',
        '\u{131}' => 'i',
        '\u{2044}' | '\u{2215}' | '\u{2216}' | '\\' => '/',
        character if character.is_whitespace() => ' ',
        character => character,
    };
    plain.chars().map(ascii).collect::<String>().into_bytes()
}

/// A decoded path as a list of folded segments.
fn resolved(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for segment in path.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        let segment: String = segment.chars().filter(|character| !character.is_control()).collect();
        match segment.trim_matches([' ', '+']) {
            "" | "." => (),
            ".." => drop(segments.pop()),
            other => segments.push(other.trim_end_matches(['.', ' ', '+']).to_ascii_lowercase()),
        }
    }
    if let Some(last) = segments.last_mut() {
        last.truncate(last.find('.').unwrap_or(last.len()));
    }
    segments
}

fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| {
        let overrides = Overrides { upstream: Some("http://192.0.2.1:1".to_owned()), ..Overrides::default() };
        Config::read(None, &overrides).unwrap_or_else(|_| panic!("the default is a configuration")).rules
    })
}

#[test]
fn the_oracle_knows_guarded_paths_from_others() {
    for path in GUARDED {
        assert!(is_guarded_to_the_loosest(path), "{path}");
        for (at, character) in path.char_indices() {
            for spelling in spellings(character) {
                let path = format!("/xapi{}{spelling}{}", &path[..at], &path[at + 1..]);
                assert!(is_guarded_to_the_loosest(&path), "{path}");
            }
        }
        for end in ENDS {
            assert!(is_guarded_to_the_loosest(&format!("http://a/b{path}{end}?x=y")), "{path}{end}");
        }
    }
    for path in [
        "/",
        "*",
        "/xapi/statements",
        "/activities/states",
        "/xactivities/state",
        "/activities",
        "/activities/state/5",
        "/activities/state/../statements",
        "/agents/profiles.json",
        "/elsewhere?/activities/state",
    ] {
        assert!(!is_guarded_to_the_loosest(path), "{path}");
    }
}

#[test]
fn every_spelling_of_every_character_is_guarded_or_refused() {
    for path in GUARDED {
        for (at, character) in path.char_indices() {
            for (n, spelling) in spellings(character).into_iter().enumerate() {
                for end in [ENDS[0], ENDS[(at + n) % ENDS.len()]] {
                    assert_not_relayed(&format!("/xapi{}{spelling}{}{end}", &path[..at], &path[at + 1..]));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(Cases { cases: 8 * Cases::default().cases, failure_persistence: None, ..Cases::default() })]

    #[test]
    fn no_disguise_of_a_guarded_path_is_relayed(path in disguised()) {
        assert_not_relayed(&path);
    }
}

/// Holds the rules to the oracle, for a path that is a target at all.
fn assert_not_relayed(path: &str) {
    let Ok(target) = path.parse::<http::Uri>() else { return };
    let head = http::Request::put(target).body(()).expect("a request").into_parts().0;
    let is_relayed = matches!(rules().select(&head), Selection::Relay);
    assert!(!is_relayed || !is_guarded_to_the_loosest(path), "{path} is relayed");
}

#[tokio::test]
async fn what_reaches_the_upstream_is_a_guarded_target_to_nobody() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let query = format!("agent={AGENT}&activityId={ACTIVITY}&stateId=s&profileId=p");
    let mut runner = TestRunner::deterministic();
    let (mut refused, mut relayed) = (0, 0);
    for n in 0..1000 {
        let path = disguised().new_tree(&mut runner).expect("a spelling").current();
        let absolute = if n % 5 == 0 { "http://lrs.example" } else { "" };
        let target = format!("{absolute}{path}?{query}");
        // Each on a connection of its own, as a refusal for its form ends one.
        let answer = proxy.send("PUT", &target, &[V1, STALE], "").await;
        match answer.status {
            400 | 412 => refused += 1,
            204 => relayed += 1,
            status => panic!("{target}: {status}"),
        }
    }
    for write in store.writes() {
        assert!(!is_guarded_to_the_loosest(&write.target), "{} was relayed", write.target);
    }
    assert!(refused > 900 && relayed < 100, "{refused} refused, {relayed} relayed");
}

#[tokio::test]
async fn a_field_a_parameter_or_a_body_that_overrides_the_method() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let multipart = ("Content-Type", "multipart/form-data; boundary=x");
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        for name in [
            "X-HTTP-Method-Override",
            "x-http-method-override",
            "X-HTTP-Method",
            "X-METHOD-OVERRIDE",
            "X_HTTP_METHOD_OVERRIDE",
            "X-HTTP_Method-Override",
            "X_Method_Override",
        ] {
            for method in ["POST", "GET", "HEAD", "PUT", "OPTIONS", "TRACE", "MERGE"] {
                let answer = proxy.send(method, &target, &[V1, JSON, (name, "DELETE")], "{}").await;
                assert_eq!(answer.status, 400, "{method} {name}");
            }
        }
        for parameter in [
            "_method=DELETE",
            "_METHOD=delete",
            "_method",
            "%5Fmethod=PUT",
            "%255fmethod=PUT",
            "_m%65thod=PUT",
            "_method[]=PUT",
            "_method%5Bx%5D=PUT",
            "+_method=PUT",
            "%20_method=PUT",
            ".method=PUT",
            "_method%00=PUT",
            "_method%00x=PUT",
            "method=PUT",
            "METHOD=PUT",
            "m%65thod=PUT",
            "method[]=PUT",
            "_\u{ff4d}ethod=PUT",
        ] {
            for method in ["POST", "GET", "PUT"] {
                let target = format!("{target}&{parameter}");
                assert_refused(&proxy.send(method, &target, &[V1, JSON], "{}").await, 400);
            }
        }
        for (content_type, body) in [
            (FORM, "_method=DELETE"),
            (FORM, "a=b&_METHOD=DELETE"),
            (FORM, "a=b;_method=DELETE"),
            (FORM, "%5fmethod=DELETE"),
            (("Content-Type", "APPLICATION/x-www-form-urlencoded;charset=x"), "_method=DELETE"),
            (("Content-Type", "application/x-www-form-urlencoded, text/plain"), "_method=DELETE"),
            (multipart, "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--x--\r\n"),
            // Laravel reads the body of a JSON request as it reads a form.
            (JSON, "{\"_method\":\"DELETE\"}"),
            (JSON, "{\"a\":1,\"_method\":\"put\"}"),
            (JSON, "{\"\\u005fmetho\\u0064\":\"PUT\"}"),
            (JSON, "{\"_method\":\"POST\",\"_method\":\"PUT\"}"),
            (("Content-Type", "application/vnd.x+json; charset=utf-8"), "{\"_method\":\"PATCH\"}"),
        ] {
            assert_refused(&proxy.send("POST", &target, &[V1, content_type], body).await, 400);
        }
        let deep = format!("{{\"_method\":\"PUT\",\"a\":{}{}}}", "[".repeat(300), "]".repeat(300));
        assert_refused(&proxy.send("POST", &target, &[V1, JSON], deep).await, 400);
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn what_overrides_nothing_is_no_reason_to_refuse() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for (content_type, body) in [
        (JSON, "{\"method\":\"DELETE\"}"),
        (JSON, "{\"a\":{\"_method\":\"DELETE\"}}"),
        (JSON, "{\"_method\":\"POST\"}"),
        (JSON, "{\"_method\":7}"),
        (JSON, "{\"_method\":\"how it was done\"}"),
        (JSON, "[\"_method\"]"),
        (JSON, "{\"a\":\"\\u0009\"}"),
        (("Content-Type", "text/plain"), "_method=DELETE"),
    ] {
        let answer = proxy.send("PUT", &state("a"), &[V1, content_type], body).await;
        assert_eq!(answer.status, 204, "{body}: {answer:#?}");
        let answer = proxy.send("POST", &agent_profile("b"), &[V1, content_type], body).await;
        // The store merges what is an object, and refuses what is none.
        assert!(!answer.text().contains("override"), "{body}: {answer:#?}");
    }
    let answer = proxy.send("PUT", &state("a"), &[V1, JSON], "{\"_method\":\"DELETE\"}").await;
    assert_eq!(answer.status, 204, "a PUT is overridden by nobody");
}

#[tokio::test]
async fn the_alternate_syntax_in_every_form() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), agent_profile("a")] {
        store.hold(&target, "{}");
        for method in ["PUT", "DELETE"] {
            let (to, form) = sealed(method, &target, &[V1, JSON, STALE], Some("{\"new\":1}"));
            let path = to.split('?').next().unwrap();
            for query in [
                format!("method={method}"),
                format!("Method={method}"),
                format!("METHOD={method}"),
                format!("method={}", method.to_lowercase()),
                format!("m%65thod={method}"),
                format!("%6dethod={method}"),
                format!("method=%50{}", &method[1..]),
                format!("method=+{method}"),
                format!("method={method}%20"),
                format!("method={method}%00"),
                format!("method={method}&"),
                format!("&method={method}"),
                format!("?method={method}"),
                format!("method={method}&method={method}"),
                format!("method=GET&method={method}"),
                format!("method={method}&x=1"),
                format!("x=1&method={method}"),
                format!("method={method};x=1"),
                format!("method[]={method}"),
                format!("method%5B%5D={method}"),
                format!("_method={method}"),
                format!("method=PATCH&_method={method}"),
            ] {
                let to = format!("{path}?{query}");
                for (verb, label) in [
                    ("POST", "application/x-www-form-urlencoded"),
                    ("POST", "text/plain"),
                    ("POST", "application/json"),
                    ("POST", "multipart/form-data"),
                    ("PUT", "application/x-www-form-urlencoded"),
                    ("MERGE", "application/x-www-form-urlencoded"),
                    ("post", "application/x-www-form-urlencoded"),
                ] {
                    let answer = proxy.send(verb, &to, &[("Content-Type", label), STALE], &form).await;
                    assert!(matches!(answer.status, 400 | 412), "{verb} {to} {label}: {answer:#?}");
                }
            }
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn methods_that_are_no_standard_ones_take_their_hold_and_their_verdict() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), agent_profile("a")] {
        store.hold(&target, "{}");
        for method in
            ["MERGE", "LOCK", "PROPPATCH", "PURGE", "M-SEARCH", "merge", "UPSERT", "GETS", "P%55T", "PATCH"]
        {
            let answer = proxy.send(method, &target, &[V1, JSON, STALE], "{}").await;
            assert_refused(&answer, 412);
        }
        for method in ["put", "Put", "pOST", "delete", "get", "Head", "patch", "options", "trace"] {
            assert_refused(&proxy.send(method, &target, &[V1, JSON], "").await, 400);
        }
    }
    assert_untouched(&store);
    // The hold: what comes second waits for what came first.
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let (mut first, mut second) = (proxy.arrive().await, proxy.arrive().await);
    first.request("MERGE", &state("a"), &[V1, JSON], b"{}").await;
    store.until_writes(1).await;
    second.request("LOCK", &state("a"), &[V1, JSON], b"{}").await;
    barrier.pass().await;
    barrier.pass().await;
    assert_eq!(store.writes().len(), 1, "one at a time");
    store.open_gate();
    first.answer("MERGE").await;
    second.answer("LOCK").await;
    assert_eq!(store.writes().len(), 2);
}
