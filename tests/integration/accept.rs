//! Stage *accept*: connections, requests and their limits.

use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::Store;
use crate::support::xapi::{JSON, V1, agent_profile, state};
use crate::support::{assert_refused, assert_untouched, sha1_tag};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    assert_eq!(client.send("PUT", &state("a"), &[V1], "1").await.status, 204);
    assert_eq!(client.send("GET", &state("a"), &[V1], "").await.text(), "1");
    assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404);
    assert_eq!(client.send("DELETE", &state("a"), &[V1], "").await.status, 204);
    assert_eq!(client.send("HEAD", &state("a"), &[V1], "").await.status, 404);
}

#[tokio::test]
async fn a_client_that_closes_after_its_answer_is_no_error() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[log]\nlevel = \"debug\"");
    let mut barrier = Barrier::open(&proxy).await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/elsewhere").await.status, 404);
    }
    barrier.pass().await;
    assert!(!proxy.said().contains("ended with an error"), "{}", proxy.said());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let (target, other) = (state("a"), state("b"));
    client
        .write(format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET {target} HTTP/1.1\r\nHost: a\r\n\r\n\
             GET {other} HTTP/1.1\r\nHost: a\r\n\r\nGET /source/5 HTTP/1.1\r\nHost: a\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer("PUT").await.status, 204);
    assert_eq!(client.answer("GET").await.text(), "one");
    assert_eq!(client.answer("GET").await.status, 404);
    assert_eq!(client.answer("GET").await.text(), "xxxxx");
}

#[tokio::test]
async fn connection_close_is_obeyed() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), "/elsewhere".to_owned()] {
        let mut client = proxy.connect().await;
        let answer = client.send("GET", &target, &[("Connection", "close")], "").await;
        assert_eq!(answer.status, 404);
        client.end().await;
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client.write(format!("GET {} HTTP/1.0\r\n\r\n", state("a"))).await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.status, answer.etag()), (200, Some(sha1_tag("{}").as_str())));
    client.end().await;
}

#[tokio::test]
async fn a_body_may_come_in_pieces_and_in_chunks() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let target = agent_profile("a");
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\nContent-Type: text/plain\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    for piece in [head.as_str(), "3\r\nab", "c\r\n", "4\r\ndefg", "\r\n0\r\n\r\n"] {
        client.write(piece).await;
    }
    assert_eq!(client.answer("PUT").await.status, 204);
    assert_eq!(store.document(&target).unwrap(), b"abcdefg");
    assert_eq!(store.writes()[0].field("content-type"), Some("text/plain"));
}

#[tokio::test]
async fn a_guarded_upload_is_invited_when_it_asks_first() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let target = state("a");
    client
        .write(format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        ))
        .await;
    let head = client.wire.head().await.unwrap();
    assert_eq!(head.start, "HTTP/1.1 100 Continue");
    client.write("abc").await;
    assert_eq!(client.answer("PUT").await.status, 204);
    assert_eq!(store.document(&target).unwrap(), b"abc");
}

#[tokio::test]
async fn a_guarded_body_that_is_too_large_is_refused_readably_while_it_still_comes() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1KiB\"");
    // Clients that do not look at an answer before they are done.
    let (length, chunk) =
        (vec![b'x'; 4_000_000], [b"3d0900\r\n".as_slice(), &[b'x'; 4_000_000], b"\r\n0\r\n\r\n"].concat());
    for (framing, upload) in [("Content-Length: 4000000", length), ("Transfer-Encoding: chunked", chunk)] {
        let mut client = proxy.connect().await;
        client.write(format!("PUT {} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n", state("a"))).await;
        for piece in upload.chunks(4000) {
            assert!(client.write(piece).await);
        }
        assert_refused(&client.answer("PUT").await, 413);
    }
    assert_untouched(&store);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], vec![b'x'; 1024]).await.status, 204);
}

#[tokio::test]
async fn an_invitation_to_upload_what_is_too_large_is_declined() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1KiB\"");
    let mut client = proxy.connect().await;
    let target = state("a");
    client
        .write(format!(
            "PUT {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4000\r\n\r\n"
        ))
        .await;
    let answer = client.answer("PUT").await;
    assert_refused(&answer, 413);
    assert!(answer.interim.is_empty(), "it was not invited first");
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[listen]\nbody-timeout = \"200ms\"");
    let mut client = proxy.connect().await;
    client.write(format!("PUT {} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", state("a"))).await;
    assert_eq!(client.answer("PUT").await.status, 408);
    client.end().await;
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_head_that_stalls_is_given_up() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[listen]\nheader-timeout = \"200ms\"");
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "PRI * HT"] {
        let mut client = proxy.connect().await;
        client.write(beginning).await;
        client.end().await;
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[listen]\nheader-max = \"16KiB\"");
    let mut client = proxy.connect().await;
    client.write(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}\r\n\r\n", "x".repeat(20_000))).await;
    assert_eq!(client.answer("GET").await.status, 431);
    assert!(store.seen().is_empty());
    assert_eq!(proxy.get("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn a_head_of_too_many_fields_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    // Host and Content-Length are two of them.
    let head = |others: usize| {
        let others: String = (0..others).map(|n| format!("X-{n}: x\r\n")).collect();
        format!("PUT {} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n{others}\r\nx", state("a"))
    };
    let mut client = proxy.connect().await;
    client.write(head(99)).await;
    assert_eq!(client.answer("PUT").await.status, 431);
    client.end().await;
    assert!(store.seen().is_empty());
    let mut client = proxy.connect().await;
    client.write(head(98)).await;
    assert_eq!(client.answer("PUT").await.status, 204);
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused() {
    let store = Store::start();
    // A head may be larger than the longest target; 65,534 bytes is all that the HTTP library takes.
    let proxy = Proxy::configured(&store, "[listen]\nheader-max = \"256KiB\"");
    for (target, more) in [(state("a"), "&x="), ("/elsewhere".to_owned(), "?")] {
        let longest = 65_534 - target.len() - more.len();
        let put = |length: usize| {
            let long = format!("{target}{more}{}", "x".repeat(length));
            format!("PUT {long} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        };
        for length in [longest + 1, 100_000] {
            let mut client = proxy.connect().await;
            client.write(put(length)).await;
            assert_eq!(client.answer("PUT").await.status, 414);
            client.end().await;
        }
        assert!(store.seen().is_empty());
        let mut client = proxy.connect().await;
        client.write(put(longest)).await;
        assert_eq!(client.answer("PUT").await.status, 204);
        assert_eq!(store.writes()[0].target.len(), 65_534);
        store.forget();
    }
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[listen]\nconnections = 2");
    let mut first = proxy.connect().await;
    let mut second = proxy.connect().await;
    assert_eq!(first.send("GET", "/a", &[], "").await.status, 404);
    assert_eq!(second.send("GET", "/a", &[], "").await.status, 404);
    let mut third = proxy.connect().await;
    third.request("GET", "/third", &[], b"").await;
    // The two that have a place are served before and after; then one leaves.
    assert_eq!(first.send("GET", "/a", &[], "").await.status, 404);
    assert!(store.seen().iter().all(|seen| seen.target != "/third"));
    drop(second);
    assert_eq!(third.answer("GET").await.status, 404);
}

#[tokio::test]
async fn method_overrides_are_refused_on_a_guarded_resource() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = state("a");
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"] {
        for method in ["POST", "GET", "OPTIONS", "TRACE"] {
            assert_refused(&proxy.send(method, &target, &[V1, JSON, (name, "PUT")], "{}").await, 400);
        }
    }
    assert_refused(&proxy.send("POST", &format!("{target}&_method=DELETE"), &[V1, JSON], "{}").await, 400);
    let form = [V1, ("Content-Type", "application/x-www-form-urlencoded")];
    assert_refused(&proxy.send("POST", &target, &form, "a=b&_method=DELETE").await, 400);
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn a_method_that_some_server_takes_for_another_is_refused_on_a_guarded_resource() {
    let store = Store::start();
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::before(&store);
    for method in ["put", "Put", "delete", "post", "get"] {
        assert_refused(&proxy.send(method, &agent_profile("a"), &[V1, JSON], "{}").await, 400);
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn only_options_may_ask_for_the_whole_server() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "TRACE", "MOVE"] {
        assert_eq!(proxy.send(method, "*", &[], "").await.status, 400, "{method}");
    }
    assert!(store.seen().is_empty(), "{:?}", store.seen());
    proxy.send("OPTIONS", "*", &[], "").await;
    assert_eq!(store.seen()[0].target, "*");
}
