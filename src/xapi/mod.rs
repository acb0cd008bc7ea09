//! What is peculiar to xAPI (IEEE 9274.1.1 and its 1.0.x predecessors): agents, versions and the alternate request
//! syntax.

pub mod agent;
pub mod alternate;
pub mod version;
