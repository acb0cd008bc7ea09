//! Stage *select*: which resource is it, under which policy?

use crate::support::proxy::Proxy;
use crate::support::store::Store;
use crate::support::xapi::{ACTIVITY, AGENT, JSON, V1, V2, activity_profile, agent_profile, state};
use crate::support::{assert_refused, assert_untouched, sha1_tag, xxh3_tag};

/// A tag that no document has.
const STALE: (&str, &str) = ("If-Match", "\"0000000000000000000000000000000000000000\"");

#[tokio::test]
async fn the_three_document_resources_are_guarded_under_any_base_path() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for base in ["", "/xapi", "/data/xAPI", "/trax/api/7f000001/xapi/std"] {
        for resource in [
            format!("/activities/state?activityId={ACTIVITY}&agent={AGENT}&stateId=s"),
            format!("/activities/profile?activityId={ACTIVITY}&profileId=p"),
            format!("/agents/profile?agent={AGENT}&profileId=p"),
        ] {
            let target = format!("{base}{resource}");
            store.hold(&target, "{}");
            assert_eq!(proxy.get(&target).await.etag(), Some(sha1_tag("{}").as_str()), "{target}");
            for method in ["PUT", "POST", "DELETE"] {
                assert_refused(&proxy.send(method, &target, &[V1, JSON, STALE], "{}").await, 412);
            }
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn everything_else_is_relayed_with_its_preconditions() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in ["/xapi/statements", "/xapi/about", "/xapi/activities", "/xapi/agents", "/", "/xapi/state"]
    {
        store.forget();
        assert_eq!(proxy.send("PUT", target, &[STALE], "{}").await.status, 204);
        let seen = store.seen();
        assert_eq!((seen.len(), seen[0].field("if-match")), (1, Some(STALE.1)), "{target}");
        assert_eq!(proxy.get(target).await.etag(), None);
    }
}

#[tokio::test]
async fn a_spelling_that_a_server_may_fold_is_never_relayed() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let query = format!("agent={AGENT}&activityId={ACTIVITY}&stateId=s&profileId=p");
    for path in [
        "/xapi/activities//state",
        "/xapi//activities/state",
        "/xapi/activities/./state",
        "/xapi/activities/x/../state",
        "/xapi/activities/state/",
        "/xapi/activities/state//",
        "/xapi/activities/state/.",
        "/xapi/activities%2Fstate",
        "/xapi/activities%2fstate",
        "/xapi/%61ctivities/state",
        "/xapi/activities/st%61te",
        "/xapi/agents/profil%65",
        "/xapi/activities/state;x=y",
        "/xapi/activities;x=y/state",
        "/xapi/activities/state%3Bx",
        "/xapi/Activities/State",
        "/xapi/AGENTS/profile",
        "/xapi/activities\\state",
        "/xapi/activities/state%20",
        "/xapi/activities/%2e/state",
        "/xapi/activities/%2E%2E/activities/state",
        "/xapi/activities/st%2561te",
        "/xapi/activities%252Fstate",
        "/xapi/activities/state%2F",
        "/xapi/activities/state%00",
        "/xapi/activities/state/x/..",
        "/xapi/activities/state/.json/..",
        "/xapi/activities/state.json",
        "/xapi/activities/state;",
        "/xapi/;a/activities/;b/state",
        "/xapi/activities/%73%74%61%74%65",
        "/xapi/activities/state%09",
        "/xapi/activities%5Cstate",
    ] {
        let answer = proxy.send("PUT", &format!("{path}?{query}"), &[V1, JSON, STALE], "{}").await;
        assert!(matches!(answer.status, 400 | 412), "{path}: {answer:#?}");
        assert_untouched(&store);
    }
}

#[tokio::test]
async fn the_absolute_form_selects_like_any_other() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let target = format!("http://lrs.example{}", state("a"));
    assert_eq!(proxy.get(&target).await.etag(), Some(sha1_tag("{}").as_str()));
    assert_refused(&proxy.send("PUT", &target, &[V1, STALE], "{}").await, 412);
    assert_untouched(&store);
}

#[tokio::test]
async fn the_version_decides_what_an_unconditional_put_on_state_gets() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = state("a");
    store.hold(&target, "{}");
    for version in [None, Some("1.0"), Some("1.0.0"), Some("1.0.3"), Some("0.95")] {
        let fields: Vec<_> = version.map(|version| (V1.0, version)).into_iter().collect();
        assert_eq!(proxy.send("PUT", &target, &fields, "{}").await.status, 204, "{version:?}");
    }
    store.forget();
    for version in ["2.0.0", "2.0"] {
        let answer = proxy.send("PUT", &target, &[(V2.0, version)], "{}").await;
        assert_refused(&answer, 409);
    }
    assert_untouched(&store);
    assert_eq!(proxy.send("PUT", &state("new"), &[V2], "{}").await.status, 204);
}

#[tokio::test]
async fn an_unconditional_put_on_an_existing_profile_is_a_conflict_in_every_version() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [agent_profile("a"), activity_profile("a")] {
        store.hold(&target, "{}");
        for fields in [vec![], vec![V1], vec![V2]] {
            assert_refused(&proxy.send("PUT", &target, &fields, "{}").await, 409);
        }
    }
    assert_untouched(&store);
    for target in [agent_profile("new"), activity_profile("new")] {
        assert_eq!(proxy.send("PUT", &target, &[V1], "{}").await.status, 204);
        assert_eq!(proxy.send("POST", &target, &[V1, JSON], "{}").await.status, 204);
        assert_eq!(proxy.send("DELETE", &target, &[V1], "").await.status, 204);
    }
}

#[tokio::test]
async fn two_version_fields_are_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    assert_refused(&proxy.send("PUT", &state("a"), &[V1, V2], "{}").await, 400);
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn without_presets_nothing_is_guarded() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\npresets = []");
    assert_eq!(proxy.send("PUT", &state("a"), &[V1, STALE], "{}").await.status, 204);
    assert_eq!(proxy.get(&state("a")).await.etag(), None);
}

#[tokio::test]
async fn a_rule_of_ones_own_guards_its_path_and_no_other() {
    let store = Store::start();
    let proxy = Proxy::configured(
        &store,
        r#"
        [resource.notes]
        path = "/api/notes/{id}"
        identity = ["path"]
        unconditional = { PUT = "require", PATCH = "require", DELETE = "require" }
        "#,
    );
    let target = "/api/notes/1";
    store.hold(target, "{\"n\":1}");
    for method in ["PUT", "PATCH", "DELETE"] {
        assert_refused(&proxy.send(method, target, &[JSON], "{}").await, 428);
        assert_refused(&proxy.send(method, "/api/notes/2", &[JSON], "{}").await, 428);
    }
    assert_untouched(&store);
    let tag = xxh3_tag("{\"n\":1}");
    assert_eq!(proxy.get(target).await.etag(), Some(tag.as_str()));
    assert_eq!(proxy.send("PUT", target, &[("If-Match", &tag)], "{\"n\":2}").await.status, 204);
    assert_eq!(proxy.send("POST", target, &[JSON], "{}").await.status, 204);
    for other in ["/api/notes", "/api/notes/1/lines", "/api/other/1"] {
        assert_eq!(proxy.send("PUT", other, &[], "{}").await.status, 204, "{other}");
    }
}

#[tokio::test]
async fn a_rule_may_span_any_number_of_segments_and_name_parameters() {
    let store = Store::start();
    let proxy = Proxy::configured(
        &store,
        r#"
        [resource.files]
        path = "/files/**"
        identity = ["path", "branch?"]
        unconditional.PUT = "require"
        "#,
    );
    for target in ["/files/a", "/files/a/b/c", "/files/a?branch=x"] {
        assert_refused(&proxy.send("PUT", target, &[], "1").await, 428);
    }
    assert_untouched(&store);
    let creating = [("If-None-Match", "*")];
    assert_eq!(proxy.send("PUT", "/files/a", &creating, "1").await.status, 204);
    assert_eq!(proxy.send("PUT", "/files/a?branch=x", &creating, "1").await.status, 204);
    assert_refused(&proxy.send("PUT", "/files/a", &creating, "1").await, 412);
    assert_eq!(store.writes().len(), 2);
}

#[tokio::test]
async fn a_status_of_ones_own_answers_by_existence() {
    let store = Store::start();
    let proxy = Proxy::configured(
        &store,
        r#"
        [resource.notes]
        path = "/notes/{id}"
        identity = ["path"]
        unconditional.PUT = { existing = 409, missing = 400 }
        unconditional.DELETE = { existing = 428, missing = "forward" }
        "#,
    );
    store.hold("/notes/there", "{}");
    assert_refused(&proxy.send("PUT", "/notes/there", &[], "{}").await, 409);
    assert_refused(&proxy.send("PUT", "/notes/absent", &[], "{}").await, 400);
    assert_refused(&proxy.send("DELETE", "/notes/there", &[], "").await, 428);
    assert_untouched(&store);
    assert_eq!(proxy.send("DELETE", "/notes/absent", &[], "").await.status, 204);
}

#[tokio::test]
async fn the_first_exception_that_fits_wins() {
    let store = Store::start();
    let proxy = Proxy::configured(
        &store,
        r#"
        [resource.notes]
        path = "/notes/{id}"
        identity = ["path"]
        unconditional.PUT = "require"
        [[resource.notes.when]]
        header = { X-Client = "old*" }
        unconditional.PUT = "forward"
        [[resource.notes.when]]
        header = { X-Client = "older*" }
        unconditional.PUT = "conflict"
        "#,
    );
    store.hold("/notes/1", "{}");
    assert_refused(&proxy.send("PUT", "/notes/1", &[], "1").await, 428);
    assert_refused(&proxy.send("PUT", "/notes/1", &[("X-Client", "new")], "1").await, 428);
    assert_untouched(&store);
    assert_eq!(proxy.send("PUT", "/notes/1", &[("X-Client", "older")], "1").await.status, 204);
}

#[tokio::test]
async fn a_preset_is_overridden_key_by_key() {
    let store = Store::start();
    let proxy = Proxy::configured(
        &store,
        "[resource.agent-profile]\nunconditional.PUT = \"require\"\n[resource.activity-profile]\nmode = \"observe\"",
    );
    assert_refused(&proxy.send("PUT", &agent_profile("new"), &[V1], "{}").await, 428);
    assert_untouched(&store);
    store.hold(&activity_profile("a"), "{}");
    assert_eq!(proxy.send("PUT", &activity_profile("a"), &[V1], "1").await.status, 204);
    assert_eq!(proxy.send("PUT", &activity_profile("a"), &[V1, STALE], "2").await.status, 204);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "2").await.status, 204);
}

#[tokio::test]
async fn the_strict_preset_also_refuses_unconditional_creation_of_profiles_under_1_0() {
    let store = Store::start();
    let proxy = Proxy::configured(&store, "[guard]\npresets = [\"xapi-strict\"]");
    for target in [agent_profile("new"), activity_profile("new")] {
        assert_refused(&proxy.send("PUT", &target, &[V1], "{}").await, 400);
        assert_untouched(&store);
        assert_eq!(proxy.send("PUT", &target, &[V2], "{}").await.status, 204);
        store.forget();
        assert_refused(&proxy.send("PUT", &target, &[V1], "{}").await, 409);
        assert_untouched(&store);
    }
    assert_eq!(proxy.send("PUT", &state("new"), &[V1], "{}").await.status, 204);
}

/// Each way to spell a path that some server folds away, applied to every place where it can be applied.
fn respelled(path: &str) -> Vec<String> {
    let mut spellings =
        vec![format!("{path}/"), format!("{path};x=y"), format!("{path}/."), path.to_uppercase()];
    for (at, byte) in path.bytes().enumerate() {
        let (before, after) = (&path[..at], &path[at + 1..]);
        match byte {
            b'/' => {
                for slash in ["//", "/./", "/x/../", ";x/", "%2F", "%2f", "%252F", "\\", "/%2e/", "/.;x/"] {
                    spellings.push(format!("{before}{slash}{after}"));
                }
            }
            b'a' | b't' => {
                for letter in ["%61", "%74", "%2561"].iter().filter(|l| (byte == b'a') == l.ends_with("61")) {
                    spellings.push(format!("{before}{letter}{after}"));
                }
                spellings.push(format!("{before}{}{after}", byte.to_ascii_uppercase() as char));
            }
            _ => (),
        }
    }
    spellings
}

#[tokio::test]
async fn two_spellings_together_are_no_way_around_either() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let query = format!("agent={AGENT}&activityId={ACTIVITY}&stateId=s&profileId=p");
    for path in ["/agents/profile", "/activities/state"] {
        for spelling in respelled(path).iter().flat_map(|once| respelled(once)) {
            let target = format!("/xapi{spelling}?{query}");
            // Each on a connection of its own, as a refusal for its form ends one.
            let answer = proxy.send("PUT", &target, &[V1, STALE], "").await;
            assert!(matches!(answer.status, 400 | 412), "{spelling}: {}", answer.status);
        }
    }
    assert_untouched(&store);
}
