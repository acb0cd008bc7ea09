//! The deadline of a guarded exchange: whatever it waits for, its client has an answer, and a write that was sent goes on.

use std::time::Duration;

use crate::support::client::Answer;
use crate::support::proxy::Proxy;
use crate::support::store::{On, Store};
use crate::support::upstreams::trickling;
use crate::support::xapi::{V1, V2, agent_profile, state, state_of};
use crate::support::{assert_failure, assert_refused, assert_untouched, within};

/// Everything else would wait for much longer than a test.
const BRIEF: &str = "[guard]\nexchange-timeout = \"1s\"\nhold-wait = \"60s\"";

fn assert_says(answer: &Answer, status: u16, words: &str) {
    assert_failure(answer, status);
    assert!(answer.text().contains(words), "{}", answer.text());
}

#[tokio::test]
async fn a_body_that_keeps_coming_for_too_long_is_given_up() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, &format!("{BRIEF}\n[listen]\nlinger = \"100ms\""));
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let wrapped = format!("{}&method=PUT", state("a"));
    for (method, target, more) in [("PUT", state("a"), ""), ("POST", wrapped, form)] {
        let mut client = proxy.connect().await;
        client
            .write(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: 1000\r\n\r\n"))
            .await;
        // A byte and a pause far shorter than body-timeout, over and over.
        let answer = loop {
            client.write("x").await;
            tokio::select! {
                biased;
                answer = client.answer(method) => break answer,
                () = tokio::time::sleep(Duration::from_millis(20)) => (),
            }
        };
        assert_refused(&answer, 408);
        assert!(answer.text().contains("took too long"), "{}", answer.text());
        client.end().await;
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_write_that_was_sent_goes_on_after_its_client_was_told_that_time_is_up() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, BRIEF);
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("PUT", &state("a"), &[V1], b"first").await;
    store.until_writes(1).await;
    // It waits for its turn, and is never sent.
    let second = proxy.send("PUT", &state("a"), &[V1], "second").await;
    assert_says(&second, 503, "Nothing was written");
    assert!(second.field("retry-after").is_some());
    assert_says(&first.answer("PUT").await, 504, "whether it was applied is not known");
    assert_eq!((store.document(&state("a")), store.writes().len()), (None, 1));

    let mut third = proxy.connect().await;
    third.request("PUT", &state("a"), &[V2, ("If-None-Match", "*")], b"third").await;
    store.open_gate();
    // The scope was held until the first was answered, and its outcome is known then.
    assert_refused(&third.answer("PUT").await, 412);
    assert_eq!(store.document(&state("a")).unwrap(), b"first");
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_given_up_and_nothing_is_sent() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, BRIEF);
    store.close_gate(On::Reads);
    let answer = proxy.send("PUT", &state("a"), &[V2, ("If-None-Match", "*")], "x").await;
    assert_says(&answer, 504, "Nothing was written");
    let unnamed = state("a").replace("stateId=a", "");
    assert_says(&proxy.send("PUT", &unnamed, &[V1], "x").await, 504, "Nothing was written");
    assert_untouched(&store);
    store.open_gate();
    let answer = proxy.send("PUT", &state("a"), &[V2, ("If-None-Match", "*")], "x").await;
    assert_eq!(answer.status, 204, "the hold was given back");
}

#[tokio::test]
async fn a_document_that_keeps_coming_for_too_long_is_given_up() {
    let store = trickling(On::Reads);
    let proxy = Proxy::configured(&store, BRIEF);
    assert_says(&proxy.get(&state("a")).await, 504, "did not answer in time");
}

#[tokio::test]
async fn an_answered_write_is_not_made_a_question_by_its_read_back() {
    let store = Store::start();
    let config = format!("{BRIEF}\nread-back = \"always\"\n[upstream]\nread-back-timeout = \"2s\"");
    let proxy = Proxy::configured(&store, &config);
    store.close_gate(On::Reads);
    let answer = proxy.send("PUT", &state("a"), &[V1], "x").await;
    assert_eq!((answer.status, answer.etag()), (204, None));
    assert!(store.seen().iter().any(|seen| seen.method == "GET"), "it was read back");
}

#[tokio::test]
async fn what_is_relayed_or_observed_may_take_as_long_as_it_likes() {
    let store = Store::start();
    let observed = "[resource.state]\nmode = \"observe\"";
    let proxy = Proxy::configured(&store, &format!("{BRIEF}\n[listen]\ndetached-max = 1\n{observed}"));
    store.close_gate(On::All);
    let (mut relayed, mut observed) = (proxy.connect().await, proxy.connect().await);
    relayed.request("GET", "/elsewhere", &[], b"").await;
    observed.request("PUT", &state("a"), &[V1], b"x").await;
    store.until("both", |seen| seen.len() == 2).await;
    assert_says(&proxy.get(&agent_profile("a")).await, 504, "did not answer in time");
    store.open_gate();
    assert_eq!(relayed.answer("GET").await.status, 404);
    assert_eq!(observed.answer("PUT").await.status, 204);
}

#[tokio::test]
async fn writes_that_a_connection_leaves_behind_are_bounded() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, &format!("{BRIEF}\n[listen]\ndetached-max = 2"));
    store.close_gate(On::Writes);
    let mut client = proxy.connect().await;
    for course in ["x", "y"] {
        let answer = client.send("PUT", &state_of(course, "a"), &[V1], "1").await;
        assert_says(&answer, 504, "whether it was applied is not known");
    }
    let answer = client.send("PUT", &state_of("z", "a"), &[V1], "1").await;
    assert_says(&answer, 503, "Nothing was written");
    assert!(answer.field("retry-after").is_some());
    assert_eq!(store.writes().len(), 2);
    // The bound is one of the connection; and what changes nothing is not asked about it.
    let mut other = proxy.connect().await;
    other.request("PUT", &state_of("z", "a"), &[V1], b"2").await;
    store.until_writes(3).await;
    assert_eq!(client.send("GET", &state_of("z", "a"), &[V1], "").await.status, 404);
    store.open_gate();
    assert_eq!(other.answer("PUT").await.status, 204);
    within("a place for one more write", async {
        while client.send("PUT", &state_of("z", "a"), &[V1], "3").await.status == 503 {}
    })
    .await;
    assert_eq!(store.document(&state_of("z", "a")).unwrap(), b"3");
}
