//! The test kit: the proxy as a child process, and a client and an upstream that deal in bytes.

pub(crate) mod address;
pub(crate) mod alternate;
pub(crate) mod client;
pub(crate) mod hop;
pub(crate) mod http;
pub(crate) mod proxy;
pub(crate) mod reply;
pub(crate) mod server;
pub(crate) mod store;
pub(crate) mod tls;
pub(crate) mod upstreams;
pub(crate) mod wire;
pub(crate) mod xapi;

use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

/// The longest that any single wait of a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Waits for something that must happen, and fails the test by naming it when it does not.
pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// The entity-tag of xAPI 1.0.3: SHA-1 of the contents, in lower-case hex, quoted.
pub(crate) fn sha1_tag(contents: impl AsRef<[u8]>) -> String {
    use sha1::Digest;
    quoted_hex(&sha1::Sha1::digest(contents.as_ref()))
}

/// The entity-tag of every other rule: XXH3-128 of the contents.
pub(crate) fn xxh3_tag(contents: impl AsRef<[u8]>) -> String {
    quoted_hex(&xxhash_rust::xxh3::xxh3_128(contents.as_ref()).to_be_bytes())
}

fn quoted_hex(digest: &[u8]) -> String {
    let mut tag = String::from("\"");
    for byte in digest {
        write!(tag, "{byte:02x}").unwrap();
    }
    tag.push('"');
    tag
}

/// Asserts that an answer is a refusal made by the proxy, as the design says for each of them.
pub(crate) fn assert_refused(answer: &client::Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:#?}");
    assert_eq!(answer.field("cache-control"), Some("no-store"), "{answer:#?}");
    let reason = answer.field("proxy-status").unwrap_or_else(|| panic!("no Proxy-Status: {answer:#?}"));
    assert!(reason.starts_with("staleguard; error=http_request_error"), "{reason}");
    assert!(!answer.body.is_empty(), "a refusal says what to do next");
}

/// Asserts that an answer was made by the proxy because the upstream failed.
pub(crate) fn assert_failure(answer: &client::Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:#?}");
    let reason = answer.field("proxy-status").unwrap_or_else(|| panic!("no Proxy-Status: {answer:#?}"));
    assert!(reason.starts_with("staleguard; error="), "{reason}");
    assert_eq!(answer.etag(), None, "{answer:#?}");
    assert!(!answer.body.is_empty(), "a failure says what happened");
}

/// Asserts that the upstream was sent nothing but reads.
pub(crate) fn assert_untouched(store: &store::Store) {
    let writes = store.writes();
    assert!(writes.is_empty(), "the upstream saw {writes:#?}");
}
