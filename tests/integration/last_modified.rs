//! Stage *answer*: Last-Modified, as the upstream has it or as it is made here.

use std::time::Duration;

use crate::support::client::Answer;
use crate::support::proxy::Proxy;
use crate::support::sha1_tag;
use crate::support::store::Store;
use crate::support::xapi::{JSON, V2, agent_profile, state, state_ids};

/// An LRS whose answers are dated as the test says, without a Last-Modified.
fn dated(store: &Store, date: &'static str) {
    store.set(|knobs| knobs.fields = vec![("Date", date)]);
}

const FIRST: &str = "Sat, 21 Nov 2020 10:00:00 GMT";
const SECOND: &str = "Sat, 21 Nov 2020 10:00:05 GMT";
const THIRD: &str = "Sat, 21 Nov 2020 10:00:09 GMT";
const FUTURE: &str = "Sat, 21 Nov 2099 10:00:00 GMT";

async fn modified(proxy: &Proxy, target: &str) -> Option<String> {
    proxy.get(target).await.field("last-modified").map(str::to_owned)
}

fn seconds(answer: &Answer, name: &str) -> u64 {
    let date = answer.field(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
    let date = httpdate::parse_http_date(date).unwrap();
    date.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_document_without_a_date_gets_the_one_of_its_first_sight() {
    for target in [state("a"), agent_profile("a")] {
        let store = Store::start();
        let proxy = Proxy::before(&store);
        store.hold(&target, "{}");
        dated(&store, FIRST);
        assert_eq!(modified(&proxy, &target).await.as_deref(), Some(FIRST));
        dated(&store, SECOND);
        assert_eq!(modified(&proxy, &target).await.as_deref(), Some(FIRST), "it is the same");
        store.hold(&target, "{\"n\":1}");
        assert_eq!(modified(&proxy, &target).await.as_deref(), Some(SECOND), "somebody has changed it");
        dated(&store, THIRD);
        assert_eq!(modified(&proxy, &target).await.as_deref(), Some(SECOND));
    }
}

#[tokio::test]
async fn a_write_through_here_dates_what_it_left_behind() {
    for method in ["PUT", "POST"] {
        let store = Store::start();
        let proxy = Proxy::before(&store);
        dated(&store, FIRST);
        store.hold(&state(method), "{}");
        assert_eq!(modified(&proxy, &state(method)).await.as_deref(), Some(FIRST));
        dated(&store, SECOND);
        let tag = sha1_tag("{}");
        let fields = [V2, JSON, ("If-Match", tag.as_str())];
        assert_eq!(proxy.send(method, &state(method), &fields, "{\"n\":1}").await.status, 204);
        dated(&store, THIRD);
        assert_eq!(modified(&proxy, &state(method)).await.as_deref(), Some(SECOND), "{method}");
    }
}

#[tokio::test]
async fn a_304_and_a_head_are_dated_too_and_an_id_list_is_not() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    dated(&store, FIRST);
    let proxy = Proxy::before(&store);
    let tag = sha1_tag("{}");
    let fresh = proxy.send("GET", &state("a"), &[("If-None-Match", tag.as_str())], "").await;
    assert_eq!((fresh.status, fresh.field("last-modified")), (304, Some(FIRST)));
    let head = proxy.send("HEAD", &state("a"), &[], "").await;
    assert_eq!((head.status, head.field("last-modified")), (200, Some(FIRST)));
    assert_eq!(proxy.get(&state_ids()).await.field("last-modified"), None);
    assert_eq!(proxy.get(&state("absent")).await.field("last-modified"), None);
}

#[tokio::test]
async fn the_upstreams_own_date_is_kept() {
    let store = Store::with(|knobs| knobs.fields = vec![("Last-Modified", FIRST)]);
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    for _ in 0..2 {
        assert_eq!(modified(&proxy, &state("a")).await.as_deref(), Some(FIRST));
    }
}

#[tokio::test]
async fn no_date_lies_in_the_future_or_goes_back() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    // Without a Date of the upstream's, the one that goes to the client is ours.
    let first = proxy.get(&state("a")).await;
    assert!(seconds(&first, "last-modified") <= seconds(&first, "date"));
    dated(&store, FUTURE);
    store.hold(&state("a"), "{\"n\":1}");
    let second = proxy.get(&state("a")).await;
    let day = Duration::from_secs(24 * 3600).as_secs();
    assert!(
        seconds(&second, "last-modified") < seconds(&first, "date") + day,
        "the upstream's clock is fast"
    );
    assert!(seconds(&second, "last-modified") >= seconds(&first, "last-modified"));
    dated(&store, FIRST);
    store.hold(&state("a"), "{\"n\":2}");
    let third = proxy.get(&state("a")).await;
    assert!(seconds(&third, "last-modified") >= seconds(&second, "last-modified"), "its clock was set back");
}

#[tokio::test]
async fn what_one_reader_saw_dates_nothing_for_another() {
    let store = Store::start();
    store.hold(&state("a"), "{}");
    let proxy = Proxy::before(&store);
    let read = async |who| {
        let answer = proxy.send("GET", &state("a"), &[("Authorization", who)], "").await;
        answer.field("last-modified").map(str::to_owned)
    };
    dated(&store, FIRST);
    assert_eq!(read("Basic YTph").await.as_deref(), Some(FIRST));
    dated(&store, SECOND);
    assert_eq!(read("Basic Yjpi").await.as_deref(), Some(SECOND));
}
