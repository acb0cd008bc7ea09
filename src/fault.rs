//! Faults and defects that a test orders, so that what happens then can be seen from outside.
//!
//! Without the feature `test-faults` nothing can be ordered and nothing of this is left in the program.

use http::HeaderMap;

/// A defect that a test puts into the whole process, to see that its checkers find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Writers do not wait for each other.
    HoldTakenOut,
    /// After an unknown outcome the next writer gets in at once.
    ReleasedOnUnknown,
    /// The precondition is checked before the writer has its hold, and not again.
    CheckedBeforeHold,
    /// A write ends with its client's connection.
    TiedToClient,
    /// Writers do not wait for those who hold other scopes, from before a reload.
    ScopesNotAwaited,
    /// What is remembered of a document outlasts a write to it.
    GenerationNotRaised,
    /// What was told is remembered as of the moment of its answer, and not as of that of its question.
    GenerationAfterAnswer,
    /// The entity-tag of whatever a read-back shows is given to the writer.
    ReadBackUnseen,
}

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

/// Whether this process is to have this defect, by the variable `STALEGUARD_MUTANT` in its environment.
#[cfg(feature = "test-faults")]
pub fn is_mutant(mutant: Mutant) -> bool {
    use std::sync::LazyLock;
    static ORDERED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("STALEGUARD_MUTANT").ok());
    ORDERED.as_ref().is_some_and(|ordered| *ordered == format!("{mutant:?}"))
}

/// No process has a defect on purpose.
#[cfg(not(feature = "test-faults"))]
pub fn is_mutant(_mutant: Mutant) -> bool {
    false
}
