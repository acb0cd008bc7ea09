//! HTTP/2 in clear text, by prior knowledge: the guard holds, and what only HTTP/2 can be attacked with is bounded.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::http::{Speaker, Told};
use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{On, Store};
use crate::support::xapi::{JSON, V1, agent_profile, state, state_of};
use crate::support::{sha1_tag, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// GET http://a/elsewhere, as HPACK has it without a table.
const HEAD: &[u8] = b"\x82\x86\x04\x0a/elsewhere\x01\x01a";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn speak(proxy: &Proxy) -> Speaker {
    Speaker::two(TcpStream::connect(proxy.address).await.unwrap()).await.0
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A connection on which frames are written by hand.
async fn raw(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await.unwrap();
    stream
}

/// Reads frames to the end of the connection; the error code of its GOAWAY.
async fn goodbye(stream: &mut TcpStream) -> Option<u32> {
    let mut code = None;
    let read = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if stream.read_exact(&mut payload).await.is_err() {
                return;
            }
            if head[3] == GOAWAY {
                code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
    };
    within("the end of the connection", read).await;
    code
}

#[tokio::test]
async fn requests_go_on_in_the_words_of_http_1_1() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = speak(&proxy).await;
    let fields = [V1, JSON, ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")];
    let target = state("a");
    assert_eq!(client.send("PUT", &target, &fields, "{}").await.status, 204);
    let seen = &store.writes()[0];
    assert_eq!(seen.target, target);
    assert_eq!(seen.field("host"), Some("lrs.example"));
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.fields.iter().filter(|(name, _)| name == "cookie").count(), 1);
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("lrs.example"));
    let told = client.send("GET", &target, &[V1], "").await;
    assert_eq!((told.status, &told.body[..], told.field("etag")), (200, &b"{}"[..], Some(&*sha1_tag("{}"))));
    assert_eq!(told.field("connection"), None);
    let told = client.send("HEAD", &target, &[V1], "").await;
    assert_eq!((told.status, told.field("content-length")), (200, Some("2")));
    proxy.logged("its protocol", |line| line["protocol"] == "HTTP/2.0" && line["method"] == "HEAD").await;
}

#[tokio::test]
async fn many_requests_are_under_way_at_a_time_and_the_guard_holds() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "0");
    let proxy = Proxy::before(&store);
    let mut client = speak(&proxy).await;
    let tag = sha1_tag("0");
    let writes: Vec<_> = (1..=20)
        .map(|number| {
            let fields = [V1, JSON, ("If-Match", tag.as_str())];
            client.begin(client.request("PUT", &target, &fields, &number.to_string()))
        })
        .collect();
    let mut statuses = Vec::new();
    for write in writes {
        statuses.push(within("an answer", write).await.unwrap().status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![204], vec![412; 19]].concat());
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn a_body_without_a_length_is_read_whole() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for (target, length) in [(state("a"), Some("7")), ("/relayed".to_owned(), None)] {
        store.forget();
        let mut stream = raw(&proxy).await;
        let path = format!("{target}\u{0}").into_bytes();
        let length_of_path = u8::try_from(path.len() - 1).unwrap_or(127);
        // PUT http://a, with the path as a literal; long ones need a length of several bytes.
        let mut head = b"\x02\x03PUT\x86\x01\x01a\x04".to_vec();
        match path.len() - 1 {
            short if short < 127 => head.push(length_of_path),
            long => head.extend([
                127,
                u8::try_from((long - 127) % 128).unwrap() | 128,
                u8::try_from((long - 127) / 128).unwrap(),
            ]),
        }
        head.extend(&path[..path.len() - 1]);
        stream.write_all(&frame(HEADERS, END_HEADERS, 1, &head)).await.unwrap();
        stream.write_all(&frame(DATA, 0, 1, b"abc")).await.unwrap();
        stream.write_all(&frame(DATA, END_STREAM, 1, b"defg")).await.unwrap();
        store.until("the write", |seen| seen.iter().any(|seen| seen.method == "PUT" && seen.answered)).await;
        assert_eq!(store.document(&target).unwrap(), b"abcdefg");
        assert_eq!(store.writes()[0].field("content-length"), length);
    }
}

#[tokio::test]
async fn what_two_servers_could_read_differently_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = state("a");
    for (field, status) in [
        (("host", "other.example"), 400),
        (("host", "lrs.example:81"), 400),
        (("if-match", " \"x\""), 400),
        (("x-any", "1\t"), 400),
        (("host", "LRS.example:80"), 204),
    ] {
        let mut client = speak(&proxy).await;
        let told = client.send("PUT", &target, &[V1, JSON, field], "1").await;
        assert_eq!(told.status, status, "{field:?}: {told:?}");
        assert_eq!(store.writes().len(), usize::from(status == 204), "{field:?}");
    }
    let mut client = speak(&proxy).await;
    let connect = http::Request::connect("lrs.example:443").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(within("an answer", client.begin(connect)).await.unwrap().status(), 501);
}

#[tokio::test]
async fn a_stream_that_is_reset_is_a_client_that_left() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    let mut client = speak(&proxy).await;
    let target = state("a");
    store.close_gate(On::Writes);
    let first = client.begin(client.request("PUT", &target, &[V1, JSON], "1"));
    let first = tokio::spawn(first);
    store.until_writes(1).await;
    // The second one waits for its turn; the third shows that it has come.
    let second = tokio::spawn(client.begin(client.request("PUT", &target, &[V1, JSON], "2")));
    assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404);
    second.abort();
    first.abort();
    proxy.logged("both left", |line| line["status"] == 499 && line["method"] == "PUT").await;
    within("both lines", async {
        while proxy.log().iter().filter(|line| line["status"] == 499).count() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    store.open_gate();
    store
        .until("the first to be finished", |seen| {
            seen.iter().any(|seen| seen.method == "PUT" && seen.answered)
        })
        .await;
    assert_eq!(client.send("PUT", &target, &[V1, JSON], "3").await.status, 204);
    barrier.pass().await;
    let bodies: Vec<_> = store.writes().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"1", b"3"], "what was begun was finished, and what had not been begun was not sent");
}

/// Whoever resets streams whose writes have been sent makes work that goes on without him (CVE-2023-44487).
#[tokio::test]
async fn writes_whose_streams_were_reset_are_few() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "listen.detached-max = 2");
    store.close_gate(On::Writes);
    let mut client = speak(&proxy).await;
    for (count, course) in ["x", "y"].into_iter().enumerate() {
        let write = client.begin(client.request("PUT", &state_of(course, "a"), &[V1, JSON], "1"));
        let write = tokio::spawn(write);
        store.until_writes(count + 1).await;
        write.abort();
        within("its line", async {
            while proxy.log().iter().filter(|line| line["status"] == 499).count() <= count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let refused = client.send("PUT", &state_of("z", "a"), &[V1, JSON], "1").await;
    assert_eq!((refused.status, store.writes().len()), (503, 2), "{refused:?}");
    assert!(refused.field("retry-after").is_some());
    store.open_gate();
    within("a place for one more", async {
        while client.send("PUT", &state_of("z", "a"), &[V1, JSON], "2").await.status != 204 {}
    })
    .await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut stream = raw(&proxy).await;
    let mut storm = Vec::new();
    for number in 0..2000_u32 {
        let id = 2 * number + 1;
        storm.extend(frame(HEADERS, END_STREAM | END_HEADERS, id, HEAD));
        storm.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8]));
    }
    // It may end before it has been sent all of it.
    let _ = stream.write_all(&storm).await;
    let code = goodbye(&mut stream).await;
    assert!(
        matches!(code, Some(11) | None),
        "ENHANCE_YOUR_CALM, where a reset has not taken it along: {code:?}"
    );
    assert!(store.seen().len() < 200, "{}", store.seen().len());
    assert_eq!(proxy.get("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut stream = raw(&proxy).await;
    let mut sent = 0;
    let mut flood = frame(HEADERS, END_STREAM, 1, HEAD);
    // "x: …", of which no end is ever said.
    for _ in 0..1000 {
        flood.extend(frame(
            CONTINUATION,
            0,
            1,
            &[b"\x00\x01x\x7f\x81\x7c".as_slice(), &[b'x'; 16000]].concat(),
        ));
    }
    for piece in flood.chunks(64 * 1024) {
        match within("room", stream.write_all(piece)).await {
            Ok(()) => sent += piece.len(),
            Err(_) => break,
        }
    }
    goodbye(&mut stream).await;
    assert!(sent < 8_000_000, "it took {sent} bytes of a head");
    assert!(store.seen().is_empty());
    assert_eq!(proxy.get("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[listen]\nheader-max = \"8KiB\"");
    let mut client = speak(&proxy).await;
    let large = "x".repeat(10_000);
    assert_eq!(client.send("GET", "/elsewhere", &[("x-large", &large)], "").await.status, 431);
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn draining_says_goodbye_and_finishes_what_is_under_way() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let (mut client, connection) = Speaker::two(TcpStream::connect(proxy.address).await.unwrap()).await;
    store.close_gate(On::Writes);
    let write = client.begin(client.request("PUT", &state("a"), &[V1, JSON], "1"));
    store.until_writes(1).await;
    let mut idle = raw(&proxy).await;
    proxy.signal("TERM");
    proxy.says("draining").await;
    assert_eq!(goodbye(&mut idle).await, Some(0), "which is no error");
    store.open_gate();
    let told = Told::of(within("its answer", write).await.unwrap()).await;
    assert_eq!(told.status, 204);
    within("the end of the connection", connection).await.unwrap().unwrap();
    assert_eq!(proxy.ended().await, Some(0));
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[listen]\nheader-timeout = \"300ms\"");
    let (mut client, connection) = Speaker::two(TcpStream::connect(proxy.address).await.unwrap()).await;
    assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404);
    within("the end of an idle connection", connection).await.unwrap().unwrap();
    // One that says nothing more after its first words, not even that it has heard.
    let mut stream = raw(&proxy).await;
    goodbye(&mut stream).await;
    let mut stream = raw(&proxy).await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, HEAD)).await.unwrap();
    goodbye(&mut stream).await;
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_take_gives_the_upstream_back() {
    let store = Store::start();
    let config = "[listen]\nsend-timeout = \"300ms\"\n[upstream]\nconnections = 1\nconnect-timeout = \"5s\"";
    let proxy = Proxy::configured(&store, config);
    let mut client = speak(&proxy).await;
    // The client has given a window for a part of it and never reads.
    let answer =
        within("the head", client.begin(client.request("GET", "/source/50000000", &[], ""))).await.unwrap();
    assert_eq!(proxy.get("/elsewhere").await.status, 404, "the only connection is free again");
    within("the end of the answer", answer.into_body().collect()).await.expect_err("it was cut off");
    assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404, "the connection goes on");
}

/// The library that speaks HTTP/2 cannot send interim responses, and RFC 9110 §10.1.1 lets no client wait for one for ever:
/// who begins by himself is served, and who never does is sent away.
#[tokio::test]
async fn who_waits_for_a_100_begins_by_himself_or_is_sent_away() {
    let store = Store::start();
    let notes = "[resource.notes]\npath = \"/notes/{id}\"\nidentity = [\"path\"]\n";
    let proxy = Proxy::configured(&store, &format!("listen.body-timeout = \"1s\"\n{notes}"));
    let mut stream = raw(&proxy).await;
    let ask = |id, path: &str| {
        // PUT http://a with "expect: 100-continue".
        let head = [b"\x02\x03PUT\x86\x04\x0a", path.as_bytes(), b"\x01\x01a\x00\x06expect\x0c100-continue"];
        frame(HEADERS, END_HEADERS, id, &head.concat())
    };
    for (id, path) in [(1, "/notes/abc"), (3, "/elsewhere")] {
        stream.write_all(&ask(id, path)).await.unwrap();
        assert_eq!(proxy.get("/other").await.status, 404);
        assert_eq!(store.document(path), None);
        stream.write_all(&frame(DATA, END_STREAM, id, b"{}")).await.unwrap();
        proxy.logged("its end", |line| line["path"] == path && line["status"] == 204).await;
        assert_eq!(store.document(path).unwrap(), b"{}");
    }
    assert!(store.writes().iter().all(|seen| seen.field("expect").is_none()));
    stream.write_all(&ask(5, "/notes/xyz")).await.unwrap();
    proxy.logged("the other's", |line| line["path"] == "/notes/xyz" && line["status"] == 408).await;
    assert_eq!(store.document("/notes/xyz"), None);
}

/// Trailers have no pseudo-header fields (RFC 9113 §8.1): nobody sees one that is there all the same.
#[tokio::test]
async fn pseudo_headers_in_trailers_go_nowhere() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut stream = raw(&proxy).await;
    // PUT http://a/elsewhere; and ":method: DELETE", ":path: /other" behind its body.
    let head = b"\x02\x03PUT\x86\x04\x0a/elsewhere\x01\x01a";
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, head)).await.unwrap();
    stream.write_all(&frame(DATA, 0, 1, b"1")).await.unwrap();
    let trailers = b"\x02\x06DELETE\x04\x06/other";
    stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers)).await.unwrap();
    // The next one shows that the connection goes on, and that the first has ended in one way or the other.
    let line = proxy.logged("the first", |line| line["path"] == "/elsewhere").await;
    assert_eq!(line["method"], "PUT");
    for seen in store.seen() {
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", "/elsewhere"));
        assert!(seen.trailers.is_empty(), "{seen:?}");
    }
    assert_eq!(proxy.get("/other").await.status, 404, "nothing was written or removed there");
}

/// WebSockets over HTTP/2 (RFC 8441) are not offered, so that asking for one is an error of the stream and of nothing else.
#[tokio::test]
async fn an_extended_connect_ends_its_stream_and_no_more() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut stream = raw(&proxy).await;
    let mut storm = Vec::new();
    for id in [1, 3, 5] {
        // ":method: CONNECT", ":protocol: websocket", and the target as in HEAD.
        let head = b"\x02\x07CONNECT\x00\x09:protocol\x09websocket\x86\x04\x0a/elsewhere\x01\x01a";
        storm.extend(frame(HEADERS, END_HEADERS, id, head));
    }
    storm.extend(frame(HEADERS, END_STREAM | END_HEADERS, 7, HEAD));
    stream.write_all(&storm).await.unwrap();
    let mut ends = Vec::new();
    let read = async {
        while !ends.contains(&(7, HEADERS)) || ends.len() < 4 {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            let id = u32::from_be_bytes(head[5..].try_into().unwrap());
            if head[3] == RST_STREAM {
                assert_eq!(payload, [0, 0, 0, 1], "PROTOCOL_ERROR");
            }
            if head[3] == SETTINGS {
                assert!(
                    !payload.chunks(6).any(|setting| setting[..2] == [0, 8]),
                    "it was offered: {payload:?}"
                );
            }
            if [RST_STREAM, HEADERS].contains(&head[3]) {
                ends.push((id, head[3]));
            }
        }
    };
    within("the end of all four", read).await;
    ends.sort_unstable();
    assert_eq!(ends, [(1, RST_STREAM), (3, RST_STREAM), (5, RST_STREAM), (7, HEADERS)]);
    assert_eq!(store.seen().len(), 1);
}
