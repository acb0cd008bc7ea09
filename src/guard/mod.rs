//! May the write be applied? Three pure questions: *plan*, *evaluate*, *settle*.
//!
//! They do no I/O, read no clock and cannot fail. What they answer is evidence: sending a guarded write asks for
//! a [`verdict::Clearance`], and only [`plan::plan`] and [`evaluate::evaluate`] make one. [`replay::replayed`] looks once more at a PUT that
//! failed.

pub mod evaluate;
pub mod plan;
pub mod policy;
pub mod replay;
pub mod settle;
pub mod verdict;
