//! Stage *learn*, where the writer's credentials cannot ask: signed requests, writers that may not read, and the service
//! that asks in their place.

use std::io::Write;

use crate::support::alternate::{FORM, form, sealed};
use crate::support::client::Answer;
use crate::support::proxy::Proxy;
use crate::support::store::{Knobs, Store};
use crate::support::xapi::{JSON, V1, agent_profile, state};
use crate::support::{assert_failure, sha1_tag};

const SERVICE: &str = "Basic c2VydmljZTpzZWNyZXQ=";
const WRITER: &str = "Basic d3JpdGVyOnNlY3JldA==";
const OAUTH: &str =
    "OAuth oauth_consumer_key=\"k\", oauth_signature_method=\"HMAC-SHA1\", oauth_signature=\"s\"";

fn lrs(set: impl FnOnce(&mut Knobs)) -> Store {
    let store = Store::with(set);
    store.hold(&agent_profile("a"), "{}");
    store
}

/// A proxy with a service credential, and the file that holds it.
fn with_service(store: &Store, credential: &str) -> (Proxy, tempfile::NamedTempFile) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{credential}").unwrap();
    let config = format!("probe.authorization-file = {:?}", file.path().to_str().unwrap());
    (Proxy::configured(store, &config), file)
}

async fn put(proxy: &Proxy, authorization: &str, if_match: &str) -> Answer {
    let fields = [V1, JSON, ("Authorization", authorization), ("If-Match", if_match)];
    proxy.send("PUT", &agent_profile("a"), &fields, "{\"n\":1}").await
}

#[tokio::test]
async fn a_signed_write_whose_verdict_depends_on_the_document_is_refused_without_a_service() {
    let store = lrs(|_| ());
    let proxy = Proxy::before(&store);
    let answer = put(&proxy, OAUTH, &sha1_tag("{}")).await;
    assert_failure(&answer, 501);
    assert_eq!(answer.field("proxy-status"), Some("staleguard; error=proxy_configuration_error"));
    assert!(
        answer.text().contains("signed") && answer.text().contains("probe.authorization-file"),
        "{answer:?}"
    );
    let target = format!("{}&oauth_signature=s", agent_profile("a"));
    assert_failure(&proxy.send("PUT", &target, &[V1, JSON], "{}").await, 501);
    assert!(store.seen().is_empty(), "nobody was asked: {:#?}", store.seen());
    proxy.logged("why", |line| line["failure"] == "probe-signed").await;
}

#[tokio::test]
async fn a_signed_write_whose_verdict_needs_no_question_passes_as_it_came() {
    let store = lrs(|_| ());
    let proxy = Proxy::before(&store);
    for method in ["PUT", "POST", "DELETE"] {
        let fields = [V1, JSON, ("Authorization", OAUTH)];
        assert_eq!(proxy.send(method, &state("a"), &fields, "{}").await.status, 204, "{method}");
    }
    assert_eq!(store.seen().len(), 3, "{:#?}", store.seen());
    assert!(store.seen().iter().all(|seen| seen.field("authorization") == Some(OAUTH)));
    assert_eq!(proxy.send("GET", &agent_profile("a"), &[V1, ("Authorization", OAUTH)], "").await.status, 200);
}

#[tokio::test]
async fn a_signed_head_goes_on_as_the_head_that_was_signed() {
    let store = lrs(|_| ());
    let proxy = Proxy::before(&store);
    let answer = proxy.send("HEAD", &agent_profile("a"), &[V1, ("Authorization", OAUTH)], "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(store.seen()[0].method, "HEAD");
}

#[tokio::test]
async fn a_service_asks_in_the_place_of_a_signed_write() {
    let store = lrs(|knobs| knobs.reader = Some(SERVICE.to_owned()));
    let (proxy, _file) = with_service(&store, SERVICE);
    let refused = put(&proxy, OAUTH, &sha1_tag("other")).await;
    assert_eq!(refused.status, 412);
    assert_eq!(refused.etag(), None, "what the service may read is not told");
    assert!(store.writes().is_empty());
    store.forget();

    let fields =
        [V1, JSON, ("Authorization", OAUTH), ("Cookie", "a=b"), ("If-Match", &sha1_tag("{}") as &str)];
    let answer = proxy.send("PUT", &agent_profile("a"), &fields, "{\"n\":1}").await;
    assert_eq!((answer.status, answer.etag()), (204, Some(sha1_tag("{\"n\":1}").as_str())));
    let by: Vec<_> = store
        .seen()
        .iter()
        .map(|seen| (seen.method.clone(), seen.field("authorization").unwrap().to_owned()))
        .collect();
    let expected = [("GET", SERVICE), ("PUT", OAUTH), ("GET", SERVICE)];
    assert_eq!(by, expected.map(|(method, by)| (method.to_owned(), by.to_owned())));
    let cookies: Vec<bool> = store.seen().iter().map(|seen| seen.field("cookie").is_some()).collect();
    assert_eq!(cookies, [false, true, false], "credentials are not mixed");
}

#[tokio::test]
async fn in_an_envelope_a_service_asks_with_nothing_of_the_writers_credentials() {
    let store = lrs(|knobs| knobs.reader = Some(SERVICE.to_owned()));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SERVICE}").unwrap();
    let config = format!("probe.authorization-file = {:?}\nupstream.target-max = \"50B\"", file.path());
    let proxy = Proxy::configured(&store, &config);
    let tag = sha1_tag("{}");
    let fields = [V1, JSON, ("Authorization", WRITER), ("If-Match", &tag as &str)];
    let (target, came) = sealed("PUT", &agent_profile("a"), &fields, Some("{\"n\":1}"));
    for outside in [vec![FORM], vec![FORM, ("Authorization", WRITER)]] {
        store.hold(&agent_profile("a"), "{}");
        store.forget();
        assert_eq!(proxy.send("POST", &target, &outside, &came).await.status, 204);
        let by_service: Vec<_> = store
            .seen()
            .into_iter()
            .filter(|seen| {
                seen.field("authorization") == Some(SERVICE)
                    || form(&seen.body).contains(&("Authorization".to_owned(), SERVICE.to_owned()))
            })
            .collect();
        assert_eq!(by_service.len(), 2, "the probe and the read-back: {:#?}", store.seen());
        for seen in by_service {
            assert!(seen.target.ends_with("?method=GET"));
            let said = format!("{:?} {:?}", seen.fields, form(&seen.body));
            assert!(!said.contains(WRITER), "{said}");
        }
        let write = store.writes().pop().expect("a write");
        assert!(!format!("{:?} {:?}", write.fields, form(&write.body)).contains(SERVICE));
    }
}

#[tokio::test]
async fn a_writer_that_may_not_read_is_refused_without_a_service() {
    let store = lrs(|knobs| knobs.reader = Some(SERVICE.to_owned()));
    let proxy = Proxy::before(&store);
    let answer = put(&proxy, WRITER, &sha1_tag("{}")).await;
    assert_failure(&answer, 403);
    assert!(answer.text().contains("probe.authorization-file"), "{answer:?}");
    assert!(store.writes().is_empty());
    proxy.logged("why", |line| line["failure"] == "probe-forbidden").await;
    let fields = [V1, JSON, ("Authorization", WRITER)];
    assert_eq!(proxy.send("PUT", &state("a"), &fields, "{}").await.status, 204, "nobody needs to ask");
}

#[tokio::test]
async fn a_service_asks_in_the_place_of_a_writer_that_may_not_read() {
    let store = lrs(|knobs| knobs.reader = Some(SERVICE.to_owned()));
    let (proxy, _file) = with_service(&store, SERVICE);
    let refused = put(&proxy, WRITER, &sha1_tag("other")).await;
    assert_eq!((refused.status, refused.etag()), (412, None));
    assert_eq!(put(&proxy, WRITER, &sha1_tag("{}")).await.status, 204);
    assert!(store.writes().iter().all(|write| write.field("authorization") == Some(WRITER)));
}

#[tokio::test]
async fn a_writer_that_may_read_is_asked_for_with_its_own_credentials() {
    let store = lrs(|_| ());
    let (proxy, _file) = with_service(&store, SERVICE);
    let refused = put(&proxy, WRITER, &sha1_tag("other")).await;
    assert_eq!((refused.status, refused.etag()), (412, Some(sha1_tag("{}").as_str())));
    assert!(store.seen().iter().all(|seen| seen.field("authorization") == Some(WRITER)));
}

#[tokio::test]
async fn what_the_upstream_says_to_the_service_is_not_handed_to_the_writer() {
    for status in [401, 403, 500] {
        let store = lrs(|knobs| knobs.reader = Some("nobody's".to_owned()));
        if status != 403 {
            store.answer(
                "/xapi/agents/profile",
                format!("HTTP/1.1 {status} No\r\nContent-Length: 6\r\n\r\nsecret"),
            );
        }
        let (proxy, _file) = with_service(&store, SERVICE);
        let answer = put(&proxy, OAUTH, &sha1_tag("{}")).await;
        assert_failure(&answer, 502);
        assert!(
            !answer.text().contains("secret") && answer.text().contains(&status.to_string()),
            "{answer:?}"
        );
        assert!(store.writes().is_empty());
    }
}

#[tokio::test]
async fn a_signed_write_that_names_no_document_is_refused_without_a_question() {
    let store = lrs(|_| ());
    let proxy = Proxy::before(&store);
    let target = agent_profile("a").split("&profileId").next().unwrap().to_owned();
    assert_failure(&proxy.send("PUT", &target, &[V1, JSON, ("Authorization", OAUTH)], "{}").await, 400);
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn what_a_service_is_told_of_a_target_that_names_no_document_is_not_handed_on() {
    let store = lrs(|_| ());
    store.answer("/xapi/agents/profile", "HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\nsecret");
    let (proxy, _file) = with_service(&store, SERVICE);
    let target = agent_profile("a").split("&profileId").next().unwrap().to_owned();
    let answer = proxy.send("PUT", &target, &[V1, JSON, ("Authorization", OAUTH)], "{}").await;
    assert_failure(&answer, 400);
    assert!(!answer.text().contains("secret"));
}

#[tokio::test]
async fn observe_says_what_could_not_be_asked_and_lets_it_pass() {
    let store = lrs(|knobs| knobs.reader = Some(SERVICE.to_owned()));
    let proxy = Proxy::observing(&store);
    assert_eq!(put(&proxy, OAUTH, "\"x\"").await.status, 204);
    proxy.logged("signed", |line| line["verdict"] == "probe-signed").await;
    assert_eq!(put(&proxy, WRITER, "\"x\"").await.status, 204);
    proxy.logged("forbidden", |line| line["verdict"] == "probe-forbidden").await;
    assert_eq!(store.writes().len(), 2);
}

#[tokio::test]
async fn the_service_credential_reaches_no_log() {
    let store = lrs(|knobs| knobs.reader = Some(SERVICE.to_owned()));
    let (proxy, _file) = with_service(&store, SERVICE);
    assert_eq!(put(&proxy, OAUTH, &sha1_tag("{}")).await.status, 204);
    let line = proxy.logged("the write", |line| line["status"] == 204).await;
    let secret = SERVICE.strip_prefix("Basic ").unwrap();
    assert!(!line.to_string().contains(secret) && !proxy.said().contains(secret));
}
