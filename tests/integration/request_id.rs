//! X-Request-Id and the access log: one name for a request, wherever somebody may look for it.

use serde_json::Value;

use crate::support::client::Answer;
use crate::support::proxy::{Proxy, url};
use crate::support::store::{Misdeed, On, Store};
use crate::support::upstreams::bare;
use crate::support::xapi::{JSON, V1, agent_profile, state};

/// The id that an answer carries, which must be a single one.
fn id(answer: &Answer) -> String {
    let ids: Vec<_> = (answer.head.fields.iter())
        .filter(|(name, _)| name.eq_ignore_ascii_case("x-request-id"))
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(ids.len(), 1, "{answer:#?}");
    ids[0].clone()
}

async fn logged(proxy: &Proxy, id: &str) -> Value {
    proxy.logged(id, |line| line["request_id"] == id).await
}

#[tokio::test]
async fn whatever_is_answered_carries_the_id_that_was_brought() {
    for flags in [&[][..], &["--observe"]] {
        let store = Store::with(|knobs| knobs.fields = vec![("X-Request-Id", "the upstream's own")]);
        let proxy = Proxy::spawn(&url(&store), "", flags);
        let target = agent_profile("a");
        store.hold(&target, "{}");
        let problem = ("Accept", "application/problem+json");
        for (number, (method, target, fields)) in [
            ("GET", "/elsewhere", &[][..]),
            ("POST", "/elsewhere", &[]),
            ("GET", &target, &[("If-None-Match", "*")]),
            ("PUT", &target, &[("If-Match", "\"stale\""), problem]),
            ("PUT", &target, &[("If-Match", "*")]),
            ("PUT", &(target.clone() + "&profileId=b"), &[problem]),
            ("CONNECT", "/elsewhere", &[]),
        ]
        .into_iter()
        .enumerate()
        {
            store.forget();
            let brought = format!("brought/{number};x=\"y\"");
            let all = [&[V1, ("X-Request-Id", brought.as_str())], fields].concat();
            let answer = proxy.send(method, target, &all, "").await;
            assert_eq!(id(&answer), brought, "{method} {target}");
            let line = logged(&proxy, &brought).await;
            assert_eq!(line["status"], answer.status);
            for seen in store.seen() {
                assert_eq!(seen.field("x-request-id"), Some(brought.as_str()), "the question too");
            }
            if answer.field("content-type") == Some("application/problem+json") {
                let problem: Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(problem["request_id"], brought);
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_brings_none_or_none_that_is_fit_gets_one() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut ids = Vec::new();
    let longest = "x".repeat(129);
    for brought in
        [&[][..], &[("X-Request-Id", "a b")], &[("X-Request-Id", &longest)], &[("X-Request-Id", "\u{e9}")]]
    {
        store.forget();
        let answer = proxy.send("GET", "/elsewhere", brought, "").await;
        let made = id(&answer);
        let shape: Vec<_> = made.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12], "{made}");
        assert_eq!(store.seen()[0].field("x-request-id"), Some(made.as_str()));
        logged(&proxy, &made).await;
        ids.push(made);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "each has its own");
}

#[tokio::test]
async fn a_service_that_asks_for_a_writer_names_its_request() {
    let store = Store::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "Basic c2VydmljZTpz").unwrap();
    let config = format!("[probe]\nauthorization-file = {:?}", file.path());
    let proxy = Proxy::configured(&store, &config);
    let fields =
        [V1, ("Authorization", "OAuth oauth_nonce=1"), ("If-None-Match", "*"), ("X-Request-Id", "one")];
    assert_eq!(proxy.send("PUT", &agent_profile("a"), &fields, "1").await.status, 204);
    let ids: Vec<_> = store.seen().iter().map(|seen| seen.field("x-request-id").map(str::to_owned)).collect();
    assert_eq!(ids[..2], [Some("one".to_owned()), Some("one".to_owned())]);
}

#[tokio::test]
async fn a_trace_is_passed_on_as_it_came_and_logged() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = [("traceparent", parent), ("tracestate", "a=b, c=d"), ("X-Request-Id", "traced")];
    for (method, target) in [("GET", "/elsewhere".to_owned()), ("PUT", state("a")), ("GET", state("a"))] {
        store.forget();
        proxy.send(method, &target, &[&[V1], &trace[..]].concat(), "").await;
        for seen in store.seen() {
            assert_eq!(
                (seen.field("traceparent"), seen.field("tracestate")),
                (Some(parent), Some("a=b, c=d"))
            );
        }
        let line = logged(&proxy, "traced").await;
        assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    }
    let unfit = [("traceparent", "00-nonsense"), ("X-Request-Id", "untraced")];
    proxy.send("GET", "/elsewhere", &unfit, "").await;
    assert_eq!(logged(&proxy, "untraced").await.get("trace_id"), None);
    assert_eq!(store.seen().last().unwrap().field("traceparent"), Some("00-nonsense"));
}

#[tokio::test]
async fn the_access_log_says_what_users_of_other_proxies_look_for() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let client = [("Host", "lrs.example"), ("User-Agent", "a\tplayer"), ("X-Forwarded-For", "203.0.113.7")];
    let fields = [&[V1, JSON, ("X-Request-Id", "write")], &client[..]].concat();
    assert_eq!(proxy.send("PUT", &state("a"), &fields, "12345").await.status, 204);
    let line = logged(&proxy, "write").await;
    for (key, value) in [
        ("protocol", Value::from("HTTP/1.1")),
        ("authority", "lrs.example".into()),
        ("user_agent", "a%09player".into()),
        ("x_forwarded_for", "203.0.113.7".into()),
        ("bytes_received", 5.into()),
        ("resource", "state".into()),
    ] {
        assert_eq!(line[key], value, "{key}: {line:#}");
    }
    assert!(line["upstream_ms"].as_f64().unwrap() <= line["duration_ms"].as_f64().unwrap(), "{line:#}");
    // A refused write has nothing to wait for, and what was asked before is the probe.
    let stale = [&[V1, ("If-Match", "\"x\""), ("X-Request-Id", "stale")], &client[..]].concat();
    assert_eq!(proxy.send("PUT", &state("a"), &stale, "1").await.status, 412);
    let line = logged(&proxy, "stale").await;
    assert!(line.get("upstream_ms").is_none() && line["probe_ms"].is_number(), "{line:#}");
    // So is what is handed back of it.
    store.set(|knobs| knobs.misdeed = Some((On::Reads, Misdeed::Says(bare("400 Bad Request")))));
    let refused = [&[V1, ("If-Match", "\"x\""), ("X-Request-Id", "refused")], &client[..]].concat();
    assert_eq!(proxy.send("PUT", &state("a"), &refused, "1").await.status, 400);
    let line = logged(&proxy, "refused").await;
    assert!(line.get("upstream_ms").is_none() && line["probe_ms"].is_number(), "{line:#}");
    store.set(|knobs| knobs.misdeed = None);
    // What is streamed counts as well.
    let fields = [("X-Request-Id", "relayed")];
    proxy.send("POST", "/elsewhere", &fields, vec![b'x'; 100_000]).await;
    assert_eq!(logged(&proxy, "relayed").await["bytes_received"], 100_000);
}
