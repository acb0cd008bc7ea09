//! The test kit against itself: its client speaks to its upstreams directly.

use std::time::Duration;

use crate::support::client::{Client, send};
use crate::support::proxy::Proxy;
use crate::support::store::{On, Store, Tags};
use crate::support::upstreams;
use crate::support::wire::Ending;
use crate::support::xapi::{state, state_ids};

#[tokio::test]
async fn the_store_keeps_documents_and_looks_at_no_precondition() {
    let store = Store::with(|knobs| knobs.tags = Tags::LengthHash);
    let mut client = Client::connect(store.address()).await;
    assert_eq!(client.send("GET", &state("a"), &[], "").await.status, 404);
    assert_eq!(client.send("PUT", &state("a"), &[("If-Match", "\"no\"")], "{\"n\":1}").await.status, 204);
    assert_eq!(client.send("POST", &state("a"), &[], "{\"m\":2}").await.status, 204);
    let answer = client.send("GET", &state("a"), &[], "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"m\":2,\"n\":1}"));
    assert_eq!(answer.etag(), store.own_tag(&state("a")).as_deref());
    assert_eq!(client.send("GET", &state_ids(), &[], "").await.text(), "[\"a\"]");
    assert_eq!(client.send("HEAD", &state("a"), &[], "").await.body, b"");
    assert_eq!(client.send("DELETE", &state_ids(), &[], "").await.status, 204);
    assert_eq!(client.send("GET", &state("a"), &[], "").await.status, 404);
    assert_eq!(client.send("PUT", &state_ids(), &[], "{}").await.status, 400);
    assert!(store.seen().iter().all(|seen| seen.connection == 0 && seen.answered));
    assert_eq!(store.writes().len(), 4);
}

/// Or what is said of another build, such as the optimised one, would be said of this one.
#[cfg(target_os = "linux")]
#[test]
fn the_program_that_runs_is_the_one_that_was_asked_for() {
    let asked = std::env::var_os("STALEGUARD_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_staleguard").into());
    let proxy = Proxy::spawn("http://127.0.0.1:1", "", &[]);
    let runs = std::fs::read_link(format!("/proc/{}/exe", proxy.pid())).unwrap();
    assert_eq!(runs, std::fs::canonicalize(asked).unwrap());
}

#[tokio::test]
async fn merges_at_the_same_time_lose_keys_in_the_store() {
    let store = Store::with(|knobs| knobs.pause = Duration::from_millis(50));
    let target = state("a");
    let merge = |key: &'static str| send(store.address(), "POST", &target, &[], format!("{{\"{key}\":1}}"));
    let (first, second) = tokio::join!(merge("a"), merge("b"));
    assert_eq!((first.status, second.status), (204, 204));
    assert_eq!(store.document(&target).unwrap().len(), "{\"a\":1}".len());
}

#[tokio::test]
async fn the_gate_holds_writes_until_they_are_let_through() {
    let store = Store::start();
    store.close_gate(On::Writes);
    let mut client = Client::connect(store.address()).await;
    client.request("PUT", "/a", &[], b"1").await;
    store.until_writes(1).await;
    assert_eq!(send(store.address(), "GET", "/a", &[], "").await.status, 404);
    store.let_through(1);
    assert_eq!(client.answer("PUT").await.status, 204);
    store.open_gate();
    assert_eq!(client.send("PUT", "/a", &[], "2").await.status, 204);
}

#[tokio::test]
async fn an_upload_tells_how_it_ended() {
    let store = Store::start();
    for (ending, leave) in [(Ending::Fin, false), (Ending::Reset, true)] {
        store.forget();
        let mut client = Client::connect(store.address()).await;
        client.write("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
        store.until("the head", |seen| !seen.is_empty()).await;
        if leave {
            client.wire.reset();
        } else {
            drop(client);
        }
        store.until("the end of the upload", |seen| seen[0].upload == Some(ending)).await;
    }
    assert_eq!(store.document("/a"), None);
}

#[tokio::test]
async fn chunks_and_trailers_are_read_in_both_directions() {
    let store = Store::with(|knobs| knobs.chunks = true);
    let mut client = Client::connect(store.address()).await;
    client
        .write("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Sum: 7\r\n\r\n")
        .await;
    assert_eq!(client.answer("PUT").await.status, 204);
    assert_eq!(store.seen()[0].trailers, [("X-Sum".to_owned(), "7".to_owned())]);
    assert_eq!(client.send("GET", "/a", &[], "").await.text(), "abcdefg");
    assert_eq!(client.send("GET", "/drip", &[], "").await.trailers, [("X-Sum".to_owned(), "11".to_owned())]);
}

#[tokio::test]
async fn a_broken_answer_tells_how_it_broke() {
    let half = upstreams::half_a_body(On::All);
    assert_eq!(send(half.address(), "GET", "/a", &[], "").await.ending, Ending::Fin);
    let reset = upstreams::reset_after_head(On::All);
    assert_eq!(send(reset.address(), "GET", "/a", &[], "").await.ending, Ending::Reset);
    let closing = upstreams::closes_unanswered(On::Writes);
    let mut client = Client::connect(closing.address()).await;
    assert_eq!(client.send("GET", "/a", &[], "").await.status, 404);
    client.request("PUT", "/a", &[], b"1").await;
    assert_eq!(client.read("PUT").await.unwrap_err(), Ending::Fin);
    assert_eq!(closing.document("/a"), None);
}

#[tokio::test]
async fn sinks_count_and_sources_pour() {
    let store = Store::start();
    let mut client = Client::connect(store.address()).await;
    client.send("PUT", "/sink", &[], vec![b'x'; 100_000]).await;
    assert_eq!(store.seen()[0].bytes, 100_000);
    assert_eq!(client.send("GET", "/source/100000", &[], "").await.body.len(), 100_000);
}
