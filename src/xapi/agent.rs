//! Agents: an agent is its one identifier, whatever else its JSON says (xAPI Data §2.4.2).
