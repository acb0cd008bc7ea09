//! An upstream for measurements: it answers from memory, stores nothing, and costs next to nothing, since it shares a
//! core with what makes the load.
//!
//! The first segment of a target's path says how large the document there is: `/1024/docs/7` has 1,024 bytes,
//! `/16384/xapi/activities/state?…` 16,384. It is in the path because Staleguard recalls nothing of a target with
//! parameters of its own, and because xAPI's resources may have any base path.
//!
//! | asked | answered |
//! |---|---|
//! | GET, HEAD | 200 with [`document::document`] of that size, without a validator |
//! | PUT, POST, PATCH, DELETE | 204, once the body is there whole; nothing is remembered |
//! | GET `/-/calls` | 200 with the number of requests so far, this one not counted |
//! | a target without a size | 404 |
//!
//! So a document never changes: its writer sends [`document::document`] itself, with the entity-tag of it, and is
//! current each time, whether Staleguard asks before the write or recalls.
//!
//! It is one thread with one epoll. It takes bodies by Content-Length only, and answers pipelined requests in turn.

pub mod document;
mod reply;
pub mod server;
