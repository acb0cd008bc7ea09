//! Whose word on the way of a request is believed.

use crate::support::client::Client;
use crate::support::proxy::Proxy;
use crate::support::store::Store;
use crate::support::xapi::{JSON, V1, state};

const TOLD: [(&str, &str); 7] = [
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "public.example"),
    ("X-Forwarded-Prefix", "/lrs"),
    ("X_Forwarded_For", "203.0.113.8"),
    ("X-Request-Id", "42"),
    ("Forwarded", "for=203.0.113.7"),
];

/// What the upstream is told by a client that connects from `source`.
async fn told(proxy: &Proxy, store: &Store, source: [u8; 4], target: &str) -> Vec<Option<String>> {
    store.forget();
    let mut client = Client::connect_from(source.into(), proxy.address).await;
    let fields = [&TOLD[..], &[V1, JSON, ("Host", "lrs.internal")]].concat();
    assert_eq!(client.send("PUT", target, &fields, "1").await.status, 204);
    let seen = &store.writes()[0];
    TOLD.iter().map(|(name, _)| seen.field(name).map(str::to_owned)).collect()
}

#[tokio::test]
async fn only_trusted_proxies_are_believed_once_they_are_named() {
    let store = Store::start();
    let config = "[listen]\ntrusted-proxies = [\"127.0.0.2\", \"127.0.1.0/24\"]";
    let proxy = Proxy::configured(&store, config);
    for target in [state("a"), "/relayed".to_owned()] {
        for source in [[127, 0, 0, 2], [127, 0, 1, 9]] {
            let mut believed: Vec<_> = TOLD.iter().map(|(_, value)| Some((*value).to_owned())).collect();
            believed[0] = Some(format!("203.0.113.7, {}", std::net::Ipv4Addr::from(source)));
            assert_eq!(told(&proxy, &store, source, &target).await, believed, "{target}");
        }
        let anew = [Some("127.0.0.3"), Some("http"), Some("lrs.internal"), None, None, None, None];
        let anew = anew.map(|value| value.map(str::to_owned));
        let mut told = told(&proxy, &store, [127, 0, 0, 3], &target).await;
        let id = told[5].take().expect("one that was made here");
        assert!(id != "42" && id.len() == 36, "{id}");
        assert_eq!(told, anew, "{target}");
    }
}

#[tokio::test]
async fn everybody_is_believed_until_somebody_is_named() {
    let store = Store::start();
    let target = state("a");
    let proxy = Proxy::before(&store);
    let believed = told(&proxy, &store, [127, 0, 0, 3], &target).await;
    assert_eq!(believed[0].as_deref(), Some("203.0.113.7, 127.0.0.3"));
    assert_eq!((believed[1].as_deref(), believed[5].as_deref()), (Some("https"), Some("42")));
    let proxy = Proxy::configured(&store, "[listen]\ntrusted-proxies = []");
    assert_eq!(told(&proxy, &store, [127, 0, 0, 3], &target).await[0].as_deref(), Some("127.0.0.3"));
}
