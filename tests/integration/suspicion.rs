//! Suspicion: a write whose If-Match its peer was given a moment before is counted, and gets what any other gets.
//!
//! How long a moment is, is tested with a clock that is handed in. Here, what must be counted is tried until it was
//! fast enough, and what must not be counted is tried several times.

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::proxy::Proxy;
use crate::support::store::{Store, Tags};
use crate::support::within;
use crate::support::xapi::{V1, state};

/// How often something is tried that must not count.
const TRIES: usize = 10;

/// A store whose documents have tags of its own, since in observe mode clients see those.
fn store() -> Store {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    for id in ["a", "b"] {
        store.hold(&state(id), "{\"n\":0}");
    }
    store
}

/// How many suspicious writes there were; all three places must say the same.
async fn suspicious(proxy: &Proxy, client: &mut Client) -> u64 {
    // The next answer of a connection comes when the exchange before it is over.
    client.send("GET", "/barrier", &[], "").await;
    let count = proxy.metrics().await["staleguard_suspicious_writes_total"];
    let told = if count == 0 { json!([]) } else { json!([{ "client": "127.0.0.1", "count": count }]) };
    assert_eq!(proxy.status_json().await["suspicious"], told);
    let is_there =
        |lines: &[Value]| lines.iter().filter(|line| line["suspicious"] == true).count() as u64 == count;
    within("as many lines of the access log", async {
        while !is_there(&proxy.log()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    count
}

fn tag(answer: &Answer) -> String {
    answer.etag().unwrap_or_else(|| panic!("no ETag: {answer:#?}")).to_owned()
}

/// Reads in one of several ways and writes with the tag at once, until that was fast enough to be counted.
async fn until_counted(proxy: &Proxy, store: &Store, method: &str, fields: &[(&str, &str)]) {
    let mut client = proxy.connect().await;
    let before = suspicious(proxy, &mut client).await;
    within("a suspicious write", async {
        loop {
            store.forget();
            let current = tag(&client.send(method, &state("a"), fields, "").await);
            let answer = client.send("PUT", &state("a"), &[V1, ("If-Match", &current)], "{\"n\":1}").await;
            assert_eq!(answer.status, 204, "the write is as good as any");
            assert_eq!((store.writes().len(), store.document(&state("a"))), (1, Some(b"{\"n\":1}".to_vec())));
            if suspicious(proxy, &mut client).await == before + 1 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_tag_that_was_read_a_moment_before_is_counted() {
    let store = store();
    let proxy = Proxy::before(&store);
    until_counted(&proxy, &store, "GET", &[V1]).await;
    until_counted(&proxy, &store, "HEAD", &[V1]).await;
    until_counted(&proxy, &store, "GET", &[V1, ("If-None-Match", "*")]).await;
    let line = proxy.logged("a suspicious write", |line| line["suspicious"] == true).await;
    assert_eq!((line["method"].as_str(), line["verdict"].as_str()), (Some("PUT"), Some("forward")));
}

#[tokio::test]
async fn observing_counts_the_upstreams_own_tag() {
    let store = store();
    let proxy = Proxy::observing(&store);
    until_counted(&proxy, &store, "GET", &[V1]).await;
    until_counted(&proxy, &store, "HEAD", &[V1]).await;
}

#[tokio::test]
async fn a_tag_that_is_no_longer_current_is_counted_too() {
    let store = store();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    within("a suspicious write", async {
        loop {
            store.hold(&state("a"), "{\"n\":0}");
            let stale = tag(&client.send("GET", &state("a"), &[V1], "").await);
            store.hold(&state("a"), "{\"n\":1}");
            let answer = client.send("PUT", &state("a"), &[V1, ("If-Match", &stale)], "{\"n\":2}").await;
            assert_eq!(answer.status, 412);
            if suspicious(&proxy, &mut client).await == 1 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_says_nothing_of_a_middleman_is_not_counted() {
    let store = store();
    for proxy in [Proxy::before(&store), Proxy::observing(&store)] {
        let mut client = proxy.connect().await;
        let mut elsewhere = Client::connect_from([127, 0, 0, 2].into(), proxy.address).await;
        for _ in 0..TRIES {
            store.hold(&state("a"), "{\"n\":0}");
            store.hold(&state("b"), "{\"n\":0}");
            let before = tag(&client.send("GET", &state("a"), &[V1], "").await);
            let read = [V1, ("If-Match", before.as_str())];
            elsewhere.send("PUT", &state("a"), &read, "{}").await;
            client.send("PUT", &state("b"), &read, "{}").await;
            client.send("PUT", &state("a"), &[V1, ("If-Match", "*")], "{}").await;
            client.send("PUT", &state("a"), &[V1, ("If-None-Match", &before)], "{}").await;
            client.send("PUT", &state("a"), &[V1], "{}").await;
            client.send("PUT", &state("a"), &[V1, ("If-Match", "\"never-read\"")], "{}").await;
        }
        elsewhere.send("GET", "/barrier", &[], "").await;
        assert_eq!(suspicious(&proxy, &mut client).await, 0);
    }
}

#[tokio::test]
async fn a_tag_that_was_not_read_is_not_counted() {
    let store = store();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let mut current = tag(&client.send("PUT", &state("a"), &[V1, ("If-Match", "*")], "{}").await);
    for n in 0..TRIES {
        let body = format!("{{\"n\":{n}}}");
        current = tag(&client.send("PUT", &state("a"), &[V1, ("If-Match", &current)], body).await);
    }
    for method in ["GET", "PUT"] {
        let refused = client.send(method, &state("a"), &[V1, ("If-Match", "\"stale\"")], "").await;
        assert_eq!((refused.status, tag(&refused)), (412, current.clone()));
    }
    client.send("PUT", &state("a"), &[V1, ("If-Match", &current)], "{}").await;
    assert_eq!(suspicious(&proxy, &mut client).await, 0);
}
