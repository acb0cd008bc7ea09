//! The promise: of all that write at the same time, one wins, and what was acknowledged is there.
//!
//! Each of these fails when the hold is taken out of the write path.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::client::Client;
use crate::support::proxy::Proxy;
use crate::support::sha1_tag;
use crate::support::store::{Answers, Misdeed, On, Store, Tags};
use crate::support::wire::Ending;
use crate::support::xapi::{JSON, V1, activity_profile, agent_profile, state_of};

const WRITERS: usize = 16;
/// Whom memory knows.
const WHO: (&str, &str) = ("Authorization", "Basic YTpi");
const DOCUMENTS: usize = 200;
/// Documents that are raced for at the same time.
const TOGETHER: usize = 8;

/// A document on one of the three resources, in turn, with a scope of its own.
fn document(n: usize) -> String {
    match n % 3 {
        0 => state_of(&n.to_string(), "s"),
        1 => agent_profile(&n.to_string()),
        _ => activity_profile(&n.to_string()),
    }
}

/// What a writer got: the status and the body that it had sent.
type Outcome = (u16, String);

/// Lets writers race for every document, a few documents at a time, and hands each race's outcome to `judge`.
async fn race(
    proxy: &Arc<Proxy>,
    documents: usize,
    method: &'static str,
    condition: Option<(&'static str, String)>,
    judge: impl Fn(&str, &[Outcome]),
) {
    let mut races = JoinSet::new();
    for n in 0..documents {
        if races.len() == TOGETHER {
            let (target, outcomes): (String, Vec<Outcome>) = races.join_next().await.unwrap().unwrap();
            judge(&target, &outcomes);
        }
        races.spawn(race_for(Arc::clone(proxy), document(n), method, condition.clone()));
    }
    while let Some(ended) = races.join_next().await {
        let (target, outcomes) = ended.unwrap();
        judge(&target, &outcomes);
    }
}

async fn race_for(
    proxy: Arc<Proxy>,
    target: String,
    method: &'static str,
    condition: Option<(&'static str, String)>,
) -> (String, Vec<Outcome>) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (proxy, target, condition) = (Arc::clone(&proxy), target.clone(), condition.clone());
        writers.spawn(async move {
            let body = format!("{{\"key{writer}\":{writer}}}");
            let mut fields = vec![V1, WHO, JSON];
            fields.extend(condition.as_ref().map(|(name, value)| (*name, value.as_str())));
            let mut client = Client::connect(proxy.address).await;
            let answer = client.send(method, &target, &fields, &body).await;
            assert_eq!(answer.ending, Ending::Complete);
            (answer.status, body)
        });
    }
    let outcomes = writers.join_all().await;
    (target, outcomes)
}

/// Asserts that one writer got 2xx and all others 412, and that its bytes are what is there.
fn assert_one_winner(store: &Store, target: &str, outcomes: &[Outcome]) {
    let winners: Vec<_> = outcomes.iter().filter(|(status, _)| (200..300).contains(status)).collect();
    assert_eq!(winners.len(), 1, "{target}: {outcomes:?}");
    assert_eq!(outcomes.iter().filter(|(status, _)| *status == 412).count(), WRITERS - 1, "{outcomes:?}");
    assert_eq!(store.document(target).unwrap(), winners[0].1.as_bytes(), "{target}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_writers_with_one_if_match_exactly_one_wins() {
    let store = Store::with(|knobs| {
        knobs.pause = Duration::from_millis(1);
        knobs.tags = Tags::Random;
    });
    for n in 0..DOCUMENTS {
        store.hold(&document(n), "{}");
    }
    let proxy = Arc::new(Proxy::before(&store));
    let condition = Some(("If-Match", sha1_tag("{}")));
    race(&proxy, DOCUMENTS, "PUT", condition, |target, outcomes| assert_one_winner(&store, target, outcomes))
        .await;
    assert_eq!(store.writes().len(), DOCUMENTS, "and the upstream saw no other write");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_writers_exactly_one_wins_although_no_answer_of_the_upstream_is_like_the_one_before() {
    let store = Store::with(|knobs| {
        knobs.pause = Duration::from_millis(1);
        knobs.answers = Answers::Reordered;
    });
    let config = ["state", "agent-profile", "activity-profile"]
        .map(|name| format!("[resource.{name}]\netag-of = \"canonical-json\"\n"))
        .concat();
    let proxy = Arc::new(Proxy::configured(&store, &config));
    for n in 0..60 {
        store.hold(&document(n), r#"{"b": 1, "a": 1, "c": 1}"#);
    }
    let condition = Some(("If-Match", sha1_tag(r#"{"a":1,"b":1,"c":1}"#)));
    race(&proxy, 60, "PUT", condition, |target, outcomes| assert_one_winner(&store, target, outcomes)).await;
    assert_eq!(store.writes().len(), 60);
}

/// Each winner is judged by what a reader has left behind, and each loser by what the winner has: it asks, or recalls
/// what another loser was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_writers_exactly_one_wins_although_what_is_there_is_recalled() {
    let store = Store::with(|knobs| {
        knobs.pause = Duration::from_millis(1);
        knobs.tags = Tags::Random;
    });
    let proxy = Arc::new(Proxy::configured(&store, "upstream.exclusive = true\nguard.read-back = \"never\""));
    for n in 0..DOCUMENTS {
        store.hold(&document(n), "{}");
        assert_eq!(proxy.send("GET", &document(n), &[V1, WHO], "").await.status, 200);
    }
    store.forget();
    let condition = Some(("If-Match", sha1_tag("{}")));
    race(&proxy, DOCUMENTS, "PUT", condition, |target, outcomes| assert_one_winner(&store, target, outcomes))
        .await;
    let (writes, requests) = (store.writes().len(), store.seen().len());
    assert_eq!(writes, DOCUMENTS, "and the upstream saw no other write");
    assert!(requests < DOCUMENTS * 5, "of {} losers {} have asked", DOCUMENTS * 15, requests - writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_creators_exactly_one_wins() {
    let store = Store::with(|knobs| knobs.pause = Duration::from_millis(1));
    let proxy = Arc::new(Proxy::before(&store));
    let condition = Some(("If-None-Match", "*".to_owned()));
    race(&proxy, 60, "PUT", condition, |target, outcomes| assert_one_winner(&store, target, outcomes)).await;
    assert_eq!(store.writes().len(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_merges_at_the_same_time_no_acknowledged_key_is_missing() {
    let store = Store::with(|knobs| knobs.pause = Duration::from_millis(1));
    let proxy = Arc::new(Proxy::before(&store));
    race(&proxy, 30, "POST", None, |target, outcomes| {
        let stored: Value = serde_json::from_slice(&store.document(target).unwrap()).unwrap();
        for (status, body) in outcomes {
            assert_eq!(*status, 204);
            let sent: Value = serde_json::from_str(body).unwrap();
            for (key, value) in sent.as_object().unwrap() {
                assert_eq!(stored.get(key), Some(value), "{target} lost {key}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_deletes_and_writes_with_one_if_match_exactly_one_wins() {
    let store = Store::with(|knobs| knobs.pause = Duration::from_millis(1));
    let proxy = Arc::new(Proxy::before(&store));
    let tag = sha1_tag("{}");
    for n in 0..20 {
        let target = document(n);
        store.hold(&target, "{}");
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (proxy, target, tag) = (Arc::clone(&proxy), target.clone(), tag.clone());
            let method = ["PUT", "POST", "DELETE"][writer % 3];
            writers.spawn(async move {
                // Each writes something else: the same PUT from the same client would be a replay.
                let body = format!("{{\"new\":{writer}}}");
                proxy.send(method, &target, &[V1, JSON, ("If-Match", &tag)], body).await.status
            });
        }
        let statuses = writers.join_all().await;
        assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_all_state_takes_its_turn_with_the_writes() {
    let store = Store::with(|knobs| knobs.pause = Duration::from_millis(1));
    let proxy = Arc::new(Proxy::before(&store));
    for round in 0..20 {
        let course = round.to_string();
        let target = state_of(&course, "s");
        let all = target.split("&stateId").next().unwrap().to_owned();
        store.hold(&target, "{}");
        let tag = sha1_tag("{}");
        let fields = [V1, JSON, ("If-Match", tag.as_str())];
        let write = proxy.send("POST", &target, &fields, "{\"new\":1}");
        let (written, deleted) = tokio::join!(write, proxy.send("DELETE", &all, &[V1], ""));
        assert_eq!(deleted.status, 204);
        // Whoever came first: afterwards nothing is there, unless the write was judged over what had been deleted.
        assert!(matches!(written.status, 204 | 412), "{written:?}");
        assert_eq!(store.document(&target), None, "round {round}: {written:?}");
    }
}

/// Lets clients count a document up, each by reading it and saving what it read plus one, until it has reached `end`.
///
/// Some leave as soon as they have sent their write; `disturb` is called after each attempt with its number.
async fn count_up(store: Arc<Store>, config: &str, end: u64, disturb: fn(&Store, usize)) {
    let target = agent_profile("counter");
    store.hold(&target, "0");
    let proxy = Arc::new(Proxy::configured(&store, config));
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (store, proxy, target) = (Arc::clone(&store), Arc::clone(&proxy), target.clone());
        clients.spawn(async move {
            for attempt in 0.. {
                let read = proxy.send("GET", &target, &[V1, WHO], "").await;
                let count: u64 = read.text().parse().unwrap();
                if count >= end {
                    return;
                }
                let fields = [V1, WHO, ("If-Match", read.etag().unwrap())];
                let mut writer = proxy.connect().await;
                writer.request("PUT", &target, &fields, (count + 1).to_string().as_bytes()).await;
                match (client + attempt) % 5 {
                    0 => drop(writer),
                    1 => writer.wire.reset(),
                    _ => {
                        let status = writer.answer("PUT").await.status;
                        assert!(matches!(status, 204 | 412 | 502), "{status}");
                    }
                }
                disturb(&store, attempt);
            }
        });
    }
    clients.join_all().await;
    // Every write that reached the upstream built on the one before it: nobody's step was lost.
    let steps: Vec<u64> =
        store.writes().iter().map(|seen| String::from_utf8_lossy(&seen.body).parse().unwrap()).collect();
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    assert!(steps.len() as u64 >= end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_up_loses_no_step_although_clients_leave() {
    let store = Store::with(|knobs| knobs.pause = Duration::from_millis(1));
    count_up(Arc::new(store), "[guard]\nread-back = \"never\"", 60, |_, _| ()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_up_loses_no_step_although_what_is_there_is_recalled() {
    let config = "upstream.exclusive = true\nguard.read-back = \"never\"";
    for config in [config, "upstream.exclusive = true"] {
        let store = Store::with(|knobs| knobs.pause = Duration::from_millis(1));
        count_up(Arc::new(store), config, 60, |_, _| ()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_up_loses_no_step_although_what_is_there_is_recalled_and_answers_are_lost() {
    let store = Store::with(|knobs| {
        knobs.pause = Duration::from_millis(1);
        knobs.applies = true;
    });
    let config = "upstream.exclusive = true\nupstream.settle-time = \"20ms\"";
    count_up(Arc::new(store), config, 30, |store, attempt| {
        let reset = (On::Writes, Misdeed::SaysAndResets(String::new()));
        store.set(|knobs| knobs.misdeed = (attempt % 3 == 0).then_some(reset));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_up_loses_no_step_although_answers_are_lost() {
    let store = Store::with(|knobs| {
        knobs.pause = Duration::from_millis(1);
        knobs.applies = true;
    });
    let config = "[upstream]\nsettle-time = \"20ms\"\nread-back-timeout = \"1s\"";
    count_up(Arc::new(store), config, 30, |store, attempt| {
        let reset = (On::Writes, Misdeed::SaysAndResets(String::new()));
        store.set(|knobs| knobs.misdeed = (attempt % 3 == 0).then_some(reset));
    })
    .await;
}
