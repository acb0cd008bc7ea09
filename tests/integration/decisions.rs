//! Decisions: a record of each guarded write, in memory, in a file, and on the admin listener.

use serde_json::{Value, json};

use crate::support::client::send;
use crate::support::proxy::{Proxy, url};
use crate::support::store::{On, Store, Tags};
use crate::support::xapi::{JSON, V1, agent_profile, state, state_ids};
use crate::support::{sha1_tag, upstreams, within};

const STALE: (&str, &str) = ("If-Match", "\"0000000000000000000000000000000000000000\"");
const BASIC: (&str, &str) = ("Authorization", "Basic c2VjcmV0OnNlY3JldA==");

/// The last decisions, the newest first.
async fn decisions(proxy: &Proxy, query: &str) -> Vec<Value> {
    let answer = send(proxy.admin, "GET", &format!("/decisions.json{query}"), &[], "").await;
    assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")));
    let mut shown: Value = serde_json::from_slice(&answer.body).unwrap();
    shown["decisions"].as_array_mut().expect("a list").drain(..).collect()
}

/// The only decision that follows on so many, once it is there.
async fn next(proxy: &Proxy, so_far: usize) -> Value {
    within("a decision", async {
        loop {
            let mut decisions = decisions(proxy, "").await;
            if decisions.len() > so_far {
                assert_eq!(decisions.len(), so_far + 1);
                return decisions.remove(0);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_write_is_recorded_with_what_was_asked_known_and_done() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    store.hold(&agent_profile("a"), "{}");
    let config = "[resource.agent-profile]\nreplay-window = \"0s\"\n";
    let who = [
        V1,
        JSON,
        BASIC,
        ("User-Agent", "TinCanJS/0.50"),
        ("Origin", "https://c.example"),
        ("X-Request-Id", "r-1"),
    ];
    for (mode, refused) in [("enforce", 409), ("observe", 204)] {
        let proxy = Proxy::configured(&store, &format!("guard.mode = \"{mode}\"\n{config}"));
        assert_eq!(proxy.send("PUT", &agent_profile("a"), &who, "{}").await.status, refused);
        let one = next(&proxy, 0).await;
        for (key, expected) in [
            ("request", json!("r-1")),
            ("resource", json!("agent-profile")),
            ("mode", json!(mode)),
            ("method", json!("PUT")),
            ("status", json!(refused)),
            ("verdict", json!("precondition-missing")),
            ("would_be", json!({ "verdict": "precondition-missing", "status": 409 })),
            ("version", json!("1.0.3")),
            ("stated", json!({ "kind": "none" })),
        ] {
            assert_eq!(one[key], expected, "{key} {one:#}");
        }
        assert!(one["rule"].as_str().unwrap().ends_with(".toml:2"), "{one:#}");
        assert_eq!(one["client"]["agent"], "TinCanJS");
        assert_eq!(one["client"]["origin"], "https://c.example");
        assert_eq!(one["client"]["key"].as_str().map(str::len), Some(12));
        assert_eq!(one["found"]["tag"], json!(sha1_tag("{}")));
        assert!(one["hold_ms"].is_number() && one["probe_ms"].is_number(), "{one:#}");
        assert!(one["time"].as_str().unwrap().ends_with('Z'));

        // The same client and document, and the upstream's own tag.
        let theirs = store.own_tag(&agent_profile("a")).unwrap();
        let stated: Vec<_> = who.into_iter().chain([("If-Match", theirs.as_str())]).collect();
        assert_eq!(proxy.send("PUT", &agent_profile("a"), &stated, "{}").await.status, 204);
        let other = next(&proxy, 1).await;
        assert_eq!((&other["client"], &other["document"]), (&one["client"], &one["document"]));
        assert_eq!(other["named"], "upstream");
        assert_eq!(other["stated"], json!({ "kind": "if-match", "if_match": theirs }));
        assert_eq!(other["would_be"], json!({ "verdict": "forward" }));
        assert_eq!(other["repairs"], json!(["upstream-tag"]));
        assert_eq!(other["found"]["upstream"], json!(theirs));
    }
}

/// Two devices of one learner share a credential and a browser, and overwrite each other.
#[tokio::test]
async fn devices_are_told_apart_by_where_they_come_from_and_no_address_is_told() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut told = Vec::new();
    for (count, from) in ["203.0.113.7", "203.0.113.8, 10.0.0.1", "203.0.113.7"].into_iter().enumerate() {
        let fields = [V1, BASIC, ("X-Forwarded-For", from)];
        assert_eq!(proxy.send("PUT", &state("a"), &fields, from).await.status, 204);
        told.push(next(&proxy, count).await);
    }
    assert!(
        told.iter().all(|one| one["client"] == told[0]["client"] && !one.to_string().contains("203.0.113"))
    );
    assert!(told[0]["from"].as_str().is_some_and(|from| from.len() == 12), "{:#}", told[0]);
    assert!(told[0]["from"] == told[2]["from"] && told[0]["from"] != told[1]["from"]);
    let hot = send(proxy.admin, "GET", "/page/hot.json", &[], "").await.text();
    assert!(hot.contains("\"writers\":2") && hot.contains("\"blind\":2"), "{hot}");
}

#[tokio::test]
async fn what_an_enforcing_proxy_would_have_answered_is_said() {
    let silent = upstreams::answering(On::Reads, "403 Forbidden");
    let refusing = upstreams::answering(On::Reads, "401 Unauthorized");
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let long = "x".repeat(2000);
    for (store, config, target, fields, body, verdict, status) in [
        (&store, "", state("a"), vec![V1, STALE], "1", "if-match-failed", json!(412)),
        (&store, "", state("a"), vec![V1, ("If-Match", "\"open")], "1", "malformed-precondition", json!(412)),
        (&store, "", format!("{}&stateId=b", state("a")), vec![V1], "1", "ambiguous", json!(400)),
        (&store, "", state_ids(), vec![V1], "1", "unidentified", json!(400)),
        (&store, "guard.document-max = \"1KiB\"", state("a"), vec![V1], &long, "body-too-large", json!(413)),
        (&store, "guard.start-settle = \"1h\"", state("a"), vec![V1], "1", "unsettled", json!(503)),
        (&store, "observe.sample = 0", state("a"), vec![V1, STALE], "1", "not-sampled", Value::Null),
        (&silent, "", agent_profile("a"), vec![V1], "1", "probe-forbidden", json!(403)),
        (&refusing, "", agent_profile("a"), vec![V1], "1", "handed-back", json!(401)),
    ] {
        let proxy = Proxy::spawn(&url(store), config, &["--observe"]);
        assert_eq!(
            proxy.send("PUT", &target, &fields, body).await.status / 100,
            if verdict == "unidentified" { 4 } else { 2 }
        );
        let one = next(&proxy, 0).await;
        assert_eq!((&one["would_be"]["verdict"], &one["would_be"]["status"]), (&json!(verdict), &status));
    }
}

#[tokio::test]
async fn only_writes_are_recorded_and_as_many_shown_as_are_asked_for() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    proxy.get(&state("a")).await;
    proxy.get("/elsewhere").await;
    proxy.send("PUT", "/elsewhere", &[], "1").await;
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let (path, query) =
        state("a").split_once('?').map(|(path, query)| (path.to_owned(), query.to_owned())).unwrap();
    proxy.send("POST", &format!("{path}?method=GET"), &[V1, form], &query).await;
    for so_far in 0..3 {
        proxy.send("POST", &format!("{path}?method=PUT"), &[V1, form], format!("{query}&content=1")).await;
        let one = next(&proxy, so_far).await;
        assert_eq!((&one["method"], &one["alternate"]), (&json!("PUT"), &json!(true)));
        assert!(one["document"].is_string(), "{one:#}");
    }
    assert_eq!(decisions(&proxy, "?limit=2").await.len(), 2);
    assert_eq!(decisions(&proxy, "?limit=0").await.len(), 0);
    for unknown in ["limit=x", "resource=nope", "limit=1&resource=state"] {
        let path = format!("/decisions.json?{unknown}");
        assert_eq!(send(proxy.admin, "GET", &path, &[], "").await.status, 400, "{unknown}");
    }
}

#[tokio::test]
async fn decisions_are_written_down_and_name_nobody() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let proxy = Proxy::configured(&store, &format!("log.decisions-file = {:?}", path.to_str().unwrap()));
    let who = [V1, BASIC, ("Cookie", "session=secret"), ("User-Agent", "learner@example.com"), STALE];
    for _ in 0..3 {
        proxy.send("PUT", &state("secret"), &who, "secret").await;
    }
    proxy.signal("TERM");
    assert_eq!(proxy.ended().await, Some(0));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["status"] == 412 && line["document"] == lines[0]["document"]));
    for secret in ["secret", "learner", "example.com", "c2Vj", "stateId", "mbox"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("no/such/folder.jsonl");
    let config =
        crate::support::proxy::config_file(&format!("log.decisions-file = {:?}", path.to_str().unwrap()));
    let config = config.path().to_str().unwrap();
    let arguments =
        ["run", "--upstream", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let output = crate::support::proxy::run(&[&arguments[..], &["--config", config]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("log.decisions-file"), "{output:?}");
}
