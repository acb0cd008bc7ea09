//! Decisions to count, for tests.

use http::{Method, Request};

use crate::decision::facts::Facts;
use crate::decision::pseudonym::Pseudonyms;
use crate::decision::record::{Decision, Found, Stated, WouldBe};
use crate::guard::policy::Mode;

/// What is of interest of a decision.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) time: &'static str,
    pub(super) resource: &'static str,
    pub(super) mode: Mode,
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) verdict: &'static str,
    pub(super) would_be: Option<u16>,
    pub(super) agent: Option<&'static str>,
    pub(super) from: u8,
    pub(super) document: u8,
    pub(super) stated: &'static str,
    /// Our entity-tag and the upstream's own.
    pub(super) found: Option<(&'static str, Option<&'static str>)>,
    pub(super) suspicious: bool,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            time: "2026-11-22T07:00:00.000Z",
            resource: "state",
            mode: Mode::Observe,
            method: "PUT",
            status: 204,
            verdict: "forward",
            would_be: None,
            agent: Some("TinCanJS"),
            from: 1,
            document: 1,
            stated: "none",
            found: None,
            suspicious: false,
        }
    }
}

thread_local! {
    static PSEUDONYMS: Pseudonyms = Pseudonyms::new();
}

/// The decision of a sample.
pub(super) fn decision(sample: &Sample) -> Decision {
    let (head, ()) = Request::put("/").body(()).expect("a request").into_parts();
    PSEUDONYMS.with(|pseudonyms| {
        let method = Method::from_bytes(sample.method.as_bytes()).expect("a method");
        let facts = Facts { method, ..Facts::of(&head, &"f.toml:1".into(), pseudonyms) };
        let mut decision = Decision::of(facts, sample.resource.into(), sample.mode);
        decision.time = sample.time.into();
        decision.status = sample.status;
        decision.would_be = WouldBe { verdict: sample.verdict.into(), status: sample.would_be };
        decision.client.agent = sample.agent.map(Into::into);
        decision.from = Some(pseudonyms.of("address", &sample.from));
        decision.document = Some(pseudonyms.of("document", &sample.document));
        decision.scope = Some(pseudonyms.of("scope", &sample.document));
        decision.stated = Stated { kind: sample.stated.into(), ..Stated::default() };
        decision.found = sample
            .found
            .map(|(tag, upstream)| Found { tag: Some(tag.into()), upstream: upstream.map(Into::into) });
        decision.suspicious = sample.suspicious;
        decision
    })
}

// A test may look at higher floors.
#[cfg(test)]
pub(super) fn rules(text: &str) -> crate::rule::select::Rules {
    use crate::config::{Config, environment::Environment};
    Config::rules("s.toml", text, &Environment::default()).expect("rules")
}
