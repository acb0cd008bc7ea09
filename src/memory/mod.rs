//! What is held and what is known: the sole right to write in a scope, and what was read a moment before.

pub mod holds;
pub mod recent_reads;
