//! *Select*: which rule stands for a request?

use std::sync::Arc;

use http::request::Parts;

use super::Rule;

/// The rules of a configuration, the most specific first.
#[derive(Debug, Clone, Default)]
pub struct Rules(pub Vec<Arc<Rule>>);

/// What a request's path selects.
#[derive(Debug)]
pub enum Selection<'a> {
    /// No rule: the request is relayed untouched.
    Relay,
    /// This rule.
    Guarded(&'a Arc<Rule>),
    /// A spelling that some server would fold into a guarded path, and another would not: refused with 400.
    Ambiguous(&'a Arc<Rule>, String),
}

impl Rules {
    /// Finds the rule for a request by its path.
    pub fn select(&self, _request: &Parts) -> Selection<'_> {
        Selection::Relay
    }
}
