//! What is held and what is known: the sole right to write in a scope.

pub mod holds;
