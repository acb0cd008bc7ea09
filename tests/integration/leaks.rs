//! Leaks: whoever the upstream would refuse learns nothing of a document here that the upstream would not tell.

use crate::support::alternate::{FORM, sealed};
use crate::support::client::Answer;
use crate::support::proxy::Proxy;
use crate::support::store::{On, Store, Tags};
use crate::support::xapi::{JSON, V1, V2, activity_profile, agent_profile, state};
use crate::support::{assert_refused, assert_untouched, sha1_tag, within};

const OWNER: (&str, &str) = ("Authorization", "Basic YTpi");

/// Credentials that the store refuses.
const STRANGERS: [&[(&str, &str)]; 4] = [
    &[],
    &[("Authorization", "Basic eDp5")],
    &[("Authorization", "basic YTpi")],
    &[("Cookie", "Authorization=Basic YTpi")],
];

/// A store that tells its own entity-tag with everything it says, refusals too.
fn store() -> Store {
    Store::with(|knobs| {
        knobs.credential = Some(OWNER.1.to_owned());
        knobs.tags = Tags::Random;
        knobs.fields = vec![("ETag", "\"in every answer\"")];
    })
}

/// Asserts that an answer is the store's refusal and nothing else.
fn assert_learns_nothing(answer: &Answer, method: &str, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {answer:#?}");
    assert_eq!((answer.etag(), answer.field("last-modified")), (None, None), "{what}: {answer:#?}");
    assert!(method == "HEAD" || answer.text() == "who are you?", "{what}: {answer:#?}");
}

#[tokio::test]
async fn a_stranger_gets_the_upstreams_refusal_and_no_verdict() {
    let store = store();
    let proxy = Proxy::before(&store);
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        // The owner has read and written, so that whatever may be remembered is.
        store.hold(&target, "{}");
        let read = proxy.send("GET", &target, &[V1, OWNER], "").await;
        let written = proxy
            .send("PUT", &target, &[V1, JSON, OWNER, ("If-Match", read.etag().unwrap())], "{\"a\":1}")
            .await;
        assert_eq!(written.status, 204, "{written:#?}");
        let (first, own) = (sha1_tag("{}"), store.own_tag(&target).unwrap());
        let current = written.etag().unwrap().to_owned();
        assert_eq!(current, sha1_tag("{\"a\":1}"));
        store.forget();
        for stranger in STRANGERS {
            for stated in [
                vec![],
                vec![("If-Match", current.as_str())],
                vec![("If-Match", own.as_str())],
                // The owner's own PUT once more.
                vec![("If-Match", first.as_str())],
                vec![("If-Match", "*")],
                vec![("If-None-Match", current.as_str())],
                vec![("If-None-Match", "*")],
                vec![("If-Match", "\"x\""), ("If-None-Match", "\"y\"")],
            ] {
                for version in [V1, V2] {
                    let fields = [&[version, JSON], stranger, &stated[..]].concat();
                    for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"] {
                        let body = if matches!(method, "GET" | "HEAD") { "" } else { "{\"a\":1}" };
                        let answer = proxy.send(method, &target, &fields, body).await;
                        assert_learns_nothing(&answer, method, &format!("{method} {fields:?}"));
                    }
                }
                for method in ["GET", "HEAD", "PUT", "DELETE"] {
                    let fields = [&[V1], stranger, &stated[..]].concat();
                    let content = (method == "PUT").then_some("{\"a\":1}");
                    let (to, form) = sealed(method, &target, &fields, content);
                    let answer = proxy.send("POST", &to, &[FORM], form).await;
                    assert_learns_nothing(&answer, method, &format!("sealed {method} {fields:?}"));
                }
            }
        }
        assert_eq!(store.document(&target).unwrap(), b"{\"a\":1}");
    }
}

#[tokio::test]
async fn what_is_said_without_asking_depends_on_the_request_alone() {
    let store = store();
    let proxy = Proxy::configured(&store, "[resource.activity-profile]\nunconditional.PUT = \"require\"");
    store.hold(&activity_profile("there"), "{}");
    for (stated, status) in
        [(vec![], 428), (vec![("If-Match", "")], 412), (vec![("If-None-Match", "\"open")], 412)]
    {
        let mut answers = Vec::new();
        for target in [activity_profile("there"), activity_profile("absent")] {
            for credential in [&[OWNER][..], &[]] {
                let fields = [&[V1], credential, &stated[..]].concat();
                let answer = proxy.send("PUT", &target, &fields, "{}").await;
                assert_refused(&answer, status);
                assert_eq!(answer.etag(), None);
                answers.push(answer.text());
            }
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "one text for all: {answers:?}");
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_stranger_is_answered_when_the_upstream_has_answered() {
    let store = store();
    let proxy = Proxy::before(&store);
    let (there, absent) = (agent_profile("there"), agent_profile("absent"));
    store.hold(&there, "{}");
    // The owner has just read it, and written.
    let read = proxy.send("GET", &there, &[V1, OWNER], "").await;
    let current = read.etag().unwrap().to_owned();
    for (method, target, stated) in [
        ("PUT", &there, ("If-Match", current.as_str())),
        ("PUT", &there, ("If-Match", "\"x\"")),
        ("PUT", &there, ("If-None-Match", "*")),
        ("PUT", &absent, ("If-Match", current.as_str())),
        ("DELETE", &there, ("If-Match", "\"x\"")),
        ("GET", &there, ("If-None-Match", current.as_str())),
        ("HEAD", &there, ("If-None-Match", current.as_str())),
        ("GET", &absent, ("If-Match", "\"x\"")),
    ] {
        store.forget();
        store.close_gate(On::Reads);
        let mut stranger = proxy.connect().await;
        stranger.request(method, target, &[V1, stated], b"").await;
        store.until_reads(1).await;
        // Refusals of malformed requests need no upstream: everything sent before them has been read.
        for _ in 0..8 {
            assert_eq!(proxy.send("PUT", "/agents/profile/", &[], "").await.status, 400);
        }
        assert!(stranger.is_silent().await, "{method} {stated:?}: answered before the upstream has");
        store.open_gate();
        within("the answer", async { while stranger.is_silent().await {} }).await;
        assert_learns_nothing(&stranger.answer(method).await, method, &format!("{method} {stated:?}"));
        assert_eq!(store.seen().len(), 1, "one question, and nothing after it");
    }
    assert_untouched(&store);
}
