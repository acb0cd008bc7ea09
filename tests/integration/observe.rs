//! Observe mode: the verdict is reached and logged; nothing is refused, held up or altered.

use crate::support::proxy::Proxy;
use crate::support::store::{On, Store, Tags};
use crate::support::upstreams;
use crate::support::xapi::{ACTIVITY, AGENT, JSON, V1, V2, agent_profile, state, state_ids};

const STALE: (&str, &str) = ("If-Match", "\"0000000000000000000000000000000000000000\"");

#[tokio::test]
async fn a_write_that_would_be_refused_goes_on_as_it_came() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let target = agent_profile("a");
    store.hold(&target, "old");
    let proxy = Proxy::observing(&store);
    for (fields, verdict) in [
        (vec![V1, STALE], "if-match-failed"),
        (vec![V1, ("If-None-Match", "*")], "if-none-match-failed"),
        (vec![V2], "precondition-missing"),
        (vec![V1, ("If-Match", "\"open")], "malformed-precondition"),
    ] {
        store.forget();
        let answer = proxy.send("PUT", &target, &fields, verdict).await;
        assert_eq!((answer.status, answer.etag()), (204, None));
        let write = &store.writes()[0];
        assert_eq!((store.writes().len(), write.body.as_slice()), (1, verdict.as_bytes()));
        for name in ["if-match", "if-none-match"] {
            let stated = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
            assert_eq!(write.field(name), stated, "{verdict}");
        }
        let line = proxy.logged(verdict, |line| line["verdict"] == verdict).await;
        assert_eq!((line["mode"].as_str(), line["status"].as_u64()), (Some("observe"), Some(204)));
        assert_eq!(line["resource"], "agent-profile");
    }
}

#[tokio::test]
async fn reads_pass_with_the_upstreams_own_tag_and_the_clients_own_conditions() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    store.hold(&state("a"), "{}");
    let proxy = Proxy::observing(&store);
    let own = store.own_tag(&state("a"));
    let fields = [V1, ("If-None-Match", "\"x\""), ("Range", "bytes=0-1"), ("Accept-Encoding", "gzip")];
    let answer = proxy.send("GET", &state("a"), &fields, "").await;
    assert_eq!((answer.status, answer.etag()), (200, own.as_deref()));
    assert_eq!(answer.field("cache-control"), None);
    let seen = &store.seen()[0];
    for (name, value) in fields {
        assert_eq!(seen.field(name), Some(value));
    }
    let head = proxy.send("HEAD", &state("a"), &[V1], "").await;
    assert_eq!((head.status, store.seen()[1].method.as_str()), (200, "HEAD"));
}

#[tokio::test]
async fn what_would_be_refused_for_its_form_is_relayed() {
    let store = Store::start();
    let proxy = Proxy::observing(&store);
    let form = [V1, ("Content-Type", "application/x-www-form-urlencoded")];
    for (method, target, fields, body) in [
        ("PUT", format!("{}&stateId=b", state("a")), vec![V1], "1"),
        ("PUT", state("a").replace("stateId", "StateId"), vec![V1], "1"),
        (
            "PUT",
            format!("/xapi//activities/state?activityId={ACTIVITY}&agent={AGENT}&stateId=a"),
            vec![V1],
            "1",
        ),
        ("PUT", state_ids(), vec![V1], "1"),
        ("POST", "/xapi/activities/state?method=PUT".to_owned(), form.to_vec(), "stateId=a"),
        ("POST", state("a"), vec![V1, JSON, ("X-HTTP-Method-Override", "PUT")], "{}"),
        ("PUT", state("a"), vec![V1, V2], "1"),
        ("PUT", state("a"), vec![V1, ("Connection", "If-Match"), STALE], "1"),
    ] {
        store.forget();
        proxy.send(method, &target, &fields, body).await;
        let writes = store.writes();
        assert_eq!(writes.len(), 1, "{method} {target}");
        assert_eq!(
            (writes[0].target.as_str(), writes[0].body.as_slice()),
            (target.as_str(), body.as_bytes())
        );
    }
}

#[tokio::test]
async fn an_oversized_body_is_streamed() {
    let store = Store::start();
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\ndocument-max = \"1KiB\"",
        &["--observe"],
    );
    let body = vec![b'x'; 300_000];
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, STALE], &body).await.status, 204);
    assert_eq!(store.document(&state("a")).unwrap(), body);
    assert_eq!(proxy.get(&state("a")).await.body, body);
}

#[tokio::test]
async fn a_write_waits_for_others_only_for_its_bound() {
    let store = Store::start();
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\nhold-wait = \"100ms\"",
        &["--observe"],
    );
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    let mut second = proxy.connect().await;
    second.request("PUT", &state("a"), &[V1], b"2").await;
    store.until_writes(2).await;
    store.open_gate();
    assert_eq!(first.answer("PUT").await.status, 204);
    assert_eq!(second.answer("PUT").await.status, 204);
}

#[tokio::test]
async fn an_unknown_outcome_holds_nobody_up() {
    let store = upstreams::answering(On::Writes, "503 Busy");
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\nhold-wait = \"100ms\"",
        &["--observe"],
    );
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 503);
    store.set(|knobs| knobs.misdeed = None);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "2").await.status, 204);
}

#[tokio::test]
async fn a_probe_that_fails_stops_no_write() {
    for store in [
        upstreams::redirecting(),
        upstreams::answering(On::Reads, "403 Forbidden"),
        upstreams::reset_unanswered(On::Reads),
        upstreams::half_a_body(On::Reads),
    ] {
        let proxy = Proxy::observing(&store);
        assert_eq!(proxy.send("PUT", &agent_profile("a"), &[V1, STALE], "1").await.status, 204);
        assert_eq!(store.document(&agent_profile("a")).unwrap(), b"1");
    }
}

#[tokio::test]
async fn an_answer_of_any_size_passes() {
    let store = Store::start();
    let large = "x".repeat(5000);
    store.answer("/xapi/activities/state", format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{large}"));
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\ndocument-max = \"1KiB\"",
        &["--observe"],
    );
    let answer = proxy.send("POST", &state("a"), &[V1, JSON], "{}").await;
    assert_eq!((answer.status, answer.text()), (200, large));
}

#[tokio::test]
async fn the_upstreams_tag_on_a_writes_answer_passes() {
    let store = Store::with(|knobs| knobs.fields.push(("ETag", "\"theirs\"")));
    let proxy = Proxy::observing(&store);
    for fields in [vec![V1], vec![V1, STALE]] {
        let answer = proxy.send("PUT", &state("a"), &fields, "1").await;
        assert_eq!((answer.status, answer.etag()), (204, Some("\"theirs\"")));
    }
}

#[tokio::test]
async fn a_write_without_a_body_gets_no_length() {
    let store = Store::start();
    let proxy = Proxy::observing(&store);
    assert_eq!(proxy.send("DELETE", &state("a"), &[V1], "").await.status, 204);
    assert_eq!(store.writes()[0].field("content-length"), None);
}

#[tokio::test]
async fn what_would_be_refused_for_its_form_is_noted() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    for (method, target, fields) in [
        ("GET", format!("{}&stateId=b", state("a")), vec![V1]),
        ("GET", state("a"), vec![V1, ("X-HTTP-Method-Override", "PUT")]),
        ("put", state("a"), vec![V1, ("Content-Length", "0")]),
        ("PUT", state("a"), vec![V1, ("Connection", "If-Match")]),
        ("PUT", "/xapi/activities//state?a".to_owned(), vec![V1]),
    ] {
        let proxy = Proxy::observing(&store);
        proxy.send(method, &target, &fields, "").await;
        let line = proxy.logged(method, |line| line["method"] == method).await;
        assert_eq!(line["verdict"], "ambiguous", "{method} {target}");
    }
}
