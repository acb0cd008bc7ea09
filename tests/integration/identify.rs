//! Stage *identify*: which document is it, and what is held for it?

use crate::support::proxy::{Barrier, Proxy};
use crate::support::store::{On, Store};
use crate::support::xapi::{
    ACTIVITY, AGENT, JSON, V1, activity_profile, agent_profile, encoded, state, state_ids,
};
use crate::support::{assert_refused, assert_untouched, sha1_tag};

/// A write under way to the first target, and one to the second that was sent after it.
async fn two_writes(config: &str, first: &str, second: &str, waits: bool) {
    let store = Store::start();
    let proxy = Proxy::configured(&store, config);
    let mut barrier = Barrier::open(&proxy).await;
    let (mut one, mut two) = (proxy.arrive().await, proxy.arrive().await);
    store.close_gate(On::Writes);
    one.request("POST", first, &[V1, JSON], b"{}").await;
    store.until_writes(1).await;
    two.request("POST", second, &[V1, JSON], b"{}").await;
    if waits {
        barrier.pass().await;
        barrier.pass().await;
        assert_eq!(store.writes().len(), 1, "{second} waits for {first}");
    } else {
        store.until_writes(2).await;
    }
    store.open_gate();
    assert_eq!(one.answer("POST").await.status, 204);
    assert_eq!(two.answer("POST").await.status, 204);
    assert_eq!(store.writes().len(), 2);
}

async fn assert_waits(first: &str, second: &str) {
    two_writes("", first, second, true).await;
}

async fn assert_runs_beside(first: &str, second: &str) {
    two_writes("", first, second, false).await;
}

fn state_by(agent: &str) -> String {
    format!("/xapi/activities/state?activityId={ACTIVITY}&agent={}&stateId=s", encoded(agent))
}

#[tokio::test]
async fn an_agent_is_its_one_identifier_however_it_is_spelled() {
    let plain = state_by(r#"{"mbox":"mailto:learner@example.com"}"#);
    for spelling in [
        r#"{"mbox":"mailto:learner@example.com","name":"L","objectType":"Agent"}"#,
        r#"{ "objectType":"Agent", "mbox" : "mailto:learner@example.com" }"#,
        r#"{"mbox":"mailto:\u006cearner@example.com"}"#,
    ] {
        assert_waits(&plain, &state_by(spelling)).await;
    }
}

#[tokio::test]
async fn an_mbox_and_its_digest_are_one_learner() {
    let sum = sha1_tag("mailto:learner@example.com").replace('"', "");
    let digest = state_by(&format!("{{\"mbox_sha1sum\":\"{sum}\"}}"));
    assert_waits(&state_by(r#"{"mbox":"mailto:learner@example.com"}"#), &digest).await;
    assert_waits(
        &agent_profile("p"),
        &agent_profile("p").replace(AGENT, &encoded(&format!("{{\"mbox_sha1sum\":\"{sum}\"}}"))),
    )
    .await;
}

#[tokio::test]
async fn accounts_are_compared_by_both_their_parts() {
    let account = |name: &str| {
        state_by(&format!(r#"{{"account":{{"homePage":"http://home.example","name":"{name}"}}}}"#))
    };
    let turned = state_by(r#"{"account":{"name":"a","homePage":"http://home.example"}}"#);
    assert_waits(&account("a"), &turned).await;
    assert_runs_beside(&account("a"), &account("b")).await;
}

#[tokio::test]
async fn all_state_of_a_learner_and_activity_is_one_scope() {
    let registered = format!("{}&registration=7f000001-0000-4000-8000-000000000001", state("a"));
    assert_waits(&state("a"), &state("b")).await;
    assert_waits(&state("a"), &registered).await;
    let cased = state("a").replace("course", "COURSE");
    assert_waits(&state("a"), &cased).await;
}

#[tokio::test]
async fn other_learners_activities_and_profiles_do_not_wait() {
    let other_learner = state_by(r#"{"mbox":"mailto:other@example.com"}"#);
    assert_runs_beside(&state("a"), &other_learner).await;
    assert_runs_beside(&state("a"), &state("a").replace("course", "lesson")).await;
    assert_runs_beside(&agent_profile("a"), &agent_profile("b")).await;
    assert_runs_beside(&activity_profile("a"), &activity_profile("b")).await;
    assert_runs_beside(&activity_profile("a"), &agent_profile("a")).await;
    assert_runs_beside("/xapi/statements", "/xapi/statements").await;
}

#[tokio::test]
async fn the_order_of_parameters_and_unknown_ones_do_not_count() {
    let turned =
        format!("/xapi/activities/state?stateId=s&agent={AGENT}&cachebuster=1&activityId={ACTIVITY}");
    assert_waits(&state("s"), &turned).await;
    let raw = format!("/xapi/activities/state?activityId=http://example.com/course&agent={AGENT}&stateId=s");
    assert_waits(&state("s"), &raw).await;
    assert_waits(&agent_profile("a%20b"), &agent_profile("a+b")).await;
    assert_waits(&agent_profile("a"), &agent_profile("%61")).await;
}

#[tokio::test]
async fn host_and_base_path_do_not_make_another_scope() {
    assert_waits(&state("a"), &state("a").replace("/xapi/", "/data/xAPI/")).await;
    assert_waits(&state("a"), &format!("http://other.example{}", state("a"))).await;
}

#[tokio::test]
async fn addressing_that_two_servers_could_read_differently_is_refused() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let agent = |json: &str| state_by(json);
    for target in [
        format!("{}&stateId=b", state("a")),
        format!("{}&agent={AGENT}", state("a")),
        format!("{}&activityId={ACTIVITY}", state("a")),
        format!("{}&profileId=b", agent_profile("a")),
        state("a").replace("stateId", "StateId"),
        state("a").replace("agent=", "Agent="),
        format!("{}&STATEID=b", state("a")),
        state("a").replace("&stateId", ";stateId"),
        agent(r#"{"mbox":"mailto:a@example.com","mbox":"mailto:b@example.com"}"#),
        agent(r#"{"mbox":"mailto:a@example.com","openid":"http://a.example"}"#),
        agent(r#"{"account":{"name":"a","name":"b","homePage":"http://a.example"}}"#),
    ] {
        for method in ["PUT", "DELETE"] {
            assert_refused(&proxy.send(method, &target, &[V1], "").await, 400);
        }
    }
    assert_untouched(&store);
}

#[tokio::test]
async fn a_write_that_names_no_document_asks_the_upstream_what_is_wrong() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [
        format!("/xapi/activities/state?activityId={ACTIVITY}&stateId=a"),
        format!("/xapi/activities/state?agent={AGENT}&stateId=a"),
        "/xapi/agents/profile?profileId=a".to_owned(),
        "/xapi/activities/profile".to_owned(),
    ] {
        store.forget();
        let answer = proxy.send("PUT", &target, &[V1, ("If-None-Match", "*")], "{}").await;
        assert_eq!((answer.status, answer.text().as_str()), (400, "a parameter is missing"), "{target}");
        let seen = store.seen();
        assert_eq!(
            (seen.len(), seen[0].method.as_str(), seen[0].target.as_str()),
            (1, "GET", target.as_str())
        );
    }
}

#[tokio::test]
async fn a_write_that_names_no_document_is_refused_even_if_the_upstream_has_no_objection() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    for target in [state_ids(), format!("/xapi/agents/profile?agent={AGENT}")] {
        for method in ["PUT", "POST"] {
            assert_refused(&proxy.send(method, &target, &[V1, JSON], "{}").await, 400);
        }
    }
    assert_refused(
        &proxy.send("DELETE", &format!("/xapi/agents/profile?agent={AGENT}"), &[V1], "").await,
        400,
    );
    assert_untouched(&store);
    assert!(store.seen().iter().all(|seen| seen.body.is_empty() && seen.field("content-length").is_none()));
}

#[tokio::test]
async fn credentials_are_asked_for_before_anything_is_said_about_the_target() {
    let store = Store::with(|knobs| knobs.credential = Some("Basic YTpi".to_owned()));
    let proxy = Proxy::before(&store);
    assert_eq!(proxy.send("PUT", &state_ids(), &[V1], "{}").await.status, 401);
    assert_untouched(&store);
}

#[tokio::test]
async fn all_state_of_a_learner_and_activity_is_deleted_at_once() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    store.hold(&state("a"), "1");
    store.hold(&state("b"), "2");
    assert_eq!(proxy.send("DELETE", &state_ids(), &[V1], "").await.status, 204);
    assert_eq!((store.document(&state("a")), store.document(&state("b"))), (None, None));
}

#[tokio::test]
async fn deleting_all_state_may_state_the_tag_of_the_id_list() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    store.hold(&state("a"), "1");
    let list = proxy.get(&state_ids()).await;
    assert_eq!(list.etag(), Some(sha1_tag(&list.body).as_str()));
    let tag = list.etag().unwrap().to_owned();
    store.hold(&state("b"), "2");
    assert_refused(&proxy.send("DELETE", &state_ids(), &[V1, ("If-Match", &tag)], "").await, 412);
    assert_untouched(&store);
    let tag = proxy.get(&state_ids()).await.etag().unwrap().to_owned();
    assert_eq!(proxy.send("DELETE", &state_ids(), &[V1, ("If-Match", &tag)], "").await.status, 204);
    assert_eq!((store.document(&state("a")), store.document(&state("b"))), (None, None));
}

#[tokio::test]
async fn a_read_that_could_name_two_documents_is_refused_and_one_that_names_a_list_is_not() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    for target in [
        format!("{}&stateId=b", state("a")),
        format!("{}&StateId=b", state("a")),
        format!("{}&stateId[]=b", state_ids()),
        format!("{}&_method=DELETE", state("a")),
        format!("{}&method=DELETE", state("a")),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = proxy.send(method, &target, &[V1], "").await;
            assert_eq!(answer.status, 400, "{method} {target}");
        }
    }
    assert!(store.seen().is_empty(), "nobody was asked");
    let list = proxy.get(&state_ids()).await;
    assert_eq!((list.status, list.etag().is_some()), (200, true), "a list of ids names no document");
}

#[tokio::test]
async fn a_segment_names_the_same_document_however_it_is_encoded() {
    let notes = "[resource.notes]\npath = \"/api/notes/{id}\"\nidentity = [\"path\"]";
    two_writes(notes, "/api/notes/a%20b", "/api/notes/%61%20%62", true).await;
    two_writes(notes, "/api/notes/a", "/api/notes/A", true).await;
    two_writes(notes, "/api/notes/a", "/api/notes/a?view=full", true).await;
    two_writes(notes, "/api/notes/a", "/api/notes/b", false).await;
    let named = "[resource.notes]\npath = \"/api/notes\"\nidentity = [\"id\", \"branch?\"]";
    two_writes(named, "/api/notes?id=a", "/api/notes?x=1&id=%61", true).await;
    two_writes(named, "/api/notes?id=a", "/api/notes?id=b", false).await;
    two_writes(named, "/api/notes?id=a", "/api/notes?id=a&branch=b", false).await;
}
