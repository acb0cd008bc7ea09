//! Faults that a test orders, so that what happens then can be seen from outside.
//!
//! Without the feature `test-faults` nothing can be ordered and nothing of this is left in the program.

use http::HeaderMap;

/// Whether a request orders this fault, by its field `staleguard-fault`.
#[cfg(feature = "test-faults")]
pub fn is_ordered(fields: &HeaderMap, fault: &str) -> bool {
    fields.get("staleguard-fault").is_some_and(|ordered| ordered == fault)
}

/// No fault can be ordered.
#[cfg(not(feature = "test-faults"))]
pub fn is_ordered(_fields: &HeaderMap, _fault: &str) -> bool {
    false
}
