//! Bodies that travel through the proxy: whole ones, and streams that are not allowed to stall.

pub mod budget;
pub mod contents;
pub mod paced;
