//! A panic inside an exchange: it costs that exchange and nothing else. (`--features test-faults`)

use crate::support::proxy::Proxy;
use crate::support::store::Store;
use crate::support::xapi::{V1, agent_profile, state, state_of};
use crate::support::{assert_failure, assert_untouched, sha1_tag};

#[tokio::test]
async fn a_panic_under_the_hold_gives_it_back() {
    let store = Store::start();
    let mut proxy = Proxy::before(&store);
    proxy.panics_are_expected();
    let ordered = [V1, ("If-None-Match", "*"), ("staleguard-fault", "panic-under-hold")];
    for _ in 0..3 {
        assert_failure(&proxy.send("PUT", &agent_profile("a"), &ordered, "1").await, 500);
    }
    assert_untouched(&store);
    let answer = proxy.send("PUT", &agent_profile("a"), &ordered[..2], "1").await;
    assert_eq!((answer.status, answer.etag()), (204, Some(sha1_tag("1").as_str())));
}

#[tokio::test]
async fn a_panic_in_flight_leaves_the_scope_unsettled() {
    let store = Store::start();
    let mut proxy = Proxy::configured(&store, "[guard]\nhold-wait = \"100ms\"");
    proxy.panics_are_expected();
    let ordered = [V1, ("staleguard-fault", "panic-in-flight")];
    assert_failure(&proxy.send("PUT", &state("a"), &ordered, "1").await, 500);
    assert_eq!(store.writes().len(), 1);
    let answer = proxy.send("PUT", &state("b"), &[V1], "1").await;
    assert_failure(&answer, 503);
    assert!(answer.field("retry-after").is_some());
    assert_eq!(store.writes().len(), 1);
    assert_eq!(proxy.send("PUT", &state_of("other", "a"), &[V1], "1").await.status, 204);
    assert_eq!(proxy.get(&state("a")).await.text(), "1");
}
