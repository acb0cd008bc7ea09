//! The four scenarios of the W3C note "Detecting the Lost Update Problem Using Unreserved Checkout" (1999), on the wire.
//!
//! Each side may know the document or not, and somebody else may have been there first.

use crate::support::assert_refused;
use crate::support::proxy::Proxy;
use crate::support::sha1_tag;
use crate::support::store::Store;
use crate::support::xapi::{JSON, V1, activity_profile};

#[tokio::test]
async fn saving_a_document_not_known_to_exist_creates_it() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = activity_profile("note");
    assert_eq!(proxy.send("HEAD", &target, &[V1], "").await.status, 404);
    let saved = proxy.send("PUT", &target, &[V1, JSON, ("If-None-Match", "*")], "{\"by\":1}").await;
    assert_eq!((saved.status, saved.etag()), (204, Some(sha1_tag("{\"by\":1}").as_str())));
    assert_eq!(store.document(&target).unwrap(), b"{\"by\":1}");
}

#[tokio::test]
async fn saving_over_a_document_not_known_to_exist_is_refused_until_it_is_overridden() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = activity_profile("note");
    store.hold(&target, "{\"by\":2}");
    let refused = proxy.send("PUT", &target, &[V1, JSON, ("If-None-Match", "*")], "{\"by\":1}").await;
    assert_refused(&refused, 412);
    assert!(store.writes().is_empty());
    let head = proxy.send("HEAD", &target, &[V1], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let tag = head.etag().unwrap();
    assert_eq!(refused.etag(), Some(tag), "the refusal had said so");
    let saved = proxy.send("PUT", &target, &[V1, JSON, ("If-Match", tag)], "{\"by\":1}").await;
    assert_eq!((saved.status, saved.etag()), (204, Some(sha1_tag("{\"by\":1}").as_str())));
    assert_eq!(store.document(&target).unwrap(), b"{\"by\":1}");
}

#[tokio::test]
async fn saving_a_known_document_that_nobody_changed_replaces_it() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = activity_profile("note");
    store.hold(&target, "{\"n\":0}");
    let mut tag = proxy.get(&target).await.etag().unwrap().to_owned();
    // The tag of each answer is good for the next save.
    for n in 1..4 {
        let body = format!("{{\"n\":{n}}}");
        let saved = proxy.send("PUT", &target, &[V1, JSON, ("If-Match", &tag)], &body).await;
        assert_eq!(saved.status, 204);
        tag = saved.etag().expect("a read-back shows these very bytes").to_owned();
    }
    assert_eq!(store.document(&target).unwrap(), b"{\"n\":3}");
}

#[tokio::test]
async fn saving_a_known_document_that_somebody_changed_is_refused_until_it_is_overridden() {
    let store = Store::start();
    let proxy = Proxy::before(&store);
    let target = activity_profile("note");
    store.hold(&target, "{\"n\":0}");
    let old = proxy.get(&target).await.etag().unwrap().to_owned();
    let theirs = proxy.send("PUT", &target, &[V1, JSON, ("If-Match", &old)], "{\"theirs\":1}").await;
    assert_eq!(theirs.status, 204);
    let refused = proxy.send("PUT", &target, &[V1, JSON, ("If-Match", &old)], "{\"mine\":1}").await;
    assert_refused(&refused, 412);
    assert_eq!(refused.etag(), theirs.etag());
    assert_eq!(store.writes().len(), 1);
    // The override of the note: whatever is there now, as long as it is not what I read.
    let saved = proxy.send("PUT", &target, &[V1, JSON, ("If-None-Match", &old)], "{\"mine\":1}").await;
    assert_eq!((saved.status, saved.etag()), (204, Some(sha1_tag("{\"mine\":1}").as_str())));
    assert_eq!(store.document(&target).unwrap(), b"{\"mine\":1}");
}
