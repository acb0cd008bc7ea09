//! Metrics: what is counted, under which names, and that nothing a client sends becomes one.

use std::collections::BTreeMap;

use crate::support::client::send;
use crate::support::proxy::{Proxy, url};
use crate::support::store::{Answers, Misdeed, On, Store};
use crate::support::upstreams;
use crate::support::within;
use crate::support::xapi::{JSON, V1, activity_profile, agent_profile, encoded, state};

/// Every name that dashboards and alerts are made of.
const NAMES: [&str; 25] = [
    "staleguard_requests_total",
    "staleguard_decisions_total",
    "staleguard_failures_total",
    "staleguard_repairs_total",
    "staleguard_suspicious_writes_total",
    "staleguard_untold_writes_total",
    "staleguard_unknown_outcomes_total",
    "staleguard_foreign_writes_total",
    "staleguard_holds",
    "staleguard_hold_waiters",
    "staleguard_unsettled_scopes",
    "staleguard_hold_wait_seconds",
    "staleguard_probe_duration_seconds",
    "staleguard_upstream_duration_seconds",
    "staleguard_request_duration_seconds",
    "staleguard_buffered_bytes",
    "staleguard_connections",
    "staleguard_upstream_connections",
    "staleguard_config_reloads_total",
    "staleguard_config_last_reload_successful",
    "staleguard_config_last_reload_success_timestamp_seconds",
    "staleguard_draining",
    "staleguard_build_info",
    "process_start_time_seconds",
    "process_open_fds",
];

const A: (&str, &str) = ("Authorization", "Basic YTph");
const B: (&str, &str) = ("Authorization", "Basic YjpI");

fn sample(metrics: &BTreeMap<String, u64>, sample: &str) -> u64 {
    metrics.get(sample).copied().unwrap_or_else(|| panic!("no {sample} in {metrics:#?}"))
}

/// A sample, once every exchange before is over: the next answer of a connection comes after that.
async fn told(proxy: &Proxy, name: &str) -> u64 {
    sample(&proxy.metrics().await, name)
}

/// Waits for a sample to have a value: an exchange is counted when its answer has been sent, a moment after it was read.
async fn until(proxy: &Proxy, name: &str, value: u64) {
    within(&format!("{name} {value}"), async {
        while proxy.metrics().await.get(name).copied().unwrap_or_default() != value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn foreign(proxy: &Proxy, resource: &str) -> u64 {
    told(proxy, &format!("staleguard_foreign_writes_total{{resource=\"{resource}\"}}")).await
}

#[tokio::test]
async fn everything_has_its_name_and_is_told_in_both_formats() {
    let store = Store::start();
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::before(&store);
    let read = proxy.send("GET", &agent_profile("a"), &[V1], "").await;
    let fields = [V1, JSON, ("If-Match", read.etag().unwrap())];
    assert_eq!(proxy.send("PUT", &agent_profile("a"), &fields, "1").await.status, 204);
    assert_eq!(proxy.send("PUT", &agent_profile("b"), &fields, "1").await.status, 412);
    assert_eq!(proxy.send("PUT", &(agent_profile("a") + "&profileId=b"), &[V1], "1").await.status, 400);
    until(&proxy, "staleguard_failures_total{resource=\"agent-profile\",failure=\"ambiguous\"}", 1).await;

    let open = send(proxy.admin, "GET", "/metrics", &[], "").await;
    assert_eq!(
        open.field("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let plain = send(proxy.admin, "GET", "/metrics", &[("Accept", "*/*")], "").await;
    assert_eq!(plain.field("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let named = ("Accept", "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;q=0.5");
    assert_eq!(
        send(proxy.admin, "GET", "/metrics", &[named], "").await.field("content-type"),
        open.field("content-type")
    );
    for (text, is_open) in [(open.text(), true), (plain.text(), false)] {
        assert_eq!(text.ends_with("# EOF\n"), is_open);
        for name in NAMES {
            let family = name.strip_suffix("_total").filter(|_| is_open).unwrap_or(name);
            assert!(text.contains(&format!("# TYPE {family} ")), "{family}\n{text}");
            assert!(text.lines().any(|line| line.starts_with(name)), "{name}\n{text}");
        }
    }
}

#[tokio::test]
async fn which_program_it_is_is_told() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let revision = option_env!("STALEGUARD_REVISION").filter(|said| !said.is_empty()).unwrap_or("unknown");
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("staleguard_build_info{{version=\"{version}\",revision=\"{revision}\"}}");
    assert_eq!(told(&proxy, &build).await, 1);
    let status = proxy.status_json().await;
    assert_eq!((status["version"].as_str(), status["revision"].as_str()), (Some(version), Some(revision)));
}

#[tokio::test]
async fn exchanges_are_counted_by_what_they_came_to() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "{}");
    let proxy = Proxy::before(&store);
    proxy.send("GET", "/elsewhere", &[], "").await;
    proxy.send("BREW", "/elsewhere", &[], "").await;
    let read = proxy.send("GET", &target, &[V1], "").await;
    let fields = [V1, JSON, ("If-Match", read.etag().unwrap())];
    assert_eq!(proxy.send("PUT", &target, &fields, "1").await.status, 204);
    assert_eq!(proxy.send("PUT", &target, &fields, "2").await.status, 412);
    for (name, count) in [
        ("staleguard_requests_total{resource=\"-\",method=\"GET\",code=\"404\"}", 1),
        ("staleguard_requests_total{resource=\"-\",method=\"other\",code=\"200\"}", 1),
        ("staleguard_requests_total{resource=\"agent-profile\",method=\"PUT\",code=\"204\"}", 1),
        ("staleguard_requests_total{resource=\"agent-profile\",method=\"PUT\",code=\"412\"}", 1),
        ("staleguard_decisions_total{resource=\"agent-profile\",verdict=\"forward\",mode=\"enforce\"}", 1),
        (
            "staleguard_decisions_total{resource=\"agent-profile\",verdict=\"if-match-failed\",mode=\"enforce\"}",
            1,
        ),
        ("staleguard_decisions_total{resource=\"state\",verdict=\"if-match-failed\",mode=\"enforce\"}", 0),
        ("staleguard_request_duration_seconds_count{resource=\"-\"}", 2),
        ("staleguard_request_duration_seconds_count{resource=\"agent-profile\"}", 3),
        ("staleguard_hold_wait_seconds_count{resource=\"agent-profile\"}", 2),
        ("staleguard_probe_duration_seconds_count{resource=\"agent-profile\"}", 2),
        // The refused write went nowhere.
        ("staleguard_upstream_duration_seconds_count{resource=\"agent-profile\"}", 2),
        ("staleguard_upstream_duration_seconds_count{resource=\"-\"}", 2),
        ("staleguard_foreign_writes_total{resource=\"agent-profile\"}", 0),
        ("staleguard_unknown_outcomes_total{resource=\"agent-profile\"}", 0),
    ] {
        until(&proxy, name, count).await;
        told(&proxy, name).await;
    }
}

#[tokio::test]
async fn gauges_say_what_is_the_case_at_this_moment() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let proxy = Proxy::before(&store);
    let body = vec![b'1'; 5000];
    let mut writers = Vec::new();
    for _ in 0..3 {
        let mut writer = proxy.connect().await;
        writer.request("PUT", &state("a"), &[V1], &body).await;
        writers.push(writer);
    }
    for (name, value) in [
        ("staleguard_holds", 1),
        ("staleguard_hold_waiters", 2),
        ("staleguard_unsettled_scopes", 0),
        ("staleguard_upstream_connections", 1),
        ("staleguard_connections", 3),
        ("staleguard_buffered_bytes{direction=\"write\"}", 15_000),
        ("staleguard_draining", 0),
    ] {
        until(&proxy, name, value).await;
    }
    proxy.signal("TERM");
    until(&proxy, "staleguard_draining", 1).await;
    store.open_gate();
    for mut writer in writers {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_counted_once_whoever_waits_for_it() {
    for flags in [&[][..], &["--observe"]] {
        let store = upstreams::silent(On::Writes);
        let config = "[upstream]\nresponse-timeout = \"300ms\"";
        let proxy = Proxy::spawn(&url(&store), config, flags);
        let name = "staleguard_unknown_outcomes_total{resource=\"state\"}";
        assert_eq!(told(&proxy, name).await, 0);
        let mut leaver = proxy.connect().await;
        leaver.request("PUT", &state("a"), &[V1], b"1").await;
        store.until_writes(1).await;
        drop(leaver);
        until(&proxy, name, 1).await;
        assert_eq!(told(&proxy, "staleguard_unsettled_scopes").await, 1);
        assert_eq!(proxy.send("PUT", &agent_profile("a"), &[V1], "1").await.status, 504);
        assert_eq!(told(&proxy, "staleguard_unknown_outcomes_total{resource=\"agent-profile\"}").await, 1);
        assert_eq!(told(&proxy, name).await, 1);
    }
}

#[tokio::test]
async fn what_somebody_else_wrote_is_counted_when_it_is_seen() {
    for config in ["", "[upstream]\nexclusive = true\n[guard]\nrecall-max = \"0s\""] {
        let store = Store::start();
        let (read, written) = (agent_profile("read"), agent_profile("written"));
        store.hold(&read, "1");
        store.hold(&written, "1");
        let proxy = Proxy::configured(&store, config);
        // By a read.
        proxy.send("GET", &read, &[V1, A], "").await;
        store.hold(&read, "2");
        assert_eq!(foreign(&proxy, "agent-profile").await, 0, "nobody has looked");
        proxy.send("GET", &read, &[V1, A], "").await;
        assert_eq!(foreign(&proxy, "agent-profile").await, 1);
        proxy.send("GET", &read, &[V1, A], "").await;
        assert_eq!(foreign(&proxy, "agent-profile").await, 1, "it was counted");
        // By the question before a write.
        let tag = proxy.send("GET", &written, &[V1, A], "").await.etag().unwrap().to_owned();
        store.hold(&written, "2");
        let answer = proxy.send("PUT", &written, &[V1, A, ("If-Match", &tag)], "3").await;
        assert_eq!(answer.status, 412);
        assert_eq!(foreign(&proxy, "agent-profile").await, 2);
        // After a write of our own, which was read back.
        let tag = answer.etag().unwrap().to_owned();
        assert_eq!(proxy.send("PUT", &written, &[V1, A, ("If-Match", &tag)], "3").await.status, 204);
        assert_eq!(foreign(&proxy, "agent-profile").await, 2);
        store.hold(&written, "4");
        proxy.send("GET", &written, &[V1, A], "").await;
        assert_eq!(foreign(&proxy, "agent-profile").await, 3);
        assert_eq!(foreign(&proxy, "activity-profile").await, 0);
    }
}

#[tokio::test]
async fn an_observed_write_may_explain_what_the_next_one_finds() {
    let store = Store::start();
    store.hold(&agent_profile("a"), "1");
    let proxy = Proxy::observing(&store);
    let stale = [V1, A, ("If-Match", "\"x\"")];
    store.set(|knobs| knobs.misdeed = Some((On::Writes, Misdeed::Says(upstreams::bare("400 No")))));
    for held in ["1", "2", "3"] {
        store.hold(&agent_profile("a"), held);
        assert_eq!(proxy.send("PUT", &agent_profile("a"), &stale, "9").await.status, 400);
        assert_eq!(foreign(&proxy, "agent-profile").await, 0);
    }
}

#[tokio::test]
async fn what_was_written_through_here_is_never_foreign() {
    let store = Store::with(|knobs| knobs.reserialises = true);
    let proxy = Proxy::before(&store);
    let (merged, other) = (state("merged"), activity_profile("other"));
    for round in 0..3 {
        let document = format!("{{ \"round\": {round} }}");
        for (method, target) in [("PUT", &merged), ("POST", &merged), ("PUT", &other), ("DELETE", &other)] {
            proxy.send("GET", target, &[V1, A], "").await;
            // Another one writes than the one who looks.
            proxy.send(method, target, &[V1, JSON, B, ("If-Match", "*")], &document).await;
            proxy.send(method, target, &[V1, JSON, B], &document).await;
            proxy.send("GET", target, &[V1, A], "").await;
            proxy.send("GET", target, &[V1, B], "").await;
        }
    }
    assert_eq!((foreign(&proxy, "state").await, foreign(&proxy, "activity-profile").await), (0, 0));
}

#[tokio::test]
async fn a_write_of_unknown_outcome_explains_what_is_seen_until_it_has_settled() {
    let store = Store::with(|knobs| {
        knobs.misdeed = Some((On::Writes, Misdeed::SaysAndResets(String::new())));
        knobs.applies = true;
    });
    let target = agent_profile("a");
    store.hold(&target, "1");
    let proxy = Proxy::before(&store);
    proxy.send("GET", &target, &[V1, A], "").await;
    assert_eq!(proxy.send("PUT", &target, &[V1, A, ("If-Match", "*")], "2").await.status, 502);
    for held in ["2", "3", "4"] {
        store.hold(&target, held);
        proxy.send("GET", &target, &[V1, A], "").await;
    }
    assert_eq!(foreign(&proxy, "agent-profile").await, 0);
}

#[tokio::test]
async fn a_read_that_is_overtaken_by_a_write_is_no_sighting() {
    let store = Store::with(|knobs| knobs.answers_late = true);
    let target = agent_profile("a");
    store.hold(&target, "1");
    let proxy = Proxy::before(&store);
    proxy.send("GET", &target, &[V1, A], "").await;
    store.close_gate(On::Marked);
    let mut reader = proxy.connect().await;
    let before = store.seen().len();
    reader.request("GET", &target, &[V1, A, ("X-Gate", "1")], b"").await;
    store.until("the read", |seen| seen.len() > before).await;
    assert_eq!(proxy.send("PUT", &target, &[V1, A, ("If-Match", "*")], "2").await.status, 204);
    assert_eq!(proxy.send("GET", &target, &[V1, A], "").await.text(), "2");
    store.open_gate();
    reader.answer("GET").await;
    assert_eq!(proxy.send("GET", &target, &[V1, A], "").await.text(), "2");
    assert_eq!(foreign(&proxy, "agent-profile").await, 0);
}

#[tokio::test]
async fn a_read_that_was_asked_before_a_write_is_no_sighting_after_it() {
    let store = Store::with(|knobs| knobs.answers_late = true);
    store.hold(&state("a"), "1");
    let proxy = Proxy::before(&store);
    store.close_gate(On::Marked);
    let mut reader = proxy.connect().await;
    reader.request("GET", &state("a"), &[V1, A, ("X-Gate", "1")], b"").await;
    store.until("the read", |seen| !seen.is_empty()).await;
    // Nothing is stated, so that nothing is asked before it or read back after it.
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, A], "2").await.status, 204);
    store.open_gate();
    assert_eq!(reader.answer("GET").await.text(), "1");
    assert_eq!(proxy.send("GET", &state("a"), &[V1, A], "").await.text(), "2");
    assert_eq!(foreign(&proxy, "state").await, 0);
}

/// It was asked before the write, and nobody knows whether the write was there when it was answered.
#[tokio::test]
async fn a_read_that_sees_a_later_write_is_no_sighting() {
    for observes in [false, true] {
        let store = Store::start();
        let target = state("a");
        store.hold(&target, "1");
        let proxy = if observes { Proxy::observing(&store) } else { Proxy::before(&store) };
        proxy.send("GET", &target, &[V1, A], "").await;
        store.close_gate(On::Marked);
        let mut reader = proxy.connect().await;
        reader.request("GET", &target, &[V1, A, ("X-Gate", "1")], b"").await;
        store.until_reads(2).await;
        // Nothing is stated, so that nobody asks and sees it before it is written.
        assert_eq!(proxy.send("PUT", &target, &[V1, A], "2").await.status, 204);
        store.open_gate();
        assert_eq!(reader.answer("GET").await.text(), "2");
        assert_eq!(foreign(&proxy, "state").await, 0, "{observes}");
    }
}

#[tokio::test]
async fn two_who_are_shown_different_documents_are_no_third_who_writes() {
    let store = Store::start();
    store.answer("/agents/profile", format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", 1));
    let proxy = Proxy::before(&store);
    let target = format!("/agents/profile?profileId=a&agent={}", encoded("{\"mbox\":\"mailto:a@b.c\"}"));
    proxy.send("GET", &target, &[V1, A], "").await;
    for (fields, answer) in [
        (&[V1, B][..], "Content-Length: 1\r\n\r\n2"),
        (&[V1, A, ("Accept-Language", "de")], "Content-Length: 1\r\n\r\n3"),
        (&[V1, A], "Content-Length: 1\r\nVary: X-Tenant\r\n\r\n4"),
        (&[V1, A], "Content-Length: 1\r\nAge: 7\r\n\r\n5"),
        (&[V1, A], "Content-Length: 1\r\n\r\n1"),
        (&[V1, ("Authorization", "OAuth oauth_nonce=1")], "Content-Length: 1\r\n\r\n6"),
        (&[V1, ("Authorization", "OAuth oauth_nonce=1")], "Content-Length: 1\r\n\r\n7"),
    ] {
        store.answer("/agents/profile", format!("HTTP/1.1 200 OK\r\n{answer}"));
        assert_eq!(proxy.send("GET", &target, fields, "").await.status, 200);
        assert_eq!(foreign(&proxy, "agent-profile").await, 0, "{answer}");
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_alike_raises_one_alarm_a_document_at_most() {
    let store = Store::with(|knobs| knobs.answers = Answers::Different);
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::before(&store);
    for _ in 0..10 {
        proxy.send("GET", &agent_profile("a"), &[V1, A], "").await;
    }
    assert_eq!(foreign(&proxy, "agent-profile").await, 1);
}
