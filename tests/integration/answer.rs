//! Stage *answer*: what readers get, and what is made here.

use serde_json::Value;

use crate::support::proxy::Proxy;
use crate::support::store::{Misdeed, On, Store, Tags};
use crate::support::upstreams;
use crate::support::wire::{Ending, Framing};
use crate::support::xapi::{JSON, V1, V2, activity_profile, agent_profile, state, state_ids};
use crate::support::{assert_failure, assert_refused, assert_untouched, sha1_tag, within, xxh3_tag};

const OTHER: &str = "\"ffffffffffffffffffffffffffffffffffffffff\"";
const NOTES: &str = "[resource.notes]\npath = \"/notes/{id}\"\nidentity = [\"path\"]\n";

#[tokio::test]
async fn reads_carry_the_digest_of_what_they_bring() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let proxy = Proxy::configured(&store, NOTES);
    for body in ["{\"n\":1}", "", "not JSON \u{fc}"] {
        for target in [state("a"), agent_profile("a"), activity_profile("a")] {
            store.hold(&target, body);
            let answer = proxy.get(&target).await;
            assert_eq!((answer.status, answer.body.as_slice()), (200, body.as_bytes()));
            assert_eq!(answer.head.all("etag"), [sha1_tag(body)], "the upstream's own tag is replaced");
            assert_eq!(answer.field("content-length"), Some(body.len().to_string().as_str()));
        }
        store.hold("/notes/1", body);
        assert_eq!(proxy.get("/notes/1").await.etag(), Some(xxh3_tag(body).as_str()));
    }
}

#[tokio::test]
async fn the_digest_of_a_rule_can_be_chosen() {
    let store = Store::start();
    let proxy =
        Proxy::configured(&store, &format!("{NOTES}etag = \"sha1\"\n[resource.state]\netag = \"xxh3\""));
    store.hold("/notes/1", "{}");
    store.hold(&state("a"), "{}");
    assert_eq!(proxy.get("/notes/1").await.etag(), Some(sha1_tag("{}").as_str()));
    assert_eq!(proxy.get(&state("a")).await.etag(), Some(xxh3_tag("{}").as_str()));
}

#[tokio::test]
async fn id_lists_get_a_tag_too() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let answer = proxy.get(&state_ids()).await;
    assert_eq!((answer.text().as_str(), answer.etag()), ("[\"a\"]", Some(sha1_tag("[\"a\"]").as_str())));
    let again = proxy.send("GET", &state_ids(), &[("If-None-Match", &sha1_tag("[\"a\"]"))], "").await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn head_is_answered_like_get_even_where_the_upstream_has_none() {
    let store = Store::with(|knobs| knobs.no_head = true);
    store.hold(&state("a"), "{\"n\":1}");
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let head = client.send("HEAD", &state("a"), &[V1], "").await;
    assert_eq!((head.status, head.etag()), (200, Some(sha1_tag("{\"n\":1}").as_str())));
    assert_eq!(head.field("content-length"), Some("7"));
    let tag = sha1_tag("{\"n\":1}");
    assert_eq!(client.send("HEAD", &state("a"), &[V1, ("If-None-Match", &tag)], "").await.status, 304);
    assert_eq!(client.send("HEAD", &state("a"), &[V1, ("If-Match", OTHER)], "").await.status, 412);
    assert_eq!(client.send("HEAD", &state("absent"), &[V1], "").await.status, 404);
    assert_eq!(client.send("GET", &state("a"), &[V1], "").await.text(), "{\"n\":1}", "nothing was left over");
    assert!(store.seen().iter().all(|seen| seen.method == "GET"));
}

#[tokio::test]
async fn a_reader_that_has_it_gets_304_with_the_tag() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("{}");
    let mut client = proxy.connect().await;
    for condition in [tag.clone(), format!("W/{tag}"), format!("{OTHER}, {tag}"), "*".to_owned()] {
        let answer = client.send("GET", &state("a"), &[V1, ("If-None-Match", &condition)], "").await;
        assert_eq!((answer.status, answer.etag()), (304, Some(tag.as_str())), "{condition}");
        assert!(answer.field("cache-control").is_some());
    }
    assert_eq!(client.send("GET", &state("a"), &[V1, ("If-None-Match", OTHER)], "").await.status, 200);
    assert!(store.seen().iter().all(|seen| seen.field("if-none-match").is_none()));
}

#[tokio::test]
async fn a_reader_that_states_another_tag_gets_412() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let answer = proxy.send("GET", &state("a"), &[V1, ("If-Match", OTHER)], "").await;
    assert_eq!((answer.status, answer.etag()), (412, Some(sha1_tag("{}").as_str())));
    let answer = proxy.send("GET", &state("a"), &[V1, ("If-Match", &sha1_tag("{}"))], "").await;
    assert_eq!(answer.status, 200);
    assert!(store.seen().iter().all(|seen| seen.field("if-match").is_none()));
}

#[tokio::test]
async fn reads_are_asked_whole_and_uncompressed() {
    let store = Store::start();
    store.hold(&state("a"), "0123456789");
    let proxy = Proxy::before(&store);
    let fields = [
        V1,
        ("Range", "bytes=0-1"),
        ("If-Range", "\"x\""),
        ("Accept-Encoding", "gzip, br"),
        ("If-Modified-Since", "Sat, 21 Nov 2026 22:52:49 GMT"),
    ];
    let answer = proxy.send("GET", &state("a"), &fields, "").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "0123456789"));
    let seen = &store.seen()[0];
    assert_eq!(seen.field("accept-encoding"), Some("identity"));
    for name in ["range", "if-range", "if-modified-since"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
}

#[tokio::test]
async fn caches_are_told_to_ask_again_unless_the_upstream_told_them_something() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    store.hold(&state("empty"), "");
    let proxy = Proxy::configured(&store, "[resource.state]\nabsent = [404, \"empty-200\"]");
    for (document, status) in [("a", 200), ("none", 404), ("empty", 200)] {
        let answer = proxy.get(&state(document)).await;
        assert_eq!(answer.status, status, "{document}");
        assert_eq!(answer.field("cache-control"), Some("private, no-cache, no-transform"), "{document}");
    }
    store.set(|knobs| knobs.fields.push(("Cache-Control", "max-age=1")));
    assert_eq!(proxy.get(&state("a")).await.head.all("cache-control"), ["max-age=1"]);
}

#[tokio::test]
async fn a_document_is_last_modified_at_an_http_date() {
    const FIXDATE: &str = "Sat, 21 Nov 2026 22:52:49 GMT";
    let store = Store::start();
    store.hold(&state("a"), "{}");
    store.hold(&state("large"), "x".repeat(2000));
    store.hold("/other", "{}");
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1KiB\"");
    let observing = Proxy::observing(&store);
    let tag = sha1_tag("{}");
    for (theirs, ours) in [
        ("2026-11-21T23:52:49.123+01:00", FIXDATE),
        ("Sat, 21-Nov-2026 22:52:49 UTC", FIXDATE),
        (FIXDATE, FIXDATE),
        ("Saturday, 21-Nov-26 22:52:49 GMT", "Saturday, 21-Nov-26 22:52:49 GMT"),
        ("2026-11-21T22:52:49", "2026-11-21T22:52:49"),
    ] {
        store.set(|knobs| knobs.fields = vec![("Last-Modified", theirs)]);
        for (method, target, condition, status) in [
            ("GET", state("a"), OTHER, 200),
            ("HEAD", state("a"), OTHER, 200),
            ("GET", state("a"), &tag, 304),
            ("GET", state_ids(), OTHER, 200),
            ("GET", state("large"), OTHER, 200),
        ] {
            let answer = proxy.send(method, &target, &[V1, ("If-None-Match", condition)], "").await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.head.all("last-modified"), [ours], "{method} {target}");
        }
        for (answer, why) in [
            (proxy.get("/other").await, "it is not guarded"),
            (proxy.get(&state("absent")).await, "it is no document"),
            (observing.get(&state("a")).await, "nothing is altered"),
        ] {
            assert_eq!(answer.head.all("last-modified"), [theirs], "{why}");
        }
    }
}

#[tokio::test]
async fn a_document_over_the_bound_is_streamed_without_our_tag() {
    let store = Store::start();
    let contents = "x".repeat(100_000);
    store.hold(&state("a"), &contents);
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1KiB\"");
    for (tags, chunks) in
        [(Tags::None, false), (Tags::Weak, false), (Tags::Random, false), (Tags::None, true)]
    {
        store.set(|knobs| (knobs.tags, knobs.chunks) = (tags, chunks));
        let answer = proxy.get(&state("a")).await;
        assert_eq!((answer.status, answer.body.len(), answer.ending), (200, 100_000, Ending::Complete));
        let strong = store.own_tag(&state("a")).filter(|tag| !tag.starts_with("W/"));
        assert_eq!(answer.etag(), strong.as_deref(), "{tags:?}");
    }
}

#[tokio::test]
async fn a_broken_document_is_a_failure_and_not_half_a_document() {
    for store in [
        upstreams::half_a_body(On::Reads),
        upstreams::reset_after_head(On::Reads),
        upstreams::lying_length_above(On::Reads),
        upstreams::garbage(On::Reads),
        upstreams::reset_unanswered(On::Reads),
    ] {
        let proxy = Proxy::before(&store);
        assert_failure(&proxy.get(&state("a")).await, 502);
    }
    let store = upstreams::silent(On::Reads);
    let proxy = Proxy::configured(&store, "[upstream]\nresponse-timeout = \"200ms\"");
    assert_failure(&proxy.get(&state("a")).await, 504);
}

#[tokio::test]
async fn a_conflict_tells_the_client_what_to_do() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "{}");
    let proxy = Proxy::before(&store);
    let answer = proxy.send("PUT", &target, &[V1], "1").await;
    assert_refused(&answer, 409);
    let text = answer.text();
    assert!(text.contains("current state of the resource") && text.contains("If-Match"), "{text}");
    assert!(answer.field("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(answer.etag(), Some(sha1_tag("{}").as_str()));
    assert_untouched(&store);
}

#[tokio::test]
async fn answers_made_here_name_the_version_of_xapi() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, &format!("{NOTES}unconditional.PUT = \"require\""));
    for (fields, version) in [
        (vec![], "1.0.3"),
        (vec![("X-Experience-API-Version", "1.0.1")], "1.0.3"),
        (vec![V1], "1.0.3"),
        (vec![V2], "2.0.0"),
        (vec![("X-Experience-API-Version", "2.0")], "2.0.0"),
    ] {
        for (target, condition, status) in [
            (state("a"), ("If-Match", OTHER), 412),
            (format!("{}&stateId=b", state("a")), ("If-Match", OTHER), 400),
        ] {
            let mut fields = fields.clone();
            fields.push(condition);
            let answer = proxy.send("PUT", &target, &fields, "1").await;
            assert_refused(&answer, status);
            assert_eq!(answer.head.all("x-experience-api-version"), [version]);
        }
    }
    let answer = proxy.send("PUT", "/notes/1", &[V1], "1").await;
    assert_refused(&answer, 428);
    assert_eq!(answer.field("x-experience-api-version"), None);
}

#[tokio::test]
async fn problems_are_described_in_json_to_those_who_ask() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "{}");
    let proxy = Proxy::before(&store);
    for accept in ["application/problem+json", "text/html;q=0.5, application/problem+json"] {
        let answer = proxy.send("PUT", &target, &[V1, ("Accept", accept)], "1").await;
        assert_refused(&answer, 409);
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["status"], 409);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    }
}

#[tokio::test]
async fn a_write_that_stated_a_condition_is_answered_with_its_new_tag() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let target = agent_profile("a");
    let proxy = Proxy::before(&store);
    let created = proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "one").await;
    assert_eq!((created.status, created.etag()), (204, Some(sha1_tag("one").as_str())));
    let changed = proxy.send("PUT", &target, &[V1, ("If-Match", created.etag().unwrap())], "two").await;
    assert_eq!((changed.status, changed.etag()), (204, Some(sha1_tag("two").as_str())));
    let methods: Vec<_> = store.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["GET", "PUT", "GET", "GET", "PUT", "GET"]);
}

#[tokio::test]
async fn a_reserialised_document_is_still_this_writes() {
    let store = upstreams::reserialising();
    let target = agent_profile("a");
    let proxy = Proxy::before(&store);
    let sent = "{ \"b\" : [1, 2],\n \"a\" : \"x\" }";
    let created = proxy.send("PUT", &target, &[V1, JSON, ("If-None-Match", "*")], sent).await;
    let read = proxy.get(&target).await;
    assert_ne!(read.text(), sent);
    assert_eq!((created.status, created.etag()), (204, read.etag()));
    let fields = [V1, JSON, ("If-Match", created.etag().unwrap())];
    assert_eq!(proxy.send("PUT", &target, &fields, "{}").await.status, 204);
}

#[tokio::test]
async fn somebody_elses_write_is_never_handed_out_as_ones_own() {
    let store = Store::start();
    let target = agent_profile("a");
    let proxy = Proxy::before(&store);
    for theirs in ["{\"n\":2}", "{\"n\":1,\"m\":2}", "not JSON"] {
        store.hold(&target, "{}");
        store.forget();
        store.close_gate(On::All);
        let mut writer = proxy.connect().await;
        writer.request("PUT", &target, &[V1, JSON, ("If-Match", &sha1_tag("{}"))], b"{\"n\":1}").await;
        store.let_through(2);
        store.until_reads(2).await;
        store.hold(&target, theirs);
        store.open_gate();
        let answer = writer.answer("PUT").await;
        assert_eq!((answer.status, answer.etag()), (204, None), "{theirs}");
    }
}

#[tokio::test]
async fn a_read_back_that_fails_spoils_nothing() {
    let store = Store::start();
    let target = agent_profile("a");
    let proxy = Proxy::configured(&store, "[upstream]\nread-back-timeout = \"200ms\"");
    store.close_gate(On::All);
    store.let_through(2);
    let creating = [V1, ("If-None-Match", "*")];
    let answer = proxy.send("PUT", &target, &creating, "1").await;
    assert_eq!((answer.status, answer.etag()), (204, None));
    store.open_gate();
    let next = proxy.send("PUT", &target, &[V1, ("If-Match", &sha1_tag("1"))], "2").await;
    assert_eq!(next.status, 204, "and the scope is settled");
}

#[tokio::test]
async fn what_was_not_read_back_has_no_tag() {
    let store = Store::with(|knobs| {
        knobs.tags = Tags::Random;
        knobs.fields.push(("ETag", "\"the upstream's\""));
    });
    let proxy = Proxy::before(&store);
    let unconditional = proxy.send("PUT", &state("a"), &[V1], "{}").await;
    assert_eq!((unconditional.status, unconditional.etag(), store.seen().len()), (204, None, 1));
    let merge = proxy.send("POST", &state("a"), &[V1, JSON, ("If-Match", "*")], "{}").await;
    assert_eq!((merge.status, merge.etag(), store.seen().len()), (204, None, 3));
    let deletion = proxy.send("DELETE", &state("a"), &[V1, ("If-Match", "*")], "").await;
    assert_eq!((deletion.status, deletion.etag(), store.seen().len()), (204, None, 5));
}

#[tokio::test]
async fn reading_back_can_be_turned_off_and_always_on() {
    let store = Store::start();
    let never = Proxy::configured(&store, "[guard]\nread-back = \"never\"");
    let created = never.send("PUT", &state("a"), &[V1, ("If-None-Match", "*")], "1").await;
    assert_eq!((created.status, created.etag(), store.seen().len()), (204, None, 2));
    store.forget();
    let always = Proxy::configured(&store, "[guard]\nread-back = \"always\"");
    let changed = always.send("PUT", &state("a"), &[V1], "2").await;
    assert_eq!((changed.status, changed.etag()), (204, Some(sha1_tag("2").as_str())));
    assert_eq!(store.seen().len(), 2);
}

#[tokio::test]
async fn what_is_no_current_representation_passes_without_a_tag() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for status in
        ["201 Created", "204 No Content", "302 Found", "400 Bad Request", "401 Who", "404 No", "500 Oops"]
    {
        let length = if status.starts_with("204") { "" } else { "Content-Length: 2\r\n" };
        let body = if length.is_empty() { "" } else { "so" };
        let head = format!("HTTP/1.1 {status}\r\nLocation: /b\r\nETag: \"theirs\"\r\n{length}\r\n{body}");
        store.answer("/xapi/activities/state", head);
        for condition in [("If-None-Match", "*"), ("If-Match", OTHER)] {
            let answer = proxy.send("GET", &state("a"), &[V1, condition], "").await;
            assert_eq!((answer.status.to_string().as_str(), answer.text().as_str()), (&status[..3], body));
            assert_eq!((answer.etag(), answer.field("location")), (None, Some("/b")));
            assert_eq!(proxy.send("HEAD", &state("a"), &[V1, condition], "").await.status, answer.status);
        }
    }
}

#[tokio::test]
async fn informational_answers_do_not_count() {
    let store = Store::start();
    store.answer(
        "/xapi/activities/state",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    );
    let proxy = Proxy::before(&store);
    assert_eq!(proxy.get(&state("a")).await.etag(), Some(sha1_tag("{}").as_str()));
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, ("If-Match", &sha1_tag("{}"))], "{}").await.status, 200);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "{}").await.status, 200);
}

#[tokio::test]
async fn an_event_stream_is_never_waited_for() {
    let store = Store::start();
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    store.set(|knobs| knobs.misdeed = Some((On::Reads, Misdeed::Says(events.to_owned()))));
    let proxy = Proxy::before(&store);
    for target in [state("a"), "/elsewhere".to_owned()] {
        let mut client = proxy.connect().await;
        client.request("GET", &target, &[], b"").await;
        let head = within("the head", client.wire.head()).await.unwrap();
        assert_eq!((head.framing(), head.field("etag")), (Some(Framing::Chunked), None));
        let first = within("the first event", client.wire.body(Framing::Length(10))).await;
        assert_eq!(first.bytes, b"5\r\nfirst\r\n");
    }
}

#[tokio::test]
async fn an_upstream_that_ends_its_answers_by_closing_is_understood() {
    let store = Store::start();
    let misdeed = |text: &str| Some((On::All, Misdeed::SaysAndCloses(text.to_owned())));
    let proxy = Proxy::before(&store);
    for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"] {
        store.set(|knobs| knobs.misdeed = misdeed(&format!("{head}{{}}")));
        let answer = proxy.get(&state("a")).await;
        assert_eq!((answer.status, answer.etag()), (200, Some(sha1_tag("{}").as_str())));
        assert_eq!(proxy.get("/elsewhere").await.text(), "{}");
        let write = proxy.send("PUT", &state("a"), &[V1, ("If-Match", &sha1_tag("{}"))], "{}").await;
        assert_eq!((write.status, write.text().as_str()), (200, "{}"));
    }
}

#[tokio::test]
async fn head_of_a_document_over_the_bound_brings_no_body() {
    let store = Store::start();
    store.hold(&state("a"), "x".repeat(3_000_000));
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1KiB\"");
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        let head = client.send("HEAD", &state("a"), &[V1], "").await;
        assert_eq!((head.status, head.field("content-length"), head.etag()), (200, Some("3000000"), None));
        let body = client.send("GET", &state("a"), &[V1], "").await.body;
        assert_eq!(body.len(), 3_000_000);
    }
}
