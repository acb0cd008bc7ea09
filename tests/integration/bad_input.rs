//! Input that nobody should send: a clear 4xx, nothing written, and the process is healthy after it.

use crate::support::client::Client;
use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::Store;
use crate::support::wire::Ending;
use crate::support::xapi::{ACTIVITY, AGENT, JSON, V1, agent_profile, encoded, state};
use crate::support::{assert_refused, assert_untouched};

/// A write that would go through.
fn smuggled() -> String {
    format!("PUT {} HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsmuggled", state("a"))
}

/// Sends bytes with a good write behind them, and asserts that the connection ends and the write is not read.
async fn assert_ends(proxy: &Proxy, store: &Store, barrier: &mut Barrier, bad: &str) {
    store.forget();
    let mut client = proxy.connect().await;
    client.write(bad.to_owned() + &smuggled()).await;
    match client.read("PUT").await {
        Ok(answer) => assert!((400..=501).contains(&answer.status), "{bad:?}: {answer:#?}"),
        Err(ending) => assert_eq!(ending, Ending::Fin, "{bad:?}"),
    }
    let (_, surplus) = client.end().await;
    assert_eq!(surplus, 0, "{bad:?}: something behind it was answered");
    barrier.pass().await;
    assert_untouched(store);
}

#[tokio::test]
async fn nothing_behind_a_malformed_message_is_read() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    let target = state("a");
    for bad in [
        "nonsense\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET / HTTP/3.7\r\nHost: a\r\n\r\n".to_owned(),
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n".to_owned(),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc"),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabc"),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
        format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        ),
        format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n"
        ),
        format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"
        ),
        format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"
        ),
        format!("PUT {target} HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n folded: 2\r\nBad Name: 3\r\n\r\n"),
    ] {
        assert_ends(&proxy, &store, &mut barrier, &bad).await;
    }
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "good").await.status, 204);
}

#[tokio::test]
async fn a_message_with_two_lengths_is_refused_or_read_the_safe_way() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), "/elsewhere".to_owned()] {
        store.forget();
        let mut client = proxy.connect().await;
        client
            .write(format!(
                "PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\n{}",
                smuggled()
            ))
            .await;
        // RFC 9112 §6.3: chunked overrides; whoever takes it must not pass both on, and should close after it.
        let answer = client.answer("PUT").await;
        assert!(matches!(answer.status, 204 | 400), "{answer:#?}");
        for write in store.writes().iter().filter(|write| write.body != b"smuggled") {
            assert_eq!(write.body, b"abc");
            let both = write.field("content-length").is_some() && write.field("transfer-encoding").is_some();
            assert!(!both, "{write:#?}");
        }
        drop(client);
    }
}

#[tokio::test]
async fn a_request_needs_one_host() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a b\r\n", "Host: a/b\r\n", "Host: a@b\r\n"] {
        for target in [state("a"), "/elsewhere".to_owned()] {
            let bad = format!("PUT {target} HTTP/1.1\r\n{hosts}Content-Length: 0\r\n\r\n");
            assert_ends(&proxy, &store, &mut barrier, &bad).await;
        }
    }
}

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
    proxy.send("GET", &format!("/elsewhere?{secret}"), &fields, "").await;
    proxy.logged("the last exchange", |line| line["path"] == "/elsewhere").await;
    let log = format!("{:?}", proxy.log());
    assert!(!log.contains(secret), "{log}");
    assert!(!proxy.said().contains(secret), "{}", proxy.said());
    assert!(proxy.log().iter().all(|line| line["duration_ms"].is_number() && line["status"].is_u64()));
}

#[tokio::test]
async fn a_transfer_coding_that_cannot_be_undone_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for coding in ["gzip, chunked", "chunked, chunked", "gzip\r\nTransfer-Encoding: chunked"] {
        for target in [state("a"), "/elsewhere".to_owned()] {
            let mut client = proxy.connect().await;
            client
                .write(format!(
                    "PUT {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                ))
                .await;
            assert_eq!(client.answer("PUT").await.status, 501, "{coding}");
        }
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_target_that_names_a_user_or_no_path_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in ["http://user:pass@lrs.example/a", "lrs.example:80"] {
        assert_eq!(proxy.send("GET", target, &[], "").await.status, 400, "{target}");
    }
    assert!(store.seen().is_empty());
}
