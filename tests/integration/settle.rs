//! Stage *settle*: what is known after a write, and what happens where nothing is.

use std::time::Duration;

use crate::support::proxy::Proxy;
use crate::support::store::{Misdeed, On, Store, Tags};
use crate::support::upstreams::{self, bare};
use crate::support::wire::Ending;
use crate::support::xapi::{JSON, V1, agent_profile, state, state_of};
use crate::support::{assert_failure, assert_refused, sha1_tag};

/// Writers wait less than a scope takes to settle.
const IMPATIENT: &str = "[guard]\nhold-wait = \"100ms\"\n[upstream]\nresponse-timeout = \"300ms\"";
/// Writers wait longer than a scope takes to settle.
const SETTLING: &str = "[upstream]\nresponse-timeout = \"300ms\"\nsettle-time = \"400ms\"";

/// Asserts that writers of the scope are told to come back, and that others and readers are not.
async fn assert_unsettled(proxy: &Proxy, store: &Store) {
    let writes = store.writes().len();
    store.set(|knobs| knobs.misdeed = None);
    for (method, target) in [("PUT", state("a")), ("POST", state("b")), ("DELETE", state("a"))] {
        let answer = proxy.send(method, &target, &[V1, JSON], "{}").await;
        assert_failure(&answer, 503);
        let seconds: u64 = answer.field("retry-after").expect("Retry-After").parse().unwrap();
        assert!((1..=31).contains(&seconds), "{seconds}");
    }
    assert_eq!(store.writes().len(), writes, "nothing was sent");
    assert!(matches!(proxy.get(&state("a")).await.status, 200 | 404));
    assert_eq!(proxy.send("PUT", &state_of("other", "a"), &[V1], "{}").await.status, 204);
}

#[tokio::test]
async fn a_write_that_is_never_answered_leaves_its_scope_unsettled() {
    let store = upstreams::silent(On::Writes);
    let proxy = Proxy::configured(&store, IMPATIENT);
    assert_failure(&proxy.send("PUT", &state("a"), &[V1], "1").await, 504);
    assert_eq!(store.writes().len(), 1);
    assert_unsettled(&proxy, &store).await;
}

#[tokio::test]
async fn a_write_whose_answer_is_broken_leaves_its_scope_unsettled() {
    for store in [
        upstreams::reset_unanswered(On::Writes),
        upstreams::closes_unanswered(On::Writes),
        upstreams::half_a_body(On::Writes),
        upstreams::reset_after_head(On::Writes),
        upstreams::lying_length_above(On::Writes),
        upstreams::garbage(On::Writes),
    ] {
        let proxy = Proxy::configured(&store, IMPATIENT);
        assert_failure(&proxy.send("PUT", &state("a"), &[V1], "1").await, 502);
        assert_eq!(store.writes().len(), 1);
        assert_unsettled(&proxy, &store).await;
    }
}

#[tokio::test]
async fn a_status_after_which_a_write_may_still_be_applied_leaves_its_scope_unsettled() {
    for status in [
        "202 Accepted",
        "408 Request Timeout",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "504 Gateway Timeout",
        "520 Odd",
        "522 Odd",
        "524 Odd",
    ] {
        let store = upstreams::answering(On::Writes, status);
        let proxy = Proxy::configured(&store, IMPATIENT);
        let answer = proxy.send("PUT", &state("a"), &[V1], "1").await;
        assert_eq!((answer.status.to_string().as_str(), answer.text().as_str()), (&status[..3], "so there"));
        assert_unsettled(&proxy, &store).await;
    }
}

#[tokio::test]
async fn every_other_complete_answer_settles_its_scope() {
    for status in
        ["200 OK", "400 Bad Request", "404 Not Found", "409 Conflict", "412 Odd", "500 Oops", "501 No"]
    {
        let store = upstreams::answering(On::Writes, status);
        let proxy = Proxy::configured(&store, IMPATIENT);
        let answer = proxy.send("PUT", &state("a"), &[V1], "1").await;
        assert_eq!(answer.status.to_string(), status[..3]);
        store.set(|knobs| knobs.misdeed = None);
        assert_eq!(proxy.send("PUT", &state("a"), &[V1], "2").await.status, 204, "{status}");
    }
}

#[tokio::test]
async fn the_list_of_such_statuses_can_be_set() {
    let store = upstreams::answering(On::Writes, "500 Oops");
    let config = IMPATIENT.to_owned() + "\nunknown-outcome = [500]";
    let proxy = Proxy::configured(&store, &config);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 500);
    assert_unsettled(&proxy, &store).await;
    store.set(|knobs| knobs.misdeed = Some((On::Writes, Misdeed::Says(bare("503 Busy")))));
    assert_eq!(proxy.send("PUT", &state_of("x", "a"), &[V1], "1").await.status, 503);
    store.set(|knobs| knobs.misdeed = None);
    assert_eq!(proxy.send("PUT", &state_of("x", "a"), &[V1], "1").await.status, 204);
}

#[tokio::test]
async fn a_412_that_tells_nothing_is_not_followed_by_another_write() {
    let store = Store::with(|knobs| {
        knobs.tags = Tags::LengthHash;
        knobs.misdeed = Some((On::Conditional, Misdeed::Says(bare("412 Precondition Failed"))));
    });
    let target = agent_profile("a");
    store.hold(&target, "0");
    let proxy = Proxy::configured(&store, &(IMPATIENT.to_owned() + "\nunknown-outcome = [412]"));
    let fields = [V1, ("If-Match", &*sha1_tag("0"))];
    assert_eq!(proxy.send("PUT", &target, &fields, "1").await.status, 412);
    assert_eq!(store.writes().len(), 1, "it may still be applied");
    assert_failure(&proxy.send("PUT", &target, &fields, "2").await, 503);
}

#[tokio::test]
async fn a_writer_with_time_enough_waits_until_the_scope_has_settled() {
    let store = upstreams::reset_unanswered(On::Writes);
    let proxy = Proxy::configured(&store, SETTLING);
    assert_failure(&proxy.send("PUT", &state("a"), &[V1], "1").await, 502);
    store.set(|knobs| knobs.misdeed = None);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "2").await.status, 204);
    assert_eq!(store.document(&state("a")).unwrap(), b"2");
}

#[tokio::test]
async fn a_late_write_is_found_by_the_next_writer() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "old");
    let proxy = Proxy::configured(&store, SETTLING);
    let tag = sha1_tag("old");
    store.close_gate(On::Writes);
    let late = proxy.send("PUT", &target, &[V1, ("If-Match", &tag)], "late").await;
    assert_failure(&late, 504);
    // Only now does the upstream get round to it, and nobody hears its answer.
    let mut next = proxy.connect().await;
    next.request("PUT", &target, &[V1, ("If-Match", &tag)], b"next").await;
    store.open_gate();
    let answer = next.answer("PUT").await;
    assert_refused(&answer, 412);
    assert_eq!(answer.etag(), Some(sha1_tag("late").as_str()));
    assert_eq!((store.writes().len(), store.document(&target).unwrap().as_slice()), (1, b"late".as_slice()));
}

#[tokio::test]
async fn a_write_that_was_applied_without_an_answer_is_found_too() {
    let store = upstreams::closes_unanswered(On::Writes);
    store.set(|knobs| knobs.applies = true);
    let target = agent_profile("a");
    let proxy = Proxy::configured(&store, SETTLING);
    let creating = [V1, ("If-None-Match", "*")];
    assert_failure(&proxy.send("PUT", &target, &creating, "1").await, 502);
    store.set(|knobs| knobs.misdeed = None);
    assert_refused(&proxy.send("PUT", &target, &creating, "2").await, 412);
    assert_eq!((store.writes().len(), store.document(&target).unwrap().as_slice()), (1, b"1".as_slice()));
}

#[tokio::test]
async fn an_upstream_that_was_never_reached_leaves_the_scope_settled() {
    let url = upstreams::refusing();
    let proxy = Proxy::spawn(&url, IMPATIENT, &[]);
    for _ in 0..3 {
        assert_failure(&proxy.send("PUT", &state("a"), &[V1], "1").await, 502);
    }
}

#[tokio::test]
async fn waiters_of_a_scope_that_becomes_unsettled_are_not_let_loose_on_it() {
    let store = Store::start();
    let proxy =
        Proxy::configured(&store, "[guard]\nhold-wait = \"2s\"\n[upstream]\nresponse-timeout = \"300ms\"");
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    let mut waiters = Vec::new();
    for _ in 0..3 {
        let mut waiter = proxy.connect().await;
        waiter.request("PUT", &state("a"), &[V1], b"2").await;
        waiters.push(waiter);
    }
    assert_failure(&first.answer("PUT").await, 504);
    for waiter in &mut waiters {
        let answer = waiter.answer("PUT").await;
        assert_failure(&answer, 503);
        assert!(answer.field("retry-after").is_some());
    }
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn a_surplus_behind_a_writes_answer_is_nobodys_answer() {
    let store = upstreams::lying_length_below(On::Writes);
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    assert_eq!(client.send("PUT", &state("a"), &[V1], "1").await.status, 200);
    store.set(|knobs| knobs.misdeed = None);
    store.hold(&state("a"), "there");
    assert_eq!(client.send("GET", &state("a"), &[V1], "").await.text(), "there");
    assert_eq!(client.send("PUT", &state("a"), &[V1], "2").await.status, 204);
    assert_eq!(store.document(&state("a")).unwrap(), b"2");
}

#[tokio::test]
async fn an_upload_that_the_upstream_does_not_take_is_reset_and_not_closed() {
    let store = Store::with(|knobs| knobs.reads_late = true);
    let config = "[guard]\ndocument-max = \"64MiB\"\n[upstream]\nresponse-timeout = \"300ms\"";
    let proxy = Proxy::configured(&store, config);
    store.close_gate(On::Writes);
    // More than the kernel's buffers hold.
    let answer = proxy.send("PUT", &state("a"), &[V1], vec![b'x'; 40 << 20]).await;
    assert_failure(&answer, 504);
    store.open_gate();
    store.until("the end of the upload", |seen| seen[0].upload.is_some()).await;
    assert_eq!(store.seen()[0].upload, Some(Ending::Reset));
    assert_eq!(store.document(&state("a")), None);
}

#[tokio::test]
async fn an_upstream_that_trickles_its_answer_does_not_keep_the_scope() {
    let store = upstreams::trickling(On::Writes);
    let proxy = Proxy::configured(&store, IMPATIENT);
    assert_failure(&proxy.send("PUT", &state("a"), &[V1], "1").await, 504);
    assert_eq!(store.writes().len(), 1);
    assert_unsettled(&proxy, &store).await;
}

#[tokio::test]
async fn no_scope_is_forgotten_whatever_becomes_of_its_write() {
    let store = Store::start();
    let config = "[guard]\nscopes-max = 3\n[upstream]\nsettle-time = \"20ms\"";
    let proxy = Proxy::configured(&store, config);
    let reset = Misdeed::SaysAndResets(String::new());
    for n in 0..60 {
        let target = agent_profile(&n.to_string());
        let fields = [V1, ("If-None-Match", "*")];
        // In turn: a write, a refusal, a failed probe, a lost answer, and a client that leaves.
        let misdeed = match n % 5 {
            2 => Some((On::Reads, reset.clone())),
            3 => Some((On::Writes, reset.clone())),
            _ => None,
        };
        store.set(|knobs| knobs.misdeed = misdeed);
        match n % 5 {
            1 => assert_refused(&proxy.send("PUT", &target, &[V1, ("If-Match", "*")], "1").await, 412),
            4 => {
                let mut leaver = proxy.connect().await;
                leaver.request("PUT", &target, &fields, b"1").await;
                leaver.wire.reset();
            }
            remainder => {
                let answer = proxy.send("PUT", &target, &fields, "1").await;
                assert_eq!(answer.status, if remainder == 0 { 204 } else { 502 }, "{n}: {answer:#?}");
            }
        }
        if n % 5 == 4 {
            // What was lost settles in its time.
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

#[tokio::test]
async fn scopes_that_are_held_or_unsettled_are_bounded() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\nscopes-max = 2");
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for n in 0..2 {
        let mut writer = proxy.connect().await;
        writer.request("PUT", &state_of(&n.to_string(), "a"), &[V1], b"1").await;
        store.until_writes(n + 1).await;
        writers.push(writer);
    }
    let answer = proxy.send("PUT", &state_of("third", "a"), &[V1], "1").await;
    assert_failure(&answer, 503);
    assert!(answer.field("retry-after").is_some());
    store.open_gate();
    for writer in &mut writers {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
    assert_eq!(store.writes().len(), 2);
    assert_eq!(proxy.send("PUT", &state_of("third", "a"), &[V1], "1").await.status, 204);
}
