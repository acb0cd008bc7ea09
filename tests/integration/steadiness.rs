//! Upstreams that write a document differently each time it is read: `etag-of`.

use crate::support::proxy::Proxy;
use crate::support::store::{Answers, Store};
use crate::support::xapi::{JSON, V1, agent_profile};
use crate::support::{assert_refused, sha1_tag, xxh3_tag};

const CANONICAL: &str = "[resource.agent-profile]\netag-of = \"canonical-json\"";
const SPELT: &str = r#"{ "b": 1.0, "a": {"d": [], "c": "\u00e9"} }"#;
const FORM: &str = "{\"a\":{\"c\":\"\u{e9}\",\"d\":[]},\"b\":1}";

fn reordering() -> Store {
    Store::with(|knobs| knobs.answers = Answers::Reordered)
}

#[tokio::test]
async fn a_canonical_tag_survives_a_change_of_order() {
    let store = reordering();
    let target = agent_profile("a");
    store.hold(&target, SPELT);
    let proxy = Proxy::configured(&store, CANONICAL);
    let (first, second) = (proxy.get(&target).await, proxy.get(&target).await);
    assert_ne!(first.text(), second.text());
    let tag = sha1_tag(FORM);
    assert_eq!((first.etag(), second.etag()), (Some(tag.as_str()), Some(tag.as_str())));
    let known = [V1, ("If-None-Match", tag.as_str())];
    assert_eq!(proxy.send("GET", &target, &known, "").await.status, 304);
    assert_eq!(proxy.send("HEAD", &target, &[V1], "").await.etag(), Some(tag.as_str()));

    let next = r#"{"b":2, "a":1}"#;
    let current = [V1, JSON, ("If-Match", tag.as_str())];
    let saved = proxy.send("PUT", &target, &current, next).await;
    let new = sha1_tag(r#"{"a":1,"b":2}"#);
    assert_eq!((saved.status, saved.etag()), (204, Some(new.as_str())), "read back");
    assert_eq!(store.document(&target).unwrap(), next.as_bytes(), "the document itself goes on as it came");
    let stale = proxy.send("PUT", &target, &current, "{}").await;
    assert_refused(&stale, 412);
    assert_eq!(stale.etag(), Some(new.as_str()));
    let current = [V1, JSON, ("If-Match", new.as_str())];
    assert_eq!(proxy.send("DELETE", &target, &current, "").await.status, 204);
    assert_eq!(store.writes().len(), 2);
}

#[tokio::test]
async fn a_canonical_tag_names_one_value_only() {
    let store = Store::start();
    let target = agent_profile("a");
    let proxy = Proxy::configured(&store, CANONICAL);
    // Each pair is one document to whoever reads numbers as doubles, or keeps the last of two members.
    for (old, new) in [
        ("{\"a\":9007199254740992}", "{\"a\":9007199254740993}"),
        ("[12345678901234567890]", "[12345678901234567891]"),
        ("[0.1]", "[0.1000000000000000055]"),
        ("{\"a\":2}", "{\"a\":1,\"a\":2}"),
        ("{\"a\":1,\"a\":2}", "{\"a\":3,\"a\":2}"),
    ] {
        store.hold(&target, old);
        let tag = proxy.get(&target).await.etag().unwrap().to_owned();
        store.hold(&target, new);
        assert_ne!(proxy.get(&target).await.etag(), Some(tag.as_str()), "{old} {new}");
        let fields = [V1, JSON, ("If-Match", tag.as_str())];
        assert_refused(&proxy.send("PUT", &target, &fields, "{}").await, 412);
    }
    assert_eq!(store.writes().len(), 0);
}

#[tokio::test]
async fn what_has_no_canonical_form_is_known_by_its_bytes() {
    let store = Store::start();
    let target = "/notes/a";
    let config = "[resource.notes]\npath = \"/notes/{id}\"\nidentity = [\"path\"]\netag-of = \"canonical-json\"\n\
                  document-max = \"40B\"";
    let proxy = Proxy::configured(&store, config);
    for contents in ["text", "{\"a\": 1, \"a\": 1}", "[ 12345678901234567891 ]", "\"\\ud800\""] {
        store.hold(target, contents);
        let tag = xxh3_tag(contents);
        assert_eq!(proxy.get(target).await.etag(), Some(tag.as_str()), "{contents}");
        assert_eq!(proxy.send("PUT", target, &[("If-Match", &tag)], "new").await.status, 204, "{contents}");
    }
    // Over the bound a read gets no tag of ours, and a write may name that of the bytes.
    let large = format!("[ {} ]", "1, ".repeat(20) + "1");
    store.hold(target, &large);
    assert_eq!(proxy.get(target).await.etag(), None);
    let tag = xxh3_tag(&large);
    assert_eq!(proxy.send("PUT", target, &[("If-Match", &tag)], "[ 1 ]").await.status, 204);
    assert_eq!(proxy.get(target).await.etag(), Some(xxh3_tag("[1]").as_str()));
}

#[tokio::test]
async fn a_compressed_document_has_the_tag_of_its_canonical_form() {
    let store = Store::with(|knobs| {
        (knobs.gzips, knobs.chunks, knobs.answers) = (true, true, Answers::Reordered);
    });
    let target = agent_profile("a");
    store.hold(&target, SPELT);
    let proxy = Proxy::configured(&store, CANONICAL);
    let tag = sha1_tag(FORM);
    assert_eq!(proxy.get(&target).await.etag(), Some(tag.as_str()));
    assert_eq!(proxy.send("PUT", &target, &[V1, JSON, ("If-Match", &tag)], "{}").await.status, 204);
}
