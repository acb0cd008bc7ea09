//! Staleguard from outside: the binary between real sockets, one file per stage and one per promise.
//!
//! One test binary rather than one per file, so that it is linked once. What the tests share is in `support`:
//! the proxy as a child process, a client and an upstream that deal in bytes. Nothing here sleeps where an event
//! can be awaited, and every wait ends after [`support::PATIENCE`].
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]
#![allow(clippy::print_stderr, reason = "a failed test shows what the proxy said")]

mod accept;
mod admin;
mod alternate;
mod answer;
mod bad_input;
mod budget;
mod bypass;
mod checkout;
mod command;
mod cors;
mod deadline;
mod decisions;
mod doctor;
mod drain;
mod evaluate;
mod explain;
mod forward;
mod forwarded;
mod healthcheck;
mod hold;
mod holes;
mod http2;
mod identify;
mod kit;
mod last_modified;
mod leaks;
mod learn;
mod lrs;
mod metrics;
mod observe;
mod page;
#[cfg(feature = "test-faults")]
mod panic;
mod races;
mod recall;
mod reconsider;
mod relay;
mod reload;
mod repairs;
mod request_id;
mod select;
mod settle;
mod slow;
mod smuggling;
mod steadiness;
mod support;
mod suspicion;
mod tls;
mod traces;
mod unix;
mod untold;
mod upgrade;
mod what_if;
