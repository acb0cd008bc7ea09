//! The memory of all documents that are under way together: bounded, for writes and for reads apart.

use crate::support::proxy::Proxy;
use crate::support::store::{On, Store};
use crate::support::xapi::{JSON, V1, agent_profile, state, state_of};
use crate::support::{assert_failure, sha1_tag, within};

const LARGE: usize = 6 * 1024 * 1024;

#[tokio::test]
async fn writes_beyond_the_budget_are_refused_until_there_is_room() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "guard.buffered-writes-max = \"100KiB\"");
    let document = vec![b'x'; 60 * 1024];
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("PUT", &state_of("1", "a"), &[V1], &document).await;
    store.until_writes(1).await;

    let refused = proxy.send("PUT", &state_of("2", "a"), &[V1], &document).await;
    assert_failure(&refused, 503);
    assert_eq!(refused.field("retry-after"), Some("1"));
    let mut chunked = proxy.connect().await;
    chunked.request("PUT", &state_of("2", "a"), &[V1, ("Transfer-Encoding", "chunked")], b"").await;
    chunked.write(format!("{:x}\r\n", document.len())).await;
    chunked.write(&document).await;
    chunked.write("\r\n0\r\n\r\n").await;
    assert_failure(&chunked.answer("PUT").await, 503);
    assert_eq!(store.writes().len(), 1);

    store.open_gate();
    assert_eq!(first.answer("PUT").await.status, 204);
    assert_eq!(proxy.send("PUT", &state_of("2", "a"), &[V1], &document).await.status, 204);
    proxy.logged("why", |line| line["failure"] == "over-budget").await;
}

#[tokio::test]
async fn what_the_upstream_sends_takes_nothing_of_what_writers_have() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "guard.buffered-writes-max = \"100KiB\"");
    // It is at hand nearly whole, and its scope is its own.
    let mut first = proxy.connect().await;
    let length = (100 * 1024 - 300).to_string();
    first.request("PUT", &state_of("1", "a"), &[V1, ("Content-Length", &length)], b"").await;
    first.write(vec![b'x'; 100 * 1024 - 301]).await;
    let document = "y".repeat(200);
    let fields = [V1, ("If-None-Match", "*")];
    let second = proxy.send("PUT", &state_of("2", "a"), &fields, &document).await;
    let tag = sha1_tag(&document);
    assert_eq!((second.status, second.etag()), (204, Some(tag.as_str())), "there was room for its read-back");
    first.write("x").await;
    assert_eq!(first.answer("PUT").await.status, 204);
}

#[tokio::test]
async fn what_is_remembered_of_a_write_takes_nothing_of_the_budget() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "guard.buffered-writes-max = \"100KiB\"");
    let document = vec![b'x'; 60 * 1024];
    for number in 0..20 {
        let target = state_of(&number.to_string(), "a");
        assert_eq!(proxy.send("PUT", &target, &[V1], &document).await.status, 204, "{number}");
        assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", "\"x\"")], &document).await.status, 412);
    }
}

#[tokio::test]
async fn a_wrapped_write_is_charged_for_its_form() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "guard.buffered-writes-max = \"100KiB\"");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let target = "/xapi/activities/state?method=PUT";
    let query = state("a").split_once('?').unwrap().1.to_owned();
    let wrapped = |length: usize| format!("{query}&content={}", "x".repeat(length));
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("POST", target, &[V1, form], wrapped(60 * 1024).as_bytes()).await;
    store.until_writes(1).await;
    assert_failure(&proxy.send("POST", target, &[V1, form], wrapped(60 * 1024)).await, 503);
    store.open_gate();
    assert_eq!(first.answer("POST").await.status, 204);
}

#[tokio::test]
async fn a_read_beyond_the_budget_is_streamed_without_a_tag_and_writers_go_on() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "guard.buffered-reads-max = \"8MiB\"");
    store.hold(&state("large"), vec![b'x'; LARGE]);
    store.hold(&agent_profile("a"), "{}");
    let mut slow = proxy.connect().await;
    slow.request("GET", &state("large"), &[], b"").await;
    let head = within("the first answer's head", slow.wire.head()).await.unwrap();
    assert!(head.field("etag").is_some(), "there was room for it");

    for condition in [vec![], vec![("If-None-Match", "*")]] {
        let second = proxy.send("GET", &state("large"), &condition, "").await;
        assert_eq!((second.status, second.etag(), second.body.len()), (200, None, LARGE));
    }
    let tag = sha1_tag("{}");
    let write = proxy.send("PUT", &agent_profile("a"), &[V1, JSON, ("If-Match", &tag)], "{\"n\":1}").await;
    assert_eq!((write.status, write.etag()), (204, Some(sha1_tag("{\"n\":1}").as_str())));

    drop(slow);
    proxy
        .logged("the end of the slow reader", |line| {
            line["bytes"].as_u64().is_some_and(|b| {
                b < LARGE as u64 && line["status"] == 200 && line["path"] == "/xapi/activities/state"
            })
        })
        .await;
    assert!(proxy.get(&state("large")).await.etag().is_some());
}
