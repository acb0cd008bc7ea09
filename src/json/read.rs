//! Reading a JSON text as a value: only one that can be read in one way, and not one that takes a core for long.

use serde_json::Value;

use super::members::repeats_a_member;

/// The most values that a text may have. Each takes up to two hundred bytes of memory and some microseconds, and the core
/// does nothing else meanwhile; a document that somebody works with has far fewer.
const VALUES_MAX: usize = 100_000;

/// The value of a JSON text that can be read in one way only: which of two members of one name counts, servers do not
/// agree on (RFC 8259 §4). Nothing for what is no JSON, is nested more deeply than the parser goes, or has too many
/// values.
pub fn read(json: &[u8]) -> Option<Value> {
    if values_at_most(json) > VALUES_MAX {
        return None;
    }
    serde_json::from_slice(json).ok().filter(|value| !repeats_a_member(json, value))
}

/// No text has more values than this: each but the first stands behind one of these. Those within strings count as well.
fn values_at_most(json: &[u8]) -> usize {
    1 + json.iter().filter(|byte| matches!(byte, b',' | b'[' | b':')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_in_one_way_is_read() {
        for json in ["{}", " [1, {\"a\": null}]\n", "\"a,b,c\"", "1"] {
            assert!(read(json.as_bytes()).is_some(), "{json}");
        }
        for json in ["", "{", "{\"a\":1,\"a\":1}", "[1] 2", "nonsense"] {
            assert!(read(json.as_bytes()).is_none(), "{json}");
        }
    }

    #[test]
    fn what_would_take_a_core_for_long_is_not_read() {
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert!(read(list(VALUES_MAX - 1).as_bytes()).is_some());
        assert!(read(list(VALUES_MAX).as_bytes()).is_none());
        let deep = format!("[{}]", vec!["{\"\":0}"; VALUES_MAX / 2].join(","));
        assert!(read(deep.as_bytes()).is_none());
    }
}
