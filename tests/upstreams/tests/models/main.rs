//! The models against the facts that they were made from.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod manners;
mod program;
mod request;
mod status;
