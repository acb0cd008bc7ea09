//! Foresee: what would an enforcing proxy have made of a write that is observed?

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::ETAG;
use http::request::Parts;
use tokio::time::timeout;

use super::Exchange;
use super::failure::Failure;
use super::judge::Intent;
use super::outcome::{Outcome, Step};
use super::write::named;
use crate::body::contents::Contents;
use crate::guard::evaluate::evaluate;
use crate::guard::plan::{Plan, plan};
use crate::guard::verdict::Verdict;
use crate::memory::holds::Hold;
use crate::rule::Rule;
use crate::rule::identity::Unidentified;
use crate::semantics::preconditions::{Matching, Preconditions, Stated};
use crate::semantics::repair::{Repair, Repairs};
use crate::semantics::representation::Representation;
use crate::upstream;
use crate::upstream::failure::Failure as UpstreamFailure;
use crate::upstream::probe::{Found, Probed};

/// An observed write, and what is known of it before it goes on.
pub(super) struct Foreseen {
    pub(super) intent: Intent,
    /// Its turn to write; nothing where it goes on without.
    pub(super) hold: Option<Hold>,
    /// What the resource was found to hold.
    pub(super) found: Option<Found>,
    /// Whether an enforcing proxy would have let it go on, or may have.
    pub(super) goes_on: bool,
}

/// What was learned for a forecast.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once and never kept")]
enum Learned {
    Found(Found),
    /// Nothing, and this would have been the answer.
    Nothing(&'static str, Option<StatusCode>),
}

impl Outcome {
    /// Notes the verdict on what is observed, and what an enforcing proxy would have answered by itself.
    pub(super) fn foresee(&mut self, verdict: &'static str, status: Option<StatusCode>) {
        (self.verdict, self.foreseen) = (Some(verdict), status);
    }

    /// Notes that an enforcing proxy would have failed like this.
    pub(super) fn foresee_failure(&mut self, failure: &Failure) {
        self.foresee(failure.as_str(), Some(failure.status()));
    }
}

impl Exchange {
    /// Reaches the verdict that an enforcing proxy would have reached, as far as that is possible, under a hold where
    /// one can be had.
    pub(super) async fn foresee(
        self: &Arc<Self>,
        rule: &Arc<Rule>,
        head: &Parts,
        contents: &Contents,
        outcome: &mut Outcome,
    ) -> Option<Foreseen> {
        let identity = match named(rule, head, contents) {
            Ok(identity) => identity,
            Err(Unidentified::Ambiguous(_)) => {
                outcome.foresee("ambiguous", Some(StatusCode::BAD_REQUEST));
                return None;
            }
            Err(Unidentified::Unnamed(_)) => {
                outcome.foresee("unidentified", Some(StatusCode::BAD_REQUEST));
                return None;
            }
        };
        let intent = Intent::of(rule, head.clone(), contents.clone(), identity);
        self.note_identity(&intent.identity, outcome);
        outcome.suspicious = self.is_suspicious(&intent.identity, intent.stated.if_match.as_ref(), outcome);
        let hold = match self.turn(&intent, outcome).await {
            Ok(hold) => hold,
            Err(denied) => {
                outcome.foresee_failure(&denied);
                return Some(Foreseen { intent, hold: None, found: None, goes_on: false });
            }
        };
        let (found, goes_on) = self.forecast(&intent, outcome).await;
        Some(Foreseen { intent, hold, found, goes_on })
    }

    /// Waits for the turn to write, unless observed writes do not wait for each other.
    async fn turn(&self, intent: &Intent, outcome: &mut Outcome) -> Result<Option<Hold>, Failure> {
        if !self.settings.observe.serialise {
            return Ok(None);
        }
        let waits = outcome.begins(Step::Hold);
        let hold = self.hold(&intent.rule, intent.identity.scope).await;
        outcome.waited(waits);
        hold.map(Some).map_err(Failure::Denied)
    }

    /// Reaches the verdict; gives what was found for it, and whether the write would have gone on.
    async fn forecast(&self, intent: &Intent, outcome: &mut Outcome) -> (Option<Found>, bool) {
        let must_ask = self.must_know_tags(&intent.rule, &intent.head.headers);
        let decided = match plan(&intent.policy, &intent.stated) {
            Plan::Decided(verdict) if !intent.is_malformed_as_upstreams_may_be() => Some(verdict),
            Plan::Decided(_) | Plan::Learn => None,
        };
        if let Some(verdict) = &decided
            && !must_ask
        {
            return (None, outcome.foresee_verdict(verdict));
        }
        match self.learn_observed(intent, must_ask, outcome).await {
            Learned::Found(found) => {
                outcome.note_found(&found);
                let verdict = match decided {
                    Some(verdict) => verdict,
                    None => self.judge_observed(intent, &found, outcome).await,
                };
                (Some(found), outcome.foresee_verdict(&verdict))
            }
            Learned::Nothing(word, status) => {
                match decided {
                    Some(verdict) => return (None, outcome.foresee_verdict(&verdict)),
                    None => outcome.foresee(word, status),
                }
                (None, status.is_none())
            }
        }
    }

    /// Judges an observed write over what was found. Its client was shown the upstream's entity-tags and counts as if
    /// it had been shown ours.
    async fn judge_observed(&self, intent: &Intent, found: &Found, outcome: &mut Outcome) -> Verdict {
        let given = intent.as_if_shown(found);
        let verdict = match plan(&given.policy, &given.stated) {
            Plan::Decided(verdict) => verdict,
            Plan::Learn => evaluate(&given.policy, &given.stated, &found.representation),
        };
        let (verdict, repairs) = self.reconsider(verdict, &given, &found.representation).await;
        let by_theirs = given.stated != intent.stated && !matches!(verdict, Verdict::Refuse(_));
        outcome.repairs = Repairs::with(repairs, Repair::UpstreamTag, by_theirs);
        verdict
    }

    /// Recalls what the resource holds, or asks: for the share of writes that is asked for, and for no longer than a
    /// read-back may take, since nobody needs the answer.
    async fn learn_observed(&self, intent: &Intent, must_ask: bool, outcome: &mut Outcome) -> Learned {
        let Intent { rule, head, identity, .. } = intent;
        let lesson = self.lesson(rule, head, identity);
        if let Some(found) = lesson.as_ref().and_then(|lesson| self.recall(rule, head, lesson))
            && intent.is_foreseen_by(&found)
        {
            outcome.recalled = true;
            return Learned::Found(Found::recalled(found));
        }
        if !self.observed.asks(self.settings.observe.sample) && !must_ask {
            return Learned::Nothing("not-sampled", None);
        }
        let asks = Instant::now();
        let asked = self.probe(rule, head, identity, lesson, outcome);
        let probed = timeout(self.pool.settings().read_back_timeout, asked).await;
        outcome.asked(asks);
        self.learned_from(rule, probed.unwrap_or(Err(UpstreamFailure::ResponseTimeout)))
    }

    fn learned_from(&self, rule: &Rule, probed: Result<Probed, upstream::failure::Failure>) -> Learned {
        let failed = |word, failure: Failure| Learned::Nothing(word, Some(failure.status()));
        match probed {
            Ok(Probed::Found(found)) => {
                if let Representation::Current(_) = found.representation {
                    self.observed.has_shown(rule, found.fields.contains_key(ETAG));
                }
                Learned::Found(found)
            }
            Ok(Probed::HandBack(response)) => Learned::Nothing("handed-back", Some(response.status())),
            Ok(Probed::Untold(untold)) => failed(untold.as_str(), Failure::Untold(untold)),
            Err(failure) => failed("unknown", Failure::Unsent(failure)),
        }
    }
}

impl Outcome {
    /// Notes a verdict, and says whether it lets the write go on.
    fn foresee_verdict(&mut self, verdict: &Verdict) -> bool {
        let status = match verdict {
            Verdict::Forward(_) => None,
            Verdict::Refuse(refusal) => Some(refusal.status),
            Verdict::Applied(_) => Some(StatusCode::NO_CONTENT),
        };
        self.foresee(verdict.as_str(), status);
        !matches!(verdict, Verdict::Refuse(_))
    }
}

impl Intent {
    /// What the write would ask for if its client had been shown our entity-tag in the place of the upstream's.
    fn as_if_shown(&self, found: &Found) -> Self {
        let mut given = self.clone();
        if let (Representation::Current(current), Some(theirs)) = (&found.representation, theirs(found)) {
            given.stated = self.leniently().given(&current.tag, &theirs).under(self.rule.matching);
        }
        given
    }

    /// Whether matching is strict and what is stated no entity-tag, and yet it may be what the upstream gave: then its
    /// client would have stated ours as it should.
    fn is_malformed_as_upstreams_may_be(&self) -> bool {
        self.stated.is_malformed() && !self.leniently().is_malformed()
    }

    fn leniently(&self) -> Preconditions {
        Preconditions::from_fields(&self.head.headers, Matching::Lenient)
    }

    /// Whether what is recalled is enough for a forecast. Only strong entity-tags of the upstream are remembered, and
    /// an observed client may hold one that is none.
    fn is_foreseen_by(&self, found: &Representation) -> bool {
        !self.leniently().lists(|_| true)
            || matches!(evaluate(&self.policy, &self.stated, found), Verdict::Forward(_))
    }
}

/// The upstream's entity-tag as it has sent it, in whatever form: so its clients state it.
pub(super) fn theirs(found: &Found) -> Option<Stated> {
    let mut values = found.fields.get_all(ETAG).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Stated::read(value),
        _ => None,
    }
}
