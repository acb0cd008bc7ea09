//! HTTP's own words as types: entity-tags, preconditions, representations and field names (RFC 9110).
//!
//! Nothing here does I/O or knows of rules, and no value can be built malformed.

pub mod cors;
pub mod credentials;
pub mod entity_tag;
pub mod fields;
pub mod hex;
pub mod last_modified;
pub mod preconditions;
pub mod put;
pub mod repair;
pub mod representation;
pub mod request_id;
pub mod trace;
pub mod websocket;
