//! Slow clients: whoever trickles a head, a body, or the reading of an answer delays nobody but himself.

use crate::support::alternate::{FORM, sealed};
use crate::support::client::{Client, request};
use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{On, Store};
use crate::support::xapi::{JSON, V1, agent_profile, state, state_of};
use crate::support::{assert_failure, assert_untouched, sha1_tag};

/// How many are slow at a time: more than there are cores, and than any queue on the way is long.
const MANY: usize = 60;

/// Everybody else reads and writes the same document, with and without preconditions.
async fn assert_quick(proxy: &Proxy, store: &Store, target: &str) {
    for round in 0..3 {
        let document = format!("{{\"round\":{round}}}");
        assert_eq!(proxy.send("PUT", target, &[V1, JSON], &document).await.status, 204);
        let read = proxy.get(target).await;
        assert_eq!((read.status, read.etag()), (200, Some(sha1_tag(&document).as_str())));
        let written = proxy.send("PUT", target, &[V1, JSON, ("If-Match", read.etag().unwrap())], "{}").await;
        assert_eq!(written.status, 204);
        assert_eq!(store.document(target).unwrap(), b"{}");
        assert_eq!(proxy.send("DELETE", target, &[V1], "").await.status, 204);
    }
}

/// Sends all of these but their last byte, one after the other, and then a byte now and then.
async fn trickle(proxy: &Proxy, requests: &[Vec<u8>]) -> Vec<(Client, Vec<u8>)> {
    let mut slow = Vec::new();
    for n in 0..MANY {
        let whole = &requests[n % requests.len()];
        let (most, rest) = whole.split_at(whole.len() - 1 - n % 20);
        let mut client = proxy.connect().await;
        client.write(most).await;
        slow.push((client, rest.to_vec()));
    }
    slow
}

/// Sends one byte more of each; never the last one.
async fn trickle_on(slow: &mut [(Client, Vec<u8>)]) {
    for (client, rest) in slow {
        if rest.len() > 1 {
            client.write([rest.remove(0)]).await;
        }
    }
}

#[tokio::test]
async fn slow_heads() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    store.forget();
    let padding = "x".repeat(40);
    let requests: Vec<_> = ["PUT", "GET", "DELETE"]
        .map(|method| request(method, &state("a"), &[V1, ("X-Padding", &padding)], b""))
        .into();
    let mut slow = trickle(&proxy, &requests).await;
    for _ in 0..3 {
        trickle_on(&mut slow).await;
        barrier.pass().await;
        assert_quick(&proxy, &store, &state("a")).await;
    }
    // What was sent by the quick ones: nine rounds of two writes that are asked about or not, and a removal.
    assert_eq!(store.writes().len(), 9 * 3);
    // They are served once they come to an end.
    for (client, rest) in &mut slow[..3] {
        client.write(rest.as_slice()).await;
    }
    for ((client, _), (method, status)) in slow.iter_mut().zip([("PUT", 204), ("GET", 404), ("DELETE", 204)])
    {
        let answered = client.answer(method).await.status;
        assert!(answered == status || (method == "GET" && answered == 200), "{method}: {answered}");
    }
}

#[tokio::test]
async fn slow_bodies_hold_nothing() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    store.forget();
    let target = state("a");
    let body = format!("{{\"slow\":\"{}\"}}", "x".repeat(40));
    let (to, form) = sealed("PUT", &target, &[V1, JSON], Some(&body));
    let chunked = format!(
        "PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let requests = [
        request("PUT", &target, &[V1, JSON], body.as_bytes()),
        request("PUT", &target, &[V1, JSON, ("If-None-Match", "*")], body.as_bytes()),
        request("POST", &target, &[V1, JSON], body.as_bytes()),
        request("POST", &to, &[FORM], form.as_bytes()),
        chunked.into_bytes(),
    ];
    let mut slow = trickle(&proxy, &requests).await;
    for _ in 0..3 {
        trickle_on(&mut slow).await;
        barrier.pass().await;
        assert_quick(&proxy, &store, &target).await;
    }
    assert_eq!(store.writes().len(), 9 * 3, "none of theirs");
    drop(slow);
    barrier.pass().await;
    assert_eq!(store.writes().len(), 9 * 3, "and what was broken off is not sent either");
}

#[tokio::test]
async fn slow_readers() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let large = "x".repeat(4 << 20);
    let target = agent_profile("large");
    store.hold(&target, &large);
    let mut slow = Vec::new();
    for n in 0..20 {
        let mut client = proxy.connect().await;
        match n % 2 {
            0 => client.request("GET", &target, &[V1], b"").await,
            _ => client.request("GET", "/source/4000000", &[], b"").await,
        }
        // It reads the head and then nothing.
        client.wire.head().await.unwrap();
        slow.push(client);
    }
    assert_quick(&proxy, &store, &state("a")).await;
    let tag = sha1_tag(&large);
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &tag)], "small").await.status, 204);
    assert_eq!(store.document(&target).unwrap(), b"small");
}

#[tokio::test]
async fn whoever_leaves_before_the_first_byte_of_his_write_has_not_written() {
    // All connections to the upstream are busy, so that the write waits for one, under its hold and after its verdict.
    for (method, fields) in [
        ("PUT", vec![V1]),
        ("POST", vec![V1, JSON]),
        ("DELETE", vec![V1]),
        ("MERGE", vec![V1]),
        ("PUT", vec![V1, ("If-None-Match", "*")]),
    ] {
        let store = Store::start();
        let config = "[upstream]\nconnections = 1\nconnect-timeout = \"20s\"";
        let proxy = Proxy::configured(&store, config);
        store.close_gate(On::All);
        let mut busy = proxy.connect().await;
        busy.request("GET", "/elsewhere", &[], b"").await;
        store.until("the busy one", |seen| seen.iter().any(|seen| seen.target == "/elsewhere")).await;
        for abruptly in [false, true] {
            let mut leaver = proxy.connect().await;
            leaver.request(method, &state("a"), &fields, b"{}").await;
            pass(&proxy).await;
            if abruptly {
                leaver.wire.reset()
            } else {
                drop(leaver)
            }
            proxy.logged("the one that left", |line| line["status"] == 499 && line["method"] == method).await;
        }
        store.open_gate();
        assert_eq!(busy.answer("GET").await.status, 404);
        // The hold was given back.
        assert_eq!(proxy.send("PUT", &state("a"), &[V1], "next").await.status, 204);
        let written: Vec<_> = store.writes().into_iter().map(|write| write.body).collect();
        assert_eq!(written, [b"next"], "{method}");
    }
}

/// Round trips on every core that need no connection to the upstream: what is refused for its form.
async fn pass(proxy: &Proxy) {
    for _ in 0..2 * std::thread::available_parallelism().unwrap().get() {
        assert_eq!(proxy.send("PUT", "/activities/state/", &[V1], "").await.status, 400);
    }
}

#[tokio::test]
async fn a_write_that_waits_for_a_connection_in_vain_is_not_sent_later() {
    let store = Store::start();
    let config = "[upstream]\nconnections = 1\nconnect-timeout = \"200ms\"";
    let proxy = Proxy::configured(&store, config);
    store.close_gate(On::All);
    let mut busy = proxy.connect().await;
    busy.request("GET", "/elsewhere", &[], b"").await;
    store.until("the busy one", |seen| seen.iter().any(|seen| seen.target == "/elsewhere")).await;
    assert_failure(&proxy.send("PUT", &state_of("b", "a"), &[V1], "late").await, 503);
    store.open_gate();
    busy.answer("GET").await;
    assert_eq!(proxy.send("GET", "/elsewhere", &[], "").await.status, 404);
    assert_untouched(&store);
}
