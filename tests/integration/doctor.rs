//! `staleguard doctor`: what it finds of LRSs and hops, and that nothing of it stays.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH,
    IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use staleguard_upstreams::lrs::Lrs;
use staleguard_upstreams::name::Name;
use staleguard_upstreams::server;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::support::hop::{Came, Hop, Turn};
use crate::support::proxy::{Proxy, config_file, run};
use crate::support::store::On;
use crate::support::tls::{Authority, Issued};
use crate::support::upstreams::trickling;

/// How long one visit may take, on a machine that is busy with something else.
const VISIT: Duration = Duration::from_secs(60);

/// An LRS that keeps account of the documents that were ever written to it.
struct Stage {
    lrs: Arc<Lrs>,
    address: std::net::SocketAddr,
    written: Arc<Mutex<BTreeSet<String>>>,
    serving: JoinHandle<()>,
}

impl Stage {
    async fn set(name: Name) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let written = Arc::<Mutex<BTreeSet<String>>>::default();
        let journal = Arc::clone(&written);
        let lrs = Lrs::new(name, Duration::ZERO).with_journal(Box::new(move |target, _| {
            journal.lock().unwrap().insert(target.to_owned());
        }));
        let lrs = Arc::new(lrs);
        let serving = Arc::clone(&lrs);
        let serving = tokio::spawn(async move { match server::serve(listener, serving).await {} });
        Self { lrs, address, written, serving }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was written, and what of it is still there.
    fn written_and_left(&self) -> (usize, Vec<String>) {
        let written = self.written.lock().unwrap();
        let left = written.iter().filter(|target| self.lrs.stored(target).is_some()).cloned().collect();
        (written.len(), left)
    }

    /// Something was written, all of it under a name that says whose it is, and nothing of it is left.
    fn is_clean(&self) {
        let (count, left) = self.written_and_left();
        assert!(count > 0, "nothing was written");
        assert_eq!(left, Vec::<String>::new());
        for target in self.written.lock().unwrap().iter() {
            assert!(target.contains("taleguard%2Ddoctor"), "{target}");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What a visit has printed, and how it ended.
#[derive(Debug)]
struct Visited {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Visited {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The findings of a side that are more than "ok", as `severity code`.
    fn remarks(&self, side: &str) -> Vec<String> {
        let json = self.json();
        let findings = json["findings"].as_array().unwrap().iter();
        let mut remarks: Vec<_> = findings
            .filter(|finding| finding["side"] == side && finding["severity"] != "ok")
            .map(|finding| {
                format!("{} {}", finding["severity"].as_str().unwrap(), finding["code"].as_str().unwrap())
            })
            .collect();
        remarks.sort();
        remarks.dedup();
        remarks
    }

    /// The one finding of this code.
    #[track_caller]
    fn finding(&self, code: &str) -> Value {
        let json = self.json();
        let findings = json["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|finding| finding["code"] == code)
            .cloned()
            .unwrap_or_else(|| panic!("no {code} in {self:#?}"))
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_staleguard"));
    command.arg("doctor").args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn visit(arguments: &[&str]) -> Visited {
    let output = tokio::time::timeout(VISIT, command(arguments).output()).await.expect("it ends").unwrap();
    visited(output)
}

fn visited(output: std::process::Output) -> Visited {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Visited { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Of an upstream, with a configuration.
async fn visit_upstream(url: &str, config: &str) -> Visited {
    let file = config_file(config);
    visit(&["--config", file.path().to_str().unwrap(), "--upstream", url, "--json"]).await
}

fn pass(_: &mut Request<Bytes>) -> Turn {
    Turn::Pass
}

fn keep(_: &Came, _: &mut Response<Bytes>) {}

fn is_document(came: &Came) -> bool {
    came.target.contains("doctor") && came.method != Method::OPTIONS
}

fn answer(status: u16, body: &'static str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

#[tokio::test]
async fn each_lrs_is_told_by_its_manners() {
    let satisfy = "under [upstream]: conditions = \"satisfy\"";
    for (name, code, expected) in [
        (
            Name::LearningLocker,
            0,
            &[
                "note contents-rewritten",
                "note creation-overwrites",
                "note last-modified-odd",
                "note stale-written",
                "note unconditional-written",
                "note values-changed",
            ][..],
        ),
        (
            Name::Pelotech,
            0,
            &["note contents-rewritten", "note unconditional-written", "note values-changed"],
        ),
        (
            Name::Trax,
            0,
            &[
                "note contents-rewritten",
                "note cors-repaired",
                "note creation-overwrites",
                "note last-modified-none",
                "note stale-written",
                "note unconditional-written",
                "note values-changed",
            ],
        ),
        (
            Name::Lars,
            1,
            &[
                "note alternate-syntax-refused",
                "note cors-none",
                "note creation-overwrites",
                "note last-modified-odd",
                "problem unconditional-refused",
            ],
        ),
        (
            Name::AdlLrs,
            1,
            &["note alternate-syntax-refused", "note last-modified-odd", "problem unconditional-refused"],
        ),
        (Name::Lrsql, 1, &["note last-modified-odd", "problem unconditional-refused"]),
    ] {
        let stage = Stage::set(name).await;
        let visited = visit_upstream(&stage.url(), "").await;
        assert_eq!(visited.remarks("upstream"), expected, "{name:?} {visited:#?}");
        assert_eq!(visited.code, Some(code), "{name:?}");
        assert_eq!(visited.err, "", "{name:?}");
        stage.is_clean();
        if code == 1 {
            assert_eq!(visited.finding("unconditional-refused")["remedy"], satisfy, "{name:?}");
            // What it says mends it.
            let mended = visit_upstream(&stage.url(), "[upstream]\nconditions = \"satisfy\"\n").await;
            assert_eq!(mended.code, Some(0), "{mended:#?}");
            mended.finding("unconditional-satisfied");
        }
    }
}

/// An upstream with other manners, what is found, and the remedy.
struct Manner {
    name: &'static str,
    onward: fn(&mut Request<Bytes>) -> Turn,
    back: fn(&Came, &mut Response<Bytes>),
    remark: &'static str,
    remedy: &'static str,
    /// Lines of a configuration that mend it, and what is found then.
    mended: Option<(&'static str, &'static str)>,
}

fn absent_as(answer: &mut Response<Bytes>, status: u16, body: &'static str) {
    if answer.status() == 404 {
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        *answer.body_mut() = Bytes::from_static(body.as_bytes());
    }
}

fn tagged(came: &Came, answer: &mut Response<Bytes>, tag: &str) {
    if is_document(came) && answer.status() == 200 {
        answer.headers_mut().insert(ETAG, HeaderValue::from_str(tag).unwrap());
    }
}

/// Another spelling of the same JSON each time.
fn spelled_anew(came: &Came, answer: &mut Response<Bytes>) {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    if is_document(came) && answer.status() == 200 {
        let spaces = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 7;
        let body = [" ".repeat(spaces).as_bytes(), answer.body()].concat();
        *answer.body_mut() = body.into();
    }
}

fn gzipped(_: &Came, answer: &mut Response<Bytes>) {
    if answer.status() == 200 && !answer.body().is_empty() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(answer.body()).unwrap();
        *answer.body_mut() = encoder.finish().unwrap().into();
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

fn refuse_longer_than(request: &Request<Bytes>, length: usize) -> Turn {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target >= length { Turn::Answer(answer(414, "too long")) } else { Turn::Pass }
}

fn when(is: bool, then: Response<Bytes>) -> Turn {
    if is { Turn::Answer(then) } else { Turn::Pass }
}

fn is_post(request: &Request<Bytes>) -> bool {
    request.method() == Method::POST && !request.uri().query().unwrap_or_default().starts_with("method=")
}

fn is_put(request: &Request<Bytes>) -> bool {
    request.method() == Method::PUT
}

#[tokio::test]
async fn manners_of_an_upstream_are_found_with_their_remedies() {
    let manners = [
        Manner {
            name: "204 for what is missing",
            onward: pass,
            back: |_, answer| absent_as(answer, 204, ""),
            remark: "problem absent-unknown",
            remedy: "under [resource.state] and [resource.agent-profile] and [resource.activity-profile]: \
                     absent = [404, 410, 204]",
            mended: Some((
                "[resource.state]\nabsent = [204]\n[resource.agent-profile]\nabsent = [204]\n\
                 [resource.activity-profile]\nabsent = [204]\n",
                "ok absent-known",
            )),
        },
        Manner {
            name: "nothing for what is missing",
            onward: pass,
            back: |_, answer| absent_as(answer, 200, ""),
            remark: "problem absent-unknown",
            remedy: "absent = [404, 410, \"empty-200\"]",
            mended: None,
        },
        Manner {
            name: "{} for what is missing",
            onward: pass,
            back: |_, answer| absent_as(answer, 200, " {}\n"),
            remark: "problem absent-unknown",
            remedy: "absent = [404, 410, \"{}\"]",
            mended: None,
        },
        Manner {
            name: "500 for what is missing",
            onward: pass,
            back: |_, answer| absent_as(answer, 500, "oops"),
            remark: "problem absent-unknown",
            remedy: "have the LRS answer 404",
            mended: None,
        },
        Manner {
            name: "another spelling each time",
            onward: pass,
            back: spelled_anew,
            remark: "problem contents-unsteady",
            remedy: "etag-of = \"canonical-json\"",
            mended: Some((
                "[resource.state]\netag-of = \"canonical-json\"\n[resource.agent-profile]\n\
                 etag-of = \"canonical-json\"\n[resource.activity-profile]\netag-of = \"canonical-json\"\n",
                "ok contents-unsteady",
            )),
        },
        Manner {
            name: "no ETag",
            onward: pass,
            back: |_, answer| drop(answer.headers_mut().remove(ETAG)),
            remark: "note etag-none",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "a weak ETag",
            onward: pass,
            back: |came, answer| tagged(came, answer, "W/\"a\""),
            remark: "note etag-weak",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "an ETag without quotes",
            onward: pass,
            back: |came, answer| tagged(came, answer, "a"),
            remark: "note etag-malformed",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "one ETag for ever",
            onward: pass,
            back: |came, answer| tagged(came, answer, "\"a\""),
            remark: "problem etag-not-renewed",
            remedy: "etag-matching = \"strict\"",
            mended: Some(("[guard]\netag-matching = \"strict\"\n", "note etag-not-renewed")),
        },
        Manner {
            name: "another ETag each time",
            onward: pass,
            back: |came, answer| {
                static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
                let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tagged(came, answer, &format!("\"{count}\""));
            },
            remark: "note etag-unsteady",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "no document resources",
            onward: |request| when(is_put(request), answer(404, "")),
            back: keep,
            remark: "problem no-documents",
            remedy: "there is nothing to guard",
            mended: None,
        },
        Manner {
            name: "no If-None-Match",
            onward: |request| {
                let is_state = request.uri().path().ends_with("state");
                let is_it = is_put(request) && is_state && request.headers().contains_key(IF_NONE_MATCH);
                when(is_it, answer(400, ""))
            },
            back: keep,
            remark: "note creation-condition-refused",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "no HEAD",
            onward: |request| when(request.method() == Method::HEAD, answer(405, "")),
            back: keep,
            remark: "note head-differs",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "no PUT with its own ETag",
            onward: |request| {
                when(is_put(request) && request.headers().contains_key(IF_MATCH), answer(412, ""))
            },
            back: keep,
            remark: "note own-etag-refused",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "text for JSON",
            onward: pass,
            back: |came, answer| {
                if is_document(came) {
                    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                }
            },
            remark: "note content-type-changed",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "another value",
            onward: pass,
            back: |came, answer| {
                if is_document(came) && answer.status() == 200 {
                    let text = String::from_utf8(answer.body().to_vec()).unwrap();
                    *answer.body_mut() = text.replace("number", "figure").into();
                }
            },
            remark: "problem contents-changed",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "compressed without being asked",
            onward: pass,
            back: gzipped,
            remark: "note compressed",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "no POST",
            onward: |request| when(is_post(request), answer(403, "")),
            back: keep,
            remark: "note merge-refused",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "POSTs that are lost",
            onward: |request| when(is_post(request), answer(204, "")),
            back: keep,
            remark: "note merge-lost",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "each first DELETE is lost",
            onward: |request| {
                static LOST: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
                let is_first = || LOST.lock().unwrap().insert(request.uri().to_string());
                when(request.method() == Method::DELETE && is_first(), answer(204, ""))
            },
            back: keep,
            remark: "problem not-removed",
            remedy: "what was written last",
            mended: None,
        },
        Manner {
            name: "PUTs that fail",
            onward: |request| when(is_put(request), answer(500, "")),
            back: keep,
            remark: "problem creation-refused",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "endless documents",
            onward: pass,
            back: |came, answer| {
                if is_document(came) && answer.status() == 200 {
                    *answer.body_mut() = vec![b' '; 2 << 20].into();
                }
            },
            remark: "problem contents-broken",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "reads that lag behind",
            onward: |request| {
                when(
                    request.method() == Method::GET && !request.uri().path().ends_with("about"),
                    answer(404, ""),
                )
            },
            back: keep,
            remark: "problem stale-read",
            remedy: "no replica that lags",
            mended: None,
        },
        Manner {
            name: "the first contents for ever",
            onward: pass,
            back: |came, answer| {
                if is_document(came) && answer.status() == 200 && came.method == Method::GET {
                    *answer.body_mut() =
                        Bytes::from_static(b"{\"by\":\"staleguard-doctor\",\"step\":\"first\"}");
                }
            },
            remark: "problem stale-read",
            remedy: "by no cache",
            mended: None,
        },
        Manner {
            name: "no long targets",
            onward: |request| refuse_longer_than(request, 8000),
            back: keep,
            remark: "note long-target-refused",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "only short targets",
            onward: |request| refuse_longer_than(request, 3000),
            back: keep,
            remark: "problem target-max-refused",
            remedy: "under [upstream]: target-max = \"2000B\"",
            mended: Some(("[upstream]\ntarget-max = \"2000B\"\n", "note long-target-refused")),
        },
        Manner {
            name: "a Last-Modified that nobody can read",
            onward: pass,
            back: |_, answer| {
                drop(answer.headers_mut().insert(LAST_MODIFIED, HeaderValue::from_static("today")))
            },
            remark: "note last-modified-odd",
            remedy: "",
            mended: None,
        },
        Manner {
            name: "no preflight",
            onward: |request| when(request.method() == Method::OPTIONS, answer(405, "")),
            back: |came, answer| {
                if came.method == Method::OPTIONS {
                    answer.headers_mut().clear();
                }
            },
            remark: "problem cors-preflight",
            remedy: "answer OPTIONS",
            mended: None,
        },
        Manner {
            name: "strangers",
            onward: |request| {
                when(request.uri().path().contains("/a") && request.uri().query().is_some(), answer(401, ""))
            },
            back: keep,
            remark: "problem credentials-refused",
            remedy: "--header-file",
            mended: None,
        },
    ];
    for Manner { name, onward, back, remark, remedy, mended } in manners {
        let stage = Stage::set(Name::Pelotech).await;
        let hop = Hop::before(stage.address, onward, back).await;
        let visited = visit_upstream(&hop.url(), "").await;
        assert!(visited.remarks("upstream").contains(&remark.to_owned()), "{name}: {visited:#?}");
        let code = remark.split_once(' ').unwrap().1;
        let finding = visited.finding(code);
        assert!(finding["remedy"].as_str().unwrap_or_default().contains(remedy), "{name}: {finding:#}");
        assert_eq!(visited.code, Some(i32::from(remark.starts_with("problem"))), "{name}: {visited:#?}");
        assert_eq!(stage.written_and_left().1, Vec::<String>::new(), "{name}");
        if let Some((config, expected)) = mended {
            let visited = visit_upstream(&hop.url(), config).await;
            let (severity, code) = expected.split_once(' ').unwrap();
            let is_found = visited.json()["findings"]
                .as_array()
                .unwrap()
                .iter()
                .any(|finding| finding["code"] == code && finding["severity"] == severity);
            assert!(is_found && visited.code == Some(0), "{name}, mended: {visited:#?}");
        }
    }
}

/// A way to Staleguard, and what is found of it.
struct Way {
    name: &'static str,
    config: &'static str,
    onward: fn(&mut Request<Bytes>) -> Turn,
    back: fn(&Came, &mut Response<Bytes>),
    remarks: &'static [&'static str],
}

fn retagged(answer: &mut Response<Bytes>, make: impl FnOnce(&str) -> String) {
    if let Some(tag) = answer.headers().get(ETAG) {
        let tag = make(tag.to_str().unwrap());
        answer.headers_mut().insert(ETAG, HeaderValue::from_str(&tag).unwrap());
    }
}

fn without(request: &mut Request<Bytes>, name: HeaderName) -> Turn {
    request.headers_mut().remove(name);
    Turn::Pass
}

fn weakened(_: &Came, answer: &mut Response<Bytes>) {
    retagged(answer, |tag| format!("W/{tag}"));
}

#[tokio::test]
async fn hops_are_told_by_what_they_do() {
    let ways = [
        Way { name: "as it is", config: "", onward: pass, back: keep, remarks: &[] },
        Way {
            name: "strips ETag",
            config: "",
            onward: pass,
            back: |_, answer| drop(answer.headers_mut().remove(ETAG)),
            remarks: &["problem etag-stripped"],
        },
        Way { name: "weakens", config: "", onward: pass, back: weakened, remarks: &["note etag-weakened"] },
        Way {
            name: "weakens, and nobody repairs",
            config: "[guard]\netag-matching = \"strict\"\n",
            onward: pass,
            back: weakened,
            remarks: &["problem etag-refused", "problem etag-weakened"],
        },
        Way {
            name: "puts the coding behind it",
            config: "",
            onward: pass,
            back: |_, answer| retagged(answer, |tag| format!("{}-gzip\"", tag.trim_end_matches('"'))),
            remarks: &["note etag-suffixed"],
        },
        Way {
            name: "takes the quotes off",
            config: "",
            onward: pass,
            back: |_, answer| retagged(answer, |tag| tag.trim_matches('"').to_owned()),
            remarks: &["note etag-unquoted"],
        },
        Way {
            name: "makes ETags of its own",
            config: "",
            onward: pass,
            back: |_, answer| retagged(answer, |_| "\"mine\"".to_owned()),
            remarks: &["note not-revalidated", "problem etag-refused", "problem etag-rewritten"],
        },
        Way {
            name: "strips If-Match",
            config: "",
            onward: |request| without(request, IF_MATCH),
            back: keep,
            remarks: &["problem if-match-stripped"],
        },
        Way {
            name: "strips If-None-Match",
            config: "",
            onward: |request| without(request, IF_NONE_MATCH),
            back: keep,
            remarks: &["note not-revalidated", "problem if-none-match-stripped"],
        },
        Way {
            name: "has a page of its own for errors",
            config: "",
            onward: pass,
            back: |_, answer| {
                if answer.status() == 412 {
                    *answer.body_mut() = Bytes::from_static(b"<h1>Sorry</h1>");
                }
            },
            remarks: &["problem refusal-replaced"],
        },
        Way {
            name: "strips Proxy-Status",
            config: "",
            onward: pass,
            back: |_, answer| drop(answer.headers_mut().remove("proxy-status")),
            remarks: &["note unmarked"],
        },
        Way {
            name: "refuses long targets",
            config: "",
            onward: |request| refuse_longer_than(request, 8000),
            back: keep,
            remarks: &["problem long-target-refused"],
        },
        Way {
            name: "refuses PUT",
            config: "",
            onward: |request| when(is_put(request), answer(403, "not here")),
            back: keep,
            remarks: &["problem method-refused"],
        },
        Way {
            name: "fails with PUT",
            config: "",
            onward: |request| when(is_put(request), answer(502, "gone")),
            back: keep,
            remarks: &["problem creation-refused"],
        },
        Way {
            name: "leads somewhere else",
            config: "",
            onward: |request| when(is_put(request), answer(404, "what?")),
            back: keep,
            remarks: &["problem not-found"],
        },
        Way {
            name: "asks for credentials of its own",
            config: "",
            onward: |request| when(is_put(request), answer(401, "who?")),
            back: keep,
            remarks: &["problem credentials-refused"],
        },
        Way {
            name: "changes what is sent",
            config: "",
            onward: |request| {
                let body = String::from_utf8(request.body().to_vec()).unwrap().replace("card", "kard");
                *request.body_mut() = body.into();
                Turn::Pass
            },
            back: keep,
            remarks: &["problem other-contents"],
        },
        Way {
            name: "has caches keep everything",
            config: "",
            onward: pass,
            back: |_, answer| {
                answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
            },
            remarks: &["note cache-control-changed"],
        },
        Way {
            name: "says nothing of what pages may read",
            config: "",
            onward: pass,
            back: |_, answer| drop(answer.headers_mut().remove("access-control-expose-headers")),
            remarks: &["problem cors-lacking"],
        },
        Way {
            name: "answers HEAD itself",
            config: "",
            onward: |request| when(request.method() == Method::HEAD, answer(405, "")),
            back: keep,
            remarks: &["note head-differs"],
        },
        Way { name: "compresses", config: "", onward: pass, back: gzipped, remarks: &["note compressed"] },
        Way {
            name: "is honest, before an observer",
            config: "[guard]\nmode = \"observe\"\n",
            onward: pass,
            back: keep,
            remarks: &["note observing"],
        },
        Way {
            name: "weakens, before an observer",
            config: "[guard]\nmode = \"observe\"\n",
            onward: pass,
            back: weakened,
            remarks: &["note etag-weakened", "note observing"],
        },
    ];
    for Way { name, config, onward, back, remarks } in ways {
        // Its ETags are random, so that nothing of it can be taken for Staleguard's.
        let stage = Stage::set(Name::LearningLocker).await;
        let proxy = Proxy::spawn(&stage.url(), config, &[]);
        let hop = Hop::before(proxy.address, onward, back).await;
        let public = format!("{}/data/xAPI", hop.url());
        let file = config_file(config);
        let visited = visit(&[
            "--config",
            file.path().to_str().unwrap(),
            "--upstream",
            &stage.url(),
            "--public",
            &public,
            "--json",
        ])
        .await;
        assert_eq!(visited.remarks("public"), remarks, "{name}: {visited:#?}");
        let is_problem = remarks.iter().any(|remark| remark.starts_with("problem"));
        assert_eq!(visited.code, Some(i32::from(is_problem)), "{name}: {visited:#?}");
        assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{name}: {visited:#?}");
        stage.is_clean();
    }
}

/// Of a public URL, before an upstream.
async fn visit_both(stage: &Stage, public: &str) -> Visited {
    visit(&["--upstream", &stage.url(), "--public", public, "--json"]).await
}

#[tokio::test]
async fn what_is_well_is_said_too() {
    let stage = Stage::set(Name::AdlLrs).await;
    let config = "[upstream]\nconditions = \"satisfy\"\n";
    let proxy = Proxy::spawn(&stage.url(), config, &[]);
    let file = config_file(config);
    let public = format!("http://{}/xapi", proxy.address);
    let config = ["--config", file.path().to_str().unwrap(), "--upstream", &stage.url()].map(str::to_owned);
    let arguments = config.iter().map(String::as_str).chain(["--public", &public, "--json"]);
    let visited = visit(&arguments.collect::<Vec<_>>()).await;
    let json = visited.json();
    let of = |side: &str| {
        let findings = json["findings"].as_array().unwrap().iter();
        let well = findings.filter(|finding| finding["side"] == side && finding["severity"] == "ok");
        well.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let upstream = [
        "absent-known",
        "contents-kept",
        "cors",
        "creation-refused-over",
        "etag-sha1",
        "head",
        "long-targets",
        "merges",
        "own-etag-accepted",
        "reachable",
        "removes",
        "stale-refused",
        "unconditional-guarded",
        "unconditional-satisfied",
    ];
    assert_eq!(of("upstream"), upstream.map(str::to_owned).into());
    let public = [
        "cache-control",
        "cors",
        "etag-accepted",
        "etag-arrives",
        "guarded",
        "head",
        "long-targets",
        "revalidates",
        "same-lrs",
    ];
    assert_eq!(of("public"), public.map(str::to_owned).into());
    assert_eq!(visited.code, Some(0));
}

#[tokio::test]
async fn a_url_that_leads_around_staleguard_is_found() {
    for name in [Name::LearningLocker, Name::AdlLrs] {
        let stage = Stage::set(name).await;
        let hop = Hop::before(stage.address, pass, keep).await;
        let visited = visit_both(&stage, &format!("{}/xapi", hop.url())).await;
        let seen = visited.finding("not-guarded")["seen"].as_str().unwrap().to_owned();
        assert!(seen.contains("Staleguard"), "{seen}");
        if name == Name::LearningLocker {
            // Its ETags are no digests, so that nobody else can have made them.
            visited.finding("etag-not-ours");
        }
        assert_eq!(visited.code, Some(1));
        stage.is_clean();
    }
}

#[tokio::test]
async fn a_url_that_leads_to_another_lrs_is_found_and_what_was_written_there_is_removed() {
    let (stage, other) = (Stage::set(Name::Pelotech).await, Stage::set(Name::Pelotech).await);
    let proxy = Proxy::spawn(&other.url(), "", &[]);
    let visited = visit_both(&stage, &format!("http://{}/xapi", proxy.address)).await;
    assert!(visited.remarks("public").contains(&"problem another-lrs".to_owned()), "{visited:#?}");
    stage.is_clean();
    other.is_clean();
}

#[tokio::test]
async fn a_cache_on_the_way_is_found_and_does_not_hide_that_all_was_removed() {
    let stage = Stage::set(Name::Pelotech).await;
    let proxy = Proxy::spawn(&stage.url(), "", &[]);
    let kept: Arc<Mutex<std::collections::HashMap<String, Response<Bytes>>>> = Arc::default();
    let (reads, fills) = (Arc::clone(&kept), kept);
    let hop = Hop::before(
        proxy.address,
        move |request| {
            let target = request.uri().to_string();
            let answer =
                reads.lock().unwrap().get(&target).filter(|_| request.method() == Method::GET).cloned();
            answer.map_or(Turn::Pass, Turn::Answer)
        },
        move |came, answer| {
            if came.method == Method::GET && answer.status() == 200 && is_document(came) {
                fills.lock().unwrap().entry(came.target.clone()).or_insert_with(|| answer.clone());
            }
        },
    )
    .await;
    let visited = visit_both(&stage, &format!("{}/xapi", hop.url())).await;
    assert!(visited.remarks("public").contains(&"problem stale-read".to_owned()), "{visited:#?}");
    assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn a_hop_that_keeps_a_404_is_found() {
    let stage = Stage::set(Name::Pelotech).await;
    let proxy = Proxy::spawn(&stage.url(), "", &[]);
    let hop = Hop::before(
        proxy.address,
        |request| when(request.method() == Method::GET && request.uri().query().is_some(), answer(404, "")),
        keep,
    )
    .await;
    let visited = visit_both(&stage, &format!("{}/xapi", hop.url())).await;
    assert!(visited.remarks("public").contains(&"problem stale-read".to_owned()), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn a_redirect_is_a_finding_and_credentials_do_not_follow_it() {
    let (stage, elsewhere) = (Stage::set(Name::Pelotech).await, Stage::set(Name::Pelotech).await);
    let other = Hop::before(elsewhere.address, pass, keep).await;
    static TO: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    TO.set(format!("http://user:hush@{}/xapi/about?token=hush", other.address)).unwrap();
    let hop = Hop::before(
        stage.address,
        |_| {
            let mut redirect = answer(307, "");
            redirect.headers_mut().insert(LOCATION, HeaderValue::from_str(TO.get().unwrap()).unwrap());
            Turn::Answer(redirect)
        },
        keep,
    )
    .await;
    let visited = visit_both(&stage, &format!("{}/xapi", hop.url())).await;
    assert_eq!(visited.remarks("public"), ["problem redirected"], "{visited:#?}");
    assert!(!visited.out.contains("hush"), "{visited:#?}");
    let visited = visit_upstream(&hop.url(), "").await;
    assert!(visited.finding("no-about")["seen"].as_str().unwrap().contains("redirects"), "{visited:#?}");
    assert_eq!(other.came().len(), 0);
}

#[tokio::test]
async fn credentials_reach_both_sides_and_no_output() {
    let stage = Stage::set(Name::Pelotech).await;
    let upstream = Hop::before(stage.address, pass, keep).await;
    let proxy = Proxy::spawn(&upstream.url(), "", &[]);
    let public = Hop::before(proxy.address, pass, keep).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"# what the LRS gave out\n\nAuthorization: Basic aHVzaC1odXNo\n").unwrap();
    let (behind, url) = (upstream.url(), format!("{}/xapi", public.url()));
    for json in [&["--json"][..], &[]] {
        let arguments = [
            &[
                "--upstream",
                &behind,
                "--public",
                &url,
                "-H",
                "Cookie: id=hush-hush",
                "-H",
                "Host: lrs.example",
            ][..],
            &["--header-file", file.path().to_str().unwrap()],
            json,
        ];
        let visited = visit(&arguments.concat()).await;
        assert_eq!(visited.code, Some(0), "{visited:#?}");
        let said = visited.out + &visited.err;
        assert!(!said.contains("aHVzaC1odXNo") && !said.contains("hush-hush"), "{said}");
    }
    let has =
        |came: &Came, name: &str, value: &str| came.fields.get(name).is_some_and(|field| field == value);
    for (hop, host) in [(&upstream, "lrs.example"), (&public, public.url().trim_start_matches("http://"))] {
        let came: Vec<_> = hop.came().into_iter().filter(|came| came.method != Method::OPTIONS).collect();
        assert!(came.len() > 20);
        for came in &came {
            assert!(
                has(came, "authorization", "Basic aHVzaC1odXNo") && has(came, "cookie", "id=hush-hush"),
                "{came:?}"
            );
        }
        assert!(came.iter().any(|came| has(came, "host", host)), "{host}");
    }
    // A preflight carries none, as a browser's.
    let preflights: Vec<_> =
        public.came().into_iter().filter(|came| came.method == Method::OPTIONS).collect();
    assert!(
        !preflights.is_empty() && preflights.iter().all(|came| !came.fields.contains_key("authorization"))
    );
    assert!(
        public.came().iter().all(|came| !has(came, "host", "lrs.example")),
        "Host is the upstream's alone"
    );
    let reads_as_browsers_do = |came: &Came| has(came, ACCEPT_ENCODING.as_str(), "gzip, deflate, br, zstd");
    assert!(public.came().iter().any(reads_as_browsers_do));
}

#[tokio::test]
async fn nothing_but_documents_of_its_own_is_written() {
    let stage = Stage::set(Name::Lars).await;
    let hop = Hop::before(stage.address, pass, keep).await;
    let config = "[resource.notes]\npath = \"/notes/list\"\nidentity = [\"path\"]\n";
    let visited = visit_upstream(&hop.url(), config).await;
    assert_eq!(visited.finding("not-examined")["resources"], serde_json::json!(["notes"]));
    let writes: Vec<_> = hop.came().into_iter().filter(|came| !came.method.is_safe()).collect();
    assert!(writes.len() > 10);
    for came in &writes {
        assert!(!came.target.contains("/notes"), "{came:?}");
        if came.target.ends_with("?method=GET") {
            continue;
        }
        let query = came.target.split_once('?').unwrap().1;
        let id = form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "stateId" || name == "profileId");
        let (_, id) = id.unwrap_or_else(|| panic!("it means a whole scope: {came:?}"));
        assert!(id.starts_with("staleguard-doctor-"), "{came:?}");
    }
    let first = writes.iter().find(|came| came.method == Method::PUT).unwrap();
    assert_eq!(first.fields.get(IF_NONE_MATCH).unwrap(), "*", "it is made with a precondition");
}

/// Starts a visit of an upstream that never answers a HEAD, and waits for that.
async fn hanging() -> (Stage, Hop, tokio::process::Child) {
    let stage = Stage::set(Name::Pelotech).await;
    let hop = Hop::before(
        stage.address,
        |request| if request.method() == Method::HEAD { Turn::Silence } else { Turn::Pass },
        keep,
    )
    .await;
    let child = command(&["--upstream", &hop.url(), "--json", "--timeout", "30s"]).spawn().unwrap();
    tokio::time::timeout(VISIT, async {
        while !hop.came().iter().any(|came| came.method == Method::HEAD) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is asked for a HEAD");
    assert_eq!(stage.written_and_left().1.len(), 1, "there is a document by then");
    (stage, hop, child)
}

async fn end(child: tokio::process::Child, signal: &str) -> Visited {
    let script = format!("kill -{signal} {}", child.id().unwrap());
    assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
    visited(tokio::time::timeout(VISIT, child.wait_with_output()).await.expect("it ends").unwrap())
}

#[tokio::test]
async fn whoever_ends_it_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        let (stage, _hop, child) = hanging().await;
        let visited = end(child, signal).await;
        assert_eq!(visited.code, Some(1), "{visited:#?}");
        assert_eq!(visited.remarks("doctor"), ["problem interrupted"], "{visited:#?}");
        stage.is_clean();
    }
}

#[tokio::test]
async fn a_write_that_is_under_way_is_waited_for_before_its_document_is_removed() {
    let stage = Stage::set(Name::Pelotech).await;
    let (begun, is_begun) = (Arc::new(tokio::sync::Notify::new()), Arc::new(tokio::sync::Notify::new()));
    // Answers a first PUT only after the test has ended the visit.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gate = listener.local_addr().unwrap();
    let (address, told, may_go) = (stage.address, Arc::clone(&begun), Arc::clone(&is_begun));
    let serving = tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let (told, may_go) = (Arc::clone(&told), Arc::clone(&may_go));
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(address).await.unwrap();
                let (mut from, mut to) = client.split();
                let (mut answers, mut requests) = server.split();
                let onward = async {
                    let mut held = false;
                    let mut buffer = vec![0; 64 * 1024];
                    loop {
                        let count = tokio::io::AsyncReadExt::read(&mut from, &mut buffer).await.unwrap_or(0);
                        if count == 0 {
                            return;
                        }
                        if !held && buffer.starts_with(b"PUT ") {
                            held = true;
                            told.notify_one();
                            may_go.notified().await;
                        }
                        tokio::io::AsyncWriteExt::write_all(&mut requests, &buffer[..count]).await.unwrap();
                    }
                };
                let back = tokio::io::copy(&mut answers, &mut to);
                tokio::select! { () = onward => {}, _ = back => {} }
            });
        }
    });
    let child =
        command(&["--upstream", &format!("http://{gate}"), "--json", "--timeout", "30s"]).spawn().unwrap();
    tokio::time::timeout(VISIT, begun.notified()).await.expect("a PUT");
    let release = async {
        // The signal is on its way by then, and what is not written yet must not be forgotten.
        tokio::time::sleep(Duration::from_millis(300)).await;
        is_begun.notify_one();
    };
    let (visited, ()) = tokio::join!(end(child, "INT"), release);
    assert_eq!(visited.remarks("doctor"), ["problem interrupted"], "{visited:#?}");
    stage.is_clean();
    serving.abort();
}

#[tokio::test]
async fn a_write_without_an_answer_is_removed_and_told() {
    let stage = Stage::set(Name::Pelotech).await;
    let hop = Hop::before(
        stage.address,
        |request| {
            if is_put(request) && request.headers().contains_key(IF_NONE_MATCH) {
                Turn::Swallow
            } else {
                Turn::Pass
            }
        },
        keep,
    )
    .await;
    let visited = visit(&["--upstream", &hop.url(), "--json", "--timeout", "200ms"]).await;
    assert_eq!(visited.code, Some(1), "{visited:#?}");
    assert!(visited.remarks("upstream").contains(&"problem unanswered".to_owned()), "{visited:#?}");
    assert!(visited.finding("left-behind")["seen"].as_str().unwrap().contains("no answer"), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn what_cannot_be_removed_is_named() {
    let stage = Stage::set(Name::Pelotech).await;
    let hop = Hop::before(
        stage.address,
        |request| when(request.method() == Method::DELETE, answer(403, "no")),
        keep,
    )
    .await;
    let visited = visit_upstream(&hop.url(), "").await;
    assert_eq!(visited.code, Some(1));
    let (_, left) = stage.written_and_left();
    assert_eq!(left.len(), 3);
    let finding = visited.finding("left-behind");
    let name = finding["seen"].as_str().unwrap().split_once(' ').unwrap().0.to_owned();
    assert!(left[0].contains(&name.replace('-', "%2D")), "{name} {left:?}");
}

#[tokio::test]
async fn a_server_that_wants_a_precondition_for_a_delete_is_left_clean_too() {
    let stage = Stage::set(Name::Pelotech).await;
    let hop = Hop::before(
        stage.address,
        |request| {
            let is_bare = request.method() == Method::DELETE && !request.headers().contains_key(IF_MATCH);
            when(is_bare, answer(428, "state something"))
        },
        keep,
    )
    .await;
    let visited = visit_upstream(&hop.url(), "").await;
    assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn tls_is_spoken_on_both_sides_with_authorities_of_ones_own() {
    let stage = Stage::set(Name::Pelotech).await;
    let authority = Authority::new();
    let issued = authority.issue("localhost");
    let (behind, _endings) = authority.before(stage.address, &issued, None);
    let ca = authority.ca();
    let config = format!(
        "[upstream]\nurl = \"https://localhost:{}\"\n[upstream.tls]\nca = {ca:?}\n",
        behind.address.port()
    );
    let file = config_file(&config);
    let proxy = Proxy::spawn(&stage.url(), "", &[]);
    let (front, _endings) = authority.before(proxy.address, &issued, None);
    let url = format!("https://localhost:{}/xapi", front.address.port());
    let config = ["--config", file.path().to_str().unwrap(), "--json", "--public", &url];
    let visited = visit(&[&config[..], &["--public-ca", ca.to_str().unwrap()]].concat()).await;
    assert_eq!(visited.code, Some(0), "{visited:#?}");
    visited.finding("guarded");
    let stranger = Authority::new();
    let visited = visit(&[&config[..], &["--public-ca", stranger.ca().to_str().unwrap()]].concat()).await;
    assert_eq!(visited.remarks("public"), ["problem unreachable"], "{visited:#?}");
    assert!(visited.finding("unreachable")["remedy"].as_str().unwrap().contains("--public-ca"));
    stage.is_clean();
}

#[tokio::test]
async fn an_upstream_may_be_a_unix_socket() {
    let stage = Stage::set(Name::Pelotech).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lrs.sock");
    let (listener, address) = (tokio::net::UnixListener::bind(&path).unwrap(), stage.address);
    let passing = tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(address).await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    let visited = visit_upstream(&format!("unix:{}", path.display()), "").await;
    assert_eq!(visited.code, Some(0), "{visited:#?}");
    stage.is_clean();
    passing.abort();
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    let store = trickling(On::Reads);
    let url = format!("http://{}", store.address());
    let visited = visit(&["--upstream", &url, "--json", "--timeout", "300ms"]).await;
    assert_eq!(
        (visited.remarks("upstream"), visited.code),
        (vec!["problem unreachable".to_owned()], Some(1))
    );
    assert!(visited.finding("unreachable")["seen"].as_str().unwrap().contains("300ms"), "{visited:#?}");
    assert_eq!(store.writes().len(), 0);
}

#[tokio::test]
async fn what_is_not_xapis_is_not_written_to_at_the_same_path_either() {
    let stage = Stage::set(Name::Pelotech).await;
    let config = "[guard]\npresets = []\n[resource.mine]\npath = \"/xapi/activities/state\"\nidentity = [\"stateId\"]\n";
    let visited = visit_upstream(&stage.url(), config).await;
    assert_eq!(visited.remarks("upstream"), ["note not-examined", "note not-guarded"], "{visited:#?}");
    assert_eq!((stage.lrs.writes(), visited.code), (0, Some(0)));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_finding() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let visited = visit_upstream(&format!("http://{free}"), "").await;
    assert_eq!(
        (visited.remarks("upstream"), visited.code),
        (vec!["problem unreachable".to_owned()], Some(1))
    );
}

#[tokio::test]
async fn a_person_reads_lines() {
    let stage = Stage::set(Name::Lrsql).await;
    let visited = visit(&["--upstream", &stage.url()]).await;
    assert!(visited.out.starts_with(&format!("upstream  {}/xapi (", stage.url())), "{}", visited.out);
    assert!(
        visited.out.lines().nth(1).unwrap().starts_with("  problem  unconditional-refused  "),
        "{}",
        visited.out
    );
    assert!(visited.out.contains("-> under [upstream]: conditions = \"satisfy\"\n"), "{}", visited.out);
    assert!(visited.out.lines().last().unwrap().starts_with("1 problem, 1 note, "), "{}", visited.out);
    assert!(visited.out.lines().all(|line| line.chars().count() <= 110), "{}", visited.out);
}

#[test]
fn the_exit_code_says_what_was_wrong() {
    let bad = config_file("[listen]\nlinger = 5\n");
    let bad = bad.path().to_str().unwrap();
    let up = ["--upstream", "http://127.0.0.1:9"];
    for (arguments, code, words) in [
        (&["--config", bad][..], 78, "listen.linger"),
        (&[], 78, "no upstream is named"),
        (&["--upstream", "nowhere"], 78, "--upstream"),
        (&[up[0], up[1], "--public", "nowhere"], 2, "--public"),
        (&[up[0], up[1], "--public", "https://user:hush@lrs.example"], 2, "--header-file"),
        (&[up[0], up[1], "--path", "xapi"], 2, "base path"),
        (&[up[0], up[1], "-H", "hush"], 2, "is none"),
        (&[up[0], up[1], "-H", "If-Match: hush"], 2, "if-match is made here"),
        (&[up[0], up[1], "--header-file", "/no/such/file"], 2, "/no/such/file"),
        (&[up[0], up[1], "--timeout", "soon"], 2, "--timeout"),
        (&[up[0], up[1], "--origin", "hush\n"], 2, "--origin"),
    ] {
        let output = run(&[&["doctor"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {said}");
        assert!(said.contains(words), "{arguments:?} {said}");
        assert!(!said.contains("hush"), "{said}");
    }
}

fn is_read(request: &Request<Bytes>) -> bool {
    request.method() == Method::GET && request.uri().query().is_some()
}

/// The writes that came to a hop.
fn writes(hop: &Hop) -> Vec<Came> {
    hop.came().into_iter().filter(|came| !came.method.is_safe()).collect()
}

#[tokio::test]
async fn a_read_that_tells_nothing_hides_no_document() {
    for status in [302, 400, 406, 408, 409, 418, 429] {
        let stage = Stage::set(Name::Pelotech).await;
        // Nobody is told anything of a document.
        let hop = Hop::before(
            stage.address,
            move |request| match *request.method() {
                Method::GET if is_read(request) => Turn::Answer(answer(status, "")),
                _ => Turn::Pass,
            },
            keep,
        )
        .await;
        let visited = visit_upstream(&hop.url(), "").await;
        stage.is_clean();
        let seen = visited.finding("left-behind")["seen"].as_str().unwrap().to_owned();
        assert!(seen.contains(&format!("its GET was answered {status}")), "{seen}");
        let refusing = Hop::before(
            stage.address,
            move |request| match *request.method() {
                Method::GET if is_read(request) => Turn::Answer(answer(404, "")),
                Method::DELETE => Turn::Answer(answer(status, "")),
                _ => Turn::Pass,
            },
            keep,
        )
        .await;
        let visited = visit_upstream(&refusing.url(), "").await;
        assert_eq!(stage.written_and_left().1.len(), 3, "{status}");
        let seen = visited.finding("left-behind")["seen"].as_str().unwrap().to_owned();
        assert!(seen.contains(&format!("its DELETE was answered {status}")), "{seen}");
    }
}

#[tokio::test]
async fn a_404_from_before_does_not_keep_a_document_from_being_removed() {
    let stage = Stage::set(Name::Pelotech).await;
    let failed = Mutex::new(BTreeSet::new());
    let hop = Hop::before(
        stage.address,
        move |request| {
            let target = request.uri().to_string();
            match *request.method() {
                Method::GET if is_read(request) => Turn::Answer(answer(404, "")),
                Method::DELETE => when(failed.lock().unwrap().insert(target), answer(503, "")),
                _ => Turn::Pass,
            }
        },
        keep,
    )
    .await;
    let visited = visit_upstream(&hop.url(), "").await;
    assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn what_the_rule_calls_absent_is_gone() {
    let stage = Stage::set(Name::Pelotech).await;
    let hop = Hop::before(stage.address, pass, |_, answer| absent_as(answer, 400, "")).await;
    let all = ["state", "agent-profile", "activity-profile"];
    let config: String = all.iter().map(|name| format!("[resource.{name}]\nabsent = [400]\n")).collect();
    let visited = visit_upstream(&hop.url(), &config).await;
    assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn a_document_that_a_merge_replaced_is_known_again() {
    let stage = Stage::set(Name::Pelotech).await;
    let hop = Hop::before(
        stage.address,
        |request| {
            if is_post(request) {
                *request.method_mut() = Method::PUT;
            }
            // State alone can be written without a precondition.
            if !request.uri().path().ends_with("state") && !request.uri().path().ends_with("about") {
                return Turn::Answer(answer(404, ""));
            }
            when(request.method() == Method::DELETE, answer(204, ""))
        },
        keep,
    )
    .await;
    let visited = visit_upstream(&hop.url(), "").await;
    assert_eq!(stage.written_and_left().1.len(), 1);
    assert!(visited.remarks("doctor").contains(&"problem left-behind".to_owned()), "{visited:#?}");
}

#[tokio::test]
async fn the_alternate_syntax_may_write_and_is_waited_for_like_a_write() {
    let stage = Stage::set(Name::Pelotech).await;
    let hop = Hop::before(
        stage.address,
        |request| {
            let is_alternate = request.uri().query().is_some_and(|query| query == "method=GET");
            if is_alternate { Turn::Swallow } else { Turn::Pass }
        },
        keep,
    )
    .await;
    let visited = visit(&["--upstream", &hop.url(), "--json", "--timeout", "500ms"]).await;
    let seen = visited.finding("left-behind")["seen"].as_str().unwrap().to_owned();
    assert!(seen.contains("may yet be applied"), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn credentials_that_are_refused_are_not_sent_on_and_on() {
    for status in [401, 403] {
        let stage = Stage::set(Name::Pelotech).await;
        let hop = Hop::before(
            stage.address,
            move |request| when(request.uri().query().is_some(), answer(status, "who?")),
            keep,
        )
        .await;
        let (upstream, public) = (stage.url(), format!("{}/xapi", hop.url()));
        let both = ["--upstream", &upstream, "--public", &public, "--json"];
        for (given, words) in [(&["-H", "Authorization: Basic aHVzaA=="][..], "were given"), (&[], "without")]
        {
            let visited = visit(&[&both[..], given].concat()).await;
            assert_eq!(visited.remarks("public"), ["problem credentials-refused"], "{visited:#?}");
            assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{visited:#?}");
            let finding = visited.finding("credentials-refused");
            assert!(finding["seen"].as_str().unwrap().contains(words), "{finding:#}");
            let is_asked_for = finding["remedy"].as_str().unwrap().contains("-H 'Authorization");
            assert_eq!(is_asked_for, given.is_empty(), "{finding:#}");
        }
        assert_eq!((writes(&hop).len(), hop.came().len()), (0, 4));
    }
}

#[tokio::test]
async fn what_was_never_written_is_not_looked_for() {
    let stage = Stage::set(Name::Pelotech).await;
    let is_refused = std::sync::atomic::AtomicBool::new(false);
    let hop = Hop::before(
        stage.address,
        move |request| {
            use std::sync::atomic::Ordering::Relaxed;
            is_refused.fetch_or(is_put(request), Relaxed);
            when(is_refused.load(Relaxed), answer(405, ""))
        },
        keep,
    )
    .await;
    let visited = visit_both(&stage, &format!("{}/xapi", hop.url())).await;
    assert_eq!(visited.remarks("public"), ["problem method-refused"], "{visited:#?}");
    assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{visited:#?}");
    assert_eq!(writes(&hop).len(), 1);
}

#[tokio::test]
async fn a_hop_before_nobody_is_told_with_its_words_and_not_written_to() {
    let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
    for (only_documents, status, page, code, words, remedy) in [
        (false, 502, page, "creation-refused", "502 (502 Bad Gateway nginx)", "runs"),
        (true, 502, page, "creation-refused", "502 (502 Bad Gateway nginx)", "runs"),
        (false, 400, "TLS is spoken here: \u{202e}ask with https", "no-about", "TLS is spoken here", "https"),
        (false, 200, "<p>Welcome", "no-about", "200 (Welcome)", "--without-about"),
    ] {
        let stage = Stage::set(Name::Pelotech).await;
        let hop = Hop::before(
            stage.address,
            move |request| when(!only_documents || request.uri().query().is_some(), answer(status, page)),
            keep,
        )
        .await;
        let visited = visit_both(&stage, &format!("{}/xapi", hop.url())).await;
        assert_eq!(visited.remarks("public"), [format!("problem {code}")], "{visited:#?}");
        assert_eq!(visited.remarks("doctor"), Vec::<String>::new(), "{visited:#?}");
        let finding = visited.finding(code);
        assert!(finding["seen"].as_str().unwrap().contains(words), "{finding:#}");
        assert!(finding["seen"].as_str().unwrap().is_ascii(), "{finding:#}");
        assert!(finding["remedy"].as_str().unwrap().contains(remedy), "{finding:#}");
        assert_eq!(writes(&hop).len(), 0);
    }
}

#[tokio::test]
async fn an_entity_tag_goes_back_as_it_came_or_not_at_all() {
    const ODD: &[u8] = b"\"a\xffb\"";
    let states =
        |came: &Came| came.fields.get(IF_MATCH).is_some_and(|tag| !tag.as_bytes().starts_with(b"\"0000"));
    for is_twice in [false, true] {
        let stage = Stage::set(Name::Pelotech).await;
        let hop = Hop::before(stage.address, pass, move |came, answer| {
            if is_document(came) && answer.status() == 200 {
                answer.headers_mut().insert(ETAG, HeaderValue::from_bytes(ODD).unwrap());
                if is_twice {
                    answer.headers_mut().append(ETAG, HeaderValue::from_static("\"other\""));
                }
            }
        })
        .await;
        let upstream = visit_upstream(&hop.url(), "").await;
        let is_told = |visited: &Visited, side: &str| {
            visited.remarks(side).contains(&"problem etag-several".to_owned())
        };
        assert_eq!(is_told(&upstream, "upstream"), is_twice, "{upstream:#?}");
        let public = visit_both(&stage, &format!("{}/xapi", hop.url())).await;
        assert_eq!(is_told(&public, "public"), is_twice, "{public:#?}");
        let stated: Vec<_> = writes(&hop).into_iter().filter(states).collect();
        assert_eq!(stated.is_empty(), is_twice, "{stated:?}");
        assert!(stated.iter().all(|came| came.fields.get(IF_MATCH).unwrap().as_bytes() == ODD), "{stated:?}");
        stage.is_clean();
    }
}

#[tokio::test]
async fn an_observer_is_asked_as_one() {
    let stage = Stage::set(Name::LearningLocker).await;
    let proxy = Proxy::spawn(&stage.url(), "", &["--observe"]);
    let through = format!("http://{}/data/xAPI", proxy.address);
    let visited = visit_both(&stage, &through).await;
    for code in ["not-guarded", "etag-not-ours", "cache-control-changed"] {
        let remedy = visited.finding(code)["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains("ask with --observe"), "{code}: {remedy}");
    }
    let upstream = stage.url();
    let observed = |upstream: String, public: String| async move {
        visit(&["--upstream", &upstream, "--public", &public, "--observe", "--json"]).await
    };
    let visited = observed(upstream.clone(), through).await;
    assert_eq!(visited.remarks("public"), ["note observing"], "{visited:#?}");
    assert_eq!(visited.finding("through-staleguard")["severity"], "ok");
    assert_eq!(visited.code, Some(0), "{visited:#?}");
    let around = format!("{upstream}/data/xAPI");
    let visited = observed(upstream, around).await;
    assert_eq!(
        visited.remarks("public"),
        ["note observing", "problem not-through-staleguard"],
        "{visited:#?}"
    );
    assert_eq!(visited.code, Some(1), "{visited:#?}");
    let echo = Hop::before(stage.address, pass, |came, answer| {
        if let Some(id) = came.fields.get("x-request-id") {
            answer.headers_mut().insert("x-request-id", id.clone());
        }
    })
    .await;
    let visited = observed(echo.url(), format!("{}/data/xAPI", echo.url())).await;
    assert_eq!(visited.remarks("public"), ["note observing", "note passage-unknown"], "{visited:#?}");
    // Where it enforces, nobody is sent to ask otherwise.
    let proxy = Proxy::spawn(&stage.url(), "", &[]);
    let hop = Hop::before(proxy.address, pass, |_, answer| drop(answer.headers_mut().remove(ETAG))).await;
    let visited = visit_both(&stage, &format!("{}/data/xAPI", hop.url())).await;
    assert!(!visited.out.contains("--observe"), "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn nothing_is_written_where_nobody_says_that_it_is_an_lrs() {
    let page = || {
        let mut page = answer(200, "<!DOCTYPE html><h1>Welcome</h1>");
        page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        page
    };
    let stage = Stage::set(Name::Pelotech).await;
    let pages = Hop::before(stage.address, move |_| Turn::Answer(page()), keep).await;
    let silent = Hop::before(
        stage.address,
        |request| when(request.uri().path().ends_with("about"), answer(404, "")),
        keep,
    )
    .await;
    let (pages_url, silent_url) = (pages.url(), silent.url());
    let at = |url: &str| ["--upstream", url, "--json", "--path", "/xapi"].map(str::to_owned).to_vec();
    let ask = |mut arguments: Vec<String>, more: &'static [&'static str]| async move {
        arguments.extend(more.iter().map(|more| (*more).to_owned()));
        visit(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    for (url, more) in [(&pages_url, &[][..]), (&pages_url, &["--without-about"]), (&silent_url, &[])] {
        let visited = ask(at(url), more).await;
        assert!(visited.remarks("upstream").contains(&"problem no-about".to_owned()), "{visited:#?}");
        assert!(!visited.out.contains("\"removes\""), "{visited:#?}");
        let remedy = visited.finding("no-about")["remedy"].as_str().unwrap().to_owned();
        assert!(remedy.contains("--without-about"), "{remedy}");
    }
    assert_eq!((writes(&pages).len(), writes(&silent).len()), (0, 0));
    // Neither through the public URL, where somebody says so, but a page is there.
    let visited =
        visit(&["--upstream", &stage.url(), "--public", &pages_url, "--without-about", "--json"]).await;
    assert_eq!(visited.remarks("public"), ["problem not-found"], "{visited:#?}");
    assert_eq!(writes(&pages).len(), 0);
    let visited = ask(at(&silent_url), &["--without-about"]).await;
    assert_eq!(visited.finding("removes")["severity"], "ok", "{visited:#?}");
    stage.is_clean();
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told() {
    let stage = Stage::set(Name::Pelotech).await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    // As openssl req -x509 makes one.
    let own = {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "own");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    };
    let own_ca = authority.write("own.pem", &own.certificate);
    for (issued, ca, words, advice) in [
        (&own, &own_ca, "CA:TRUE", "CA:FALSE"),
        (&authority.issue("localhost"), &own_ca, "nobody who is trusted", "--public-ca"),
        (&authority.issue("localhost"), &stranger.ca(), "another key", "--public-ca"),
        (&authority.issue("elsewhere"), &authority.ca(), "another name", "a name that it is for"),
        (&authority.issue_until("localhost", 2020), &authority.ca(), "has expired", "renew it"),
    ] {
        let (front, _endings) = authority.before(stage.address, issued, None);
        let (upstream, public) = (stage.url(), format!("https://localhost:{}/xapi", front.address.port()));
        let both = ["--upstream", &upstream, "--public", &public, "--json", "--public-ca"];
        let visited = visit(&[&both[..], &[ca.to_str().unwrap()]].concat()).await;
        let finding = visited.finding("unreachable");
        assert!(finding["seen"].as_str().unwrap().contains(words), "{finding:#}");
        assert!(finding["remedy"].as_str().unwrap().contains(advice), "{finding:#}");
    }
}
