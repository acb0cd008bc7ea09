//! Stage *learn*, where nobody else writes to the upstream: what is recalled, and when nothing may be.
//!
//! Every request that reaches the upstream is counted.

use std::io::Write;

use crate::support::client::Answer;
use crate::support::proxy::Proxy;
use crate::support::store::{Knobs, Misdeed, On, Store, Tags};
use crate::support::upstreams::bare;
use crate::support::xapi::{JSON, V1, V2, activity_profile, agent_profile, encoded, state, state_ids};
use crate::support::{assert_refused, sha1_tag};

const EXCLUSIVE: &str = "upstream.exclusive = true\n";
/// Nothing is read back, so that a write is one request.
const PLAIN: &str = "upstream.exclusive = true\nguard.read-back = \"never\"\n";
const WHO: (&str, &str) = ("Authorization", "Basic YTpi");
const OTHER: (&str, &str) = ("Authorization", "Basic Yzpk");
const REGISTRATION: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// A store with the document "0" at a few targets, and a proxy before it.
fn before(config: &str, set: impl FnOnce(&mut Knobs)) -> (Store, Proxy) {
    let store = Store::with(set);
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        store.hold(&target, "0");
    }
    let proxy = Proxy::configured(&store, config);
    (store, proxy)
}

async fn read(proxy: &Proxy, target: &str) -> Answer {
    proxy.send("GET", target, &[V1, WHO], "").await
}

/// A PUT that names what it starts from.
async fn put(proxy: &Proxy, target: &str, from: &str, body: &str) -> Answer {
    proxy.send("PUT", target, &[V1, WHO, JSON, ("If-Match", &sha1_tag(from))], body).await
}

/// The methods of all requests that have reached the store since it was last asked.
fn methods(store: &Store) -> Vec<String> {
    let methods = store.seen().into_iter().map(|seen| seen.method).collect();
    store.forget();
    methods
}

/// Asserts that a write from what is no more there is judged by what the upstream says, and not by what was known.
async fn assert_unknown(store: &Store, proxy: &Proxy, target: &str, outdated: &str) {
    store.forget();
    assert_refused(&put(proxy, target, outdated, "lost").await, 412);
    assert_eq!(methods(store), ["GET"]);
}

#[tokio::test]
async fn a_read_spares_the_next_write_its_question() {
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        let (store, proxy) = before(PLAIN, |_| ());
        assert_eq!(read(&proxy, &target).await.status, 200);
        assert_eq!(
            store.seen()[0].field("cache-control"),
            Some("no-cache"),
            "no cache may answer in its place"
        );
        assert_eq!(methods(&store), ["GET"]);
        assert_eq!(put(&proxy, &target, "0", "1").await.status, 204);
        assert_eq!(methods(&store), ["PUT"]);
        // What a write has left behind is not known before somebody has asked.
        assert_eq!(put(&proxy, &target, "1", "2").await.status, 204);
        assert_eq!(methods(&store), ["GET", "PUT"]);
    }
}

#[tokio::test]
async fn a_read_back_spares_the_next_write_its_question() {
    let (store, proxy) = before(EXCLUSIVE, |_| ());
    let target = agent_profile("a");
    for n in 0..3_u8 {
        let answer = put(&proxy, &target, &n.to_string(), &(n + 1).to_string()).await;
        assert_eq!((answer.status, answer.etag()), (204, Some(sha1_tag((n + 1).to_string()).as_str())));
        let expected = if n == 0 { vec!["GET", "PUT", "GET"] } else { vec!["PUT", "GET"] };
        assert_eq!(methods(&store), expected);
    }
    assert_refused(&put(&proxy, &target, "0", "lost").await, 412);
    assert!(methods(&store).is_empty());
}

#[tokio::test]
async fn refusals_of_what_is_known_reach_nobody() {
    let (store, proxy) = before(EXCLUSIVE, |_| ());
    let target = agent_profile("a");
    read(&proxy, &target).await;
    store.forget();
    let tag = sha1_tag("0");
    for (method, fields, status) in [
        ("PUT", vec![("If-Match", "\"other\"")], 412),
        ("POST", vec![("If-Match", "\"other\"")], 412),
        ("DELETE", vec![("If-Match", "\"other\"")], 412),
        ("PUT", vec![("If-None-Match", "*")], 412),
        ("PUT", vec![("If-None-Match", tag.as_str())], 412),
        ("PUT", vec![], 409),
    ] {
        let fields = [&[V1, WHO, JSON][..], &fields].concat();
        let answer = proxy.send(method, &target, &fields, "1").await;
        assert_refused(&answer, status);
        assert_eq!(answer.etag(), Some(tag.as_str()));
    }
    assert!(store.seen().is_empty(), "{:#?}", store.seen());
    let line = proxy.logged("the refusal", |line| line["status"] == 409).await;
    assert_eq!((line["recalled"].as_bool(), line["probe_ms"].as_f64()), (Some(true), None));
}

#[tokio::test]
async fn a_probe_teaches_too() {
    let (store, proxy) = before(EXCLUSIVE, |_| ());
    let target = agent_profile("a");
    for expected in [vec!["GET"], vec![], vec![], vec![]] {
        assert_refused(&put(&proxy, &target, "other", "1").await, 412);
        assert_eq!(methods(&store), expected);
    }
}

#[tokio::test]
async fn that_there_is_no_document_is_known_too() {
    let (store, proxy) = before(EXCLUSIVE, |_| ());
    let target = agent_profile("b");
    assert_eq!(read(&proxy, &target).await.status, 404);
    store.forget();
    let answer = put(&proxy, &target, "0", "1").await;
    assert_refused(&answer, 412);
    assert_eq!(answer.etag(), None);
    let creation = [V1, WHO, JSON, ("If-None-Match", "*")];
    assert_eq!(proxy.send("PUT", &target, &creation, "1").await.status, 204);
    assert_eq!(methods(&store), ["PUT", "GET"]);
    assert_refused(&proxy.send("PUT", &target, &creation, "2").await, 412);
    assert!(methods(&store).is_empty());
}

#[tokio::test]
async fn a_reader_is_never_answered_from_memory() {
    let (store, proxy) = before(EXCLUSIVE, |_| ());
    let target = agent_profile("a");
    for _ in 0..2 {
        let fields = [V1, WHO, ("If-None-Match", &sha1_tag("0"))];
        assert_eq!(proxy.send("GET", &target, &fields, "").await.status, 304);
        assert_eq!(methods(&store), ["GET"]);
    }
}

#[tokio::test]
async fn where_others_write_too_everything_is_asked() {
    for config in ["", "upstream.exclusive = true\nguard.recall-max = \"0s\"\n"] {
        let (store, proxy) = before(config, |_| ());
        let target = agent_profile("a");
        read(&proxy, &target).await;
        if config.is_empty() {
            assert_eq!(store.seen()[0].field("cache-control"), None, "a read goes on as it came");
        }
        for _ in 0..2 {
            assert_unknown(&store, &proxy, &target, "other").await;
        }
    }
}

#[tokio::test]
async fn nothing_is_recalled_for_nobody() {
    let (store, proxy) = before(EXCLUSIVE, |_| ());
    let target = agent_profile("a");
    let refused = async || {
        let answer = proxy.send("PUT", &target, &[V1, JSON, ("If-Match", "\"other\"")], "1").await;
        assert_refused(&answer, 412);
        methods(&store)
    };
    proxy.get(&target).await;
    store.forget();
    assert_eq!(refused().await, ["GET"]);
    assert_eq!(refused().await, ["GET"]);
}

#[tokio::test]
async fn the_fields_that_name_somebody_can_be_others() {
    let config = format!("{EXCLUSIVE}guard.credential-fields = [\"X-Api-Key\"]\n");
    let (store, proxy) = before(&config, |_| ());
    let target = agent_profile("a");
    let refused = async |who| {
        let fields = [V1, JSON, who, ("If-None-Match", "*")];
        assert_refused(&proxy.send("PUT", &target, &fields, "1").await, 412);
        methods(&store)
    };
    assert_eq!(refused(("x-api-key", "a")).await, ["GET"]);
    assert!(refused(("x-api-key", "a")).await.is_empty());
    assert_eq!(refused(("x-api-key", "b")).await, ["GET"]);
    assert_eq!(refused(WHO).await, ["GET"]);
    assert_eq!(refused(WHO).await, ["GET"], "by this nobody is named");
}

#[tokio::test]
async fn what_is_known_goes_on_in_the_upstreams_own_words() {
    let (store, proxy) = before(PLAIN, |knobs| (knobs.tags, knobs.checks) = (Tags::LengthHash, true));
    let target = agent_profile("a");
    read(&proxy, &target).await;
    let own = store.own_tag(&target);
    assert_eq!(put(&proxy, &target, "0", "1").await.status, 204);
    assert_eq!(store.writes()[0].field("if-match"), own.as_deref());
}

#[tokio::test]
async fn an_upstream_that_has_given_its_documents_other_tags_is_told_the_new_one() {
    let (store, proxy) = before(PLAIN, |knobs| (knobs.tags, knobs.checks) = (Tags::LengthHash, true));
    let target = agent_profile("a");
    for tags in [Tags::Random, Tags::LengthHash] {
        let from = store.document(&target).unwrap();
        read(&proxy, &target).await;
        store.set(|knobs| knobs.tags = tags);
        store.forget();
        let answer = put(&proxy, &target, std::str::from_utf8(&from).unwrap(), "1").await;
        assert_eq!(answer.status, 204, "the document is the same");
        let seen = store.seen();
        assert_eq!(methods(&store), ["PUT", "GET", "PUT"]);
        assert!(
            seen[2].field("if-match").is_some() && seen[2].field("if-match") != seen[0].field("if-match")
        );
    }
}

#[tokio::test]
async fn an_upstream_that_knows_of_another_writer_is_believed() {
    let (store, proxy) = before(PLAIN, |knobs| (knobs.tags, knobs.checks) = (Tags::LengthHash, true));
    let target = agent_profile("a");
    read(&proxy, &target).await;
    store.hold(&target, "somebody else's");
    store.forget();
    assert_eq!(put(&proxy, &target, "0", "lost").await.status, 412);
    assert_eq!(methods(&store), ["PUT", "GET"]);
    assert_eq!(store.document(&target).unwrap(), b"somebody else's");
    assert_unknown(&store, &proxy, &target, "0").await;
}

#[tokio::test]
async fn a_page_of_another_origin_can_read_its_refusal() {
    let allowed = ("Access-Control-Allow-Origin", "https://page.example");
    let (store, proxy) = before(PLAIN, |knobs| knobs.fields = vec![allowed, ("Vary", "Origin")]);
    let (target, origin) = (agent_profile("a"), ("Origin", "https://page.example"));
    proxy.send("GET", &target, &[V1, WHO, origin], "").await;
    store.forget();
    let fields = [V1, WHO, origin, ("If-Match", "\"other\"")];
    let answer = proxy.send("PUT", &target, &fields, "1").await;
    assert_refused(&answer, 412);
    assert_eq!(answer.field(allowed.0), Some(allowed.1));
    assert_eq!(methods(&store), ["GET"]);
    let fields = [V1, WHO, origin, ("If-Match", &sha1_tag("0"))];
    assert_eq!(proxy.send("PUT", &target, &fields, "1").await.status, 204);
    assert_eq!(methods(&store), ["PUT"], "what the upstream answers to the write says it again");
}

#[tokio::test]
async fn answers_that_may_not_last_teach_nothing() {
    for (field, teaches) in [
        (("Vary", "Accept-Encoding, Origin"), true),
        (("Vary", "X-Tenant"), false),
        (("Vary", "*"), false),
        (("Age", "1"), false),
    ] {
        let (store, proxy) = before(PLAIN, |knobs| knobs.fields = vec![field]);
        let target = agent_profile("a");
        read(&proxy, &target).await;
        store.forget();
        assert_refused(&put(&proxy, &target, "other", "1").await, 412);
        assert_eq!(methods(&store).is_empty(), teaches, "{field:?}");
        assert_refused(&put(&proxy, &target, "other", "1").await, 412);
        assert_eq!(methods(&store).is_empty(), teaches, "{field:?}, told to a probe");
    }
}

#[tokio::test]
async fn what_a_service_was_told_teaches_nothing() {
    let service = "Basic c2VydmljZTpzZWNyZXQ=";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{service}").unwrap();
    let config = format!("{EXCLUSIVE}probe.authorization-file = {:?}\n", file.path().to_str().unwrap());
    let (store, proxy) = before(&config, |knobs| knobs.reader = Some(service.to_owned()));
    let target = agent_profile("a");
    for n in 0..2 {
        let answer = put(&proxy, &target, "other", "1").await;
        assert_refused(&answer, 412);
        assert_eq!(answer.etag(), None);
        assert_eq!(methods(&store), ["GET", "GET"]);
        let (from, to) = (n.to_string(), (n + 1).to_string());
        assert_eq!(put(&proxy, &target, &from, &to).await.status, 204);
        assert_eq!(methods(&store), ["GET", "GET", "PUT", "GET", "GET"], "nor what it has read back");
    }
}

#[tokio::test]
async fn a_signature_is_nobodys_for_long() {
    let (store, proxy) = before(PLAIN, |_| ());
    let target = agent_profile("a");
    let signed = [V1, WHO, ("Signature-Input", "sig1=()")];
    assert_eq!(proxy.send("GET", &target, &signed, "").await.status, 200);
    assert_unknown(&store, &proxy, &target, "other").await;
    let write = [&signed[..], &[JSON, ("If-None-Match", "*")]].concat();
    assert_eq!(proxy.send("PUT", &target, &write, "1").await.status, 501, "nor is it answered");
}

/// The traps: each is a way in which something outdated could come to be known.
mod traps {
    use super::*;

    /// Reads a document whose answer the store makes at once and gives later, when `meanwhile` is over.
    async fn read_overtaken_by(
        store: &Store,
        proxy: &Proxy,
        target: &str,
        meanwhile: impl Future<Output = ()>,
    ) {
        store.set(|knobs| knobs.answers_late = true);
        store.close_gate(On::Marked);
        let mut reader = proxy.connect().await;
        reader.request("GET", target, &[V1, WHO, ("X-Gate", "1")], b"").await;
        store.until_reads(1).await;
        meanwhile.await;
        store.open_gate();
        assert_eq!(reader.answer("GET").await.text(), "0", "it was asked before");
        store.set(|knobs| knobs.answers_late = false);
    }

    #[tokio::test]
    async fn a_read_that_a_write_has_overtaken_teaches_nothing() {
        let (store, proxy) = before(PLAIN, |_| ());
        let target = state("a");
        read_overtaken_by(&store, &proxy, &target, async {
            assert_eq!(proxy.send("PUT", &target, &[V1, WHO, JSON], "1").await.status, 204);
        })
        .await;
        assert_unknown(&store, &proxy, &target, "0").await;
    }

    #[tokio::test]
    async fn a_read_that_a_write_has_overtaken_displaces_nothing() {
        let (store, proxy) = before(EXCLUSIVE, |_| ());
        let target = state("a");
        read_overtaken_by(&store, &proxy, &target, async {
            assert_eq!(put(&proxy, &target, "0", "1").await.status, 204);
        })
        .await;
        store.forget();
        assert_refused(&put(&proxy, &target, "0", "lost").await, 412);
        assert!(methods(&store).is_empty(), "the read-back has shown what is there");
    }

    #[tokio::test]
    async fn a_read_that_was_overtaken_teaches_nothing_although_all_was_forgotten_in_between() {
        let config = format!("{PLAIN}guard.remembered-max = \"4KiB\"\n");
        let (store, proxy) = before(&config, |_| ());
        let target = state("a");
        read(&proxy, &target).await;
        store.forget();
        read_overtaken_by(&store, &proxy, &target, async {
            assert_eq!(proxy.send("PUT", &target, &[V1, WHO, JSON], "1").await.status, 204);
            for other in 0..100 {
                let fields = [V1, WHO, JSON, ("If-Match", "\"other\"")];
                let other = agent_profile(&other.to_string());
                proxy.send("PUT", &other, &fields, "").await;
            }
        })
        .await;
        assert_unknown(&store, &proxy, &target, "0").await;
    }

    /// A PUT whose answer never comes and which is applied once the gate opens.
    async fn lose_a_write(store: &Store, proxy: &Proxy, target: &str, meanwhile: impl Future<Output = ()>) {
        store.close_gate(On::Writes);
        let mut writer = proxy.connect().await;
        writer.request("PUT", target, &[V1, WHO, JSON], b"1").await;
        store.until_writes(1).await;
        meanwhile.await;
        assert_eq!(writer.answer("PUT").await.status, 504);
    }

    const HASTY: &str = "upstream.response-timeout = \"300ms\"\nupstream.settle-time = \"1s\"\n";

    #[tokio::test]
    async fn a_read_during_a_write_that_times_out_teaches_nothing() {
        let (store, proxy) = before(&format!("{PLAIN}{HASTY}"), |_| ());
        let target = state("a");
        lose_a_write(&store, &proxy, &target, async {
            assert_eq!(read(&proxy, &target).await.text(), "0");
        })
        .await;
        store.open_gate();
        assert_unknown(&store, &proxy, &target, "0").await;
        assert_eq!(store.document(&target).unwrap(), b"1");
    }

    #[tokio::test]
    async fn a_read_of_what_is_unsettled_teaches_nothing() {
        let (store, proxy) = before(&format!("{PLAIN}{HASTY}"), |_| ());
        let target = state("a");
        lose_a_write(&store, &proxy, &target, async {}).await;
        assert_eq!(read(&proxy, &target).await.text(), "0", "it is not applied yet");
        store.open_gate();
        assert_unknown(&store, &proxy, &target, "0").await;
        assert_eq!(store.document(&target).unwrap(), b"1");
        assert_refused(&put(&proxy, &target, "0", "lost").await, 412);
        assert!(methods(&store).is_empty(), "it has settled");
    }

    #[tokio::test]
    async fn a_document_is_written_under_the_name_of_another_registration() {
        let (store, proxy) = before(PLAIN, |knobs| knobs.ignores_registration = true);
        let (target, other) = (state("a"), format!("{}&registration={REGISTRATION}", state("a")));
        for (read_as, written_as, from, to) in [(&target, &other, "0", "1"), (&other, &target, "1", "2")] {
            read(&proxy, read_as).await;
            assert_eq!(proxy.send("PUT", written_as, &[V1, WHO, JSON], to).await.status, 204);
            assert_unknown(&store, &proxy, read_as, from).await;
        }
    }

    #[tokio::test]
    async fn all_state_is_deleted_at_once() {
        let (store, proxy) = before(PLAIN, |_| ());
        read(&proxy, &state("a")).await;
        assert_eq!(proxy.send("DELETE", &state_ids(), &[V1, WHO], "").await.status, 204);
        assert_unknown(&store, &proxy, &state("a"), "0").await;
        assert_eq!(store.document(&state("a")), None);
    }

    #[tokio::test]
    async fn the_list_of_ids_is_always_asked_for() {
        let (store, proxy) = before(PLAIN, |_| ());
        for _ in 0..2 {
            let fields = [V1, WHO, ("If-Match", "\"other\"")];
            assert_refused(&proxy.send("DELETE", &state_ids(), &fields, "").await, 412);
            assert_eq!(methods(&store), ["GET"]);
        }
    }

    #[tokio::test]
    async fn another_credential_is_told_nothing() {
        let (store, proxy) = before(PLAIN, |knobs| knobs.credential = Some(WHO.1.to_owned()));
        let target = agent_profile("a");
        assert_eq!(read(&proxy, &target).await.status, 200);
        store.forget();
        for condition in [("If-Match", "\"other\""), ("If-None-Match", "*")] {
            let answer = proxy.send("PUT", &target, &[V1, OTHER, JSON, condition], "1").await;
            assert_eq!((answer.status, answer.etag()), (401, None));
            assert_eq!(methods(&store), ["GET"]);
        }
        let cookie = [V1, WHO, ("Cookie", "session=1"), JSON, ("If-Match", "\"other\"")];
        assert_refused(&proxy.send("PUT", &target, &cookie, "1").await, 412);
        assert_eq!(methods(&store), ["GET"]);
    }

    #[tokio::test]
    async fn another_host_base_path_or_version_is_another_document() {
        let (store, proxy) = before(PLAIN, |_| ());
        let target = agent_profile("a");
        let other_base = target.replace("/xapi/", "/other/");
        store.hold(&other_base, "another");
        let fields = [V1, WHO, ("Host", "a.example"), ("Accept", "*/*")];
        proxy.send("GET", &target, &fields, "").await;
        store.forget();
        for (target, host, version, accept, asked) in [
            (&target, "a.example", V1, "*/*", &[][..]),
            (&target, "b.example", V1, "*/*", &["GET"]),
            (&other_base, "a.example", V1, "*/*", &["GET"]),
            (&target, "a.example", V2, "*/*", &["GET"]),
            (&target, "a.example", V1, "application/json", &["GET"]),
        ] {
            let fields = [version, WHO, JSON, ("Host", host), ("Accept", accept), ("If-None-Match", "*")];
            assert_refused(&proxy.send("PUT", target, &fields, "1").await, 412);
            assert_eq!(methods(&store), asked, "{target} {host} {version:?} {accept}");
        }
    }

    #[tokio::test]
    async fn a_part_of_a_document_is_not_the_document() {
        let (store, proxy) = before(PLAIN, |_| ());
        let target = agent_profile("a");
        let part = format!("{target}&fields=n");
        store.hold(&target, r#"{"m":1,"n":0}"#);
        assert_eq!(read(&proxy, &part).await.text(), r#"{"n":0}"#);
        assert_unknown(&store, &proxy, &target, r#"{"n":0}"#).await;
        // Nor is what is known of the document known of a part of it, or of a part at another time.
        for _ in 0..2 {
            let creation = [V1, WHO, JSON, ("If-None-Match", "*")];
            assert_refused(&proxy.send("PUT", &part, &creation, "1").await, 412);
            assert_eq!(methods(&store), ["GET"]);
        }
        assert_refused(&put(&proxy, &target, "other", "1").await, 412);
        assert!(methods(&store).is_empty(), "the probe has taught it");
    }

    #[tokio::test]
    async fn another_spelling_of_a_target_is_asked_for() {
        let (store, proxy) = before(PLAIN, |_| ());
        let target = agent_profile("a");
        read(&proxy, &target).await;
        let named = encoded(r#"{"mbox": "mailto:learner@example.com", "name": "Lea"}"#);
        let other = format!("/xapi/agents/profile?agent={named}&profileId=a");
        assert_unknown(&store, &proxy, &other, "0").await;
    }

    #[tokio::test]
    async fn whatever_may_be_a_write_and_has_no_hold_withdraws_everything_until_it_is_over() {
        let observing = "resource.state = { mode = \"observe\", document-max = \"10B\" }\n";
        let (store, proxy) = before(&format!("{PLAIN}{observing}"), |_| ());
        let (path, query) =
            state_ids().split_once('?').map(|(path, query)| (path.to_owned(), query.to_owned())).unwrap();
        let sealed = format!("{path}?method=PUT");
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let ambiguous = ("X-HTTP-Method-Override", "PUT");
        let long = "longer than 10 bytes";
        let known = agent_profile("a");
        for (what, method, target, field, body, withdraws) in [
            ("a read", "GET", state("a"), JSON, String::new(), false),
            ("a write with a hold", "PUT", state("a"), JSON, "1".to_owned(), false),
            ("one that is too large", "PUT", state("a"), JSON, long.to_owned(), true),
            ("one that names nothing", "PUT", format!("{path}?stateId=a"), JSON, "1".to_owned(), true),
            ("one that could be another", "PUT", state("a"), ambiguous, "1".to_owned(), true),
            ("a read that could be one", "GET", state("a"), ambiguous, String::new(), true),
            (
                "one in a form",
                "POST",
                sealed.clone(),
                form,
                format!("{query}&stateId=a&content={long}"),
                true,
            ),
            ("one in a form that is malformed", "POST", sealed.clone(), form, "content=%".to_owned(), true),
            ("one in a form that is too large", "POST", sealed, form, "x".repeat(300 * 1024), true),
        ] {
            read(&proxy, &known).await;
            proxy.send(method, &target, &[V1, WHO, field], &body).await;
            let creation = [V1, WHO, JSON, ("If-None-Match", "*")];
            for asks in [withdraws, false] {
                store.forget();
                assert_refused(&proxy.send("PUT", &known, &creation, "1").await, 412);
                assert_eq!(methods(&store).len(), usize::from(asks), "{what}");
            }
        }
    }

    #[tokio::test]
    async fn a_write_without_a_hold_whose_answer_is_lost_leaves_nothing_known_until_it_has_settled() {
        let too_large = "resource.state = { mode = \"observe\", document-max = \"10B\" }\n";
        let over_budget = "guard.buffered-writes-max = \"10B\"\nresource.state = { mode = \"observe\" }\n";
        for (answer, observing) in [
            (Misdeed::Says(bare("502 Bad Gateway")), too_large),
            (Misdeed::SaysAndResets(String::new()), too_large),
            (Misdeed::SaysAndResets(String::new()), over_budget),
        ] {
            let (store, proxy) = before(&format!("{PLAIN}{observing}"), |_| ());
            store.set(|knobs| knobs.misdeed = Some((On::Writes, answer)));
            let long = proxy.send("PUT", &state("a"), &[V1, WHO, JSON], "longer than 10 bytes").await;
            assert_eq!(long.status, 502);
            for _ in 0..2 {
                assert_unknown(&store, &proxy, &agent_profile("a"), "other").await;
            }
        }
    }

    /// In observe mode a write goes on although it cannot be held, and what was known before it is known no more.
    #[tokio::test]
    async fn a_write_that_was_let_through_without_a_hold_withdraws_everything() {
        let config = format!(
            "{PLAIN}upstream.connections = 1\nupstream.connect-timeout = \"300ms\"\n\
             resource.state = {{ mode = \"observe\", document-max = \"10B\" }}\n"
        );
        let (store, proxy) = before(&config, |_| ());
        let target = state("a");
        learn_without_writing(&store, &proxy, &target).await;
        let long = proxy.send("PUT", &target, &[V1, WHO, JSON], "longer than 10 bytes").await;
        assert_eq!(long.status, 204);
        assert_eq!(methods(&store), ["PUT"]);
        let creation = [V1, WHO, JSON, ("If-None-Match", "*")];
        assert_eq!(proxy.send("PUT", &target, &creation, "2").await.status, 204, "nothing is refused");
        let line = proxy.logged("the verdict", |line| line["verdict"] == "if-none-match-failed").await;
        assert_eq!(line["recalled"].as_bool(), None);
        assert_eq!(methods(&store), ["GET", "PUT"]);
    }

    /// Lets a write learn that nothing is there, and find no connection to go on: the text that says so is longer than
    /// is read, so that its connection is of no more use.
    async fn learn_without_writing(store: &Store, proxy: &Proxy, target: &str) {
        loop {
            store.close_gate(On::Reads);
            let (mut writer, mut reader) = (proxy.connect().await, proxy.connect().await);
            let fields = [V1, WHO, JSON, ("If-None-Match", "*")];
            writer.request("PUT", target, &fields, b"1").await;
            store.until_reads(1).await;
            // It waits for the one connection, and has it as soon as the probe is over.
            reader.request("GET", "/elsewhere", &[], b"").await;
            store.let_through(1);
            let status = writer.answer("PUT").await.status;
            store.open_gate();
            reader.answer("GET").await;
            store.forget();
            // The write may have been the first to ask for it.
            if status == 503 {
                return;
            }
            proxy.send("DELETE", target, &[V1, WHO], "").await;
            store.forget();
        }
    }
}
