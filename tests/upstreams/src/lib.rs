//! Learning Record Stores (LRSs) with the manners of real ones, in memory, to test Staleguard in front of them.
//!
//! What six LRSs were seen to do, or do by their sources, with ETags, preconditions and documents stands in a file for
//! each: [`learning_locker`], [`pelotech`], [`trax`], [`lars`], [`adl_lrs`], [`lrsql`]. Each is an implementation of
//! [`manners::Manners`], whose provided methods are what most of them do. The rest is shared: [`lrs`] answers requests,
//! [`address`] reads which document they name, [`documents`] keeps it. `tests/models/status.txt` and `manners.txt` hold
//! the models to what was seen.
//!
//! A model is as good as the facts it was made from, so nothing here takes a real LRS's place as a proof. What does not
//! bear on concurrency is kept to what clients need to connect: credentials and versions are taken as they come.

mod address;
mod adl_lrs;
mod alternate;
mod cors;
mod dates;
mod documents;
mod json;
mod lars;
mod learning_locker;
pub mod lrs;
mod lrsql;
mod manners;
pub mod name;
mod pelotech;
mod reply;
pub mod server;
mod statements;
mod trax;
