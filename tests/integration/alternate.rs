//! xAPI's alternate request syntax: the plain request in the form is what is guarded and forwarded.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::alternate::{FORM, form, sealed};
use crate::support::client::Answer;
use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{Misdeed, On, Seen, Store, Tags};
use crate::support::xapi::{JSON, V1, V2, activity_profile, agent_profile, state, state_ids, state_of};
use crate::support::{assert_refused, assert_untouched, sha1_tag, upstreams};

const TEXT: (&str, &str) = ("Content-Type", "text/plain; charset=UTF-8");
const STALE: (&str, &str) = ("If-Match", "\"0000000000000000000000000000000000000000\"");
/// Every plain target is too long for the upstream.
const TIGHT: &str = "[upstream]\ntarget-max = \"50B\"";

/// Sends a plain request in its envelope, on a connection of its own.
async fn wrap(
    proxy: &Proxy,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    content: Option<&str>,
) -> Answer {
    let (target, form) = sealed(method, target, fields, content);
    proxy.send("POST", &target, &[FORM], form).await
}

/// The one write that the upstream saw.
fn the_write(store: &Store) -> Seen {
    let mut writes = store.writes();
    assert_eq!(writes.len(), 1, "{writes:#?}");
    writes.remove(0)
}

/// The fields of a form that the upstream saw, of one name.
fn in_form(seen: &Seen, name: &str) -> Vec<String> {
    form(&seen.body).into_iter().filter(|(given, _)| given == name).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn a_wrapped_write_with_a_stale_tag_is_refused_on_every_method_and_resource() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        store.hold(&target, "{}");
        for method in ["PUT", "POST", "DELETE"] {
            let content = (method != "DELETE").then_some("{\"new\":1}");
            for label in [FORM, TEXT] {
                let (to, form) = sealed(method, &target, &[V1, JSON, STALE], content);
                let answer = proxy.send("POST", &to, &[label], form).await;
                assert_refused(&answer, 412);
                assert_eq!(answer.etag(), Some(sha1_tag("{}").as_str()));
                assert_eq!(answer.field("x-experience-api-version"), Some("1.0.3"));
            }
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_wrapped_write_with_the_right_tag_goes_on_as_the_plain_request() {
    for label in [FORM, TEXT] {
        let store = Store::with(|knobs| knobs.tags = Tags::Random);
        let proxy = Proxy::before(&store);
        let target = agent_profile("a b");
        for (method, content) in
            [("PUT", Some("{\"a\":\"é&=+%\"}")), ("POST", Some("{\"b\":2}")), ("DELETE", None)]
        {
            store.hold(&target, "{}");
            let own = store.own_tag(&target).unwrap();
            store.forget();
            let tag = sha1_tag("{}");
            let fields = [
                V1,
                JSON,
                ("Authorization", "Basic YTpi"),
                ("If-Match", tag.as_str()),
                ("Content-Length", "7"),
            ];
            let (to, form) = sealed(method, &target, &fields, content);
            let answer = proxy.send("POST", &to, &[label, ("X-Custom", "one")], form).await;
            assert_eq!(answer.status, 204, "{answer:#?}");
            let write = the_write(&store);
            assert_eq!(
                (write.method.as_str(), write.target.as_str()),
                (method, target.replace(' ', "%20").as_str())
            );
            assert_eq!(write.body, content.unwrap_or_default().as_bytes());
            assert_eq!(write.field("if-match"), Some(own.as_str()), "translated");
            assert_eq!(write.field("content-type"), Some("application/json"));
            assert_eq!(write.field("authorization"), Some("Basic YTpi"));
            assert_eq!(write.field("x-experience-api-version"), Some("1.0.3"));
            assert_eq!(write.field("x-custom"), Some("one"));
            let length = content.map(|content| content.len().to_string());
            assert_eq!(write.field("content-length"), length.as_deref());
            let probe = &store.seen()[0];
            assert_eq!((probe.method.as_str(), &probe.target), ("GET", &write.target));
            assert_eq!(probe.field("authorization"), Some("Basic YTpi"), "the probe speaks for the writer");
        }
    }
}

#[tokio::test]
async fn a_wrapped_read_is_a_guarded_read() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    store.hold(&state("a"), "{\"a\":1}");
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("{\"a\":1}");
    let mut client = proxy.connect().await;
    let (get, form) = sealed("GET", &state("a"), &[V1, ("Accept", "application/json")], None);
    let answer = client.send("POST", &get, &[FORM, ("Accept", "*/*")], &form).await;
    assert_eq!(
        (answer.status, answer.etag(), answer.text()),
        (200, Some(tag.as_str()), "{\"a\":1}".to_owned())
    );
    assert_eq!(answer.field("content-length"), Some("7"));
    let seen = &store.seen()[0];
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str(), seen.body.len()),
        ("GET", state("a").as_str(), 0)
    );
    assert_eq!(seen.field("accept"), Some("application/json"), "a browser's own Accept is not the client's");
    assert_eq!((seen.field("content-type"), seen.field("content-length")), (None, None));

    let (head, form) = sealed("HEAD", &state("a"), &[V1], None);
    let answer = client.send("POST", &head, &[FORM], &form).await;
    assert_eq!((answer.status, answer.etag(), answer.body.len()), (200, Some(tag.as_str()), 0));
    assert!(
        matches!(answer.field("content-length"), None | Some("0")),
        "it is the answer to a POST: {answer:#?}"
    );

    for method in ["GET", "HEAD"] {
        let (to, form) = sealed(method, &state("a"), &[V1, ("If-None-Match", &tag)], None);
        let answer = client.send("POST", &to, &[FORM], &form).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0));
        let (to, form) = sealed(method, &state("a"), &[V1, STALE], None);
        assert_refused(&client.send("POST", &to, &[FORM], &form).await, 412);
        let (to, form) = sealed(method, &state("missing"), &[V1], None);
        assert_eq!(client.send("POST", &to, &[FORM], &form).await.status, 404);
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_field_that_also_came_as_a_header_field_has_the_same_value() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, "{}");
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("{}");
    let inside = [V1, ("Authorization", "Basic YTpi"), ("If-Match", tag.as_str())];
    let (to, form) = sealed("PUT", &target, &inside, Some("1"));
    for other in [
        ("If-Match", "\"x\""),
        ("Authorization", "Basic eHg="),
        ("X-Experience-API-Version", "1.0.2"),
        ("X-Experience-API-Version", "2.0.0"),
    ] {
        assert_refused(&proxy.send("POST", &to, &[FORM, other], &form).await, 400);
    }
    assert!(store.seen().is_empty());
    let fields = [FORM, V1, ("Authorization", "Basic YTpi"), ("If-Match", &tag), ("Accept-Language", "de")];
    assert_eq!(proxy.send("POST", &to, &fields, &form).await.status, 204);
    assert_eq!(store.document(&target).unwrap(), b"1");
}

#[tokio::test]
async fn a_header_field_that_is_not_in_the_form_counts() {
    let store = Store::start();
    store.hold(&agent_profile("a"), "{}");
    let proxy = Proxy::before(&store);
    let (to, form) = sealed("PUT", &agent_profile("a"), &[], Some("1"));
    assert_refused(&proxy.send("POST", &to, &[FORM, V1, STALE], &form).await, 412);
    assert_refused(&proxy.send("POST", &to, &[FORM, V1], &form).await, 409);
    assert_untouched(&store);
}

#[tokio::test]
async fn an_envelope_that_is_malformed_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let (to, form) = sealed("PUT", &state("a"), &[V1, JSON], Some("{}"));
    let path = to.split('?').next().unwrap();
    for (target, fields, form) in [
        // Query parameters beside `method`, and methods that are none of the syntax.
        (format!("{to}&stateId=a"), vec![FORM], form.clone()),
        (format!("{to}&cachebuster=1"), vec![FORM], form.clone()),
        (format!("{path}?stateId=a&method=PUT"), vec![FORM], form.clone()),
        (format!("{to}&method=PUT"), vec![FORM], form.clone()),
        (format!("{path}?Method=PUT"), vec![FORM], form.clone()),
        (format!("{path}?method=put"), vec![FORM], form.clone()),
        (format!("{path}?method=PATCH"), vec![FORM], form.clone()),
        // What the form is labelled.
        (to.clone(), vec![], form.clone()),
        (to.clone(), vec![JSON], form.clone()),
        (to.clone(), vec![("Content-Type", "text/plain; charset=latin1")], form.clone()),
        (to.clone(), vec![FORM, ("Content-Encoding", "gzip")], form.clone()),
        (to.clone(), vec![FORM, ("X-HTTP-Method-Override", "DELETE")], form.clone()),
        (to.clone(), vec![FORM, ("Connection", "If-Match")], form.clone()),
        // What is in it.
        (to.clone(), vec![FORM], format!("{form}&stateId=b")),
        (to.clone(), vec![FORM], format!("{form}&StateId=b")),
        (to.clone(), vec![FORM], format!("{form}&content=b")),
        (to.clone(), vec![FORM], format!("{form}&method=DELETE")),
        (to.clone(), vec![FORM], format!("{form}&_method=DELETE")),
        (to.clone(), vec![FORM], format!("{form}&If-Match=a%0D%0AHost:+b")),
        (to.clone(), vec![FORM], format!("{form}&If-Match=a&if-match=b")),
        (to.clone(), vec![FORM], format!("{form}&x=%ff")),
        (to.clone(), vec![FORM], format!("{form}&x=%")),
        (to.clone(), vec![FORM], form.replace("agent=%7B", "agent=")),
    ] {
        let answer = proxy.send("POST", &target, &fields, &form).await;
        assert_eq!(answer.status, 400, "{target} {fields:?} {form}\n{answer:#?}");
    }
    for more in ["stateId=b", "method=PUT", "_method=PUT", "content=b"] {
        let (to, form) = sealed("GET", &state("a"), &[V1], None);
        assert_refused(&proxy.send("POST", &to, &[FORM], format!("{form}&{more}")).await, 400);
    }
    for (method, target) in
        [("PUT", format!("{path}?method=POST")), ("GET", to.clone()), ("DELETE", to.clone())]
    {
        assert_refused(&proxy.send(method, &target, &[FORM], &form).await, 400);
    }
    assert!(store.seen().is_empty(), "{:#?}", store.seen());
    assert_eq!(proxy.send("POST", &to, &[FORM], &form).await.status, 204);
}

#[tokio::test]
async fn a_page_may_ask_whether_it_may_send_an_envelope() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = "/xapi/activities/state?method=PUT";
    let asks = [
        ("Origin", "https://page.example"),
        ("Access-Control-Request-Method", "POST"),
        ("X-HTTP-Method", "PUT"),
    ];
    assert_refused(&proxy.send("OPTIONS", target, &asks, "").await, 400);
    assert_refused(&proxy.send("OPTIONS", target, &asks[..2], "stateId=a").await, 400);
    assert_refused(&proxy.send("OPTIONS", target, &asks[..1], "").await, 400);
    assert_refused(&proxy.send("OPTIONS", &format!("{target}&stateId=a"), &asks[..2], "").await, 400);
    assert!(store.seen().is_empty());
    let observing = Proxy::observing(&store);
    for proxy in [&proxy, &observing] {
        proxy.send("OPTIONS", target, &asks[..2], "").await;
        let seen = store.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("OPTIONS", target));
    }
    let line = observing.logged("the question", |line| line["method"] == "OPTIONS").await;
    assert_eq!(line.get("verdict"), None);
}

#[tokio::test]
async fn no_field_of_the_form_becomes_another_header_field() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let fields =
        [V1, ("Cookie", "a=b"), ("Transfer-Encoding", "gzip"), ("Host", "evil.example"), ("X-Custom", "1")];
    assert_eq!(wrap(&proxy, "PUT", &state("a"), &fields, Some("1")).await.status, 204);
    let write = the_write(&store);
    for name in ["cookie", "transfer-encoding", "x-custom"] {
        assert_eq!(write.field(name), None, "{write:#?}");
    }
    assert_eq!(write.field("host"), Some("localhost"));
    assert!(write.target.contains("Cookie=a%3Db&Transfer-Encoding=gzip"), "{}", write.target);
}

#[tokio::test]
async fn the_other_family_of_versions_has_no_such_syntax() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for method in ["PUT", "POST", "GET", "DELETE", "HEAD"] {
        let (to, form) = sealed(method, &state("a"), &[V2], None);
        let in_form = proxy.send("POST", &to, &[FORM], form).await;
        let (to, form) = sealed(method, &state("a"), &[], None);
        let as_field = proxy.send("POST", &to, &[FORM, V2], form).await;
        for answer in [in_form, as_field] {
            assert_refused(&answer, 400);
            assert_eq!(answer.field("x-experience-api-version"), Some("2.0.0"));
        }
    }
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn on_all_other_paths_it_is_relayed_untouched() {
    let store = Store::start();
    let notes = "[resource.notes]\npath = \"/api/notes/{id}\"\nidentity = [\"path\"]";
    let proxy = Proxy::configured(&store, notes);
    for target in
        ["/xapi/statements?method=PUT", "/xapi/statements?method=GET&x=1", "/api/notes/a?method=PUT"]
    {
        for label in [FORM, TEXT] {
            store.forget();
            let form = "statementId=a&content=%7b%7D+&If-Match=%22a%22&If-Match=b";
            let fields = [label, ("If-None-Match", "*")];
            proxy
                .send("POST", target, if target.starts_with("/api") { &fields[..1] } else { &fields }, form)
                .await;
            let seen = store.seen().pop().unwrap();
            assert_eq!(
                (seen.method.as_str(), seen.target.as_str(), seen.body.as_slice()),
                ("POST", target, form.as_bytes())
            );
            assert_eq!(seen.field("content-type"), Some(label.1));
        }
    }
}

#[tokio::test]
async fn above_the_longest_target_it_goes_on_wrapped_as_it_came_and_is_guarded() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let proxy = Proxy::configured(&store, TIGHT);
    let target = agent_profile("a");
    for label in [FORM, TEXT] {
        for (method, content) in
            [("PUT", Some("{\"a\":\"é&\"}")), ("POST", Some("{\"b\":2}")), ("DELETE", None)]
        {
            store.hold(&target, "{}");
            let own = store.own_tag(&target).unwrap();
            store.forget();
            let (to, stale) = sealed(method, &target, &[V1, STALE], content);
            assert_refused(&proxy.send("POST", &to, &[label], stale).await, 412);
            assert_untouched(&store);

            store.forget();
            let tag = sha1_tag("{}");
            let fields =
                [V1, JSON, ("Authorization", "Basic YTpi"), ("if-match", &tag), ("cachebuster", "1")];
            let (to, came) = sealed(method, &target, &fields, content);
            // TinCanJS sends its fields both ways.
            let outside = [label, ("X-Custom", "one"), ("If-Match", &tag), V1];
            let answer = proxy.send("POST", &to, &outside, &came).await;
            assert_eq!(answer.status, 204, "{answer:#?}");
            let write = the_write(&store);
            assert_eq!((write.method.as_str(), write.target.as_str()), ("POST", to.as_str()));
            assert_eq!(write.field("x-experience-api-version"), Some("1.0.3"));
            let mut expected = form(came.as_bytes());
            expected
                .iter_mut()
                .filter(|(name, _)| name == "if-match")
                .for_each(|(_, value)| *value = own.clone());
            assert_eq!(form(&write.body), expected, "nothing else is changed");
            assert_eq!((write.field("content-type"), write.field("x-custom")), (Some(label.1), Some("one")));
            assert_eq!((write.field("if-match"), write.field("authorization")), (None, None));

            let probe = &store.seen()[0];
            assert_eq!(
                (probe.method.as_str(), probe.target.as_str()),
                ("POST", "/xapi/agents/profile?method=GET")
            );
            assert_eq!(in_form(probe, "Authorization"), ["Basic YTpi"]);
            for name in ["content", "if-match", "Content-Type"] {
                assert!(in_form(probe, name).is_empty(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn above_the_longest_target_reads_and_creations_and_read_backs_work_too() {
    let store = Store::with(|knobs| knobs.tags = Tags::LengthHash);
    let proxy = Proxy::configured(&store, TIGHT);
    let target = agent_profile("a");
    let created = wrap(&proxy, "PUT", &target, &[V1, ("If-None-Match", "*")], Some("{}")).await;
    assert_eq!((created.status, created.etag()), (204, Some(sha1_tag("{}").as_str())), "read back");
    assert_eq!(in_form(&the_write(&store), "If-None-Match"), ["*"]);
    for method in ["GET", "HEAD"] {
        let read = wrap(&proxy, method, &target, &[V1], None).await;
        assert_eq!((read.status, read.etag()), (200, Some(sha1_tag("{}").as_str())));
    }
    // A condition on other tags is translated into one on the current tag.
    store.forget();
    let fields = [V1, ("If-None-Match", "\"other\"")];
    assert_eq!(wrap(&proxy, "POST", &target, &fields, Some("{\"a\":1}")).await.status, 204);
    let write = the_write(&store);
    assert_eq!((in_form(&write, "If-None-Match").len(), in_form(&write, "If-Match").len()), (0, 1));
    assert!(store.seen().iter().all(|seen| seen.target.contains("?method=")), "{:#?}", store.seen());
}

#[tokio::test]
async fn what_is_signed_as_a_whole_stays_in_its_envelope() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let oauth = ("Authorization", "OAuth oauth_signature=\"s\"");
    assert_eq!(wrap(&proxy, "PUT", &state("a"), &[V1, JSON, oauth], Some("{}")).await.status, 204);
    let write = the_write(&store);
    assert_eq!((write.method.as_str(), write.target.as_str()), ("POST", "/xapi/activities/state?method=PUT"));
    assert_eq!(in_form(&write, "Authorization"), [oauth.1]);
    let answer = wrap(&proxy, "PUT", &state("a"), &[V1, JSON, oauth, STALE], Some("{}")).await;
    assert_eq!(answer.status, 501, "nobody can ask what it would overwrite: {answer:?}");
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn a_refused_tag_is_left_out_of_the_form_the_second_time() {
    let store = Store::with(|knobs| {
        knobs.tags = Tags::Random;
        knobs.misdeed = Some((On::Conditional, Misdeed::Says(upstreams::bare("412 Precondition Failed"))));
    });
    let proxy = Proxy::configured(&store, TIGHT);
    let target = agent_profile("a");
    store.hold(&target, "{}");
    let tag = sha1_tag("{}");
    assert_eq!(wrap(&proxy, "PUT", &target, &[V1, ("If-Match", &tag)], Some("1")).await.status, 204);
    let told: Vec<usize> = store.writes().iter().map(|write| in_form(write, "If-Match").len()).collect();
    assert_eq!(told, [1, 0]);
}

#[tokio::test]
async fn the_longest_target_is_a_plain_one() {
    let store = Store::start();
    let target = state("a");
    for (max, is_plain) in [(target.len(), true), (target.len() - 1, false)] {
        store.forget();
        let proxy = Proxy::configured(&store, &format!("[upstream]\ntarget-max = \"{max}B\""));
        // The test's encoding of a target is not that of the proxy, which encodes no more than it must.
        let plain = target.replace("%2E", ".");
        assert_eq!(wrap(&proxy, "PUT", &plain, &[V1], Some("1")).await.status, 204);
        assert_eq!(the_write(&store).method, if is_plain { "PUT" } else { "POST" });
    }
}

#[tokio::test]
async fn a_probe_in_an_envelope_is_asked_again_like_any_other() {
    let store = upstreams::closes_idle();
    let proxy = Proxy::configured(&store, TIGHT);
    for n in 0..20 {
        let target = state_of(&n.to_string(), "a");
        store.hold(&target, "{}");
        // Its connection may be one that the upstream has closed.
        assert_eq!(wrap(&proxy, "GET", &target, &[V1], None).await.status, 200);
        assert_refused(&wrap(&proxy, "PUT", &target, &[V1, STALE], Some("1")).await, 412);
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_write_whose_document_cannot_be_named_is_asked_about_and_not_forwarded() {
    for config in ["", TIGHT] {
        let store = Store::start();
        let proxy = Proxy::configured(&store, config);
        let answer = wrap(&proxy, "PUT", &state_ids(), &[V1], Some("1")).await;
        assert_eq!(answer.status, 400, "the upstream would list ids: {answer:#?}");
        let answer = wrap(&proxy, "PUT", "/xapi/agents/profile?profileId=a", &[V1], Some("1")).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (400, "a parameter is missing"),
            "the upstream's word"
        );
        assert_untouched(&store);
    }
}

#[tokio::test]
async fn what_the_upstream_refuses_is_handed_back() {
    let store = Store::with(|knobs| knobs.credential = Some("Basic YTpi".to_owned()));
    let proxy = Proxy::before(&store);
    let target = agent_profile("a");
    let bare = wrap(&proxy, "PUT", &target, &[V1, ("If-None-Match", "*")], Some("1")).await;
    assert_eq!((bare.status, bare.text().as_str()), (401, "who are you?"));
    assert_untouched(&store);
    let fields = [V1, ("If-None-Match", "*"), ("Authorization", "Basic YTpi")];
    assert_eq!(wrap(&proxy, "PUT", &target, &fields, Some("1")).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_writers_half_of_them_wrapped_exactly_one_wins() {
    for config in ["", TIGHT] {
        let store = Store::with(|knobs| knobs.pause = Duration::from_millis(1));
        let proxy = Arc::new(Proxy::configured(&store, config));
        for n in 0..20 {
            let target = state_of(&n.to_string(), "s");
            store.hold(&target, "{}");
            let mut writers = JoinSet::new();
            for writer in 0..16 {
                let (proxy, target) = (Arc::clone(&proxy), target.clone());
                writers.spawn(async move {
                    let tag = sha1_tag("{}");
                    let (fields, body) =
                        ([V1, JSON, ("If-Match", tag.as_str())], format!("{{\"w\":{writer}}}"));
                    let answer = match writer % 2 {
                        0 => wrap(&proxy, "PUT", &target, &fields, Some(&body)).await,
                        _ => proxy.send("PUT", &target, &fields, &body).await,
                    };
                    (answer.status, body)
                });
            }
            let outcomes = writers.join_all().await;
            let winners: Vec<_> = outcomes.iter().filter(|(status, _)| *status == 204).collect();
            assert_eq!(winners.len(), 1, "{outcomes:?}");
            assert_eq!(store.document(&target).unwrap(), winners[0].1.as_bytes());
            assert!(outcomes.iter().all(|(status, _)| matches!(status, 204 | 412)), "{outcomes:?}");
        }
        assert_eq!(store.writes().len(), 20);
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_takes_its_write_with_it() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let mut first = proxy.arrive().await;
    first.request("PUT", &state("a"), &[V1], b"first").await;
    store.until_writes(1).await;
    let mut second = proxy.arrive().await;
    let (to, form) = sealed("PUT", &state("a"), &[V1], Some("second"));
    second.request("POST", &to, &[FORM], form.as_bytes()).await;
    barrier.pass().await;
    assert_eq!(store.writes().len(), 1, "they share a scope");
    drop(second);
    let line = proxy.logged("the client that left", |line| line["status"] == 499).await;
    assert_eq!(line["syntax"], "alternate");
    store.open_gate();
    assert_eq!(first.answer("PUT").await.status, 204);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "third").await.status, 204);
    assert_eq!(store.writes().len(), 2);
}

#[tokio::test]
async fn a_slow_form_holds_nothing() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let (to, form) = sealed("PUT", &state("a"), &[V1], Some("slow"));
    let mut slow = proxy.arrive().await;
    let whole = crate::support::client::request("POST", &to, &[FORM], form.as_bytes());
    let (most, rest) = whole.split_at(whole.len() - 1);
    slow.write(most).await;
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "quick").await.status, 204);
    slow.write(rest).await;
    assert_eq!(slow.answer("POST").await.status, 204);
    assert_eq!(store.document(&state("a")).unwrap(), b"slow");
}

#[tokio::test]
async fn a_document_is_bounded_and_not_its_encoding() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\ndocument-max = \"1MiB\"");
    let most = "{".repeat(1024 * 1024);
    let (to, form) = sealed("PUT", &state("a"), &[V1], Some(&most));
    assert!(form.len() > 3 * most.len());
    assert_eq!(proxy.send("POST", &to, &[FORM], form).await.status, 204);
    assert_eq!(store.document(&state("a")).unwrap().len(), most.len());
    store.forget();
    let (_, form) = sealed("PUT", &state("a"), &[V1], Some(&format!("{most}{{")));
    assert_refused(&proxy.send("POST", &to, &[FORM], form).await, 413);
    // A form that can hold no smaller document is not read to its end.
    let hasty = "[guard]\ndocument-max = \"1MiB\"\n[listen]\nlinger = \"100ms\"";
    let hasty = Proxy::configured(&store, hasty);
    let fields = [FORM, ("Content-Length", "3900000")];
    assert_refused(&hasty.send("POST", &to, &fields, "content=").await, 413);
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn observing_forwards_it_exactly_as_it_came() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let proxy = Proxy::observing(&store);
    let target = agent_profile("a");
    let put = |fields: &[(&str, &str)]| sealed("PUT", &target, fields, Some("{}")).1;
    for (form, verdict) in [
        (put(&[V1, STALE]), "if-match-failed"),
        (put(&[V1, ("If-None-Match", "*")]), "if-none-match-failed"),
        (put(&[V1]), "precondition-missing"),
        (put(&[V1, ("If-Match", "\"open")]), "malformed-precondition"),
        (put(&[V1, ("If-Match", "*")]), "forward"),
        (put(&[V2]), "ambiguous"),
        (put(&[V1, ("profileId", "b")]), "ambiguous"),
        ("profileId=a&content=%zz".to_owned(), "ambiguous"),
        ("profileId=a&content=a".to_owned(), "unidentified"),
    ] {
        store.hold(&target, "{}");
        store.forget();
        let to = "/xapi/agents/profile?method=PUT";
        let answer = proxy.send("POST", to, &[FORM, ("X-Custom", "one")], &form).await;
        let write = the_write(&store);
        assert_eq!((write.method.as_str(), write.target.as_str()), ("POST", to));
        assert_eq!(String::from_utf8(write.body.clone()).unwrap(), form);
        assert_eq!(answer.status == 204, form.contains("agent"), "{verdict}: the upstream's answer");
        let line = proxy.logged(verdict, |line| line["verdict"] == verdict).await;
        assert_eq!((line["mode"].as_str(), line["syntax"].as_str()), (Some("observe"), Some("alternate")));
        assert_eq!(
            (line["method"].as_str(), line["path"].as_str()),
            (Some("POST"), Some("/xapi/agents/profile"))
        );
    }
    store.forget();
    let (to, form) = sealed("GET", &target, &[V1, ("If-None-Match", "\"x\"")], None);
    let answer = proxy.send("POST", &to, &[FORM], &form).await;
    assert_eq!((answer.status, answer.etag()), (200, store.own_tag(&target).as_deref()));
    let seen = &store.seen()[0];
    assert_eq!((seen.target.as_str(), seen.body.as_slice()), (to.as_str(), form.as_bytes()));
}

#[tokio::test]
async fn observed_writes_wait_for_their_turn_wrapped_or_plain() {
    let store = Store::start();
    let proxy = Proxy::observing(&store);
    let mut barrier = Barrier::open(&proxy).await;
    store.close_gate(On::Writes);
    let mut first = proxy.arrive().await;
    first.request("PUT", &state("a"), &[V1], b"1").await;
    store.until_writes(1).await;
    let mut second = proxy.arrive().await;
    let (to, form) = sealed("PUT", &state("a"), &[V1], Some("2"));
    second.request("POST", &to, &[FORM], form.as_bytes()).await;
    barrier.pass().await;
    assert_eq!(store.writes().len(), 1);
    store.open_gate();
    assert_eq!(first.answer("PUT").await.status, 204);
    assert_eq!(second.answer("POST").await.status, 204);
}

#[tokio::test]
async fn the_access_log_tells_of_the_syntax() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    wrap(&proxy, "PUT", &state("a"), &[V1], Some("{}")).await;
    let line = proxy.logged("the write", |line| line["resource"] == "state").await;
    assert_eq!((line["method"].as_str(), line["syntax"].as_str()), (Some("POST"), Some("alternate")));
    assert!(!format!("{:?}{}", proxy.log(), proxy.said()).contains("learner"), "and of nobody");
    proxy.send("PUT", &state("a"), &[V1], "{}").await;
    let plain = proxy.logged("the plain one", |line| line["method"] == "PUT").await;
    assert_eq!(plain.get("syntax"), None);
}
