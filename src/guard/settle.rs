//! *Settle*: what is known after the upstream was touched, and what may be said of it?

use http::{Method, StatusCode};

use crate::json::read::read;
use crate::json::same::same_value;

/// Whether the outcome of a write is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The upstream has answered: whatever it did is done.
    Known,
    /// The upstream may still apply the write.
    Unknown,
}

/// When a successful write is followed by a read of what it left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadBack {
    /// After a PUT that stated a precondition: its writer works with entity-tags.
    #[default]
    Auto,
    /// After every PUT.
    Always,
    /// Not at all.
    Never,
}

/// Judges a complete answer to a write; an incomplete one is always [`Settlement::Unknown`].
pub fn settle(status: StatusCode, unknown_outcome: &[StatusCode]) -> Settlement {
    if unknown_outcome.contains(&status) { Settlement::Unknown } else { Settlement::Known }
}

/// Whether a write is to be read back. Only a PUT says by itself what it must have produced.
pub fn reads_back(wanted: ReadBack, method: &Method, stated: bool, status: StatusCode) -> bool {
    let wanted = match wanted {
        ReadBack::Auto => stated,
        ReadBack::Always => true,
        ReadBack::Never => false,
    };
    wanted && method == Method::PUT && status.is_success() && status != StatusCode::ACCEPTED
}

/// Whether what was read back is what this PUT must have produced: its own bytes, or the same JSON value.
///
/// Anything else may be somebody else's write, and its entity-tag must not reach this writer
/// (RFC 9110 §9.3.4 lets a server name only what it stored without a change of its own).
pub fn is_own(sent: &[u8], shown: &[u8]) -> bool {
    sent == shown
        || match (read(sent), read(shown)) {
            (Some(sent), Some(shown)) => same_value(&sent, &shown),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserialised_document_is_the_writers_own() {
        for (sent, shown) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("{ \"b\" : 2,\n \"a\":1.0 }", r#"{"a":1,"b":2}"#),
            ("[1e2, -0, 0.50]", "[100,0,0.5]"),
            (r#""\u00e9""#, "\"\u{e9}\""),
            ("not json", "not json"),
        ] {
            assert!(is_own(sent.as_bytes(), shown.as_bytes()), "{sent} {shown}");
        }
    }

    #[test]
    fn somebody_elses_write_is_not_the_writers_own() {
        for (sent, shown) in [
            (r#"{"a":1}"#, r#"{"a":2}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"a":1,"b":2}"#, r#"{"a":1}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
            (r#"{"a":"1"}"#, r#"{"a":1}"#),
            ("12345678901234567890", "12345678901234567000"),
            ("123456789012345678901234567890", "123456789012345678901234567891"),
            ("-1", "1"),
            ("text", "other text"),
            (r#"{"a":1}"#, ""),
            // Which of the two was stored, and was it by this writer?
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":1}"#),
            (r#"{"$serde_json::private::Number":"1"}"#, "1"),
        ] {
            assert!(!is_own(sent.as_bytes(), shown.as_bytes()), "{sent} {shown}");
        }
    }

    #[test]
    fn only_a_put_that_succeeded_is_read_back() {
        let ok = StatusCode::NO_CONTENT;
        assert!(reads_back(ReadBack::Auto, &Method::PUT, true, ok));
        assert!(!reads_back(ReadBack::Auto, &Method::PUT, false, ok));
        assert!(reads_back(ReadBack::Always, &Method::PUT, false, ok));
        assert!(!reads_back(ReadBack::Always, &Method::POST, true, ok));
        assert!(!reads_back(ReadBack::Never, &Method::PUT, true, ok));
        assert!(!reads_back(ReadBack::Always, &Method::PUT, true, StatusCode::CONFLICT));
        assert!(!reads_back(ReadBack::Always, &Method::PUT, true, StatusCode::ACCEPTED));
    }
}
