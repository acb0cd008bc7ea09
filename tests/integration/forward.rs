//! Stage *forward*: the write goes on, once, with its preconditions in the upstream's own words.

use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{Misdeed, On, Seen, Store, Tags};
use crate::support::upstreams::{self, bare};
use crate::support::xapi::{JSON, V1, V2, agent_profile, state, state_ids, state_of};
use crate::support::{assert_failure, assert_refused, assert_untouched, sha1_tag};

const OTHER: &str = "\"ffffffffffffffffffffffffffffffffffffffff\"";

fn conditions(seen: &Seen) -> (Option<&str>, Option<&str>) {
    (seen.field("if-match"), seen.field("if-none-match"))
}

#[tokio::test]
async fn a_condition_over_a_document_goes_on_as_the_upstreams_own_tag() {
    for tags in [Tags::Random, Tags::LengthHash] {
        let store = Store::with(|knobs| knobs.tags = tags);
        let target = agent_profile("a");
        let proxy = Proxy::before(&store);
        for method in ["PUT", "POST", "DELETE"] {
            for stated in [("If-Match", sha1_tag("{}")), ("If-None-Match", OTHER.to_owned())] {
                store.hold(&target, "{}");
                store.forget();
                let own = store.own_tag(&target).unwrap();
                let answer = proxy.send(method, &target, &[V1, JSON, (stated.0, &stated.1)], "{}").await;
                assert_eq!(answer.status, 204);
                assert_eq!(conditions(&store.writes()[0]), (Some(own.as_str()), None), "{method} {stated:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_condition_that_nothing_is_there_goes_on_as_if_none_match_star() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for (id, stated) in [("a", ("If-None-Match", "*")), ("b", ("If-None-Match", OTHER))] {
        store.forget();
        assert_eq!(proxy.send("PUT", &agent_profile(id), &[V1, stated], "{}").await.status, 204);
        assert_eq!(conditions(&store.writes()[0]), (None, Some("*")));
    }
}

#[tokio::test]
async fn a_condition_is_removed_where_the_upstream_has_no_strong_tag() {
    for tags in [Tags::None, Tags::Weak] {
        let store = Store::with(|knobs| knobs.tags = tags);
        let target = agent_profile("a");
        store.hold(&target, "{}");
        let proxy = Proxy::before(&store);
        let answer = proxy.send("PUT", &target, &[V1, ("If-Match", &sha1_tag("{}"))], "1").await;
        assert_eq!(answer.status, 204);
        assert_eq!(conditions(&store.writes()[0]), (None, None), "{tags:?}");
    }
}

#[tokio::test]
async fn a_write_that_stated_nothing_is_given_no_condition() {
    let store = Store::with(|knobs| knobs.tags = Tags::LengthHash);
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "{}").await.status, 204);
    assert_eq!(proxy.send("POST", &state("a"), &[V2, JSON], "{}").await.status, 204);
    assert_eq!(proxy.send("PUT", &agent_profile("new"), &[V1], "{}").await.status, 204);
    for write in store.writes() {
        assert_eq!(conditions(&write), (None, None));
    }
}

#[tokio::test]
async fn if_unmodified_since_goes_on_unless_if_match_was_stated() {
    let store = Store::start();
    let target = state("a");
    store.hold(&target, "{}");
    let proxy = Proxy::before(&store);
    let date = ("If-Unmodified-Since", "Sat, 21 Nov 2026 22:52:49 GMT");
    proxy.send("PUT", &target, &[V1, date], "{}").await;
    assert_eq!(store.writes()[0].field(date.0), Some(date.1));
    store.forget();
    proxy.send("PUT", &target, &[V1, date, ("If-Match", &sha1_tag("{}"))], "{}").await;
    assert_eq!(store.writes()[0].field(date.0), None);
}

#[tokio::test]
async fn no_if_match_of_ours_takes_a_date_of_the_clients_out_of_force() {
    let store = Store::with(|knobs| knobs.tags = Tags::LengthHash);
    let (translating, satisfying) =
        (Proxy::before(&store), Proxy::configured(&store, "upstream.conditions = \"satisfy\""));
    let date = ("If-Unmodified-Since", "Sat, 21 Nov 2026 22:52:49 GMT");
    let other = ("If-None-Match", &sha1_tag("other") as &str);
    for (proxy, fields) in [(&translating, vec![V1, date, other]), (&satisfying, vec![V1, date])] {
        store.hold(&state("a"), "{}");
        store.forget();
        assert_eq!(proxy.send("PUT", &state("a"), &fields, "{}").await.status, 204);
        let write = &store.writes()[0];
        assert_eq!((conditions(write), write.field(date.0)), ((None, None), Some(date.1)));
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_know_its_own_tag_is_written_to_without() {
    let store = Store::with(|knobs| {
        knobs.tags = Tags::Random;
        knobs.misdeed = Some((On::Conditional, Misdeed::Says(bare("412 Precondition Failed"))));
    });
    let target = agent_profile("a");
    store.hold(&target, "0");
    let proxy = Proxy::before(&store);
    let own = store.own_tag(&target).unwrap();
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &sha1_tag("0"))], "1").await.status, 204);
    let writes = store.writes();
    assert_eq!(writes.iter().map(conditions).collect::<Vec<_>>(), [(Some(own.as_str()), None), (None, None)]);
    assert_eq!(store.document(&target).unwrap(), b"1");
    store.forget();
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &sha1_tag("1"))], "2").await.status, 204);
    assert_eq!(store.writes().iter().map(conditions).collect::<Vec<_>>(), [(None, None)]);
}

#[tokio::test]
async fn an_upstream_that_says_412_with_reason_is_believed() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let target = agent_profile("a");
    store.hold(&target, "0");
    let proxy = Proxy::before(&store);
    store.close_gate(On::Writes);
    let mut writer = proxy.connect().await;
    writer.request("PUT", &target, &[V1, ("If-Match", &sha1_tag("0"))], b"1").await;
    store.until_writes(1).await;
    // Somebody else writes past the proxy, and the upstream's own check catches it.
    store.hold(&target, "theirs");
    store
        .set(|knobs| knobs.misdeed = Some((On::Conditional, Misdeed::Says(bare("412 Precondition Failed")))));
    store.open_gate();
    assert_eq!(writer.answer("PUT").await.status, 412);
    assert_eq!(store.writes().len(), 1);
    assert_eq!(store.document(&target).unwrap(), b"theirs");
}

#[tokio::test]
async fn a_write_goes_on_the_connection_that_answered_its_probe() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    // Several connections lie idle.
    store.close_gate(On::Reads);
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = proxy.connect().await;
        client.request("GET", "/elsewhere", &[], b"").await;
        store.until_reads(n + 1).await;
        clients.push(client);
    }
    store.open_gate();
    for client in &mut clients {
        client.answer("GET").await;
    }
    for n in 0..8 {
        store.forget();
        let target = agent_profile(&n.to_string());
        assert_eq!(proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "{}").await.status, 204);
        let seen = store.seen();
        assert_eq!((seen[0].method.as_str(), seen[1].method.as_str()), ("GET", "PUT"));
        assert_eq!(seen[0].connection, seen[1].connection);
    }
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    for n in 0..5 {
        assert_eq!(client.send("PUT", &state("a"), &[V1], n.to_string()).await.status, 204);
        assert_eq!(client.send("GET", "/elsewhere", &[], "").await.status, 404);
    }
    assert!(store.seen().iter().all(|seen| seen.connection == 0), "one client, one connection");
}

#[tokio::test]
async fn no_kind_of_exchange_uses_up_connections_to_the_upstream() {
    let store = Store::start();
    let (here, missing, tag) = (state("a"), state("missing"), sha1_tag("{}"));
    store.hold(&here, "{}");
    store.hold("/a", "{}");
    store.answer("/empty", "HTTP/1.1 204 No Content\r\n\r\n");
    store.answer("/same", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let exchanges = [
        ("GET", here.as_str(), vec![V1], ""),
        ("GET", &missing, vec![V1], ""),
        ("HEAD", &here, vec![V1], ""),
        ("HEAD", &missing, vec![V1], ""),
        ("PUT", &here, vec![V1], "{}"),
        ("PUT", &here, vec![V1, ("If-Match", &tag)], "{}"),
        ("PUT", &here, vec![V1, ("If-Match", OTHER)], "{}"),
        ("GET", "/a", vec![], ""),
        ("HEAD", "/a", vec![], ""),
        ("PUT", "/a", vec![], "{}"),
        ("GET", "/drip", vec![], ""),
        ("GET", "/empty", vec![], ""),
        ("GET", "/same", vec![], ""),
    ];
    for chunks in [false, true] {
        store.set(|knobs| knobs.chunks = chunks);
        for (method, target, fields, body) in &exchanges {
            store.forget();
            for _ in 0..10 {
                client.send(method, target, fields, body).await;
            }
            let mut connections: Vec<_> = store.seen().iter().map(|seen| seen.connection).collect();
            connections.dedup();
            // A write wants another one if this machine has been busy with something else for a second.
            assert!(connections.len() < 5, "{method} {target} {fields:?} {chunks} {connections:?}");
        }
    }
}

#[tokio::test]
async fn a_write_that_may_have_been_sent_is_never_sent_again() {
    for store in [upstreams::closes_unanswered(On::Writes), upstreams::reset_unanswered(On::Writes)] {
        let proxy = Proxy::before(&store);
        let mut client = proxy.connect().await;
        // On a connection that has been used before, where a library would try again.
        client.send("GET", "/elsewhere", &[], "").await;
        assert_failure(&client.send("PUT", &state("a"), &[V1], "1").await, 502);
        assert_eq!(store.writes().len(), 1);
        let creating = [V1, ("If-None-Match", "*")];
        assert_failure(&proxy.send("PUT", &agent_profile("a"), &creating, "1").await, 502);
        assert_eq!(store.writes().len(), 2);
        assert_failure(&proxy.send("POST", "/xapi/statements", &[V1, JSON], "{}").await, 502);
        assert_eq!(store.writes().len(), 3);
    }
}

#[tokio::test]
async fn an_upstream_that_announces_its_closes_loses_no_write() {
    let store = upstreams::closes_idle();
    store.set(|knobs| knobs.fields.push(("Connection", "close")));
    let proxy = Proxy::before(&store);
    for n in 0..20 {
        let course = n.to_string();
        assert_eq!(proxy.send("PUT", &state_of(&course, "a"), &[V1], "1").await.status, 204);
        let creating = [V1, ("If-None-Match", "*")];
        assert_eq!(proxy.send("PUT", &state_of(&course, "b"), &creating, "1").await.status, 204);
        assert_eq!(proxy.get("/elsewhere").await.status, 404);
    }
    assert_eq!(store.writes().len(), 40);
}

#[tokio::test]
async fn an_upstream_that_closes_without_a_word_never_sees_a_write_twice() {
    let store = upstreams::closes_idle();
    let proxy = Proxy::before(&store);
    let mut acknowledged = 0;
    for n in 0..20 {
        let target = state_of(&n.to_string(), "a");
        let answer = proxy.send("PUT", &target, &[V1], "1").await;
        match answer.status {
            204 => acknowledged += 1,
            _ => assert_failure(&answer, 502),
        }
        assert!(store.writes().iter().filter(|seen| seen.target == target).count() <= 1);
        // Reads may be asked again, and so they succeed.
        assert_eq!(proxy.get("/elsewhere").await.status, 404);
    }
    assert_eq!(store.writes().len(), acknowledged, "what arrived was acknowledged");
}

#[tokio::test]
async fn the_write_arrives_as_it_was_sent() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let target = format!("{}&cachebuster=a+b%2Fc", state("a"));
    let fields = [
        V1,
        ("Content-Type", "application/octet-stream; x=\"y\""),
        ("Authorization", "Basic YTpi"),
        ("X-Custom", "one"),
        ("X-Custom", "two"),
        ("Content-Language", "de"),
    ];
    assert_eq!(proxy.send("PUT", &target, &fields, &body).await.status, 204);
    let write = &store.writes()[0];
    assert_eq!((write.target.as_str(), &write.body), (target.as_str(), &body));
    assert_eq!(write.field("content-length"), Some("70000"));
    for (name, value) in fields {
        assert!(write.fields.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value), "{name}");
    }
}

#[tokio::test]
async fn an_empty_body_is_a_body() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "").await.status, 204);
    assert_eq!(store.writes()[0].field("content-length"), Some("0"));
    assert_eq!(store.document(&state("a")).unwrap(), b"");
    assert_eq!(proxy.get(&state("a")).await.etag(), Some(sha1_tag("").as_str()));
}

#[tokio::test]
async fn fields_of_the_hop_do_not_go_on_with_a_write() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let fields = [
        V1,
        ("Connection", "keep-alive, X-Mine"),
        ("Keep-Alive", "timeout=5"),
        ("X-Mine", "1"),
        ("TE", "trailers"),
        ("Proxy-Connection", "keep-alive"),
    ];
    assert_eq!(proxy.send("PUT", &state("a"), &fields, "{}").await.status, 204);
    let write = &store.writes()[0];
    for name in ["keep-alive", "x-mine", "proxy-connection"] {
        assert_eq!(write.field(name), None, "{name}");
    }
    assert_ne!(write.field("connection"), Some("keep-alive, X-Mine"));
}

#[tokio::test]
async fn a_connection_field_that_would_hide_a_precondition_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for name in ["If-Match", "if-none-match", "Host", "Content-Type", "Content-Length", "If-Unmodified-Since"]
    {
        let connection = format!("close, {name}");
        let fields = [V1, ("Connection", connection.as_str()), ("If-Match", OTHER)];
        assert_refused(&proxy.send("PUT", &state("a"), &fields, "{}").await, 400);
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn what_the_upstream_says_to_a_write_is_handed_back() {
    for status in [
        "200 OK",
        "201 Created",
        "400 Bad Request",
        "403 Forbidden",
        "404 Not Found",
        "409 Conflict",
        "500 Oops",
    ] {
        let store = upstreams::answering(On::Writes, status);
        let proxy = Proxy::before(&store);
        let answer = proxy.send("PUT", &state("a"), &[V1], "{}").await;
        assert_eq!((answer.status.to_string().as_str(), answer.text().as_str()), (&status[..3], "so there"));
        assert_eq!(answer.field("proxy-status"), None, "it was not made here");
    }
}

#[tokio::test]
async fn a_refused_write_never_leaves_a_trace_upstream() {
    let store = Store::start();
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::before(&store);
    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        assert_refused(
            &proxy.send(method, &agent_profile("a"), &[V1, JSON, ("If-Match", OTHER)], "1").await,
            412,
        );
    }
    assert_untouched(&store);
    assert!(store.seen().iter().all(|seen| seen.method == "GET" && seen.body.is_empty()));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_was_idle_costs_no_write() {
    let store = upstreams::closes_idle();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    for n in 0..20 {
        let answer = proxy.send("PUT", &state_of(&n.to_string(), "a"), &[V1], "1").await;
        assert_eq!(answer.status, 204);
        // Time enough to hear that the upstream has closed.
        barrier.pass().await;
        barrier.pass().await;
    }
    assert_eq!(store.writes().len(), 20);
}

#[tokio::test]
async fn an_upstream_that_refuses_an_upload_early_is_heard() {
    let store = Store::start();
    store.answer_early(
        "/xapi/activities/state",
        "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
    );
    let proxy = Proxy::before(&store);
    let answer = proxy.send("PUT", &state("a"), &[V1], vec![b'x'; 4_000_000]).await;
    assert_eq!((answer.status, answer.text().as_str()), (413, "no"));
    assert_eq!(answer.field("proxy-status"), None);
}

#[tokio::test]
async fn the_answer_to_a_write_may_be_larger_than_a_document() {
    let store = Store::start();
    let large = "x".repeat(5000);
    store.answer("/xapi/activities/state", format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{large}"));
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1KiB\"");
    for _ in 0..2 {
        let answer = proxy.send("POST", &state("a"), &[V1, JSON], "{}").await;
        assert_eq!((answer.status, answer.text()), (200, large.clone()));
    }
}

#[tokio::test]
async fn a_method_in_another_letter_case_is_no_way_around() {
    let store = Store::start();
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::before(&store);
    // Django, for one, upper-cases the method.
    for method in ["put", "Put", "PUt"] {
        let answer = proxy.send(method, &agent_profile("a"), &[V1, ("Content-Length", "2")], "no").await;
        assert!(matches!(answer.status, 400 | 405 | 409 | 501), "{answer:#?}");
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_document_that_its_creator_may_not_see_is_not_overwritten() {
    let store = Store::with(|knobs| {
        knobs.hides = true;
        knobs.misdeed = Some((On::Conditional, Misdeed::Says(bare("412 Precondition Failed"))));
    });
    let target = agent_profile("a");
    store.hold(&target, "theirs");
    let proxy = Proxy::before(&store);
    // The upstream's own check knows better than the probe, which found nothing: the document is hidden from this
    // writer, or the GET was answered by a replica that lags behind.
    let answer = proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "mine").await;
    assert_eq!(answer.status, 412);
    assert_eq!(store.writes().iter().map(conditions).collect::<Vec<_>>(), [(None, Some("*"))]);
    assert_eq!(store.document(&target).unwrap(), b"theirs");
}

#[tokio::test]
async fn an_upstream_that_does_not_know_its_own_tag_may_still_refuse_to_create() {
    let store = Store::with(|knobs| {
        knobs.tags = Tags::Random;
        knobs.misdeed = Some((On::Conditional, Misdeed::Says(bare("412 Precondition Failed"))));
    });
    let target = agent_profile("a");
    store.hold(&target, "0");
    let proxy = Proxy::before(&store);
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &sha1_tag("0"))], "1").await.status, 204);
    store.set(|knobs| knobs.hides = true);
    store.forget();
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "2").await.status, 412);
    assert_eq!(store.writes().iter().map(conditions).collect::<Vec<_>>(), [(None, Some("*"))]);
    assert_eq!(store.document(&target).unwrap(), b"1");
}

#[tokio::test]
async fn the_tag_of_a_list_is_no_documents_tag() {
    let store = Store::with(|knobs| knobs.fields.push(("ETag", "\"of the list\"")));
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let tag = proxy.get(&state_ids()).await.etag().unwrap().to_owned();
    assert_eq!(proxy.send("DELETE", &state_ids(), &[V1, ("If-Match", &tag)], "").await.status, 204);
    assert_eq!(conditions(&store.writes()[0]), (None, None));
}

#[tokio::test]
async fn a_412_for_another_reason_does_not_end_translation() {
    let store = Store::with(|knobs| {
        knobs.tags = Tags::LengthHash;
        knobs.misdeed = Some((On::Writes, Misdeed::Says(bare("412 Precondition Failed"))));
    });
    let target = agent_profile("a");
    store.hold(&target, "0");
    let proxy = Proxy::before(&store);
    // This one fails with a translated condition and without, as with an If-Unmodified-Since of the client's.
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &sha1_tag("0"))], "1").await.status, 412);
    store.set(|knobs| knobs.misdeed = None);
    store.forget();
    let own = store.own_tag(&target).unwrap();
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &sha1_tag("0"))], "1").await.status, 204);
    assert_eq!(store.writes().iter().map(conditions).collect::<Vec<_>>(), [(Some(own.as_str()), None)]);
}

#[tokio::test]
async fn the_trailers_of_a_write_go_on() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut client = proxy.connect().await;
    let head = format!("PUT {} HTTP/1.1\r\nHost: a\r\nX-Experience-API-Version: 1.0.3\r\n", state("a"));
    client
        .write(format!(
            "{head}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nX-Sum: 5\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer("PUT").await.status, 204);
    let write = &store.writes()[0];
    assert_eq!(write.body, b"first");
    assert!(write.trailers.iter().any(|(name, value)| name.eq_ignore_ascii_case("x-sum") && value == "5"));
}
