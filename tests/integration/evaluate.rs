//! Stage *evaluate*: may the method be applied? The table itself is tested in `tests/guard`; here is its way over the
//! wire, with the forms that real clients give to entity-tags.

use crate::support::proxy::Proxy;
use crate::support::store::{Store, Tags};
use crate::support::xapi::{JSON, V1, V2, activity_profile, agent_profile, state};
use crate::support::{assert_refused, assert_untouched, sha1_tag};

const OLD: &str = "{\"n\":1}";
const OTHER: &str = "\"ffffffffffffffffffffffffffffffffffffffff\"";

/// The forms in which a tag comes back from clients and from the hops on the way.
fn forms(tag: &str) -> Vec<String> {
    let hex = tag.trim_matches('"');
    vec![
        tag.to_owned(),
        hex.to_owned(),
        format!("\"{tag}\""),
        format!("\"{}\"", hex.to_uppercase()),
        format!("W/{tag}"),
        format!("\"{hex}-gzip\""),
        format!("\"{hex}-br\""),
        format!("\"{hex}--gzip\""),
        format!("\"{hex};gzip\""),
        format!("W/\"{hex}-zstd\""),
        format!("{OTHER}, {tag}"),
        format!("  {OTHER}  ,, {tag} , "),
        "*".to_owned(),
        "\"*\"".to_owned(),
    ]
}

#[tokio::test]
async fn a_current_if_match_lets_every_method_through_on_every_resource() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        for version in [V1, V2] {
            for method in ["PUT", "POST", "DELETE"] {
                store.hold(&target, OLD);
                let tag = sha1_tag(OLD);
                let answer = proxy.send(method, &target, &[version, JSON, ("If-Match", &tag)], OLD).await;
                assert_eq!(answer.status, 204, "{method} {target}");
            }
        }
    }
}

#[tokio::test]
async fn a_stale_if_match_refuses_every_method_on_every_resource() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        store.hold(&target, OLD);
        for version in [V1, V2] {
            for method in ["PUT", "POST", "DELETE", "PATCH"] {
                let answer = proxy.send(method, &target, &[version, JSON, ("If-Match", OTHER)], "{}").await;
                assert_refused(&answer, 412);
                assert_eq!(answer.etag(), Some(sha1_tag(OLD).as_str()));
                assert_eq!(answer.field(version.0), Some(version.1));
            }
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn any_if_match_fails_where_there_is_nothing() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for value in ["*", OTHER] {
        for method in ["PUT", "POST", "DELETE"] {
            let answer = proxy.send(method, &state("a"), &[V1, JSON, ("If-Match", value)], "{}").await;
            assert_refused(&answer, 412);
            assert_eq!(answer.etag(), None);
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn if_none_match_star_creates_and_never_overwrites() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state("a"), agent_profile("a"), activity_profile("a")] {
        for method in ["PUT", "POST"] {
            store.forget();
            let fields = [V1, JSON, ("If-None-Match", "*")];
            assert_eq!(proxy.send(method, &target, &fields, OLD).await.status, 204);
            assert_eq!(store.writes().len(), 1);
            store.forget();
            for again in ["PUT", "POST", "DELETE"] {
                let answer = proxy.send(again, &target, &fields, "{}").await;
                assert_refused(&answer, 412);
                assert_eq!(answer.etag(), Some(sha1_tag(OLD).as_str()));
            }
            assert_untouched(&store);
            proxy.send("DELETE", &target, &[V1], "").await;
        }
    }
}

#[tokio::test]
async fn if_none_match_with_a_tag_refuses_only_that_representation() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, OLD);
    let proxy = Proxy::before(&store);
    let tag = sha1_tag(OLD);
    assert_refused(&proxy.send("PUT", &target, &[V1, ("If-None-Match", &tag)], "{}").await, 412);
    assert_untouched(&store);
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-None-Match", OTHER)], OLD).await.status, 204);
}

#[tokio::test]
async fn both_conditions_must_hold() {
    let store = Store::start();
    let target = state("a");
    store.hold(&target, OLD);
    let proxy = Proxy::before(&store);
    let tag = sha1_tag(OLD);
    for (if_match, if_none_match) in [(tag.as_str(), "*"), (OTHER, OTHER), (tag.as_str(), tag.as_str())] {
        let fields = [V1, ("If-Match", if_match), ("If-None-Match", if_none_match)];
        assert_refused(&proxy.send("PUT", &target, &fields, "{}").await, 412);
    }
    assert_untouched(&store);
    let fields = [V1, ("If-Match", tag.as_str()), ("If-None-Match", OTHER)];
    assert_eq!(proxy.send("PUT", &target, &fields, "{}").await.status, 204);
}

#[tokio::test]
async fn tags_are_accepted_in_the_forms_that_clients_and_hops_make_of_them() {
    let store = Store::start();
    let target = agent_profile("a");
    let proxy = Proxy::before(&store);
    for form in forms(&sha1_tag(OLD)) {
        store.hold(&target, OLD);
        let answer = proxy.send("PUT", &target, &[V1, ("If-Match", &form)], "{}").await;
        assert_eq!(answer.status, 204, "If-Match: {form}");
        store.hold(&target, OLD);
        store.forget();
        let answer = proxy.send("PUT", &target, &[V1, ("If-None-Match", &form)], "{}").await;
        assert_eq!(answer.status, 412, "If-None-Match: {form}");
        assert_untouched(&store);
        let answer = proxy.send("GET", &target, &[V1, ("If-None-Match", &form)], "").await;
        assert_eq!(answer.status, 304, "If-None-Match: {form}");
    }
}

#[tokio::test]
async fn lists_may_come_in_several_fields() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, OLD);
    let proxy = Proxy::before(&store);
    let tag = sha1_tag(OLD);
    let fields = [V1, ("If-Match", OTHER), ("If-Match", tag.as_str())];
    assert_eq!(proxy.send("PUT", &target, &fields, "{}").await.status, 204);
}

#[tokio::test]
async fn strict_matching_repairs_nothing() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, OLD);
    let proxy = Proxy::configured(&store, "[guard]\netag-matching = \"strict\"");
    let tag = sha1_tag(OLD);
    let hex = tag.trim_matches('"');
    for form in [format!("W/{tag}"), format!("\"{hex}-gzip\""), hex.to_owned(), hex.to_uppercase()] {
        assert_refused(&proxy.send("PUT", &target, &[V1, ("If-Match", &form)], "{}").await, 412);
    }
    assert_untouched(&store);
    let list = format!("{OTHER}, {tag}");
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &list)], OLD).await.status, 204);
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", "*")], OLD).await.status, 204);
}

#[tokio::test]
async fn the_upstreams_own_current_tag_is_good_too() {
    let store = Store::with(|knobs| knobs.tags = Tags::Random);
    let target = agent_profile("a");
    store.hold(&target, OLD);
    let proxy = Proxy::before(&store);
    let own = store.own_tag(&target).unwrap();
    assert_eq!(proxy.send("PUT", &target, &[V1, ("If-Match", &own)], OLD).await.status, 204);
    assert_refused(&proxy.send("PUT", &target, &[V1, ("If-Match", &own)], "{}").await, 412);
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn a_precondition_that_cannot_be_parsed_is_never_none() {
    let store = Store::start();
    let target = state("a");
    store.hold(&target, OLD);
    let proxy = Proxy::before(&store);
    for name in ["If-Match", "If-None-Match"] {
        for value in ["", " ", ",", "\"", "\"open", "\"a\" \"b\"", "*, \"a\"", "W/", "\u{7f}"] {
            for method in ["PUT", "POST", "DELETE"] {
                let answer = proxy.send(method, &target, &[V1, JSON, (name, value)], "{}").await;
                if value == "\u{7f}" {
                    assert!(matches!(answer.status, 400 | 412), "{answer:#?}");
                } else {
                    assert_refused(&answer, 412);
                }
            }
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_verdict_is_logged_in_one_word() {
    let store = Store::start();
    let target = agent_profile("a");
    store.hold(&target, OLD);
    let proxy = Proxy::before(&store);
    proxy.send("PUT", &target, &[V1, ("If-Match", OTHER)], "{}").await;
    proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "{}").await;
    proxy.send("PUT", &target, &[V1, ("If-Match", "")], "{}").await;
    proxy.send("PUT", &target, &[V1], "{}").await;
    proxy.send("PUT", &target, &[V1, ("If-Match", "*")], "{}").await;
    for (verdict, status) in [
        ("if-match-failed", 412),
        ("if-none-match-failed", 412),
        ("malformed-precondition", 412),
        ("precondition-missing", 409),
        ("forward", 204),
    ] {
        let line = proxy.logged(verdict, |line| line["verdict"] == verdict).await;
        assert_eq!((line["status"].as_u64(), line["method"].as_str()), (Some(status), Some("PUT")));
        assert_eq!(
            (line["resource"].as_str(), line["mode"].as_str()),
            (Some("agent-profile"), Some("enforce"))
        );
    }
}
