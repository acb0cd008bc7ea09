//! Stage *learn*: what does the upstream hold now? A GET of the proxy's own, with the writer's credentials.

use crate::support::client::Answer;
use crate::support::proxy::Proxy;
use crate::support::store::{Misdeed, On, Store, Tags};
use crate::support::upstreams::{self, bare};
use crate::support::xapi::{JSON, V1, V2, activity_profile, agent_profile, state};
use crate::support::{assert_failure, assert_refused, assert_untouched, sha1_tag};

const CREATE: (&str, &str) = ("If-None-Match", "*");
/// Short bounds, for upstreams that never answer.
const HASTY: &str = "[upstream]\nresponse-timeout = \"300ms\"\nread-back-timeout = \"300ms\"";

/// Sends a creation, whose verdict depends on the probe.
async fn create_before(store: &Store, config: &str) -> Answer {
    let proxy = Proxy::configured(store, config);
    proxy.send("PUT", &agent_profile("a"), &[V1, JSON, CREATE], "{}").await
}

#[tokio::test]
async fn the_probe_speaks_for_the_writer() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "old");
    let proxy = Proxy::before(&store);
    let answer = proxy
        .send(
            "PUT",
            &target,
            &[
                ("Host", "lrs.school.example"),
                V1,
                ("Authorization", "Basic YTpi"),
                ("Cookie", "session=1"),
                ("Content-Type", "text/plain"),
                ("Accept-Encoding", "gzip, br"),
                ("Range", "bytes=0-1"),
                ("If-Match", &sha1_tag("old")),
            ],
            "new",
        )
        .await;
    assert_eq!(answer.status, 204);
    let seen = store.seen();
    assert_eq!((seen[0].method.as_str(), seen[1].method.as_str()), ("GET", "PUT"));
    let probe = &seen[0];
    assert_eq!(probe.target, target);
    assert_eq!(probe.field("host"), Some("lrs.school.example"));
    assert_eq!(probe.field("authorization"), Some("Basic YTpi"));
    assert_eq!(probe.field("cookie"), Some("session=1"));
    assert_eq!(probe.field(V1.0), Some(V1.1));
    assert_eq!(probe.field("cache-control"), Some("no-cache"));
    assert_eq!(probe.field("accept-encoding"), Some("identity"));
    for absent in ["if-match", "if-none-match", "range", "content-length", "transfer-encoding", "expect"] {
        assert_eq!(probe.field(absent), None, "{absent}");
    }
    assert!(probe.body.is_empty());
}

#[tokio::test]
async fn nobody_is_asked_where_the_verdict_is_the_same_in_any_case() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[resource.activity-profile]\nunconditional.PUT = \"require\"");
    store.hold(&state("a"), "{}");
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, JSON], "{}").await.status, 204);
    assert_eq!(proxy.send("POST", &state("a"), &[V2, JSON], "{}").await.status, 204);
    assert_eq!(proxy.send("DELETE", &state("a"), &[V2], "").await.status, 204);
    assert_refused(&proxy.send("PUT", &activity_profile("a"), &[V1], "{}").await, 428);
    assert_refused(&proxy.send("PUT", &state("a"), &[V1, ("If-Match", "")], "{}").await, 412);
    assert_eq!(store.seen().len(), 3, "{:#?}", store.seen());
}

#[tokio::test]
async fn an_objection_of_the_upstream_is_handed_back_as_it_came_but_for_its_tag() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "405 Method Not Allowed",
        "409 Conflict",
        "412 Precondition Failed",
        "429 Too Many Requests",
        "500 Oops",
        "503 Service Unavailable",
    ] {
        let store = Store::start();
        let with_tag =
            bare(status).replace("Content-Length", "ETag: \"theirs\"\r\nX-Detail: more\r\nContent-Length");
        store.set(|knobs| knobs.misdeed = Some((On::Reads, Misdeed::Says(with_tag))));
        let answer = create_before(&store, "").await;
        assert_eq!(format!("{}", answer.status), status[..3]);
        assert_eq!((answer.text().as_str(), answer.field("x-detail")), ("so there", Some("more")));
        assert_eq!(answer.etag(), None);
        assert_untouched(&store);
    }
}

#[tokio::test]
async fn not_found_and_gone_are_documents_that_are_missing() {
    for status in ["404 Not Found", "410 Gone"] {
        let store = Store::start();
        let with_tag = bare(status).replace("Content-Length", "ETag: \"of nothing\"\r\nContent-Length");
        store.set(|knobs| knobs.misdeed = Some((On::Reads, Misdeed::Says(with_tag))));
        assert_eq!(create_before(&store, "").await.status, 204);
        store.forget();
        let proxy = Proxy::before(&store);
        let answer =
            proxy.send("PUT", &agent_profile("a"), &[V1, ("If-Match", "\"of nothing\"")], "{}").await;
        assert_refused(&answer, 412);
        assert_eq!(answer.etag(), None);
        assert_untouched(&store);
    }
}

#[tokio::test]
async fn no_other_answer_to_a_probe_lets_a_write_through() {
    for store in [
        upstreams::no_content_for_absent(),
        upstreams::redirecting(),
        upstreams::answering(On::Reads, "201 Created"),
        upstreams::answering(On::Reads, "202 Accepted"),
        upstreams::answering(On::Reads, "203 Non-Authoritative Information"),
        upstreams::answering(On::Reads, "206 Partial Content"),
        upstreams::answering(On::Reads, "304 Not Modified"),
        upstreams::half_a_body(On::Reads),
        upstreams::reset_after_head(On::Reads),
        upstreams::reset_unanswered(On::Reads),
        upstreams::closes_unanswered(On::Reads),
        upstreams::lying_length_above(On::Reads),
        upstreams::garbage(On::Reads),
    ] {
        assert_failure(&create_before(&store, "").await, 502);
        assert_untouched(&store);
    }
}

#[tokio::test]
async fn a_probe_that_is_never_answered_lets_no_write_through() {
    for store in [upstreams::silent(On::Reads), upstreams::trickling(On::Reads)] {
        assert_failure(&create_before(&store, HASTY).await, 504);
        assert_untouched(&store);
    }
}

#[tokio::test]
async fn an_upstream_that_nobody_listens_at_is_a_bad_gateway() {
    let proxy = Proxy::spawn(&upstreams::refusing(), "", &[]);
    assert_failure(&proxy.send("PUT", &agent_profile("a"), &[V1, CREATE], "{}").await, 502);
    assert_failure(&proxy.send("PUT", &state("a"), &[V1], "{}").await, 502);
    assert_failure(&proxy.get(&state("a")).await, 502);
    assert_failure(&proxy.get("/elsewhere").await, 502);
}

#[tokio::test]
async fn a_failed_probe_leaves_the_scope_free() {
    let store = upstreams::reset_unanswered(On::Reads);
    let proxy = Proxy::before(&store);
    assert_failure(&proxy.send("PUT", &agent_profile("a"), &[V1, CREATE], "{}").await, 502);
    store.set(|knobs| knobs.misdeed = None);
    assert_eq!(proxy.send("PUT", &agent_profile("a"), &[V1, CREATE], "{}").await.status, 204);
}

#[tokio::test]
async fn a_surplus_behind_the_probes_answer_is_not_taken_for_the_writes() {
    let store = upstreams::lying_length_below(On::Reads);
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("{}");
    let answer = proxy.send("PUT", &agent_profile("a"), &[V1, ("If-Match", &tag)], "new").await;
    // The surplus reads like a 204; only a write that has arrived may be answered so.
    if answer.status < 300 {
        assert_eq!(store.document(&agent_profile("a")).as_deref(), Some(b"new".as_slice()));
        assert_eq!(store.writes().len(), 1);
    } else {
        assert_failure(&answer, 502);
    }
}

#[tokio::test]
async fn documents_that_come_compressed_are_known_by_their_contents() {
    let store = Store::with(|knobs| knobs.gzips = true);
    let target = agent_profile("a");
    store.hold(&target, "{\"n\":1}");
    let proxy = Proxy::before(&store);
    let answer = proxy.get(&target).await;
    assert_eq!(answer.etag(), Some(sha1_tag("{\"n\":1}").as_str()));
    assert_eq!((answer.text().as_str(), answer.field("content-encoding")), ("{\"n\":1}", None));
    let tag = sha1_tag("{\"n\":1}");
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &tag)], "new").await.status, 204);
    assert_refused(&proxy.send("PUT", &target, &[V1, ("If-Match", &tag)], "newer").await, 412);
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn what_is_decoded_is_bounded_however_small_it_came() {
    let store = Store::with(|knobs| knobs.gzips = true);
    let target = agent_profile("a");
    let contents = "x".repeat(4096);
    store.hold(&target, &contents);
    let tag = sha1_tag(&contents);
    for (bound, fits) in [(4096, true), (4095, false)] {
        let proxy = Proxy::configured(&store, &format!("guard.document-max = \"{bound}B\""));
        let answer = proxy.get(&target).await;
        assert_eq!((answer.status, answer.etag()), (200, fits.then_some(tag.as_str())));
        assert_eq!(answer.field("content-encoding"), (!fits).then_some("gzip"), "it passes as it came");
        let written = proxy.send("PUT", &target, &[V1, ("If-Match", &tag)], "new").await;
        if fits {
            assert_eq!(written.status, 204);
            store.hold(&target, &contents);
        } else {
            assert_failure(&written, 502);
        }
        assert_eq!(store.writes().len(), usize::from(fits));
        store.forget();
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn documents_that_come_in_chunks_are_known_by_their_contents() {
    let store = Store::with(|knobs| knobs.chunks = true);
    let target = agent_profile("a");
    let contents = "{\"n\":".to_owned() + &"1".repeat(40) + "}";
    store.hold(&target, &contents);
    let proxy = Proxy::before(&store);
    let tag = sha1_tag(&contents);
    assert_eq!(proxy.get(&target).await.etag(), Some(tag.as_str()));
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &tag)], "new").await.status, 204);
}

#[tokio::test]
async fn a_document_over_the_bound_is_probed_all_the_same() {
    let store = Store::start();
    let target = agent_profile("a");
    let contents = vec![b'x'; 100_000];
    store.hold(&target, &contents);
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1KiB\"");
    assert_refused(&proxy.send("PUT", &target, &[V1, ("If-Match", "\"other\"")], "new").await, 412);
    assert_untouched(&store);
    let tag = sha1_tag(&contents);
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &tag)], "new").await.status, 204);
}

#[tokio::test]
async fn what_one_credential_learned_never_answers_another() {
    let store = Store::with(|knobs| knobs.credential = Some("Basic right".to_owned()));
    let target = agent_profile("a");
    store.hold(&target, "secret");
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("secret");
    let right = [("Authorization", "Basic right")];
    assert_eq!(proxy.send("GET", &target, &right, "").await.etag(), Some(tag.as_str()));
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
        for condition in [("If-Match", "\"x\""), ("If-None-Match", tag.as_str())] {
            let answer =
                proxy.send(method, &target, &[("Authorization", "Basic wrong"), condition], "").await;
            assert_eq!((answer.status, answer.etag()), (401, None), "{method}");
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_document_is_recognised_by_what_a_reader_would_get() {
    let store = upstreams::reserialising();
    store.set(|knobs| knobs.tags = Tags::LengthHash);
    let target = agent_profile("a");
    store.hold(&target, "{ \"b\" : 1 }");
    let proxy = Proxy::before(&store);
    let tag = proxy.get(&target).await.etag().unwrap().to_owned();
    assert_eq!(tag, sha1_tag("{\"b\":1}"));
    assert_eq!(proxy.send("PUT", &target, &[V1, JSON, ("If-Match", &tag)], "{ }").await.status, 204);
}

#[tokio::test]
async fn no_status_of_a_probe_makes_a_success_without_a_write() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    for status in 200..600 {
        store.forget();
        let length = if matches!(status, 204 | 304) { "" } else { "Content-Length: 0\r\n" };
        let answer = format!("HTTP/1.1 {status} Odd\r\nLocation: /a\r\nETag: \"x\"\r\n{length}\r\n");
        store.set(|knobs| knobs.misdeed = Some((On::Reads, Misdeed::Says(answer))));
        let answer = client.send("PUT", &agent_profile("a"), &[V1, CREATE], "{}").await;
        let expected = match status {
            200 => 412,
            404 | 410 => 204,
            400..=599 => status,
            _ => 502,
        };
        assert_eq!(
            (answer.status, store.writes().len()),
            (expected, usize::from(expected == 204)),
            "{status}"
        );
    }
}

#[tokio::test]
async fn contents_in_a_coding_that_nobody_knows_let_no_write_through() {
    let store = Store::start();
    let target = agent_profile("a");
    store.answer(
        "/xapi/agents/profile",
        "HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nETag: \"x\"\r\nContent-Length: 3\r\n\r\nabc",
    );
    let proxy = Proxy::before(&store);
    let read = proxy.get(&target).await;
    assert_eq!(
        (read.status, read.text().as_str(), read.field("content-encoding")),
        (200, "abc", Some("zstd"))
    );
    assert_eq!(read.etag(), None);
    assert_failure(&proxy.send("PUT", &target, &[V1, CREATE], "{}").await, 502);
    assert_untouched(&store);
}

#[tokio::test]
async fn what_a_missing_document_looks_like_can_be_set() {
    for (absent, answer) in [
        ("\"empty-200\"", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("\"{}\"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        ("403", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let store = Store::with(|knobs| knobs.misdeed = Some((On::Reads, Misdeed::Says(answer.to_owned()))));
        let proxy =
            Proxy::configured(&store, &format!("[resource.agent-profile]\nabsent = [404, 410, {absent}]"));
        let target = agent_profile("a");
        assert_refused(&proxy.send("PUT", &target, &[V1, ("If-Match", "*")], "{}").await, 412);
        assert_untouched(&store);
        assert_eq!(proxy.get(&target).await.etag(), None, "{absent}");
        assert_eq!(proxy.send("PUT", &target, &[V1, CREATE], "{}").await.status, 204, "{absent}");
    }
}

#[tokio::test]
async fn the_upstreams_last_connection_is_enough() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[upstream]\nconnections = 1");
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let address = proxy.address;
        writers.spawn(async move {
            let target = agent_profile(&n.to_string());
            crate::support::client::send(address, "PUT", &target, &[V1, CREATE], "{}").await
        });
    }
    for answer in writers.join_all().await {
        assert_eq!((answer.status, answer.etag()), (204, Some(sha1_tag("{}").as_str())));
    }
}

#[tokio::test]
async fn a_write_that_gets_no_connection_is_told_to_come_back() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[upstream]\nconnections = 1\nconnect-timeout = \"200ms\"");
    store.close_gate(On::Reads);
    let mut reader = proxy.connect().await;
    reader.request("GET", "/elsewhere", &[], b"").await;
    store.until_reads(1).await;
    for answer in [
        proxy.send("PUT", &state("a"), &[V1], "1").await,
        proxy.send("PUT", &agent_profile("a"), &[V1, CREATE], "1").await,
        proxy.get("/elsewhere").await,
    ] {
        assert_failure(&answer, 503);
        assert!(answer.field("retry-after").is_some());
    }
    store.open_gate();
    reader.answer("GET").await;
    assert_untouched(&store);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 204);
}

#[tokio::test]
async fn an_upstream_that_is_said_to_be_exclusive_is_guarded_like_any_other() {
    let store = Store::start();
    let target = agent_profile("a");
    let proxy = Proxy::configured(&store, "[upstream]\nexclusive = true");
    let mut tag = None;
    for n in 0..3 {
        let condition = tag.as_deref().map_or(CREATE, |tag| ("If-Match", tag));
        let saved = proxy.send("PUT", &target, &[V1, condition], n.to_string()).await;
        assert_eq!((saved.status, saved.etag()), (204, Some(sha1_tag(n.to_string()).as_str())));
        assert_refused(&proxy.send("PUT", &target, &[V1, condition], "again").await, 412);
        tag = saved.etag().map(str::to_owned);
    }
    assert_eq!(store.writes().len(), 3);
}
