//! Staleguard gives optimistic concurrency to HTTP backends that have none.
//!
//! A request passes nine stages, and each has one word, which is the same in function names, log fields and
//! documents: *accept → select → identify → hold → learn → evaluate → forward → settle → answer*.
//!
//! The rooms, from the ground up. A room imports only from lower floors; `tests/tidy.rs` holds this.
//!
//! | floor | rooms |
//! |---|---|
//! | 7 | [`command`]: one file a verb |
//! | 6 | [`config`]: the file as written becomes the settings as meant |
//! | 5 | [`server`]: sockets, TLS, connections, drain, metrics · [`admin`]: health, figures, the page |
//! | 4 | [`exchange`]: one request, from its head to its answer |
//! | 3 | [`rule`]: which resource and document is it · [`upstream`]: sending, probing · [`decision`]: the records |
//! | 2 | [`guard`]: may the write be applied · [`memory`]: holds, and what passed through here · [`xapi`]: agents, alternate syntax |
//! | 1 | [`semantics`]: RFC 9110's words · [`resource`] · [`fingerprint`] · [`json`] · [`body`] · [`net`] · [`drain`] · [`fault`] |

pub mod admin;
pub mod body;
pub mod command;
pub mod config;
pub mod decision;
pub mod drain;
pub mod exchange;
pub mod fault;
pub mod fingerprint;
pub mod guard;
pub mod json;
pub mod memory;
pub mod net;
pub mod resource;
pub mod rule;
pub mod semantics;
pub mod server;
pub mod upstream;
pub mod xapi;
