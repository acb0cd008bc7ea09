//! CORS: what a page of another origin may read and send, where the upstream lets it.

use crate::support::client::Answer;
use crate::support::proxy::Proxy;
use crate::support::store::{On, Store};
use crate::support::xapi::{V1, V2, agent_profile, state};
use crate::support::{assert_refused, assert_untouched, sha1_tag, upstreams};

const ORIGIN: (&str, &str) = ("Origin", "https://page.example");
const ALLOWED: (&str, &str) = ("Access-Control-Allow-Origin", "https://page.example");
const OTHER: &str = "\"ffffffffffffffffffffffffffffffffffffffff\"";
const EXPOSED: &str = "ETag, Last-Modified, X-Experience-API-Version, X-Experience-API-Consistent-Through";

/// A store that lets one page in, with a document.
fn answering_cors() -> Store {
    let store =
        Store::with(|knobs| knobs.fields = vec![ALLOWED, ("Vary", "Origin"), ("Vary", "Authorization")]);
    store.hold(&state("a"), "{}");
    store.hold(&agent_profile("a"), "{}");
    store
}

fn exposed(answer: &Answer) -> Vec<&str> {
    answer.head.all("access-control-expose-headers")
}

/// Asserts that a page can read an answer, and its entity-tag.
fn assert_readable(answer: &Answer) {
    assert_eq!(answer.head.all("access-control-allow-origin"), [ALLOWED.1], "{answer:#?}");
    assert_eq!(answer.head.all("vary"), ["Origin", "Authorization"], "{answer:#?}");
    assert_eq!(exposed(answer), [EXPOSED], "{answer:#?}");
}

/// Asserts that nothing at all is said of CORS.
fn assert_silent(answer: &Answer) {
    let said = |(name, _): &&(String, String)| name.to_lowercase().starts_with("access-control-");
    assert_eq!(answer.head.fields.iter().find(said), None, "{answer:#?}");
}

#[tokio::test]
async fn a_page_can_read_the_tags_of_what_it_reads_and_writes() {
    let store = answering_cors();
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("{}");
    for (method, target, condition, status) in [
        ("GET", state("a"), ("If-None-Match", OTHER), 200),
        ("HEAD", state("a"), ("If-None-Match", OTHER), 200),
        ("GET", state("a"), ("If-None-Match", &tag), 304),
        ("GET", state("a"), ("If-Match", OTHER), 412),
        ("GET", state("absent"), ("If-None-Match", OTHER), 404),
        ("PUT", state("a"), ("If-Match", &tag), 204),
    ] {
        let body = if method == "PUT" { "{}" } else { "" };
        let answer = proxy.send(method, &target, &[V1, ORIGIN, condition], body).await;
        assert_eq!(answer.status, status);
        assert_readable(&answer);
        assert_eq!(answer.etag(), (status != 404).then_some(tag.as_str()));
    }
}

#[tokio::test]
async fn a_page_can_read_why_its_write_was_refused_once_the_upstream_was_asked() {
    let store = answering_cors();
    let proxy = Proxy::before(&store);
    for (fields, status) in [
        (vec![V1, ORIGIN, ("If-Match", OTHER)], 412),
        (vec![V1, ORIGIN, ("If-None-Match", "*")], 412),
        (vec![V1, ORIGIN], 409),
        (vec![V2, ORIGIN], 409),
    ] {
        let answer = proxy.send("PUT", &agent_profile("a"), &fields, "1").await;
        assert_refused(&answer, status);
        assert_readable(&answer);
        assert_eq!(answer.etag(), Some(sha1_tag("{}").as_str()));
    }
    let missing = proxy.send("PUT", &agent_profile("b"), &[V1, ORIGIN, ("If-Match", OTHER)], "1").await;
    assert_refused(&missing, 412);
    assert_readable(&missing);
    // A GET of this target is the list of ids: the upstream sees nothing wrong with it.
    let unnamed = state("a").replace("&stateId=a", "");
    let answer = proxy.send("PUT", &unnamed, &[V1, ORIGIN], "1").await;
    assert_refused(&answer, 400);
    assert_readable(&answer);
    assert!(store.seen().iter().all(|seen| seen.field("origin") == Some(ORIGIN.1)), "for this very page");
    assert_untouched(&store);
}

#[tokio::test]
async fn a_page_can_read_that_the_outcome_of_its_write_is_not_known() {
    let store = upstreams::closes_unanswered(On::Writes);
    store.set(|knobs| knobs.fields = vec![ALLOWED, ("Vary", "Origin, Authorization")]);
    let proxy = Proxy::before(&store);
    let answer = proxy.send("PUT", &state("a"), &[V1, ORIGIN, ("If-None-Match", "*")], "1").await;
    assert_eq!(answer.status, 502);
    assert_eq!((answer.field(ALLOWED.0), exposed(&answer)), (Some(ALLOWED.1), vec![EXPOSED]));
}

#[tokio::test]
async fn nothing_is_allowed_that_the_upstream_was_not_asked_about() {
    let store = answering_cors();
    let proxy = Proxy::configured(&store, "[resource.agent-profile]\nunconditional.PUT = \"require\"");
    for (target, fields, status) in [
        (agent_profile("a"), vec![V1, ORIGIN], 428),
        (agent_profile("a"), vec![V1, ORIGIN, ("If-Match", "\"open")], 412),
        (format!("{}&stateId=b", state("a")), vec![V1, ORIGIN], 400),
    ] {
        let answer = proxy.send("PUT", &target, &fields, "1").await;
        assert_refused(&answer, status);
        assert_silent(&answer);
    }
    assert_eq!(store.seen().len(), 0);
}

#[tokio::test]
async fn nothing_is_allowed_that_the_upstream_does_not_allow() {
    let store = Store::with(|knobs| knobs.fields = vec![("Access-Control-Allow-Credentials", "true")]);
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let preflight = [ORIGIN, ("Access-Control-Request-Method", "PUT")];
    for answer in [
        proxy.send("GET", &state("a"), &[V1, ORIGIN], "").await,
        proxy.send("GET", &state("a"), &[V1, ORIGIN, ("If-None-Match", "*")], "").await,
        proxy.send("OPTIONS", &state("a"), &preflight, "").await,
        proxy.send("PUT", &state("a"), &[V1, ORIGIN], "{}").await,
    ] {
        for name in ["origin", "headers"] {
            assert_eq!(answer.field(&format!("access-control-allow-{name}")), None, "{answer:#?}");
        }
        assert_eq!(exposed(&answer), [""; 0], "{answer:#?}");
        assert_eq!(answer.field("access-control-allow-credentials"), Some("true"), "as it came");
    }
    let refused = proxy.send("PUT", &state("a"), &[V1, ORIGIN, ("If-Match", OTHER)], "1").await;
    assert_refused(&refused, 412);
    assert_silent(&refused);
}

#[tokio::test]
async fn a_preflight_is_relayed_and_allows_preconditions() {
    let store = answering_cors();
    let proxy = Proxy::before(&store);
    let preflight = [
        ORIGIN,
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "authorization, if-match"),
    ];
    for (headers, expected) in [
        (vec![], "If-Match, If-None-Match"),
        (vec!["Authorization, if-match"], "Authorization, if-match, If-None-Match"),
        (vec!["*"], "*"),
    ] {
        store.forget();
        let methods = ("Access-Control-Allow-Methods", "GET");
        let headers = headers.into_iter().map(|value| ("Access-Control-Allow-Headers", value));
        store.set(|knobs| knobs.fields = [ALLOWED, methods].into_iter().chain(headers).collect());
        let answer = proxy.send("OPTIONS", &state("a"), &preflight, "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.head.all("access-control-allow-headers"), [expected]);
        assert_eq!(answer.head.all("access-control-allow-methods"), ["GET"], "that is the upstream's to say");
        assert_eq!(answer.head.all("access-control-allow-origin"), [ALLOWED.1]);
        assert_eq!(exposed(&answer), [""; 0]);
        let seen = store.seen();
        assert_eq!((seen.len(), seen[0].method.as_str()), (1, "OPTIONS"));
        for (name, value) in preflight {
            assert_eq!(seen[0].field(name), Some(value));
        }
    }
}

#[tokio::test]
async fn with_credentials_a_star_names_nothing() {
    let store = answering_cors();
    let proxy = Proxy::before(&store);
    for (credentials, expected) in [
        (None, "*".to_owned()),
        (Some(("Access-Control-Allow-Credentials", "true")), format!("*, {EXPOSED}")),
    ] {
        let star = ("Access-Control-Expose-Headers", "*");
        store.set(|knobs| knobs.fields = [ALLOWED, star].into_iter().chain(credentials).collect());
        for (method, condition) in [("GET", "If-None-Match"), ("PUT", "If-Match")] {
            let answer = proxy.send(method, &state("a"), &[V1, ORIGIN, (condition, OTHER)], "1").await;
            assert_eq!(exposed(&answer), [expected.as_str()], "{method}");
            let allowed = answer.field("access-control-allow-credentials");
            assert_eq!(allowed, credentials.map(|(_, value)| value), "{method}");
        }
    }
}

#[tokio::test]
async fn what_is_not_asked_for_by_a_page_or_not_guarded_or_observed_stays_as_it_came() {
    let store = answering_cors();
    store.hold("/other", "{}");
    let proxy = Proxy::before(&store);
    let observing = Proxy::observing(&store);
    let relaying = Proxy::configured(&store, "[guard]\ncors = \"relay\"");
    let asks = ("Access-Control-Request-Method", "PUT");
    for (answer, why) in [
        (proxy.send("GET", &state("a"), &[V1], "").await, "no page asks"),
        (proxy.send("OPTIONS", &state("a"), &[asks], "").await, "no page asks"),
        (proxy.send("GET", "/other", &[ORIGIN], "").await, "it is not guarded"),
        (proxy.send("OPTIONS", "/other", &[ORIGIN, asks], "").await, "it is not guarded"),
        (observing.send("GET", &state("a"), &[V1, ORIGIN], "").await, "nothing is altered"),
        (observing.send("OPTIONS", &state("a"), &[ORIGIN, asks], "").await, "nothing is altered"),
        (relaying.send("GET", &state("a"), &[V1, ORIGIN], "").await, "it is turned off"),
        (relaying.send("OPTIONS", &state("a"), &[ORIGIN, asks], "").await, "it is turned off"),
    ] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.head.all("access-control-allow-origin"), [ALLOWED.1], "{why}");
        assert_eq!(
            (exposed(&answer).len(), answer.field("access-control-allow-headers")),
            (0, None),
            "{why}"
        );
    }
    for (proxy, fields, why) in [
        (&proxy, vec![V1, ("If-Match", OTHER)], "no page asks"),
        (&relaying, vec![V1, ORIGIN, ("If-Match", OTHER)], "it is turned off"),
    ] {
        let refused = proxy.send("PUT", &state("a"), &fields, "1").await;
        assert_refused(&refused, 412);
        assert_silent(&refused);
        assert_eq!(refused.field("vary"), None, "{why}");
    }
}

#[tokio::test]
async fn a_resource_may_have_its_own_and_without_xapi_its_fields_are_not_named() {
    let store = answering_cors();
    store.hold("/notes/1", "{}");
    let proxy = Proxy::configured(
        &store,
        "[guard]\ncors = \"relay\"\n[resource.notes]\npath = \"/notes/{id}\"\nidentity = [\"path\"]\ncors = \"repair\"",
    );
    let notes = proxy.send("GET", "/notes/1", &[ORIGIN], "").await;
    assert_eq!(exposed(&notes), ["ETag, Last-Modified"]);
    assert_eq!(exposed(&proxy.send("GET", &state("a"), &[V1, ORIGIN], "").await), [""; 0]);
}
