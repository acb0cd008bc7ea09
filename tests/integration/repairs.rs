//! Repairs: each form of an entity-tag that had to be understood is counted by its kind, and logged.

use serde_json::json;

use crate::support::client::Client;
use crate::support::proxy::Proxy;
use crate::support::sha1_tag;
use crate::support::store::{Store, Tags};
use crate::support::xapi::{V1, state};

const OLD: &str = "{\"n\":1}";
const OTHER: &str = "\"ffffffffffffffffffffffffffffffffffffffff\"";
const KINDS: [&str; 7] =
    ["coding-suffix", "doubly-quoted", "quoted-star", "unquoted", "upper-case", "upstream-tag", "weak"];

/// Forms of the current entity-tag, and the repairs that each takes to satisfy If-Match.
fn forms(theirs: &str) -> Vec<(String, Vec<&'static str>)> {
    let tag = sha1_tag(OLD);
    let hex = tag.trim_matches('"');
    let upper = hex.to_uppercase();
    vec![
        (tag.clone(), vec![]),
        ("*".to_owned(), vec![]),
        (format!("W/{OTHER}, {tag}"), vec![]),
        (hex.to_owned(), vec!["unquoted"]),
        (format!("\"{tag}\""), vec!["doubly-quoted"]),
        (format!("\"{upper}\""), vec!["upper-case"]),
        (format!("W/{tag}"), vec!["weak"]),
        (format!("\"{hex}-gzip\""), vec!["coding-suffix"]),
        ("\"*\"".to_owned(), vec!["quoted-star"]),
        (theirs.to_owned(), vec!["upstream-tag"]),
        (format!("W/\"{upper}-br\""), vec!["upper-case", "weak", "coding-suffix"]),
    ]
}

/// A store with one document and with tags of its own, and that document's.
fn store() -> (Store, String) {
    let store = Store::with(|knobs| knobs.tags = Tags::LengthHash);
    store.hold(&state("a"), OLD);
    let theirs = store.own_tag(&state("a")).unwrap();
    (store, theirs)
}

/// What was counted for one request, by kind; both of the admin's pages must say the same.
async fn counted(proxy: &Proxy, method: &str, fields: &[(&str, &str)], status: u16) -> Vec<&'static str> {
    let before = repairs(proxy).await;
    let mut client = Client::connect(proxy.address).await;
    let body = if method == "PUT" { OLD } else { "" };
    assert_eq!(client.send(method, &state("a"), fields, body).await.status, status, "{method} {fields:?}");
    // The next answer of a connection comes when the exchange before it is over.
    client.send("GET", "/barrier", &[], "").await;
    let after = repairs(proxy).await;
    let mut kinds = Vec::new();
    for (kind, (before, after)) in KINDS.iter().zip(before.into_iter().zip(after)) {
        kinds.extend(std::iter::repeat_n(*kind, usize::try_from(after - before).unwrap()));
    }
    kinds
}

async fn repairs(proxy: &Proxy) -> Vec<u64> {
    let (metrics, status) = (proxy.metrics().await, proxy.status_json().await);
    let sample = |kind: &str| metrics[&format!("staleguard_repairs_total{{kind=\"{kind}\"}}")];
    for kind in KINDS {
        assert_eq!(status["repairs"][kind], sample(kind), "{kind}");
    }
    KINDS.iter().map(|kind| sample(kind)).collect()
}

fn sorted(mut kinds: Vec<&'static str>) -> Vec<&'static str> {
    kinds.sort_unstable();
    kinds
}

#[tokio::test]
async fn a_writes_repairs_are_counted_by_kind_and_logged() {
    let (store, theirs) = store();
    for proxy in [Proxy::before(&store), Proxy::observing(&store)] {
        for (form, kinds) in forms(&theirs) {
            let told = kinds.clone();
            assert_eq!(
                counted(&proxy, "PUT", &[V1, ("If-Match", &form)], 204).await,
                sorted(kinds),
                "{form}"
            );
            if !told.is_empty() {
                let line = proxy.logged(&form, |line| line["repairs"] == json!(told)).await;
                assert_eq!(
                    (line["method"].as_str(), line["verdict"].as_str()),
                    (Some("PUT"), Some("forward"))
                );
            }
        }
        let lines = proxy.log();
        assert!(lines.iter().all(|line| line["repairs"] != json!([])), "{lines:#?}");
    }
}

#[tokio::test]
async fn a_reads_repairs_are_counted_by_kind_and_logged() {
    let (store, theirs) = store();
    let proxy = Proxy::before(&store);
    for (form, kinds) in forms(&theirs) {
        for method in ["GET", "HEAD"] {
            let if_match = [V1, ("If-Match", form.as_str())];
            assert_eq!(counted(&proxy, method, &if_match, 200).await, sorted(kinds.clone()), "{form}");
            let if_none_match = [V1, ("If-None-Match", form.as_str())];
            // The comparison that is due here takes no notice of `W/` (RFC 9110 §13.1.2).
            let kinds: Vec<_> = kinds.iter().copied().filter(|kind| *kind != "weak").collect();
            assert_eq!(counted(&proxy, method, &if_none_match, 304).await, sorted(kinds), "{form}");
        }
    }
    proxy.logged("a read", |line| line["repairs"] == json!(["weak"]) && line["method"] == "GET").await;
}

#[tokio::test]
async fn what_names_something_else_counts_nothing() {
    let (store, _) = store();
    let proxy = Proxy::before(&store);
    for form in
        [format!("W/{OTHER}"), OTHER.to_uppercase(), "\"open".to_owned(), OTHER.replace("f\"", "f-gzip\"")]
    {
        assert_eq!(counted(&proxy, "PUT", &[V1, ("If-Match", &form)], 412).await, [""; 0], "{form}");
    }
    store.set(|knobs| knobs.hides = true);
    let creates = [V1, ("If-None-Match", "\"*\"")];
    assert_eq!(counted(&proxy, "PUT", &creates, 204).await, [""; 0], "there is nothing to name");
}

#[tokio::test]
async fn strict_matching_repairs_nothing() {
    let (store, theirs) = store();
    let strict = Proxy::configured(&store, "[guard]\netag-matching = \"strict\"");
    for (form, kinds) in forms(&theirs) {
        let status = if kinds.is_empty() || form == theirs { 204 } else { 412 };
        assert_eq!(counted(&strict, "PUT", &[V1, ("If-Match", &form)], status).await, [""; 0], "{form}");
    }
    assert!(strict.log().iter().all(|line| line.get("repairs").is_none()));
}
