//! Holes that an attack found: what is closed stays closed.

use std::io::Write;

use crate::support::proxy::Proxy;
use crate::support::sha1_tag;
use crate::support::store::Store;
use crate::support::xapi::{JSON, V1, agent_profile, state};

const SERVICE: &str = "Basic c2VydmljZTpzZWNyZXQ=";

/// Megabytes that a process holds in memory.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// How much larger the proxy has become after 400 PUTs of two bytes that all succeed.
async fn growth(fields: &[(&str, &str)]) -> u64 {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let before = resident(proxy.pid());
    let mut client = proxy.connect().await;
    for id in 0..400 {
        store.hold(&state(&id.to_string()), "{}");
        let fields: Vec<_> = [V1, JSON].into_iter().chain(fields.iter().copied()).collect();
        assert_eq!(client.send("PUT", &state(&id.to_string()), &fields, "{}").await.status, 204);
    }
    resident(proxy.pid()) - before
}

#[tokio::test]
async fn what_is_remembered_of_a_put_is_bounded_whatever_its_if_match_lists() {
    let list = format!("{}{}", sha1_tag("{}"), ",a".repeat(990));
    let padding = "x".repeat(30_000);
    let grown = growth(&[("If-Match", &list), ("X-Pad", &padding)]).await;
    assert!(grown < 20, "it has grown by {grown} MB");
}

#[tokio::test]
async fn a_list_of_tags_without_end_is_refused() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let list = format!("{}{}", sha1_tag("{}"), ",a".repeat(1000));
    let answer = proxy.send("PUT", &state("a"), &[V1, JSON, ("If-Match", &list)], "{\"n\":1}").await;
    assert_eq!(answer.status, 412);
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_field_that_doubles_a_precondition_behind_cgi_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for name in ["If_Match", "if_none_match", "If_Unmodified_Since", "X_Experience_API_Version"] {
        let answer = proxy.send("PUT", &state("a"), &[V1, JSON, (name, "*")], "{}").await;
        assert_eq!(answer.status, 400, "{name}");
    }
    assert!(store.seen().is_empty());
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, JSON, ("X_Custom", "1")], "{}").await.status, 204);
}

/// What reaches the upstream with a service's credential, of a writer who would like it to reach farther.
#[tokio::test]
async fn a_service_lends_its_authority_to_no_field_of_the_writers() {
    let store = Store::with(|knobs| knobs.reader = Some(SERVICE.to_owned()));
    store.hold(&agent_profile("a"), "{}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SERVICE}").unwrap();
    let config = format!("probe.authorization-file = {:?}", file.path().to_str().unwrap());
    let proxy = Proxy::configured(&store, &config);
    let mut fields = vec![V1, JSON, ("DPoP", "x"), ("If-Match", "\"x\"")];
    let foreign =
        ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "Cookie", "Origin", "Accept", "X-Custom"];
    fields.extend(foreign.map(|name| (name, "/admin")));
    assert_eq!(proxy.send("PUT", &agent_profile("a"), &fields, "{}").await.status, 412);
    let query = agent_profile("a").split_once('?').unwrap().1.to_owned();
    let form = format!("{query}&oauth_signature=x&If-Match=%22x%22");
    let label = ("Content-Type", "application/x-www-form-urlencoded");
    let wrapped = proxy.send("POST", "/xapi/agents/profile?method=PUT", &[V1, label], form).await;
    assert_eq!(wrapped.status, 412);
    let asked = store.seen();
    assert_eq!(asked.len(), 2);
    for seen in asked {
        assert_eq!((seen.method.as_str(), seen.field("authorization")), ("GET", Some(SERVICE)));
        assert!(foreign.iter().all(|name| seen.field(name).is_none()), "{seen:?}");
    }
}

#[tokio::test]
async fn a_document_of_very_many_values_is_not_compared_as_json() {
    let store = Store::with(|knobs| knobs.reserialises = true);
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let document = format!("[{}0]", "0, ".repeat(200_000));
    let fields = [V1, JSON, ("If-Match", &sha1_tag("{}") as &str)];
    let answer = proxy.send("PUT", &state("a"), &fields, &document).await;
    assert_eq!((answer.status, answer.etag()), (204, None));
}

#[tokio::test]
async fn a_put_with_another_condition_is_no_replay() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let first = [V1, JSON, ("If-Match", &sha1_tag("{}") as &str)];
    assert_eq!(proxy.send("PUT", &state("a"), &first, "{\"n\":1}").await.status, 204);
    let other = [first.as_slice(), &[("If-None-Match", "*")]].concat();
    assert_eq!(proxy.send("PUT", &state("a"), &other, "{\"n\":1}").await.status, 412);
}

/// What somebody without any credential is told about a document, beside the status.
async fn told(proxy: &Proxy, id: &str) -> (String, Option<String>) {
    let fields = [V1, JSON, ("DPoP", "x"), ("Origin", "https://page.example"), ("If-Match", "\"x\"")];
    let answer = proxy.send("PUT", &agent_profile(id), &fields, "{}").await;
    assert_eq!(answer.status, 412);
    (answer.text(), answer.field("access-control-allow-origin").map(str::to_owned))
}

#[tokio::test]
async fn a_verdict_that_a_service_led_to_says_nothing_else() {
    let store = Store::with(|knobs| {
        knobs.reader = Some(SERVICE.to_owned());
        knobs.fields = vec![("Access-Control-Allow-Origin", "https://service.example")];
    });
    store.hold(&agent_profile("a"), "{}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SERVICE}").unwrap();
    let config = format!("probe.authorization-file = {:?}", file.path().to_str().unwrap());
    let proxy = Proxy::configured(&store, &config);
    let (existing, missing) = (told(&proxy, "a").await, told(&proxy, "b").await);
    assert_eq!(existing.0, missing.0, "existence");
    assert_eq!(existing.1, None, "what was said to the service");
}
