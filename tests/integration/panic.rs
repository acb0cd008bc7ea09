//! A panic inside an exchange: it costs that exchange, and never lets the next writer in too early.
//!
//! The panic is ordered by a field of the request, which only a build with `test-faults` heeds.

use crate::support::proxy::Proxy;
use crate::support::store::Store;
use crate::support::xapi::{V1, state};
use crate::support::{assert_failure, sha1_tag};

fn ordering(fault: &str) -> [(&str, &str); 2] {
    [V1, ("staleguard-fault", fault)]
}

#[tokio::test]
async fn a_panic_before_anything_was_sent_frees_the_scope() {
    let store = Store::start();
    let mut proxy = Proxy::before(&store);
    proxy.panics_are_expected();
    let mut client = proxy.connect().await;
    let answer = client.send("PUT", &state("a"), &ordering("panic-under-hold"), "1").await;
    assert_failure(&answer, 500);
    assert!(proxy.said().contains("panicked"), "the panic was ordered and came");
    assert_eq!(store.writes().len(), 0);
    assert_eq!(proxy.send("PUT", &state("a"), &[V1], "2").await.status, 204, "the process goes on");
    assert_eq!(store.writes().len(), 1);
}

#[tokio::test]
async fn a_panic_in_mid_write_leaves_the_scope_unsettled() {
    let store = Store::start();
    store.hold(&state("a"), "0");
    let mut proxy = Proxy::configured(&store, "[guard]\nhold-wait = \"100ms\"");
    proxy.panics_are_expected();
    let answer = proxy.send("PUT", &state("a"), &ordering("panic-in-flight"), "1").await;
    assert_failure(&answer, 500);
    assert_eq!(store.writes().len(), 1);
    let answer = proxy.send("PUT", &state("a"), &[V1, ("If-Match", &sha1_tag("1"))], "2").await;
    assert_failure(&answer, 503);
    assert_eq!(store.writes().len(), 1, "the next writer was not let in");
    assert_eq!(proxy.get(&state("a")).await.status, 200, "readers never wait");
}

#[tokio::test]
async fn a_panic_under_a_hold_lets_those_that_wait_go_on() {
    let store = Store::start();
    let mut proxy = Proxy::before(&store);
    proxy.panics_are_expected();
    let target = state("a");
    let fields = ordering("panic-under-hold");
    let (first, second) =
        tokio::join!(proxy.send("PUT", &target, &fields, "1"), proxy.send("PUT", &target, &[V1], "2"),);
    assert_failure(&first, 500);
    assert_eq!(second.status, 204);
}
