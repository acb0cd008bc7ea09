//! The rules, where they were written, and how often each applied.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use serde::Serialize;

use super::told::Fate;
use crate::decision::record::Decision;
use crate::guard::policy::{Treatment, Unconditional};
use crate::rule::select::Rules;

/// A rule and what came of the writes on record that it applied to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Told {
    /// Its name.
    pub(super) name: String,
    /// Which paths it stands for.
    pub(super) path: String,
    /// Where it was written, as in `staleguard.toml:14`.
    pub(super) source: String,
    /// `enforce` or `observe`.
    pub(super) mode: &'static str,
    /// What writes that state nothing get, as in `PUT 409 over a document`; exceptions come behind.
    pub(super) unconditional: Vec<String>,
    /// The writes on record.
    pub(super) writes: u64,
    /// Those that were refused.
    pub(super) refused: u64,
    /// Those that went on and are refused where enforced.
    pub(super) would_refuse: u64,
}

/// The rules in their order.
pub(super) fn told(rules: &Rules, decisions: &[Arc<Decision>]) -> Vec<Told> {
    let mut counts: HashMap<&str, [u64; 3]> = HashMap::new();
    for decision in decisions {
        let [writes, refused, would_refuse] = counts.entry(&decision.resource).or_default();
        let fate = Fate::of(decision);
        *writes += 1;
        *refused += u64::from(fate == Fate::Refused);
        *would_refuse += u64::from(fate == Fate::WouldRefuse);
    }
    let told = |rule: &Arc<crate::rule::Rule>| {
        let [writes, refused, would_refuse] = counts.get(&*rule.name).copied().unwrap_or_default();
        let exceptions = rule.when.iter().flat_map(|when| {
            let fields: Vec<&str> = when.header.iter().map(|(name, _)| name.as_str()).collect();
            let where_ = format!(" (by {})", fields.join(", "));
            unconditional(&when.unconditional).into_iter().map(move |text| text + &where_)
        });
        Told {
            name: rule.name.to_string(),
            path: rule.pattern.to_string(),
            source: rule.source.to_string(),
            mode: rule.mode.as_str(),
            unconditional: unconditional(&rule.unconditional).into_iter().chain(exceptions).collect(),
            writes,
            refused,
            would_refuse,
        }
    };
    rules.0.iter().map(told).collect()
}

/// What each method gets, in the methods' order.
fn unconditional(of: &HashMap<Method, Unconditional>) -> Vec<String> {
    let mut methods: Vec<_> = of.iter().collect();
    methods.sort_by_key(|(method, _)| method.as_str());
    methods
        .into_iter()
        .map(|(method, unconditional)| format!("{method} {}", treated(unconditional)))
        .collect()
}

fn treated(Unconditional { existing, missing }: &Unconditional) -> String {
    match (existing, missing) {
        (Treatment::Forward, Treatment::Forward) => "goes on".to_owned(),
        (Treatment::Refuse(one), Treatment::Refuse(other)) if one == other => one.as_u16().to_string(),
        (Treatment::Refuse(one), Treatment::Forward) => format!("{} over a document", one.as_u16()),
        (Treatment::Forward, Treatment::Refuse(one)) => format!("{} where there is none", one.as_u16()),
        (Treatment::Refuse(one), Treatment::Refuse(other)) => {
            format!("{} over a document, {} where there is none", one.as_u16(), other.as_u16())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::super::sample::{self, Sample, decision};
    use super::*;

    #[test]
    fn each_rule_is_told_with_its_place_and_its_counts() {
        let rules = sample::rules("[resource.state]\nmode = \"observe\"\n");
        let would = Sample { verdict: "precondition-missing", would_be: Some(409), ..Sample::default() };
        let decisions: Vec<_> =
            [would, Sample::default()].iter().map(|sample| Arc::new(decision(sample))).collect();
        let told = told(&rules, &decisions);
        let state = told.iter().find(|rule| rule.name == "state").expect("it is in the preset");
        assert_eq!((state.source.as_str(), state.mode), ("s.toml:1", "observe"));
        assert_eq!(state.path, "/**/activities/state");
        assert_eq!((state.writes, state.refused, state.would_refuse), (2, 0, 1));
        let profile = told.iter().find(|rule| rule.name == "agent-profile").expect("it is in the preset");
        assert_eq!((profile.writes, profile.mode), (0, "enforce"));
        assert!(profile.unconditional.iter().any(|text| text == "PUT 409 over a document"), "{profile:?}");
    }

    #[test]
    fn what_a_writer_gets_that_states_nothing() {
        let refuse = |status| Treatment::Refuse(StatusCode::from_u16(status).expect("a status"));
        for (unconditional, expected) in [
            (Unconditional::FORWARD, "goes on"),
            (Unconditional::CONFLICT, "409 over a document"),
            (Unconditional::REQUIRE, "428"),
            (Unconditional { existing: Treatment::Forward, missing: refuse(400) }, "400 where there is none"),
            (
                Unconditional { existing: refuse(409), missing: refuse(400) },
                "409 over a document, 400 where there is none",
            ),
        ] {
            assert_eq!(treated(&unconditional), expected);
        }
    }
}
