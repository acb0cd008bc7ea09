//! JSON texts as values: which are the same, and the one spelling that each of them has.

pub mod canonical;
pub mod members;
pub mod read;
pub mod same;
#[cfg(test)]
pub mod spelling;
