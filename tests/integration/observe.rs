//! Observe mode: the verdict is reached and logged; nothing is refused, held up or altered.

use serde_json::{Value, json};

use crate::support::http::Speaker;
use crate::support::proxy::{Barrier, Proxy, url};
use crate::support::store::{Knobs, Misdeed, On, Store, Tags};
use crate::support::wire::Ending;
use crate::support::xapi::{ACTIVITY, AGENT, JSON, V1, V2, agent_profile, state, state_ids, state_of};
use crate::support::{sha1_tag, upstreams, within};

const STALE: (&str, &str) = ("If-Match", "\"0000000000000000000000000000000000000000\"");

/// In front of a store with a configuration, refusing nothing.
fn observing(store: &Store, config: &str) -> Proxy {
    Proxy::spawn(&url(store), config, &["--observe"])
}

#[tokio::test]
async fn a_write_that_would_be_refused_goes_on_as_it_came() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let target = agent_profile("a");
    store.hold(&target, "old");
    let proxy = Proxy::observing(&store);
    for (fields, verdict) in [
        (vec![V1, STALE], "if-match-failed"),
        (vec![V1, ("If-None-Match", "*")], "if-none-match-failed"),
        (vec![V2], "precondition-missing"),
        (vec![V1, ("If-Match", "\"open")], "malformed-precondition"),
    ] {
        store.forget();
        let answer = proxy.send("PUT", &target, &fields, verdict).await;
        assert_eq!((answer.status, answer.etag()), (204, None));
        let write = &store.writes()[0];
        assert_eq!((store.writes().len(), write.body.as_slice()), (1, verdict.as_bytes()));
        for name in ["if-match", "if-none-match"] {
            let stated = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
            assert_eq!(write.field(name), stated, "{verdict}");
        }
        let line = proxy.logged(verdict, |line| line["verdict"] == verdict).await;
        assert_eq!((line["mode"].as_str(), line["status"].as_u64()), (Some("observe"), Some(204)));
        assert_eq!(line["resource"], "agent-profile");
    }
}

#[tokio::test]
async fn reads_pass_with_the_upstreams_own_tag_and_the_clients_own_conditions() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    store.hold(&state("a"), "{}");
    let proxy = Proxy::observing(&store);
    let own = store.own_tag(&state("a"));
    let fields = [V1, ("If-None-Match", "\"x\""), ("Range", "bytes=0-1"), ("Accept-Encoding", "gzip")];
    let answer = proxy.send("GET", &state("a"), &fields, "").await;
    assert_eq!((answer.status, answer.etag()), (200, own.as_deref()));
    assert_eq!(answer.field("cache-control"), None);
    let seen = &store.seen()[0];
    for (name, value) in fields {
        assert_eq!(seen.field(name), Some(value));
    }
    let head = proxy.send("HEAD", &state("a"), &[V1], "").await;
    assert_eq!((head.status, store.seen()[1].method.as_str()), (200, "HEAD"));
}

#[tokio::test]
async fn what_would_be_refused_for_its_form_is_relayed() {
    let store = Store::start();
    let proxy = Proxy::observing(&store);
    let form = [V1, ("Content-Type", "application/x-www-form-urlencoded")];
    for (method, target, fields, body) in [
        ("PUT", format!("{}&stateId=b", state("a")), vec![V1], "1"),
        ("PUT", state("a").replace("stateId", "StateId"), vec![V1], "1"),
        (
            "PUT",
            format!("/xapi//activities/state?activityId={ACTIVITY}&agent={AGENT}&stateId=a"),
            vec![V1],
            "1",
        ),
        ("PUT", state_ids(), vec![V1], "1"),
        ("POST", "/xapi/activities/state?method=PUT".to_owned(), form.to_vec(), "stateId=a"),
        ("POST", state("a"), vec![V1, JSON, ("X-HTTP-Method-Override", "PUT")], "{}"),
        ("PUT", state("a"), vec![V1, V2], "1"),
        ("PUT", state("a"), vec![V1, ("Connection", "If-Match"), STALE], "1"),
    ] {
        store.forget();
        proxy.send(method, &target, &fields, body).await;
        let writes = store.writes();
        assert_eq!(writes.len(), 1, "{method} {target}");
        assert_eq!(
            (writes[0].target.as_str(), writes[0].body.as_slice()),
            (target.as_str(), body.as_bytes())
        );
    }
}

#[tokio::test]
async fn an_oversized_body_is_streamed() {
    let store = Store::start();
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\ndocument-max = \"1KiB\"",
        &["--observe"],
    );
    let body = vec![b'x'; 300_000];
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, STALE], &body).await.status, 204);
    assert_eq!(store.document(&state("a")).unwrap(), body);
    assert_eq!(proxy.get(&state("a")).await.body, body);
}

#[tokio::test]
async fn a_write_waits_for_others_only_for_its_bound() {
    let store = Store::start();
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\nhold-wait = \"100ms\"",
        &["--observe"],
    );
    store.close_gate(On::Writes);
    let mut first = proxy.connect().await;
    first.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    let mut second = proxy.connect().await;
    second.request("PUT", &state("a"), &[V1], b"2").await;
    store.until_writes(2).await;
    store.open_gate();
    assert_eq!(first.answer("PUT").await.status, 204);
    assert_eq!(second.answer("PUT").await.status, 204);
}

#[tokio::test]
async fn an_unknown_outcome_holds_nobody_up() {
    let store = upstreams::answering(On::Writes, "503 Busy");
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\nhold-wait = \"100ms\"",
        &["--observe"],
    );
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 503);
    store.set(|knobs| knobs.misdeed = None);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "2").await.status, 204);
}

#[tokio::test]
async fn a_probe_that_fails_stops_no_write() {
    for store in [
        upstreams::redirecting(),
        upstreams::answering(On::Reads, "403 Forbidden"),
        upstreams::reset_unanswered(On::Reads),
        upstreams::half_a_body(On::Reads),
    ] {
        let proxy = Proxy::observing(&store);
        assert_eq!(proxy.send("PUT", &agent_profile("a"), &[V1, STALE], "1").await.status, 204);
        assert_eq!(store.document(&agent_profile("a")).unwrap(), b"1");
    }
}

#[tokio::test]
async fn an_answer_of_any_size_passes() {
    let store = Store::start();
    let large = "x".repeat(5000);
    store.answer("/xapi/activities/state", format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{large}"));
    let proxy = Proxy::spawn(
        &format!("http://{}", store.address()),
        "[guard]\ndocument-max = \"1KiB\"",
        &["--observe"],
    );
    let answer = proxy.send("POST", &state("a"), &[V1, JSON], "{}").await;
    assert_eq!((answer.status, answer.text()), (200, large));
}

#[tokio::test]
async fn the_upstreams_tag_on_a_writes_answer_passes() {
    let store = Store::with(|knobs| knobs.fields.push(("ETag", "\"theirs\"")));
    let proxy = Proxy::observing(&store);
    for fields in [vec![V1], vec![V1, STALE]] {
        let answer = proxy.send("PUT", &state("a"), &fields, "1").await;
        assert_eq!((answer.status, answer.etag()), (204, Some("\"theirs\"")));
    }
}

#[tokio::test]
async fn a_write_without_a_body_gets_no_length() {
    let store = Store::start();
    let proxy = Proxy::observing(&store);
    assert_eq!(proxy.send("DELETE", &state("a"), &[V1], "").await.status, 204);
    assert_eq!(store.writes()[0].field("content-length"), None);
}

#[tokio::test]
async fn what_would_be_refused_for_its_form_is_noted() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    for (method, target, fields) in [
        ("GET", format!("{}&stateId=b", state("a")), vec![V1]),
        ("GET", state("a"), vec![V1, ("X-HTTP-Method-Override", "PUT")]),
        ("put", state("a"), vec![V1, ("Content-Length", "0")]),
        ("PUT", state("a"), vec![V1, ("Connection", "If-Match")]),
        ("PUT", "/xapi/activities//state?a".to_owned(), vec![V1]),
    ] {
        let proxy = Proxy::observing(&store);
        proxy.send(method, &target, &fields, "").await;
        let line = proxy.logged(method, |line| line["method"] == method).await;
        assert_eq!(line["verdict"], "ambiguous", "{method} {target}");
    }
}

/// Lets as many writes wait in line as fit, and sends one more.
#[tokio::test]
async fn a_full_queue_refuses_nobody() {
    for (bound, word) in [
        ("hold-queue = 1", "queue-full"),
        ("hold-waiters = 1", "queue-full"),
        ("scopes-max = 1", "queue-full"),
        ("start-settle = \"1h\"", "unsettled"),
    ] {
        let store = Store::start();
        let proxy = Proxy::spawn(&url(&store), &format!("[guard]\n{bound}"), &["--observe"]);
        let mut barrier = Barrier::open(&proxy).await;
        store.close_gate(On::Writes);
        let mut writers = Vec::new();
        let targets = if bound.starts_with("scopes") { ["a", "b", "c"] } else { ["a", "a", "a"] };
        for course in targets {
            let mut writer = proxy.connect().await;
            writer.request("PUT", &state_of(course, "s"), &[V1], b"1").await;
            barrier.pass().await;
            writers.push(writer);
        }
        // The one in line does not arrive, where there is a line; the last one does.
        store.until_writes(2).await;
        store.open_gate();
        for writer in &mut writers {
            assert_eq!(writer.answer("PUT").await.status, 204, "{bound}");
        }
        let line = proxy.logged(bound, |line| line["verdict"] == word).await;
        assert_eq!(line["status"], 204);
    }
}

/// Whoever starts with the flag and then enforces in the file must hear that this does nothing.
#[tokio::test]
async fn the_flag_says_which_enforced_resources_it_overrules() {
    let store = Store::start();
    let enforced = "[resource.state]\nmode = \"enforce\"\nunconditional.PUT = \"require\"\n";
    let proxy = Proxy::spawn(&url(&store), enforced, &["--observe"]);
    proxy.says("--observe goes before the file: nothing is refused of state,").await;
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 204);
    assert_eq!(proxy.status_json().await["observe_flag"], true);
    proxy.rewrite(&format!("{enforced}[resource.agent-profile]\nmode = \"enforce\"\n"));
    proxy.says("nothing is refused of state, agent-profile,").await;

    let by_file = Proxy::configured(&store, &format!("{enforced}[guard]\nmode = \"observe\"\n"));
    assert_eq!(by_file.send("PUT", &state("a"), &[V1], "1").await.status, 428);
    assert_eq!(by_file.send("PUT", &agent_profile("a"), &[V1], "1").await.status, 204);
    assert_eq!(by_file.status_json().await["observe_flag"], false);
    assert!(!by_file.said().contains("--observe"), "{}", by_file.said());
}

#[tokio::test]
async fn a_body_over_budget_is_streamed() {
    let store = Store::start();
    let proxy = observing(&store, "[guard]\nbuffered-writes-max = \"1KiB\"\ndocument-max = \"1KiB\"");
    let mut first = proxy.connect().await;
    let half = "x".repeat(700);
    first.write(format!("PUT {} HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n{half}", state("a"))).await;
    first.is_silent().await;
    Barrier::open(&proxy).await.pass().await;
    assert_eq!(proxy.send("PUT", &state_of("b", "b"), &[V1], "x".repeat(700)).await.status, 204);
    first.write("x".repeat(200)).await;
    assert_eq!(first.answer("PUT").await.status, 204);
    proxy.logged("over budget", |line| line["verdict"] == "over-budget" && line["status"] == 204).await;
}

/// There is nothing to send on. A server without a proxy says the same.
#[tokio::test]
async fn a_body_that_stalls_is_the_clients_own_failure() {
    let store = Store::start();
    let proxy = observing(&store, "[listen]\nbody-timeout = \"100ms\"");
    let mut client = proxy.connect().await;
    client.write(format!("PUT {} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf", state("a"))).await;
    assert_eq!(client.answer("PUT").await.status, 408);
    assert!(store.writes().is_empty());
}

/// What comes in time, and what never ends: a writer sees it as it comes, and the next one has its turn.
#[tokio::test]
async fn an_answer_passes_as_it_comes_and_holds_nobody_up() {
    let trickle = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let store = Store::with(|knobs| knobs.misdeed = Some((On::Marked, Misdeed::Says(trickle.to_owned()))));
    let proxy = observing(&store, "upstream.response-timeout = \"300ms\"\nguard.hold-wait = \"100ms\"");
    let mut first = proxy.connect().await;
    first.request("PUT", &state("a"), &[V1, ("X-Gate", "")], b"1").await;
    let head = within("the head before the end", first.wire.head()).await.unwrap();
    assert_eq!(head.word(1), "200");
    // The hold is given up after response-timeout, or this one waits in vain; it goes on all the same.
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "2").await.status, 204);
}

#[tokio::test]
async fn a_long_answer_is_not_cut_off() {
    let trickle = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n";
    let store =
        Store::with(|knobs| knobs.misdeed = Some((On::Writes, Misdeed::Trickles(trickle.to_owned()))));
    let proxy = observing(&store, "upstream.response-timeout = \"500ms\"");
    let answer = proxy.send("PUT", &state("a"), &[V1], "1").await;
    // It takes longer than a whole answer may.
    assert_eq!((answer.status, answer.body.len(), answer.ending), (200, 40, Ending::Complete));
}

/// A hold ends with its answer, and not with its client.
#[tokio::test]
async fn a_client_that_does_not_read_its_answer_holds_nobody_up() {
    let store = Store::start();
    let large = "x".repeat(8 << 20);
    let length = large.len();
    store.answer("/large", format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{large}"));
    let notes = "[resource.large]\npath = \"/large\"\nidentity = [\"path\"]\n";
    let proxy = observing(&store, &format!("guard.hold-wait = \"1h\"\n{notes}"));
    let mut first = proxy.connect().await;
    first.request("PUT", "/large", &[], b"1").await;
    within("the head", first.wire.head()).await.unwrap();
    let mut second = proxy.connect().await;
    second.request("PUT", "/large", &[], b"2").await;
    store.until_writes(2).await;
}

#[tokio::test]
async fn a_question_that_takes_long_is_given_up() {
    let store = upstreams::silent(On::Reads);
    let proxy = observing(&store, "upstream.read-back-timeout = \"100ms\"");
    assert_eq!(proxy.send("PUT", &agent_profile("a"), &[V1], "1").await.status, 204);
    proxy.logged("given up", |line| line["verdict"] == "unknown" && line["probe_ms"].is_number()).await;
}

/// An observed client holds what the upstream gave it, in whatever form, or what hops and it itself made of that.
#[tokio::test]
async fn a_client_is_up_to_date_by_our_tag_and_by_the_upstreams() {
    let ours = sha1_tag("{}");
    for (theirs, forms) in [
        ("\"t-1\"", vec!["\"t-1\"", "t-1", "W/\"t-1\"", "\"t-1-gzip\"", "\"\"t-1\"\""]),
        ("W/\"t-1\"", vec!["W/\"t-1\"", "\"t-1\"", "t-1"]),
        ("t-1", vec!["t-1", "\"t-1\""]),
    ] {
        let store = Store::start();
        store.hold(&state("a"), "{}");
        let fields = vec![("ETag", theirs)];
        store.set(|knobs| knobs.fields = fields);
        let proxy = Proxy::observing(&store);
        for form in forms.into_iter().chain([ours.as_str()]) {
            store.hold(&state("a"), "{}");
            for (field, verdict) in [("If-Match", "forward"), ("If-None-Match", "if-none-match-failed")] {
                let marked = [V1, (field, form), ("X-Mark", verdict)];
                let before = proxy.log().len();
                assert_eq!(proxy.send("PUT", &state("a"), &marked, "{}").await.status, 204);
                let line = logged_after(&proxy, before).await;
                assert_eq!(line["verdict"], verdict, "{field}: {form} before {theirs}");
            }
        }
        for stale in ["\"t-2\"", "t-11", "W/\"t\""] {
            let before = proxy.log().len();
            assert_eq!(proxy.send("PUT", &state("a"), &[V1, ("If-Match", stale)], "{}").await.status, 204);
            assert_eq!(logged_after(&proxy, before).await["verdict"], "if-match-failed", "{stale}");
        }
    }
}

/// Strict matching is about the forms that are made of our tags. What the upstream gave as it gave it is up to date, be
/// it an entity-tag or not; what was made of that would have been made of ours.
#[tokio::test]
async fn strict_matching_knows_what_the_upstream_itself_sends() {
    for (theirs, form, verdict) in [
        ("t-1", "t-1", "forward"),
        ("t-1", "\"t-1\"", "forward"),
        ("t-1", "W/t-1", "if-match-failed"),
        ("t-1", "\"\"t-1\"\"", "malformed-precondition"),
        ("t-1", "t-2", "malformed-precondition"),
        ("W/\"t-1\"", "W/\"t-1\"", "forward"),
        ("\"t-1\"", "\"t-1\"", "forward"),
        ("\"t-1\"", "t-1", "malformed-precondition"),
        ("\"t-1\"", "\"t-1-gzip\"", "if-match-failed"),
    ] {
        let store = Store::start();
        store.hold(&state("a"), "{}");
        let fields = vec![("ETag", theirs)];
        store.set(|knobs| knobs.fields = fields);
        for exclusive in [false, true] {
            let strict = "guard.etag-matching = \"strict\"";
            let proxy = observing(&store, &format!("{strict}\nupstream.exclusive = {exclusive}"));
            for _ in 0..2 {
                store.hold(&state("a"), "{}");
                let before = proxy.log().len();
                proxy.send("PUT", &state("a"), &[V1, A, ("If-Match", form)], "{}").await;
                assert_eq!(logged_after(&proxy, before).await["verdict"], verdict, "{form} before {theirs}");
            }
        }
    }
    // Nobody is asked, so that nobody knows.
    let store = Store::start();
    let proxy = observing(&store, "guard.etag-matching = \"strict\"\nobserve.sample = 0.0");
    for (form, verdict) in [("t-1", "not-sampled"), ("\"open", "malformed-precondition")] {
        let before = proxy.log().len();
        assert_eq!(proxy.send("PUT", &state("a"), &[V1, ("If-Match", form)], "1").await.status, 204);
        assert_eq!(logged_after(&proxy, before).await["verdict"], verdict);
    }
}

/// The line of the PUT that follows on so many lines.
async fn logged_after(proxy: &Proxy, before: usize) -> Value {
    within("its line", async {
        loop {
            let lines = proxy.log();
            match lines.into_iter().skip(before).find(|line| line["method"] == "PUT") {
                Some(line) => return line,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_put_that_comes_twice_is_foreseen_as_a_replay_and_goes_on_twice() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::observing(&store);
    let tag = sha1_tag("{}");
    for verdict in ["forward", "replay"] {
        let answer = proxy.send("PUT", &state("a"), &[V1, JSON, ("If-Match", &tag)], "{\"n\":1}").await;
        assert_eq!((answer.status, answer.field("proxy-status")), (204, None));
        proxy.logged(verdict, |line| line["verdict"] == verdict && line["status"] == 204).await;
    }
    assert_eq!(store.writes().len(), 2);
    // What would have been refused the first time is no replay the second time.
    for count in 1..=2 {
        proxy.send("PUT", &state("a"), &[V1, JSON, STALE], "{\"n\":2}").await;
        within("two lines", async {
            while proxy.log().iter().filter(|line| line["verdict"] == "if-match-failed").count() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn the_sha1_of_what_was_sent_is_foreseen_as_an_alias() {
    let store = Store::with(|knobs| {
        knobs.reserialises = true;
        knobs.tags = Tags::Random;
    });
    let proxy = Proxy::observing(&store);
    let spelled = "{ \"n\" : 1 }";
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, JSON], spelled).await.status, 204);
    let alias = sha1_tag(spelled);
    proxy.send("PUT", &state("a"), &[V1, JSON, ("If-Match", alias.trim_matches('"'))], "{\"n\":2}").await;
    let line = proxy.logged("an alias", |line| line["repairs"].is_array()).await;
    assert_eq!((&line["verdict"], &line["repairs"]), (&json!("forward"), &json!(["unquoted", "alias"])));
}

#[tokio::test]
async fn without_serialise_nobody_waits_and_the_verdict_is_reached() {
    let store = Store::start();
    let proxy = observing(&store, "guard.hold-wait = \"1h\"\nobserve.serialise = false");
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for body in [b"1", b"2"] {
        let mut writer = proxy.connect().await;
        writer.request("PUT", &state("a"), &[V1, STALE], body).await;
        writers.push(writer);
    }
    store.until_writes(2).await;
    store.open_gate();
    for mut writer in writers {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
    let line = proxy.logged("the verdict", |line| line["verdict"] == "if-match-failed").await;
    assert_eq!(line["hold_ms"], Value::Null);
}

#[tokio::test]
async fn only_a_sample_costs_a_question() {
    let store = Store::start();
    let proxy = observing(&store, "observe.sample = 0.0");
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, STALE], "1").await.status, 204);
    proxy.logged("not asked", |line| line["verdict"] == "not-sampled").await;
    // What can be told without asking is told.
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "1").await.status, 204);
    proxy.logged("told", |line| line["verdict"] == "forward").await;
    assert_eq!(store.seen().len(), 2, "{:#?}", store.seen());

    let proxy = observing(&store, "observe.sample = 0.5");
    store.forget();
    for _ in 0..20 {
        assert_eq!(proxy.send("PUT", &state("a"), &[V1, STALE], "1").await.status, 204);
    }
    let asked = store.seen().iter().filter(|seen| !seen.is_write()).count();
    assert!((9..=11).contains(&asked), "{asked} of 20");
}

#[tokio::test]
async fn our_tags_are_shown_where_the_upstream_shows_none_and_never_reach_it() {
    let store = Store::with(|knobs| knobs.chunks = true);
    let proxy = observing(&store, "observe.etags = true");
    store.hold(&state("a"), "{\"n\":1}");
    let read = proxy.send("GET", &state("a"), &[V1, ("Accept-Encoding", "gzip")], "").await;
    let tag = sha1_tag("{\"n\":1}");
    assert_eq!((read.status, read.etag(), read.text().as_str()), (200, Some(tag.as_str()), "{\"n\":1}"));
    assert_eq!(read.field("cache-control"), None);
    assert_eq!(store.seen()[0].field("accept-encoding"), Some("gzip"), "asked as the client asked");

    let again = proxy.send("GET", &state("a"), &[V1, ("If-None-Match", &tag)], "").await;
    assert_eq!((again.status, again.etag()), (200, Some(tag.as_str())));
    let weak = format!("W/{tag}, \"x-1\"");
    for (field, stated, goes_on, verdict) in [
        ("If-Match", tag.as_str(), None, "forward"),
        ("If-Match", tag.as_str(), None, "replay"),
        ("If-Match", weak.as_str(), Some("\"x-1\""), "if-match-failed"),
        ("If-None-Match", "*", Some("*"), "if-none-match-failed"),
        ("If-Match", STALE.1, None, "if-match-failed"),
    ] {
        store.forget();
        let fields = [V1, JSON, (field, stated), ("If-Unmodified-Since", "Mon, 01 Jan 2024 00:00:00 GMT")];
        let before = proxy.log().len();
        assert_eq!(proxy.send("PUT", &state("a"), &fields, "{\"n\":2}").await.status, 204);
        assert_eq!(logged_after(&proxy, before).await["verdict"], verdict);
        let write = &store.writes()[0];
        assert_eq!(write.field(field), goes_on, "{stated}");
        let date = write.field("if-unmodified-since");
        assert_eq!(date.is_some(), goes_on.is_some(), "out of force beside If-Match");
    }
    assert!(store.seen().iter().all(|seen| seen.field("if-none-match") != Some(tag.as_str())));
}

#[tokio::test]
async fn a_head_shows_the_tag_that_a_get_would_show() {
    let theirs = |knobs: &mut Knobs| knobs.tags = Tags::Weak;
    for (config, set, asked) in [
        ("sample = 1.0", (|_| {}) as fn(&mut Knobs), &["HEAD", "GET"][..]),
        ("sample = 1.0", |knobs| knobs.gzips = true, &["HEAD", "GET"]),
        ("sample = 1.0", theirs, &["HEAD"]),
        ("sample = 0.0", |_| {}, &["HEAD"]),
    ] {
        let store = Store::with(set);
        store.hold(&state("a"), "{}");
        let own = store.own_tag(&state("a"));
        let proxy = observing(&store, &format!("[observe]\netags = true\n{config}"));
        let ours = sha1_tag("{}");
        let fields = [V1, A, ("If-None-Match", ours.as_str())];
        let head = proxy.send("HEAD", &state("a"), &fields, "").await;
        let shown = own.as_deref().or_else(|| (asked.len() > 1).then_some(ours.as_str()));
        assert_eq!((head.status, head.etag()), (200, shown), "{config}");
        let seen = store.seen();
        assert_eq!(seen.iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), asked);
        assert!(seen.iter().skip(1).all(|seen| seen.field("if-none-match").is_none()));
        assert_eq!(proxy.send("HEAD", &state("b"), &[V1, A], "").await.etag(), None, "nothing is there");
    }
    // A signature would say nothing of another request, and no service asks for what nobody needs.
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let folder = tempfile::tempdir().unwrap();
    let service = folder.path().join("service");
    std::fs::write(&service, "Basic c2VydmljZTpzZWNyZXQ=").unwrap();
    let proxy = observing(&store, &format!("observe.etags = true\nprobe.authorization-file = {service:?}"));
    let signed = ("Authorization", "OAuth oauth_signature=\"s\"");
    let head = proxy.send("HEAD", &state("a"), &[V1, signed], "").await;
    assert_eq!((head.status, head.etag(), store.seen().len()), (200, None, 1));
    // Once it is known that the upstream has no tags, ours is taken out of what goes on.
    assert!(proxy.get(&state("a")).await.etag().is_some());
    store.forget();
    proxy.send("HEAD", &state("a"), &[V1, signed, ("If-None-Match", &sha1_tag("{}"))], "").await;
    assert_eq!(store.seen()[0].field("if-none-match"), None);
}

#[tokio::test]
async fn our_tags_are_concealed_in_a_form_too() {
    let store = Store::start();
    let proxy = observing(&store, "observe.etags = true");
    let tag = sha1_tag("{}");
    store.hold(&state("a"), "{}");
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let (path, query) =
        state("a").split_once('?').map(|(path, query)| (path.to_owned(), query.to_owned())).unwrap();
    let read = proxy.send("POST", &format!("{path}?method=GET"), &[V1, form], &query).await;
    assert_eq!((read.status, read.etag()), (200, Some(tag.as_str())));
    let body = format!("{query}&If-Match={}&content=%7B%7D", tag.replace('"', "%22"));
    assert_eq!(proxy.send("POST", &format!("{path}?method=PUT"), &[V1, form], body).await.status, 204);
    let write = &store.writes()[0];
    assert_eq!(
        (write.method.as_str(), write.target.as_str()),
        ("POST", format!("{path}?method=PUT").as_str())
    );
    let sent = String::from_utf8_lossy(&write.body).into_owned();
    assert!(!sent.contains(tag.trim_matches('"')) && sent.contains("content=%7B%7D"), "{sent}");
}

/// Taken out, a tag of the upstream's would let a write through that it refuses.
#[tokio::test]
async fn the_upstreams_own_tags_stay_although_they_look_like_ours() {
    let theirs = format!("\"{}\"", "a1".repeat(20));
    let field: &'static str = Box::leak(theirs.clone().into_boxed_str());
    for sample in ["1.0", "0.0"] {
        let store = Store::with(|knobs| knobs.fields.push(("ETag", field)));
        let proxy = observing(&store, &format!("observe = {{ etags = true, sample = {sample} }}"));
        store.hold(&state("a"), "{}");
        // Nobody has read anything: it is asked for whatever the sample says.
        proxy.send("PUT", &state("a"), &[V1, STALE], "{}").await;
        assert_eq!(store.seen()[0].method, "GET");
        assert_eq!(store.writes()[0].field("if-match"), Some(STALE.1));
        assert_eq!(proxy.get(&state("a")).await.etag(), Some(field), "the upstream's own");
        store.forget();
        proxy.send("PUT", &state("a"), &[V1, ("If-Match", field)], "{}").await;
        assert_eq!(store.writes()[0].field("if-match"), Some(field));
        // Ours is known only where the upstream was asked; a client may compute it without having been shown it.
        store.forget();
        let ours = sha1_tag("{}");
        proxy.send("PUT", &state("a"), &[V1, ("If-Match", &ours)], "{}").await;
        let goes_on = if sample == "1.0" { field } else { &ours };
        assert_eq!(store.writes()[0].field("if-match"), Some(goes_on));
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_and_state_the_tags_that_are_shown() {
    let store = Store::with(|knobs| knobs.fields.push(("Access-Control-Allow-Origin", "*")));
    store.hold(&state("a"), "{}");
    let page = [V1, ("Origin", "https://courses.example")];
    for (config, exposed) in [("observe.etags = true", true), ("observe.etags = false", false)] {
        let proxy = observing(&store, config);
        let answer = proxy.send("GET", &state("a"), &page, "").await;
        let names = answer.field("access-control-expose-headers").unwrap_or_default().to_ascii_lowercase();
        assert_eq!(names.contains("etag"), exposed, "{answer:?}");
    }
}

const A: (&str, &str) = ("Authorization", "Basic YTph");

async fn foreign_writes(proxy: &Proxy) -> u64 {
    proxy.metrics().await["staleguard_foreign_writes_total{resource=\"agent-profile\"}"]
}

#[tokio::test]
async fn who_writes_around_this_proxy_is_noticed_by_reads_that_pass() {
    let target = agent_profile("a");
    for (config, set) in [
        ("", (|_| {}) as fn(&mut Knobs)),
        ("", |knobs| knobs.chunks = true),
        ("", |knobs| knobs.tags = Tags::Random),
        ("upstream.exclusive = true", |_| {}),
        ("observe.etags = true", |_| {}),
        ("observe.etags = true", |knobs| knobs.tags = Tags::Random),
    ] {
        let store = Store::with(set);
        let proxy = observing(&store, config);
        assert_eq!(proxy.send("GET", &target, &[V1, A], "").await.status, 404);
        for (count, held) in ["", "1", "1", "2"].into_iter().enumerate() {
            store.hold(&target, held);
            let answer = proxy.send("GET", &target, &[V1, A, ("If-None-Match", "\"x\"")], "").await;
            assert_eq!((answer.status, answer.text().as_str()), (200, held));
            let seen = [1, 1, 1, 2][count];
            assert_eq!(foreign_writes(&proxy).await, seen, "{config}: {held}");
        }
        // What was written through here explains what is seen next, and nothing after that.
        assert_eq!(proxy.send("PUT", &target, &[V1], "3").await.status, 204);
        for (held, seen) in [("4", 2), ("4", 2), ("5", 3)] {
            store.hold(&target, held);
            assert_eq!(proxy.send("GET", &target, &[V1, A], "").await.text(), held);
            assert_eq!(foreign_writes(&proxy).await, seen, "{config}: {held}");
        }
    }
}

#[tokio::test]
async fn an_observed_read_that_is_no_whole_document_as_it_is_stored_is_no_sighting() {
    let store = Store::start();
    let proxy = observing(&store, "[guard]\ndocument-max = \"64B\"");
    let target = agent_profile("a");
    let long = "x".repeat(100);
    let plain = |text: &str| format!("200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    for (fields, answer) in [
        (&[V1, A][..], plain("1")),
        (&[V1, A], "200 OK\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\n2".to_owned()),
        (
            &[V1, A],
            "206 Partial Content\r\nContent-Range: bytes 0-0/2\r\nContent-Length: 1\r\n\r\n3".to_owned(),
        ),
        (&[V1, A], "304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_owned()),
        (&[V1, A], "403 Forbidden\r\nContent-Length: 1\r\n\r\n4".to_owned()),
        (&[V1, A], "200 OK\r\nAge: 7\r\nContent-Length: 1\r\n\r\n5".to_owned()),
        (&[V1, A], "200 OK\r\nVary: X-Tenant\r\nContent-Length: 1\r\n\r\n6".to_owned()),
        (&[V1, A, ("Accept-Language", "de")], plain("7")),
        (&[V1, A, ("Content-Length", "1")], plain("8")),
        (&[V1, A], plain(&long)),
        (&[V1, A], format!("200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{long}\r\n0\r\n\r\n")),
        (&[V1, A], plain("1")),
    ] {
        store.answer("/xapi/agents/profile", format!("HTTP/1.1 {answer}"));
        let has_body = fields.iter().any(|(name, _)| *name == "Content-Length");
        let told = proxy.send("GET", &target, fields, if has_body { "x" } else { "" }).await;
        assert!(answer.ends_with(&told.text()) || answer.contains(&long), "as it came: {told:?}");
        assert_eq!(foreign_writes(&proxy).await, 0, "{answer}");
    }
    // Half a document is none either.
    store.set(|knobs| {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_owned();
        knobs.misdeed = Some((On::Reads, Misdeed::SaysAndCloses(half)));
    });
    proxy.send("GET", &target, &[V1, A], "").await;
    store.set(|knobs| knobs.misdeed = None);
    assert_eq!(foreign_writes(&proxy).await, 0);
    store.answer("/xapi/agents/profile", format!("HTTP/1.1 {}", plain("9")));
    assert_eq!(proxy.send("GET", &target, &[V1, A], "").await.text(), "9");
    assert_eq!(foreign_writes(&proxy).await, 1, "and this one was");
}

#[tokio::test]
async fn an_observed_read_passes_as_it_comes() {
    let trickle = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let store = Store::with(|knobs| knobs.misdeed = Some((On::Reads, Misdeed::Says(trickle.to_owned()))));
    let proxy = observing(&store, "");
    let mut reader = proxy.connect().await;
    reader.request("GET", &state("a"), &[V1, A], b"").await;
    let head = within("the head before the end", reader.wire.head()).await.unwrap();
    assert_eq!(head.word(1), "200");
}

/// It stops the races in the LRS, before anything is enforced.
#[tokio::test]
async fn observed_writes_to_one_scope_go_one_at_a_time() {
    let store = Store::start();
    let proxy = observing(&store, "guard.hold-wait = \"1h\"");
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let mut writers = Vec::new();
    for body in [b"1", b"2", b"3"] {
        let mut writer = proxy.connect().await;
        writer.request("PUT", &state("a"), &[V1, STALE], body).await;
        barrier.pass().await;
        writers.push(writer);
    }
    let mut other = proxy.connect().await;
    other.request("PUT", &state_of("other", "a"), &[V1], b"x").await;
    // That of another scope waits for nobody.
    store.until_writes(2).await;
    barrier.pass().await;
    let of_scope = |store: &Store| store.writes().iter().filter(|seen| seen.body != b"x").count();
    for so_far in 1..=3 {
        within("one more", async {
            while of_scope(&store) < so_far {
                tokio::task::yield_now().await;
            }
        })
        .await;
        barrier.pass().await;
        assert_eq!(of_scope(&store), so_far, "the next one waits for its turn");
        // The one of the other scope may be the one that is let through.
        store.let_through(if so_far == 1 { 2 } else { 1 });
    }
    for writer in writers.iter_mut().chain([&mut other]) {
        assert_eq!(writer.answer("PUT").await.status, 204);
    }
}

#[tokio::test]
async fn of_two_modes_the_more_specific_wins() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    store.hold(&agent_profile("a"), "{}");
    for (modes, flags, profile, of_state) in [
        (["observe", "enforce"], &[][..], "observe", "enforce"),
        (["enforce", "observe"], &[], "enforce", "observe"),
        // Whoever starts it with the flag wants to see and to refuse nothing, whatever the file says.
        (["enforce", "enforce"], &["--observe"], "observe", "observe"),
    ] {
        let [global, own] = modes;
        let config = format!("guard.mode = \"{global}\"\n[resource.state]\nmode = \"{own}\"\n");
        let proxy = Proxy::spawn(&url(&store), &config, flags);
        for (target, mode) in [(agent_profile("a"), profile), (state("a"), of_state)] {
            store.forget();
            let status = proxy.send("PUT", &target, &[V1, STALE], "1").await.status;
            let expected = if mode == "enforce" { (412, 0) } else { (204, 1) };
            assert_eq!((status, store.writes().len()), expected, "{modes:?}{flags:?}: {target}");
        }
    }
}

/// What an observed client leaves behind is bounded by nothing but the connections to the upstream: refused it would be
/// for a bound of ours.
#[tokio::test]
async fn writes_that_a_client_has_left_refuse_it_no_other() {
    let store = Store::start();
    let proxy = observing(&store, "listen.detached-max = 1");
    store.close_gate(On::Writes);
    let stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let (mut client, _connection) = Speaker::two(stream).await;
    for (count, course) in ["x", "y", "z"].into_iter().enumerate() {
        let write = client.begin(client.request("PUT", &state_of(course, "a"), &[V1], "1"));
        let write = tokio::spawn(write);
        store.until_writes(count + 1).await;
        // Its stream is reset, and its write goes on.
        write.abort();
        within("its line", async {
            while proxy.log().iter().filter(|line| line["status"] == 499).count() <= count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    store.open_gate();
    assert_eq!(client.send("PUT", &state_of("last", "a"), &[V1], "1").await.status, 204);
}

/// An enforcing proxy sends it back, since its scope may be held in the table of before.
#[tokio::test]
async fn a_write_that_is_still_coming_while_scopes_change_goes_on() {
    let store = Store::start();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let head = format!(
        "guard.mode = \"observe\"\nadmin.token-file = {token:?}\n[resource.notes]\npath = \"/notes/{{id}}\"\n"
    );
    let proxy = Proxy::configured(&store, &format!("{head}identity = [\"path\"]\n"));
    let mut slow = proxy.arrive().await;
    slow.write("PUT /notes/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n1").await;
    Barrier::open(&proxy).await.pass().await;
    proxy.rewrite(&format!("{head}identity = [\"path\", \"v?\"]\n"));
    let bearer = ("Authorization", "Bearer 0123456789abcdef");
    let reloaded = crate::support::client::send(proxy.admin, "POST", "/-/reload", &[bearer], "").await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    slow.write("2").await;
    assert_eq!(slow.answer("PUT").await.status, 204);
    assert_eq!(store.document("/notes/a").unwrap(), b"12");
}
