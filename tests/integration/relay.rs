//! What no rule selects: relayed byte for byte, hop-by-hop fields aside, streamed in both directions.

use std::time::Duration;

use crate::support::assert_failure;
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::store::{Misdeed, On, Seen, Store};
use crate::support::upstreams;
use crate::support::wire::{Ending, Framing, Wire};
use crate::support::within;
use crate::support::xapi::state;

#[tokio::test]
async fn the_target_arrives_as_it_was_written() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in
        ["/", "/a%2fb//c/./d/../e", "/a?x=%zz&y=a+b&x", "/a?", "//host/path", "/\u{5b}x\u{5d}|", "*"]
    {
        store.forget();
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        proxy.send(method, target, &[], "").await;
        assert_eq!(store.seen()[0].target, target);
    }
}

#[tokio::test]
async fn fields_arrive_as_they_were_spelled_and_repeated() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let fields = [
        ("x-LOWER-upper", "1"),
        ("Accept", "a, b"),
        ("X-Twice", "one"),
        ("Authorization", "Basic YTpi"),
        ("X-Twice", "two"),
        ("X-Empty", ""),
        ("X-Bytes", "caf\u{e9}; \"q\""),
        ("Range", "bytes=0-1"),
        ("If-Match", "\"x\""),
        ("If-None-Match", "*"),
    ];
    proxy.send("GET", "/a", &fields, "").await;
    let seen = store.seen();
    let arrived: Vec<_> = seen[0]
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)))
        .collect();
    // Fields of different names may change places (RFC 9110 §5.3), values of one name may not.
    let sorted = |mut fields: Vec<(&'static str, &'static str)>| {
        fields.sort_by_key(|(name, _)| *name);
        fields
    };
    let arrived: Vec<_> = arrived
        .iter()
        .map(|(name, value)| {
            fields.iter().find(|(n, v)| n == name && v == value).copied().unwrap_or(("", ""))
        })
        .collect();
    assert_eq!(sorted(arrived), sorted(fields.to_vec()));
}

#[tokio::test]
async fn the_answer_arrives_as_it_was_given() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    store.answer(
        "/odd",
        "HTTP/1.1 299 Quite Odd\r\nX-sPeLt: a\r\nETag: W/\"theirs\"\r\nSet-Cookie: a=1\r\nX-Last: z\r\n\
         Set-Cookie: b=2\r\nContent-Length: 4\r\n\r\n\0\u{1}ab",
    );
    let answer = proxy.get("/odd").await;
    assert_eq!(
        (answer.head.start.as_str(), answer.body.as_slice()),
        ("HTTP/1.1 299 Quite Odd", &b"\0\x01ab"[..])
    );
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!((answer.etag(), answer.field("cache-control")), (Some("W/\"theirs\""), None));
    assert!(answer.head.fields.iter().any(|(name, _)| name == "X-sPeLt"), "{:?}", answer.head);
}

#[tokio::test]
async fn every_method_passes() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "REPORT", "get"] {
        store.forget();
        proxy.send(method, "/a", &[], "").await;
        assert_eq!(store.seen()[0].method, method);
    }
}

#[tokio::test]
async fn fields_of_the_hop_end_at_the_hop() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let fields = [
        ("Connection", "X-Mine, keep-alive"),
        ("Connection", "X-Other"),
        ("X-Mine", "1"),
        ("X-Other", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("X-Kept", "1"),
    ];
    store.answer(
        "/a",
        "HTTP/1.1 200 OK\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 1\r\n\
         Content-Length: 0\r\n\r\n",
    );
    let answer = proxy.send("GET", "/a", &fields, "").await;
    let seen = &store.seen()[0];
    for name in ["x-mine", "x-other", "keep-alive", "proxy-connection"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    // Trailers are passed on, so the proxy may ask for them in its own name.
    assert!(seen.field("te").is_none() || seen.field("connection").is_some_and(|named| named.contains("te")));
    assert_eq!((answer.field("x-theirs"), answer.field("keep-alive")), (None, None));
    assert_eq!((seen.field("x-kept"), answer.field("x-kept")), (Some("1"), Some("1")));
}

#[tokio::test]
async fn the_upstream_learns_who_asked_and_how() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    proxy.send("GET", "/a", &[("Host", "lrs.school.example:8443")], "").await;
    let seen = &store.seen()[0];
    assert_eq!(seen.field("host"), Some("lrs.school.example:8443"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("lrs.school.example:8443"));
    assert_eq!(seen.field("via"), Some("1.1 staleguard"));
}

#[tokio::test]
async fn what_earlier_hops_said_is_kept() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let fields = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "public.example"),
        ("Via", "1.1 edge"),
    ];
    proxy.send("GET", "/a", &fields, "").await;
    let seen = &store.seen()[0];
    let all = |name: &str| {
        let values: Vec<_> = seen
            .fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect();
        values.join(", ")
    };
    assert_eq!(all("x-forwarded-for"), "192.0.2.1, 127.0.0.1");
    assert_eq!(all("x-forwarded-proto"), "https");
    assert_eq!(all("x-forwarded-host"), "public.example");
    assert_eq!(all("via"), "1.1 edge, 1.1 staleguard");
}

#[tokio::test]
async fn the_absolute_form_replaces_host() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    proxy.send("GET", "http://named.example:81/a?b", &[("Host", "other.example")], "").await;
    let seen = &store.seen()[0];
    assert_eq!((seen.target.as_str(), seen.field("host")), ("/a?b", Some("named.example:81")));
}

#[tokio::test]
async fn head_and_bodiless_answers_keep_their_fields() {
    let store = Store::start();
    store.hold("/a", "0123456789");
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let head = client.send("HEAD", "/a", &[], "").await;
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
    store.answer("/304", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
    let unchanged = client.send("GET", "/304", &[], "").await;
    assert_eq!((unchanged.status, unchanged.etag()), (304, Some("\"x\"")));
    assert_eq!(client.send("PUT", "/a", &[], "1").await.status, 204);
    assert_eq!(client.send("GET", "/a", &[], "").await.text(), "1");
}

#[tokio::test]
async fn an_answer_is_passed_on_while_it_comes() {
    let store = Store::start();
    store.close_gate(On::All);
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client.request("GET", "/drip", &[("TE", "trailers")], b"").await;
    let head = within("the head", client.wire.head()).await.unwrap();
    assert_eq!(head.framing(), Some(Framing::Chunked));
    let mut heard = Vec::new();
    let mut let_through = false;
    let (ending, trailers) = within(
        "the body",
        client.wire.pour(head.framing().unwrap(), &mut |piece| {
            heard.extend_from_slice(piece);
            if heard == b"first" && !let_through {
                let_through = true;
                store.let_through(1);
            }
        }),
    )
    .await;
    assert_eq!((ending, heard.as_slice()), (Ending::Complete, b"firstsecond".as_slice()));
    assert!(let_through);
    assert!(trailers.iter().any(|(name, value)| name.eq_ignore_ascii_case("x-sum") && value == "11"));
}

#[tokio::test]
async fn an_upload_is_passed_on_while_it_comes() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client
        .write("POST /upload HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    store.until("the first piece", |seen| seen.first().is_some_and(|seen| seen.bytes == 5)).await;
    client.write("6\r\nsecond\r\n0\r\nX-Sum: 11\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status, 400);
    let seen = &store.seen()[0];
    assert_eq!(seen.body, b"firstsecond");
    assert_eq!(seen.field("transfer-encoding"), Some("chunked"));
    assert!(seen.trailers.iter().any(|(name, value)| name.eq_ignore_ascii_case("x-sum") && value == "11"));
}

#[tokio::test]
async fn an_upload_that_asks_first_is_let_in() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    let head = within("100 Continue", client.wire.head()).await.unwrap();
    assert_eq!(head.word(1), "100");
    client.write("abc").await;
    assert_eq!(client.answer("PUT").await.status, 204);
    assert_eq!(store.document("/a").unwrap(), b"abc");
}

#[tokio::test]
async fn an_upstream_that_refuses_an_upload_early_is_heard() {
    let store = Store::start();
    store.answer_early("/a", "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    let proxy = Proxy::before(&store);
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut client = proxy.connect().await;
        client.write(format!("PUT /a HTTP/1.1\r\nHost: a\r\n{expect}Content-Length: 1000000\r\n\r\n")).await;
        assert_eq!(client.answer("PUT").await.status, 403);
        let ended = |seen: &[Seen]| seen.last().is_some_and(|seen| seen.upload.is_some());
        store.until("the end of the upload", ended).await;
        assert_eq!(
            store.seen().last().unwrap().upload,
            Some(Ending::Reset),
            "half an upload is never closed"
        );
    }
}

#[tokio::test]
async fn an_upload_that_the_client_breaks_off_is_reset_and_not_closed() {
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        for abruptly in [false, true] {
            let store = Store::start();
            let proxy = Proxy::before(&store);
            let mut client = proxy.connect().await;
            client.write(format!("PUT /a HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nfirst\r\n")).await;
            store.until("some of the upload", |seen| seen.first().is_some_and(|seen| seen.bytes > 0)).await;
            if abruptly {
                client.wire.reset();
            } else {
                drop(client);
            }
            store.until("the end of the upload", |seen| seen[0].upload.is_some()).await;
            assert_eq!(store.seen()[0].upload, Some(Ending::Reset), "{framing}, abruptly: {abruptly}");
            assert_eq!(store.document("/a"), None);
        }
    }
}

#[tokio::test]
async fn an_upload_is_reset_even_when_the_proxy_is_killed() {
    let store = Store::start();
    let mut proxy = Proxy::before(&store);
    proxy.panics_are_expected();
    let mut client = proxy.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfirst").await;
    store.until("some of the upload", |seen| seen.first().is_some_and(|seen| seen.bytes > 0)).await;
    proxy.signal("KILL");
    store.until("the end of the upload", |seen| seen[0].upload.is_some()).await;
    assert_eq!(store.seen()[0].upload, Some(Ending::Reset));
    proxy.ended().await;
}

#[tokio::test]
async fn a_broken_answer_is_passed_on_as_a_broken_one() {
    for store in [upstreams::half_a_body(On::All), upstreams::reset_after_head(On::All)] {
        let proxy = Proxy::before(&store);
        let mut client = proxy.connect().await;
        client.request("GET", "/a", &[], b"").await;
        // Where the head had not left yet, there may be nothing at all.
        if let Ok(answer) = within("the answer", client.read("GET")).await {
            assert!(answer.status == 502 || answer.ending != Ending::Complete, "{answer:#?}");
        }
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let store =
        Store::with(|knobs| knobs.misdeed = Some((On::All, Misdeed::SaysAndCloses(chunked.to_owned()))));
    let proxy = Proxy::before(&store);
    let answer = proxy.get("/a").await;
    assert_ne!(answer.ending, Ending::Complete, "an end without the last chunk is not the end");
}

#[tokio::test]
async fn an_upstream_that_fails_is_named() {
    for store in [
        upstreams::garbage(On::All),
        upstreams::closes_unanswered(On::All),
        upstreams::reset_unanswered(On::All),
    ] {
        let proxy = Proxy::before(&store);
        assert_failure(&proxy.get("/a").await, 502);
        assert_failure(&proxy.send("POST", "/a", &[], "{}").await, 502);
    }
    let store = upstreams::silent(On::All);
    let proxy = Proxy::configured(&store, "[upstream]\nresponse-timeout = \"200ms\"");
    assert_failure(&proxy.get("/a").await, 504);
    assert_failure(&proxy.send("POST", "/a", &[], "{}").await, 504);
    let line = proxy.logged("the time-out", |line| line["status"] == 504).await;
    assert_eq!(line.get("verdict").filter(|verdict| !verdict.is_null()), None);
}

/// Megabytes of a process at its peak.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

const GIBIBYTE: usize = 1 << 30;

#[tokio::test]
async fn a_gibibyte_goes_up_in_constant_memory() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client.write(format!("PUT /sink HTTP/1.1\r\nHost: a\r\nContent-Length: {GIBIBYTE}\r\n\r\n")).await;
    let block = vec![b'x'; 1 << 20];
    for _ in 0..GIBIBYTE / block.len() {
        assert!(client.write(&block).await);
    }
    assert_eq!(client.answer("PUT").await.status, 204);
    assert_eq!(store.seen()[0].bytes, GIBIBYTE as u64);
    let peak = peak_memory(proxy.pid());
    assert!(peak < 64, "{peak} MiB");
}

#[tokio::test]
async fn a_gibibyte_comes_down_in_constant_memory() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client.request("GET", &format!("/source/{GIBIBYTE}"), &[], b"").await;
    let head = client.wire.head().await.unwrap();
    let mut count = 0;
    let (ending, _) = client.wire.pour(head.framing().unwrap(), &mut |piece| count += piece.len()).await;
    assert_eq!((ending, count), (Ending::Complete, GIBIBYTE));
    let peak = peak_memory(proxy.pid());
    assert!(peak < 64, "{peak} MiB");
}

#[tokio::test]
async fn every_exchange_has_its_line_in_the_log() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    for n in 0..30 {
        client.send("POST", &format!("/statements/{n}?secret"), &[], "{}").await;
    }
    let line = proxy.logged("the last one", |line| line["path"] == "/statements/29").await;
    assert_eq!((line["method"].as_str(), line["status"].as_u64()), (Some("POST"), Some(204)));
    assert!(line["duration_ms"].is_number());
    assert!(["resource", "verdict"].iter().all(|name| line.get(name).is_none_or(serde_json::Value::is_null)));
    let paths: Vec<_> = proxy.log().iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, (0..30).map(|n| format!("/statements/{n}")).collect::<Vec<_>>());
}

/// Longer than the upstream may be silent.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(700)).await;
}

#[tokio::test]
async fn a_pause_in_an_upload_is_not_the_upstreams_silence() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[upstream]\nresponse-timeout = \"200ms\"");
    let mut client = proxy.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nfirst").await;
    pause().await;
    client.write("second").await;
    assert_eq!(client.answer("PUT").await.status, 204);
    assert_eq!(store.document("/a").unwrap(), b"firstsecond");
}

#[tokio::test]
async fn an_upload_that_ends_with_trailers_is_not_waited_for() {
    let store = upstreams::silent(On::Writes);
    let proxy = Proxy::configured(&store, "[upstream]\nresponse-timeout = \"200ms\"");
    for trailer in ["", "Trailer: X-Sum\r\n"] {
        let mut client = proxy.connect().await;
        client
            .write(format!("PUT /a HTTP/1.1\r\nHost: a\r\n{trailer}Transfer-Encoding: chunked\r\n\r\n"))
            .await;
        client.write("3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n").await;
        assert_eq!(client.answer("PUT").await.status, 504);
    }
}

#[tokio::test]
async fn a_pause_in_reading_is_not_the_upstreams_silence() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[upstream]\nresponse-timeout = \"200ms\"");
    let mut client = proxy.connect().await;
    client.request("GET", "/source/20000000", &[], b"").await;
    let head = client.wire.head().await.unwrap();
    pause().await;
    let body = within("the rest", client.wire.body(head.framing().unwrap())).await;
    assert_eq!((body.ending, body.bytes.len()), (Ending::Complete, 20_000_000));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let store = Store::with(|knobs| knobs.chunks = true);
    store.hold("/a", "0123456789");
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client.write("GET /a HTTP/1.0\r\n\r\n").await;
    let answer = client.answer("GET").await;
    assert_eq!((answer.text().as_str(), answer.field("transfer-encoding")), ("0123456789", None));
    assert_eq!(store.seen()[0].field("host"), Some(store.address().to_string().as_str()));
}

#[tokio::test]
async fn an_upload_with_a_malformed_chunk_is_reset_and_not_closed() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    store.until("the first piece", |seen| seen.first().is_some_and(|seen| seen.bytes == 5)).await;
    client.write("nonsense\r\nGET /behind HTTP/1.1\r\nHost: a\r\n\r\n").await;
    store.until("the end of the upload", |seen| seen[0].upload.is_some()).await;
    assert_eq!(store.seen()[0].upload, Some(Ending::Reset));
    client.end().await;
    assert_eq!((store.document("/a"), store.seen().len()), (None, 1));
}

#[tokio::test]
async fn an_answer_that_is_nonsense_is_a_bad_gateway() {
    let many = "X-Long: x\r\n".repeat(200_000);
    for nonsense in [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/3.1 200 OK\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
    ] {
        let store =
            Store::with(|knobs| knobs.misdeed = Some((On::All, Misdeed::SaysAndCloses(nonsense.to_owned()))));
        let proxy = Proxy::before(&store);
        for target in ["/a", &state("a")] {
            for method in ["GET", "PUT"] {
                assert_failure(&proxy.send(method, target, &[], "1").await, 502);
            }
        }
        assert_eq!(store.writes().len(), 2);
    }
}

#[tokio::test]
async fn ninety_fields_of_a_name_pass() {
    let store = Store::start();
    store.answer(
        "/a",
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", "X-Theirs: x\r\n".repeat(90)),
    );
    let proxy = Proxy::before(&store);
    let answer = proxy.send("GET", "/a", &[("X-Mine", "x"); 90], "").await;
    assert_eq!((answer.status, answer.head.all("x-theirs").len()), (200, 90));
    assert_eq!(store.seen()[0].fields.iter().filter(|(name, _)| name == "X-Mine").count(), 90);
}

#[tokio::test]
async fn a_reader_that_leaves_frees_its_place_at_the_upstream() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[upstream]\nconnections = 1");
    store.close_gate(On::Reads);
    for (n, target) in ["/a", &state("a"), "/drip"].into_iter().enumerate() {
        let mut leaver = proxy.connect().await;
        leaver.request("GET", target, &[], b"").await;
        store.until_reads(n + 1).await;
        leaver.wire.reset();
    }
    let mut last = proxy.connect().await;
    last.request("GET", "/b", &[], b"").await;
    store.until_reads(4).await;
    store.open_gate();
    assert_eq!(last.answer("GET").await.status, 404);
}

#[tokio::test]
async fn the_version_of_an_old_upstream_ends_at_the_hop() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    store.answer("/old", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let answer = proxy.get("/old").await;
    // RFC 9112 §2.3: an intermediary sends its own version.
    assert_eq!((answer.head.start.as_str(), answer.text().as_str()), ("HTTP/1.1 200 OK", "ok"));
}

#[tokio::test]
async fn the_body_of_a_get_arrives_in_whatever_framing() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for framed in
        ["Content-Length: 5\r\n\r\nfirst", "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"]
    {
        store.forget();
        let mut client = proxy.connect().await;
        client.write(format!("GET /search HTTP/1.1\r\nHost: a\r\n{framed}")).await;
        client.answer("GET").await;
        assert_eq!(store.seen()[0].body, b"first", "{framed}");
    }
}

#[tokio::test]
async fn a_connection_that_was_answered_before_its_upload_ended_is_not_used_again() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Server::start(move |stream, _| {
        let told = told.clone();
        async move {
            let mut wire = Wire::new(stream);
            if wire.head().await.is_ok() {
                wire.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
                let _ = told.send(wire.rest().await);
            }
        }
    });
    let proxy = Proxy::spawn(&format!("http://{}", upstream.address), "", &[]);
    let mut client = proxy.connect().await;
    client.write("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfirst").await;
    assert_eq!(client.answer("PUT").await.text(), "no");
    // The client still holds its upload open; whoever came next on this connection would wait for it.
    let (ending, _) = within("the end of the connection", tells.recv()).await.unwrap();
    assert_eq!(ending, Ending::Reset);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_keeps_nobody_from_theirs() {
    let store = Store::start();
    let config = "[listen]\nsend-timeout = \"300ms\"\n[upstream]\nconnections = 1";
    let proxy = Proxy::configured(&store, config);
    let mut idler = proxy.connect().await;
    idler.request("GET", &format!("/source/{GIBIBYTE}"), &[], b"").await;
    assert_eq!(idler.wire.head().await.unwrap().word(1), "200");
    // The only exchange that may be under way is the idler's, until the proxy has waited long enough.
    assert_eq!(proxy.get("/elsewhere").await.status, 404);
}

#[tokio::test]
async fn of_two_lengths_of_an_answer_only_one_goes_on() {
    for target in ["/a".to_owned(), state("a")] {
        for method in ["GET", "PUT"] {
            let store = upstreams::two_lengths(On::All);
            let proxy = Proxy::before(&store);
            let mut client = proxy.connect().await;
            for _ in 0..2 {
                let answer = client.send(method, &target, &[], "").await;
                assert_eq!((answer.status, answer.text().as_str()), (200, "{\"a\":1}"), "{method} {target}");
                assert!(matches!(answer.field("content-length"), None | Some("7")), "{answer:#?}");
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_that_switches_protocols_unasked_has_answered_nothing() {
    let store = upstreams::switching(On::All);
    let proxy = Proxy::before(&store);
    for target in ["/a".to_owned(), state("a")] {
        for method in ["GET", "PUT"] {
            assert_failure(&proxy.send(method, &target, &[], "").await, 502);
        }
    }
}

#[tokio::test]
async fn a_read_with_a_body_of_unknown_length_keeps_its_body() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in ["/a".to_owned(), state("a")] {
        store.forget();
        let mut client = proxy.connect().await;
        client
            .write(format!(
                "GET {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nquery\r\n0\r\n\r\n"
            ))
            .await;
        assert_eq!(client.answer("GET").await.status, 404);
        assert_eq!(store.seen()[0].body, b"query");
    }
}
