//! The protocol of a guarded write, simulated: the product's own holds and verdicts on a clock that stands still unless
//! everybody waits.
//!
//! What is simulated is what lies between `Exchange::write` and the upstream: [`staleguard::memory::holds`], plan,
//! evaluate and settle are the product's, and the wire is not: it is a task that applies a write some time after it was
//! sent. Sockets and HTTP are `tests/model`'s business.

#[allow(dead_code, reason = "the dice are those of tests/model, and not all of them are thrown here")]
#[path = "../../model/dice.rs"]
mod dice;
pub mod simulation;
