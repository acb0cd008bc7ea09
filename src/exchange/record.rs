//! What of a write is recorded, noted as soon as it is known.

use http::request::Parts;

use super::Exchange;
use super::outcome::Outcome;
use crate::decision::facts::Facts;
use crate::rule::Rule;
use crate::rule::identity::Identity;
use crate::upstream::probe::Found;

impl Exchange {
    /// Notes what the head of a write tells. Of what is no write there is no record: nothing is decided of it.
    pub(super) fn note_facts(&self, rule: &Rule, head: &Parts, outcome: &mut Outcome) {
        let pseudonyms = self.decisions.pseudonyms();
        let facts = || {
            let mut facts = Facts::of(head, &rule.source, pseudonyms);
            facts.comes_from(outcome.origin(), pseudonyms);
            Box::new(facts)
        };
        outcome.facts = (!head.method.is_safe()).then(facts);
    }

    /// Notes which document a write names.
    pub(super) fn note_identity(&self, identity: &Identity, outcome: &mut Outcome) {
        let Identity { key, scope, is_collection, .. } = identity;
        if let Some(facts) = &mut outcome.facts {
            facts.names(key, *scope, *is_collection, self.decisions.pseudonyms());
        }
    }
}

impl Outcome {
    /// Notes what a resource was found to hold.
    pub(super) fn note_found(&mut self, found: &Found) {
        if let Some(facts) = &mut self.facts {
            facts.found(&found.representation, &found.fields);
        }
    }
}
