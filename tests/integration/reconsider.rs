//! Stage *evaluate*, beside what was written before: PUTs that come twice, and clients that take the SHA-1 of what they
//! sent for the entity-tag.

use std::net::{IpAddr, Ipv4Addr};

use crate::support::client::{Answer, Client};
use crate::support::proxy::Proxy;
use crate::support::store::{Store, Tags};
use crate::support::xapi::{JSON, V1, V2, agent_profile, state};
use crate::support::{assert_refused, sha1_tag};

const OLD: &str = "{\"n\":1}";
/// It comes back in another spelling, with another SHA-1, before an upstream that prints JSON anew.
const NEW: &str = "{ \"n\" : 2 }";
const BASIC: (&str, &str) = ("Authorization", "Basic dTpw");

fn sha1(text: &str) -> String {
    sha1_tag(text).trim_matches('"').to_owned()
}

/// An LRS that prints JSON anew and gives tags of its own at random.
fn lossy() -> Store {
    Store::with(|knobs| {
        knobs.reserialises = true;
        knobs.tags = Tags::Random;
    })
}

async fn put(proxy: &Proxy, target: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let fields: Vec<_> = [V1, JSON, BASIC].into_iter().chain(fields.iter().copied()).collect();
    proxy.send("PUT", target, &fields, body).await
}

/// Writes NEW over OLD with its tag, and gives that tag.
async fn written(proxy: &Proxy, store: &Store, target: &str) -> String {
    store.hold(target, OLD);
    let tag = proxy.get(target).await.etag().expect("a tag").to_owned();
    assert_eq!(put(proxy, target, &[("If-Match", &tag)], NEW).await.status, 204);
    store.forget();
    tag
}

#[tokio::test]
async fn a_put_that_comes_twice_succeeds_twice_and_is_written_once() {
    for store in [Store::start(), lossy()] {
        let proxy = Proxy::before(&store);
        let tag = written(&proxy, &store, &state("a")).await;
        let now = proxy.get(&state("a")).await.etag().unwrap().to_owned();
        for _ in 0..2 {
            let again = put(&proxy, &state("a"), &[("If-Match", &tag)], NEW).await;
            assert_eq!((again.status, again.etag()), (204, Some(now.as_str())), "{again:?}");
            assert_eq!(again.field("proxy-status"), Some("staleguard; details=\"already applied\""));
            assert_eq!(again.field("x-experience-api-version"), Some("1.0.3"));
            assert!(again.body.is_empty());
        }
        assert!(store.writes().is_empty(), "{:#?}", store.writes());
        proxy.logged("a replay", |line| line["verdict"] == "replay" && line["status"] == 204).await;
    }
}

#[tokio::test]
async fn nothing_but_the_same_put_is_a_replay() {
    // What is not read back is compared with what was sent itself.
    for config in ["", "guard.read-back = \"never\""] {
        let store = Store::start();
        nothing_but_the_same_put_is_one(&store, &Proxy::configured(&store, config)).await;
    }
}

async fn nothing_but_the_same_put_is_one(store: &Store, proxy: &Proxy) {
    let tag = written(proxy, store, &state("a")).await;
    let other = format!("\"{}\"", "f".repeat(40));
    let plain = ("Content-Type", "text/plain");
    let somebody = ("Authorization", "Basic eDpw");
    for (what, method, fields, body) in [
        ("bytes", "PUT", vec![V1, JSON, BASIC, ("If-Match", tag.as_str())], "{ \"n\" : 3 }"),
        ("spelling", "PUT", vec![V1, JSON, BASIC, ("If-Match", tag.as_str())], "{\"n\":2}"),
        ("If-Match", "PUT", vec![V1, JSON, BASIC, ("If-Match", other.as_str())], NEW),
        ("media type", "PUT", vec![V1, plain, BASIC, ("If-Match", tag.as_str())], NEW),
        ("credential", "PUT", vec![V1, JSON, somebody, ("If-Match", tag.as_str())], NEW),
        ("no credential", "PUT", vec![V1, JSON, ("If-Match", tag.as_str())], NEW),
        ("method", "POST", vec![V1, JSON, BASIC, ("If-Match", tag.as_str())], NEW),
    ] {
        let answer = proxy.send(method, &state("a"), &fields, body).await;
        assert_eq!(answer.status, 412, "another {what}");
    }
    let behind = ("X-Forwarded-For", "203.0.113.7");
    let fields = [V1, JSON, BASIC, behind, ("If-Match", tag.as_str())];
    assert_refused(&proxy.send("PUT", &state("a"), &fields, NEW).await, 412);
    let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let mut client = Client::connect_from(elsewhere, proxy.address).await;
    let fields = [V1, JSON, BASIC, ("If-Match", tag.as_str())];
    assert_refused(&client.send("PUT", &state("a"), &fields, NEW).await, 412);
    assert!(store.writes().is_empty());
    // All of it was only refused: the first writer may still come again.
    assert_eq!(put(proxy, &state("a"), &[("If-Match", &tag)], NEW).await.status, 204);
}

#[tokio::test]
async fn what_is_not_current_any_more_is_no_replay() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let tag = written(&proxy, &store, &state("a")).await;
    store.hold(&state("a"), "{\"n\":\"somebody else's\"}");
    assert_refused(&put(&proxy, &state("a"), &[("If-Match", &tag)], NEW).await, 412);

    let tag = written(&proxy, &store, &state("b")).await;
    assert_eq!(proxy.send("POST", &state("b"), &[V1, JSON], "{\"m\":1}").await.status, 204);
    store.forget();
    assert_refused(&put(&proxy, &state("b"), &[("If-Match", &tag)], NEW).await, 412);

    let tag = written(&proxy, &store, &state("c")).await;
    assert_eq!(proxy.send("DELETE", &state("c"), &[V1], "").await.status, 204);
    store.forget();
    assert_refused(&put(&proxy, &state("c"), &[("If-Match", &tag)], NEW).await, 412);
    assert!(store.writes().is_empty());
}

#[tokio::test]
async fn a_write_in_between_ends_it_even_if_the_document_is_the_same_again() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let tag = written(&proxy, &store, &state("a")).await;
    let somebody = ("Authorization", "Basic eDpw");
    for body in ["{}", NEW] {
        assert_eq!(proxy.send("PUT", &state("a"), &[V1, JSON, somebody], body).await.status, 204);
    }
    assert_refused(&put(&proxy, &state("a"), &[("If-Match", &tag)], NEW).await, 412);
}

#[tokio::test]
async fn what_was_written_before_is_forgotten_once_anything_else_is_written() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let tag = written(&proxy, &store, &state("a")).await;
    assert_eq!(proxy.send("DELETE", &state("a"), &[V1], "").await.status, 204);
    // Somebody else makes it anew, past the proxy and just the same.
    store.hold(&state("a"), NEW);
    assert_refused(&put(&proxy, &state("a"), &[("If-Match", &tag)], NEW).await, 412);
}

#[tokio::test]
async fn a_star_is_no_replay_but_a_write() {
    let store = Store::start();
    store.hold(&state("a"), OLD);
    let proxy = Proxy::before(&store);
    for _ in 0..2 {
        assert_eq!(put(&proxy, &state("a"), &[("If-Match", "*")], NEW).await.status, 204);
    }
    assert_eq!(store.writes().len(), 2);
}

#[tokio::test]
async fn replays_can_be_turned_off_and_are_off_where_preconditions_are_required() {
    for config in [
        "guard.replay-window = \"0s\"",
        "[resource.state]\nreplay-window = \"0s\"",
        "guard.presets = [\"xapi-strict\"]",
        "[resource.state]\nunconditional.PUT = \"require\"",
    ] {
        let store = Store::start();
        let proxy = Proxy::configured(&store, config);
        let tag = written(&proxy, &store, &state("a")).await;
        assert_refused(&put(&proxy, &state("a"), &[("If-Match", &tag)], NEW).await, 412);
        assert!(store.writes().is_empty(), "{config}");
    }
}

#[tokio::test]
async fn the_sha1_of_what_was_sent_names_what_became_of_it() {
    for version in [V1, V2] {
        let store = lossy();
        let proxy = Proxy::before(&store);
        written(&proxy, &store, &agent_profile("a")).await;
        let fields = [version, JSON, ("If-Match", &sha1(NEW) as &str)];
        let answer = proxy.send("PUT", &agent_profile("a"), &fields, "{\"n\":3}").await;
        assert_eq!(answer.status, 204, "{answer:?}");
        let writes = store.writes();
        assert_eq!(writes.len(), 1);
        assert!(writes[0].field("if-match").is_some_and(|tag| tag.starts_with("\"r")), "in its own words");
        assert_eq!(store.document(&agent_profile("a")).unwrap(), b"{\"n\":3}");
        let repairs = serde_json::json!(["unquoted", "alias"]);
        proxy.logged("the repairs", |line| line["repairs"] == repairs).await;
    }
}

#[tokio::test]
async fn the_sha1_of_what_was_sent_counts_for_a_writer_that_had_stated_nothing_too() {
    let store = lossy();
    let proxy = Proxy::before(&store);
    assert_eq!(put(&proxy, &state("a"), &[], NEW).await.status, 204);
    let reads = store.seen().len();
    assert_eq!(reads, 1, "it is not read back, since nobody may ever ask");
    for method in ["PUT", "POST", "DELETE"] {
        store.hold(&state(method), "{}");
        assert_eq!(put(&proxy, &state(method), &[], NEW).await.status, 204);
        let fields = [V1, JSON, ("If-Match", &sha1(NEW) as &str)];
        assert_eq!(proxy.send(method, &state(method), &fields, "{}").await.status, 204, "{method}");
    }
}

#[tokio::test]
async fn the_sha1_of_what_was_sent_names_nothing_else() {
    let store = lossy();
    let proxy = Proxy::before(&store);
    let alias = sha1(NEW);
    let refused = async |target: &str, what: &str| {
        store.forget();
        let answer = put(&proxy, target, &[("If-Match", &alias)], "{\"n\":3}").await;
        assert_eq!(answer.status, 412, "{what}");
        assert!(store.writes().is_empty(), "{what}");
    };
    written(&proxy, &store, &state("a")).await;
    store.hold(&state("b"), "{\"n\":2}");
    refused(&state("b"), "another document").await;

    store.hold(&state("a"), "{\"n\":\"somebody else's\"}");
    refused(&state("a"), "what somebody else wrote").await;

    written(&proxy, &store, &state("c")).await;
    assert_eq!(proxy.send("POST", &state("c"), &[V1, JSON], "{\"m\":1}").await.status, 204);
    refused(&state("c"), "a merge").await;

    assert_eq!(put(&proxy, &state("d"), &[], NEW).await.status, 204);
    store.hold(&state("d"), "{\"n\":\"somebody else's\"}");
    refused(&state("d"), "what somebody else wrote before it was read back").await;
}

#[tokio::test]
async fn the_sha1_of_what_was_sent_counts_neither_strictly_nor_without_reading_back_nor_beside_other_digests()
{
    for config in [
        "[resource.state]\netag-matching = \"strict\"",
        "guard.read-back = \"never\"",
        "[resource.state]\netag = \"xxh3\"",
    ] {
        let store = lossy();
        let proxy = Proxy::configured(&store, config);
        written(&proxy, &store, &state("a")).await;
        let answer = put(&proxy, &state("a"), &[("If-Match", &sha1_tag(NEW))], "{}").await;
        assert_eq!(answer.status, 412, "{config}");
    }
}

#[tokio::test]
async fn of_what_does_not_fit_into_memory_nothing_counts() {
    let store = lossy();
    let proxy = Proxy::configured(&store, "guard.remembered-max = \"0B\"");
    let tag = written(&proxy, &store, &state("a")).await;
    assert_refused(&put(&proxy, &state("a"), &[("If-Match", &tag)], NEW).await, 412);
    assert_refused(&put(&proxy, &state("a"), &[("If-Match", &sha1(NEW))], "{}").await, 412);
}

#[tokio::test]
async fn an_upstream_that_wants_preconditions_is_given_them_where_that_is_configured() {
    let store = Store::with(|knobs| knobs.tags = Tags::LengthHash);
    let as_it_came = Proxy::before(&store);
    let satisfying = Proxy::configured(&store, "upstream.conditions = \"satisfy\"");
    let told = async |proxy: &Proxy, method: &str, target: &str, version| {
        store.forget();
        let answer = proxy.send(method, target, &[version, JSON], "{\"n\":2}").await;
        assert_eq!(answer.status, 204, "{method} {target}");
        let write = store.writes().pop().expect("a write");
        let field = |name| write.field(name).map(str::to_owned);
        (field("if-match"), field("if-none-match"))
    };
    store.hold(&state("a"), OLD);
    let own = store.own_tag(&state("a"));
    assert_eq!(told(&as_it_came, "PUT", &state("a"), V1).await, (None, None));
    store.hold(&state("a"), OLD);
    assert_eq!(told(&satisfying, "PUT", &state("a"), V1).await, (own, None));
    assert_eq!(told(&satisfying, "PUT", &state("new"), V1).await, (None, Some("*".into())));
    assert_eq!(told(&satisfying, "PUT", &state("newer"), V2).await, (None, Some("*".into())));
    assert_eq!(
        told(&satisfying, "POST", &state("a"), V1).await,
        (None, None),
        "a merge is not refused for want of it"
    );
    assert_eq!(told(&satisfying, "DELETE", &state("a"), V1).await, (None, None));
    let conflict = satisfying.send("PUT", &agent_profile("a"), &[V1, JSON], "{}").await.status;
    assert_eq!(conflict, 204, "it is new");
    assert_refused(&satisfying.send("PUT", &agent_profile("a"), &[V1, JSON], "{}").await, 409);
}

#[tokio::test]
async fn a_write_goes_on_as_it_came_where_what_the_upstream_wants_cannot_be_learned() {
    let store = Store::with(|knobs| knobs.reader = Some("Basic cmVhZGVy".to_owned()));
    let proxy = Proxy::configured(&store, "upstream.conditions = \"satisfy\"");
    for fields in [vec![V1, JSON], vec![V1, JSON, ("Authorization", "OAuth oauth_signature=\"s\"")]] {
        store.forget();
        assert_eq!(proxy.send("PUT", &state("a"), &fields, "{}").await.status, 204);
        let write = store.writes().pop().expect("a write");
        assert_eq!((write.field("if-match"), write.field("if-none-match")), (None, None));
    }
}
