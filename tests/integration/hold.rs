//! Stage *hold*: writes wait for their turn, in order of arrival and for a bounded time.

use std::time::Duration;

use crate::support::client::request;
use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{On, Store};
use crate::support::wire::Ending;
use crate::support::xapi::{JSON, V1, V2, agent_profile, state, state_of};
use crate::support::{assert_failure, assert_refused, assert_untouched, sha1_tag};

#[tokio::test]
async fn a_hundred_writers_of_one_document_are_served_in_order_of_arrival() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\nhold-queue = 128\nhold-wait = \"30s\"");
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for n in 0..100 {
        let mut writer = proxy.arrive().await;
        writer.request("PUT", &state("a"), &[V1], format!("{n}").as_bytes()).await;
        barrier.pass().await;
        writers.push(writer);
    }
    store.until_writes(1).await;
    assert_eq!(store.writes().len(), 1);
    store.open_gate();
    for writer in &mut writers {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
    let order: Vec<_> =
        store.writes().iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect();
    assert_eq!(order, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_writer_whose_wait_is_over_is_told_to_come_back() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\nhold-wait = \"200ms\"");
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("PUT", &state("a"), &[V1], b"first").await;
    store.until_writes(1).await;
    let answer = proxy.send("PUT", &state("a"), &[V1], "second").await;
    assert_failure(&answer, 503);
    assert!(answer.field("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    store.open_gate();
    assert_eq!(first.answer("PUT").await.status, 204);
    assert_eq!(store.writes().len(), 1);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "third").await.status, 204);
    assert_eq!(store.document(&state("a")).unwrap(), b"third");
}

#[tokio::test]
async fn a_full_queue_turns_writers_away_at_once() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\nhold-queue = 2");
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for _ in 0..3 {
        let mut writer = proxy.arrive().await;
        writer.request("PUT", &state("a"), &[V1], b"1").await;
        barrier.pass().await;
        writers.push(writer);
    }
    store.until_writes(1).await;
    let answer = proxy.send("PUT", &state("a"), &[V1], "2").await;
    assert_failure(&answer, 503);
    assert!(answer.field("retry-after").is_some());
    // The bound is one of the scope, not of the proxy.
    let mut elsewhere = proxy.arrive().await;
    elsewhere.request("PUT", &state_of("other", "a"), &[V1], b"1").await;
    store.until_writes(2).await;
    store.open_gate();
    for writer in writers.iter_mut().chain([&mut elsewhere]) {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
    assert_eq!(store.writes().len(), 4);
}

#[tokio::test]
async fn all_waiters_together_are_bounded_too() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\nhold-waiters = 1");
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for target in [state_of("x", "a"), state_of("y", "a"), state_of("x", "a")] {
        let mut writer = proxy.arrive().await;
        writer.request("PUT", &target, &[V1], b"1").await;
        barrier.pass().await;
        writers.push(writer);
    }
    store.until_writes(2).await;
    assert_failure(&proxy.send("PUT", &state_of("y", "a"), &[V1], "2").await, 503);
    store.open_gate();
    for writer in &mut writers {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
    assert_eq!(store.writes().len(), 3);
}

#[tokio::test]
async fn writers_in_line_get_their_turn_while_the_proxy_drains() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for n in 0..3 {
        let mut writer = proxy.arrive().await;
        writer.request("PUT", &state("a"), &[V1], format!("{n}").as_bytes()).await;
        barrier.pass().await;
        writers.push(writer);
    }
    store.until_writes(1).await;
    proxy.signal("TERM");
    proxy.says("draining").await;
    assert_eq!(store.writes().len(), 1);
    store.open_gate();
    for writer in &mut writers {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
    assert_eq!(proxy.ended().await, Some(0));
    assert_eq!(store.document(&state("a")).unwrap(), b"2");
}

#[tokio::test]
async fn a_write_that_is_cut_off_with_its_runtime_is_known_to_the_next_process() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let config =
        format!("[guard]\nstate-dir = {:?}\ndrain-timeout = \"100ms\"\nhold-wait = \"0s\"", folder.path());
    let mut proxy = Proxy::configured(&store, &config);
    proxy.panics_are_expected();
    store.close_gate(On::Writes);
    let (mut writer, mut waiter) = (proxy.connect().await, proxy.connect().await);
    writer.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    // One whose client has left is cut off too.
    waiter.request("PUT", &state_of("other", "a"), &[V1], b"1").await;
    store.until_writes(2).await;
    drop(waiter);
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(1));
    store.open_gate();
    let next = Proxy::configured(&store, &config);
    assert_failure(&next.send("PUT", &state_of("third", "a"), &[V1], "2").await, 503);
    assert_eq!(store.writes().len(), 2);
}

#[tokio::test]
async fn reads_never_wait_for_a_hold() {
    let store = Store::start();
    store.hold(&state("a"), "old");
    let proxy = Proxy::before(&store);
    store.close_gate(On::Writes);
    let mut writer = proxy.connect().await;
    writer.request("PUT", &state("a"), &[V1], b"new").await;
    store.until_writes(1).await;
    assert_eq!(proxy.get(&state("a")).await.text(), "old");
    assert_eq!(proxy.send("HEAD", &state("a"), &[V1], "").await.status, 200);
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 204);
}

#[tokio::test]
async fn a_client_that_sends_its_body_slowly_does_not_hold_the_scope() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "old");
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    let old = sha1_tag("old");
    let mut slow = proxy.arrive().await;
    slow.write(format!(
        "PUT {target} HTTP/1.1\r\nHost: a\r\nIf-Match: {old}\r\nContent-Length: 10\r\n\r\nslow "
    ))
    .await;
    barrier.pass().await;
    let answer = proxy.send("PUT", &target, &[V1, ("If-Match", &old)], "quick").await;
    assert_eq!(answer.status, 204);
    slow.write("write").await;
    let late = slow.answer("PUT").await;
    assert_refused(&late, 412);
    assert_eq!((late.etag(), store.writes().len()), (Some(sha1_tag("quick").as_str()), 1));
    assert_eq!(store.document(&target).unwrap(), b"quick");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_loses_its_place() {
    for abruptly in [false, true] {
        let store = Store::start();
        let proxy = Proxy::configured(&store, "[guard]\nhold-queue = 1");
        let mut barrier = Barrier::open(&proxy).await;
        store.close_gate(On::Writes);
        let mut first = proxy.arrive().await;
        first.request("PUT", &state("a"), &[V1], b"first").await;
        store.until_writes(1).await;
        let mut leaver = proxy.arrive().await;
        leaver.request("PUT", &state("a"), &[V1], b"gone").await;
        barrier.pass().await;
        if abruptly {
            leaver.wire.reset();
        } else {
            drop(leaver);
        }
        barrier.pass().await;
        let mut last = proxy.arrive().await;
        last.request("PUT", &state("a"), &[V1], b"last").await;
        barrier.pass().await;
        store.open_gate();
        assert_eq!(first.answer("PUT").await.status, 204);
        assert_eq!(last.answer("PUT").await.status, 204);
        let bodies: Vec<_> = store.writes().into_iter().map(|seen| seen.body).collect();
        assert_eq!(bodies, [b"first".to_vec(), b"last".to_vec()]);
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_probe_leaves_nothing_behind() {
    let store = Store::start();
    let target = agent_profile("a");
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    let mut leaver = proxy.arrive().await;
    store.forget();
    store.close_gate(On::Reads);
    leaver.request("PUT", &target, &[V1, ("If-None-Match", "*")], b"gone").await;
    store.until_reads(1).await;
    leaver.wire.reset();
    store.open_gate();
    barrier.pass().await;
    // The hold was given back: the next writer goes on at once.
    let answer = proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "next").await;
    assert_eq!(answer.status, 204);
    assert_eq!(store.writes().len(), 1);
    assert_eq!(store.document(&target).unwrap(), b"next");
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_write_changes_nothing() {
    for abruptly in [false, true] {
        let store = Store::start();
        let target = agent_profile("a");
        store.hold(&target, "old");
        let proxy = Proxy::before(&store);
        let mut barrier = Barrier::open(&proxy).await;
        store.close_gate(On::Writes);
        let tag = sha1_tag("old");
        let mut leaver = proxy.arrive().await;
        leaver.request("PUT", &target, &[V1, ("If-Match", &tag)], b"the leaver's").await;
        store.until_writes(1).await;
        if abruptly {
            leaver.wire.reset();
        } else {
            drop(leaver);
        }
        let mut next = proxy.arrive().await;
        next.request("PUT", &target, &[V1, ("If-Match", &tag)], b"the next one's").await;
        barrier.pass().await;
        barrier.pass().await;
        assert_eq!(store.writes().len(), 1, "the hold is kept for as long as the write runs");
        store.open_gate();
        assert_refused(&next.answer("PUT").await, 412);
        assert_eq!(store.document(&target).unwrap(), b"the leaver's");
        assert_eq!((store.writes().len(), store.writes()[0].upload), (1, Some(Ending::Complete)));
        let line = proxy.logged("the leaver's write", |line| line["failure"] == "client-left").await;
        assert_eq!((&line["resource"], &line["verdict"]), (&"agent-profile".into(), &"forward".into()));
        assert_eq!(line["status"], 499, "a client that left before its answer is logged as nginx logs it");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_upload_is_never_heard_of_upstream() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    store.forget();
    for abruptly in [false, true] {
        let mut leaver = proxy.arrive().await;
        leaver
            .write(format!("PUT {} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", state("a")))
            .await;
        if abruptly {
            leaver.wire.reset();
        } else {
            drop(leaver);
        }
    }
    barrier.pass().await;
    assert_untouched(&store);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 204);
}

#[tokio::test]
async fn what_was_learned_is_learned_again_by_every_waiter() {
    let store = Store::with(|knobs| knobs.pause = Duration::from_millis(20));
    let target = state("a");
    store.hold(&target, "0");
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("0");
    let write = |n: usize| {
        let (proxy, target, tag) = (&proxy, &target, &tag);
        async move {
            proxy.send("PUT", target, &[V2, JSON, ("If-Match", tag)], format!("{{\"n\":{n}}}")).await.status
        }
    };
    let statuses = tokio::join!(write(1), write(2), write(3));
    let mut statuses: [u16; 3] = statuses.into();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 412, 412]);
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn exchanges_whose_clients_left_are_logged_too() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    let mut second = proxy.connect().await;
    second.request("POST", &state("a"), &[V1, JSON], b"{}").await;
    drop((first, second));
    store.open_gate();
    proxy
        .logged("the one that was sent", |line| line["method"] == "PUT" && line["verdict"] == "forward")
        .await;
    let line = proxy.logged("the one that was not", |line| line["method"] == "POST").await;
    assert_eq!(
        (line["status"].as_u64(), line.get("verdict").is_some_and(|v| !v.is_null())),
        (Some(499), false)
    );
}

#[tokio::test]
async fn a_client_that_reads_its_answer_slowly_does_not_hold_the_scope() {
    // An answer that is taken in as a whole, and one that is too large for that.
    for document_max in ["10MiB", "1MiB"] {
        let store = Store::start();
        let large = "x".repeat(8 << 20);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len());
        store.answer("/xapi/activities/state", head + &large);
        let proxy = Proxy::configured(&store, &format!("[guard]\ndocument-max = \"{document_max}\""));
        let mut slow = proxy.connect().await;
        slow.request("PUT", &state("a"), &[V1], b"1").await;
        store.until_writes(1).await;
        let answer = proxy.send("PUT", &state("a"), &[V1], "2").await;
        assert_eq!((answer.status, answer.body.len()), (200, large.len()), "{document_max}");
        assert_eq!(slow.answer("PUT").await.body.len(), large.len());
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_behind_what_it_sent_in_advance() {
    for surplus in ["\r\n", "GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let store = Store::start();
        let proxy = Proxy::before(&store);
        let mut barrier = Barrier::open(&proxy).await;
        store.close_gate(On::Writes);
        let mut first = proxy.connect().await;
        first.request("PUT", &state("a"), &[V1], b"1").await;
        store.until_writes(1).await;
        let mut leaver = proxy.arrive().await;
        let mut bytes = request("PUT", &state("a"), &[V1], b"2");
        bytes.extend(surplus.as_bytes());
        leaver.write(&bytes).await;
        barrier.pass().await;
        drop(leaver);
        barrier.pass().await;
        store.open_gate();
        assert_eq!(first.answer("PUT").await.status, 204);
        assert_eq!(proxy.send("PUT", &state("a"), &[V1], "3").await.status, 204);
        let written: Vec<_> = store.writes().into_iter().map(|write| write.body).collect();
        assert_eq!(written, [b"1", b"3"]);
    }
}
