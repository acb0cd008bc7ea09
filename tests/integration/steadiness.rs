//! Upstreams that write a document differently each time it is read: `etag-of`, and the report.

use crate::support::proxy::Proxy;
use crate::support::store::{Answers, Misdeed, On, Store, Tags};
use crate::support::upstreams::bare;
use crate::support::xapi::{JSON, V1, activity_profile, agent_profile, state};
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

#[tokio::test]
async fn an_upstream_whose_own_tags_are_of_the_spelling_is_told_none() {
    let store = Store::with(|knobs| {
        (knobs.answers, knobs.tags) = (Answers::Reordered, Tags::OfAnswer);
        // By the time that it compares, its own tag is another.
        knobs.misdeed = Some((On::Conditional, Misdeed::Says(bare("412 Precondition Failed"))));
    });
    let target = agent_profile("a");
    store.hold(&target, many_members());
    let proxy = Proxy::configured(&store, CANONICAL);
    assert_eq!(edit(&proxy, &target).await, 204);
    let told: Vec<bool> = store.writes().iter().map(|write| write.field("if-match").is_some()).collect();
    assert_eq!(told, [true, false]);

    // Another value in between is another value, and is not overwritten.
    store.hold(&target, many_members());
    let proxy = Proxy::configured(&store, CANONICAL);
    let tag = proxy.get(&target).await.etag().unwrap().to_owned();
    store.forget();
    store.close_gate(On::Conditional);
    let mut writer = proxy.connect().await;
    writer.request("PUT", &target, &[V1, JSON, ("If-Match", &tag)], b"{}").await;
    store.until_writes(1).await;
    store.hold(&target, "{\"a\": 1}");
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 412);
    assert_eq!(store.writes().len(), 1);
}

/// A document of which no two of many readings in a row look the same where members are reordered.
fn many_members() -> String {
    let members: Vec<String> = (0..40).map(|n| format!("\"secret{n}\":{n}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Reads a document and writes it with the tag that it had, as its editors do.
async fn edit(proxy: &Proxy, target: &str) -> u16 {
    let tag = proxy.get(target).await.etag().unwrap().to_owned();
    proxy.send("PUT", target, &[V1, JSON, ("If-Match", &tag)], "{}").await.status
}

/// Writes with a tag that names nothing, and gives how often the upstream was asked for it.
async fn refuse(proxy: &Proxy, store: &Store, target: &str) -> usize {
    let reads = store.seen().len();
    assert_refused(&proxy.send("PUT", target, &[V1, JSON, ("If-Match", "\"stale\"")], "{}").await, 412);
    store.seen().len() - reads
}

/// The lines that speak of unsteady answers.
async fn reports(proxy: &Proxy) -> Vec<String> {
    let said = proxy.last_words().await;
    said.lines().filter(|line| line.contains("asked three times")).map(str::to_owned).collect()
}

#[tokio::test]
async fn answers_that_always_differ_are_reported_once_and_mended_by_a_canonical_tag() {
    let store = reordering();
    store.hold(&agent_profile("a"), many_members());
    let proxy = Proxy::before(&store);
    let mut asked = Vec::new();
    for _ in 0..7 {
        store.forget();
        assert_eq!(edit(&proxy, &agent_profile("a")).await, 412);
        asked.push(store.seen().len());
    }
    assert_eq!(asked, [2, 2, 4, 2, 2, 2, 2], "each read, each refusal, and two questions more at the third");
    let reports = reports(&proxy).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    for words in
        ["WARN", "agent-profile", "every conditional write is refused", "etag-of = \"canonical-json\""]
    {
        assert!(reports[0].contains(words), "{reports:?}");
    }
    for private in ["secret", "learner", "profileId"] {
        assert!(!reports[0].contains(private), "{reports:?}");
    }
    let proxy = Proxy::configured(&store, CANONICAL);
    assert_eq!(edit(&proxy, &agent_profile("a")).await, 204);
}

#[tokio::test]
async fn two_refusals_are_not_looked_into() {
    let store = reordering();
    store.hold(&agent_profile("a"), many_members());
    let proxy = Proxy::before(&store);
    for _ in 0..2 {
        assert_eq!(edit(&proxy, &agent_profile("a")).await, 412);
    }
    assert_eq!(store.seen().len(), 4);
    assert_eq!(reports(&proxy).await, [""; 0]);
}

#[tokio::test]
async fn contents_that_always_differ_are_called_so() {
    let store = Store::with(|knobs| knobs.answers = Answers::Different);
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::configured(&store, CANONICAL);
    for _ in 0..4 {
        assert_eq!(edit(&proxy, &agent_profile("a")).await, 412);
    }
    let reports = reports(&proxy).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("no If-Match can ever be satisfied"), "{reports:?}");
}

#[tokio::test]
async fn every_resource_is_reported_for_itself() {
    let store = reordering();
    let proxy = Proxy::before(&store);
    for target in [agent_profile("a"), activity_profile("a"), state("a")] {
        store.hold(&target, many_members());
        for _ in 0..4 {
            assert_eq!(edit(&proxy, &target).await, 412);
        }
    }
    assert_eq!(reports(&proxy).await.len(), 3);
}

#[tokio::test]
async fn a_steady_upstream_is_rarely_asked_more_and_never_reported() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "{}");
    let proxy = Proxy::before(&store);
    let mut asked = Vec::new();
    for _ in 0..6 {
        asked.push(refuse(&proxy, &store, &target).await);
    }
    assert_eq!(asked, [1, 1, 3, 1, 1, 3]);
    // Whoever is right in between shows that tags last.
    for _ in 0..4 {
        assert_eq!(refuse(&proxy, &store, &target).await, 1);
        assert_eq!(refuse(&proxy, &store, &target).await, 1);
        assert_eq!(edit(&proxy, &target).await, 204);
    }
    // What names no document that is there, and what names it and does not want it, says nothing of its answers.
    store.forget();
    for _ in 0..4 {
        assert_eq!(refuse(&proxy, &store, &agent_profile("none")).await, 1);
        let fields = [V1, JSON, ("If-None-Match", "*")];
        assert_refused(&proxy.send("PUT", &target, &fields, "{}").await, 412);
    }
    assert_eq!(store.seen().len(), 8);
    assert_eq!(refuse(&proxy, &store, &target).await, 1);
    assert_eq!(reports(&proxy).await, [""; 0]);
}

#[tokio::test]
async fn a_write_of_somebody_else_in_between_is_not_reported() {
    for before in [2, 3] {
        let store = Store::start();
        let target = agent_profile("a");
        store.hold(&target, "old");
        let proxy = Proxy::before(&store);
        for _ in 0..2 {
            refuse(&proxy, &store, &target).await;
        }
        store.forget();
        store.close_gate(On::Reads);
        let mut writer = proxy.connect().await;
        writer.request("PUT", &target, &[V1, JSON, ("If-Match", "\"stale\"")], b"{}").await;
        store.let_through(before - 1);
        store.until_reads(before).await;
        store.hold(&target, "new");
        store.open_gate();
        assert_refused(&writer.answer("PUT").await, 412);
        assert_eq!(store.seen().len(), 3);
        assert_eq!(reports(&proxy).await, [""; 0], "before answer {before}");
    }
}

#[tokio::test]
async fn a_refusal_is_answered_although_the_upstream_does_not_answer_again() {
    let silent = Misdeed::Silent;
    let broken = Misdeed::SaysAndResets(String::new());
    for misdeed in
        [silent, broken, Misdeed::Says(bare("403 Forbidden")), Misdeed::Says(bare("404 Not Found"))]
    {
        let store = Store::start();
        let target = agent_profile("a");
        store.hold(&target, "old");
        let proxy = Proxy::configured(&store, "[upstream]\nread-back-timeout = \"200ms\"\nconnections = 1");
        for _ in 0..2 {
            refuse(&proxy, &store, &target).await;
        }
        store.forget();
        store.close_gate(On::Reads);
        let mut writer = proxy.connect().await;
        writer.request("PUT", &target, &[V1, JSON, ("If-Match", "\"stale\"")], b"{}").await;
        store.let_through(1);
        store.until_reads(2).await;
        store.set(|knobs| knobs.misdeed = Some((On::Reads, misdeed)));
        store.open_gate();
        let answer = writer.answer("PUT").await;
        assert_refused(&answer, 412);
        assert_eq!(answer.etag(), Some(sha1_tag("old").as_str()));
        assert_eq!(reports(&proxy).await, [""; 0]);
    }
}
