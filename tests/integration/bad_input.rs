//! Input that nobody should send: a clear 4xx, nothing written, and the process is healthy after it.

use crate::support::client::Client;
use crate::support::proxy::Proxy;
use crate::support::store::Store;
use crate::support::xapi::{ACTIVITY, AGENT, JSON, V1, agent_profile, encoded, state};
use crate::support::{assert_refused, assert_untouched};

#[tokio::test]
async fn agents_that_are_none_are_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mbox = "\"mbox\":\"mailto:a@example.com\"";
    for agent in [
        "nonsense".to_owned(),
        "[]".to_owned(),
        "\"a\"".to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        format!("{{{mbox}"),
        format!("{{{mbox}}}}}"),
        format!("{{{mbox},\"name\":NaN}}"),
        format!("{{{mbox},\"name\":Infinity}}"),
        format!("{{{mbox},\"name\":\"\\ud800\"}}"),
        "{\"mbox\":\"mailto:\\ud800@example.com\"}".to_owned(),
        format!("{{{mbox},{mbox}}}"),
        format!("{{{mbox},\"name\":\"a\",\"name\":\"b\"}}"),
        format!("{{{mbox},\"openid\":\"http://a.example\"}}"),
        format!("{{{mbox},\"extra\":{}{}}}", "[".repeat(5000), "]".repeat(5000)),
        "{\"mbox\":1}".to_owned(),
        "{\"account\":{\"name\":\"a\"}}".to_owned(),
        "{\"objectType\":\"Agent\"}".to_owned(),
        format!("\u{feff}{{{mbox}}}"),
    ] {
        let target =
            format!("/xapi/activities/state?activityId={ACTIVITY}&agent={}&stateId=s", encoded(&agent));
        for method in ["PUT", "POST", "DELETE"] {
            let answer = proxy.send(method, &target, &[V1, JSON, ("If-None-Match", "*")], "{}").await;
            assert!((400..500).contains(&answer.status), "{agent:.80}: {answer:#?}");
            assert_untouched(&store);
        }
    }
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 204);
}

#[tokio::test]
async fn percent_encoding_that_is_none_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for id in ["%", "%a", "%zz", "%ff", "%c3%28", "%ed%a0%80", "a%"] {
        for target in [state(id), agent_profile(id), state("a").replace(ACTIVITY, id)] {
            for method in ["PUT", "DELETE"] {
                let answer = proxy.send(method, &target, &[V1], "1").await;
                assert_refused(&answer, 400);
            }
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_query_of_a_mebibyte_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state(&"x".repeat(1 << 20)), format!("/elsewhere?{}", "x".repeat(1 << 20))] {
        for method in ["PUT", "GET"] {
            let mut client = Client::connect(proxy.address).await;
            client.request(method, &target, &[V1], b"1").await;
            let answer = client.answer(method).await;
            assert!((400..500).contains(&answer.status), "{}", answer.status);
        }
    }
    assert!(store.seen().is_empty());
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 204);
}

#[tokio::test]
async fn a_query_that_still_fits_is_served() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = state(&"x".repeat(8000));
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "1").await.status, 204);
    assert_refused(&proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "2").await, 412);
    assert_eq!(store.document(&target).unwrap(), b"1");
}

#[tokio::test]
async fn neither_log_names_what_learners_sent() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let secret = "s3cr3t";
    let agent = encoded(&format!("{{\"mbox\":\"mailto:{secret}@example.com\"}}"));
    let target = format!("/xapi/activities/state?activityId={ACTIVITY}&agent={agent}&stateId=s");
    let fields = [V1, ("Authorization", "Basic s3cr3t"), ("Cookie", "s3cr3t")];
    proxy.send("PUT", &target, &fields, secret).await;
    proxy.send("PUT", &format!("{target}&stateId={secret}"), &fields, secret).await;
    proxy.send("PUT", &target.replace("mbox", "mbx"), &fields, secret).await;
    proxy.send("PUT", &agent_profile("p").replace(AGENT, secret), &fields, secret).await;
    for mark in ["%3F", "%3f", "%253F", ";", "%3B"] {
        proxy.send("PUT", &target.replace('?', mark), &fields, secret).await;
    }
    proxy.send("GET", &format!("/elsewhere?{secret}"), &fields, "").await;
    proxy.logged("the last exchange", |line| line["path"] == "/elsewhere").await;
    let log = format!("{:?}", proxy.log());
    assert!(!log.contains(secret), "{log}");
    assert!(!proxy.said().contains(secret), "{}", proxy.said());
    assert!(proxy.log().iter().all(|line| line["duration_ms"].is_number() && line["status"].is_u64()));
}
