//! *Learn* and *evaluate*: from what a write asks for to the word that it may go on, or to the answer that it gets instead.

use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::Exchange;
use super::answer::{self, Answer, Asked};
use super::failure::Failure;
use super::outcome::{Outcome, Step};
use super::recall::Lesson;
use crate::body::contents::Contents;
use crate::guard::evaluate::evaluate;
use crate::guard::plan::{Plan, plan};
use crate::guard::policy::Policy;
use crate::guard::verdict::{Clearance, Verdict};
use crate::resource::Document;
use crate::rule::Rule;
use crate::rule::identity::Identity;
use crate::semantics::credentials::{Certificate, Credentials};
use crate::semantics::preconditions::Preconditions;
use crate::semantics::put::{Came, Ground, Label, Put};
use crate::upstream;
use crate::upstream::probe::{Found, Probed};
use crate::upstream::streamed::Streamed;

/// What a write asks for, and of whom: all that is known before anybody is asked.
#[derive(Clone)]
pub(super) struct Intent {
    pub(super) rule: Arc<Rule>,
    /// Fit for the next hop.
    pub(super) head: Arc<Parts>,
    pub(super) contents: Contents,
    pub(super) identity: Identity,
    pub(super) document: Document,
    pub(super) stated: Preconditions,
    pub(super) policy: Policy,
}

/// What became of a write before it went upstream.
pub(super) enum Judged {
    /// It may go on, over what was found, if anybody was asked.
    Cleared(Clearance, Option<Found>),
    /// It goes nowhere, and this is its answer.
    Answered(Answer),
}

impl Exchange {
    /// Learns what the resource holds, if the verdict depends on it, and reaches the verdict. It needs the hold.
    pub(super) async fn judge(
        &self,
        intent: &Intent,
        asked: &mut Asked,
        outcome: &mut Outcome,
    ) -> Result<Judged, Failure> {
        let Intent { rule, head, identity, stated, policy, .. } = intent;
        let (verdict, found) = match plan(policy, stated) {
            Plan::Decided(verdict) => (verdict, None),
            Plan::Learn => match self.learn(rule, head, identity, outcome).await.map_err(Failure::Unsent)? {
                Probed::Found(found) => {
                    asked.heard_from(&found);
                    outcome.note_found(&found);
                    let verdict = evaluate(policy, stated, &found.representation);
                    let (verdict, repairs) = self.reconsider(verdict, intent, &found.representation).await;
                    outcome.repairs = repairs;
                    (verdict, Some(found))
                }
                Probed::HandBack(response) => {
                    outcome.verdict = Some("handed-back");
                    // What was asked was the probe.
                    let response = response.map(Streamed::untimed);
                    return Ok(Judged::Answered(answer::without_tag(response)));
                }
                Probed::Untold(untold) => return Err(Failure::Untold(untold)),
            },
        };
        outcome.verdict = Some(verdict.as_str());
        let answer = match verdict {
            Verdict::Forward(clearance) => {
                self.trust(rule, stated);
                let (clearance, found) = self.satisfy(intent, clearance, found, outcome).await;
                return Ok(Judged::Cleared(clearance, found));
            }
            Verdict::Refuse(refusal) => {
                found.into_iter().for_each(Found::give_back);
                if !outcome.recalled {
                    self.doubt(rule, head, &refusal).await;
                }
                answer::refused(&refusal, asked)
            }
            Verdict::Applied(tag) => {
                found.into_iter().for_each(Found::give_back);
                answer::applied(&tag, asked)
            }
        };
        Ok(Judged::Answered(answer))
    }

    /// Recalls what the resource holds, or asks. It needs the hold.
    pub(super) async fn learn(
        &self,
        rule: &Rule,
        head: &Parts,
        identity: &Identity,
        outcome: &mut Outcome,
    ) -> Result<Probed, upstream::failure::Failure> {
        let lesson = self.lesson(rule, head, identity);
        if let Some(found) = lesson.as_ref().and_then(|lesson| self.recall(rule, head, lesson)) {
            outcome.recalled = true;
            return Ok(Probed::Found(Found::recalled(found)));
        }
        self.probe(rule, head, identity, lesson, outcome).await
    }

    /// Asks what the resource holds, and remembers what it is told.
    pub(super) async fn probe(
        &self,
        rule: &Rule,
        head: &Parts,
        identity: &Identity,
        lesson: Option<Lesson>,
        outcome: &mut Outcome,
    ) -> Result<Probed, upstream::failure::Failure> {
        let asks = outcome.begins(Step::Probe);
        let probed = self.pool.probe(head, &super::reading(rule)).await;
        outcome.asked(asks);
        let probed = probed?;
        if let Probed::Found(found) = &probed {
            self.told(lesson.as_ref(), found);
        }
        Ok(match probed {
            Probed::Found(found) if identity.is_collection => {
                Probed::Found(Found { representation: found.representation.of_collection(), ..found })
            }
            probed => probed,
        })
    }

    /// Gives a PUT that states nothing what the upstream wants to hear, where the rule says so and the upstream will
    /// tell: the last write wins, as it would before an upstream that wants nothing.
    ///
    /// The verdict stands already, so that whatever goes wrong here leaves the write as it came.
    async fn satisfy(
        &self,
        intent: &Intent,
        clearance: Clearance,
        found: Option<Found>,
        outcome: &mut Outcome,
    ) -> (Clearance, Option<Found>) {
        let Intent { rule, head, identity, stated, .. } = intent;
        if !rule.satisfies || head.method != Method::PUT || !stated.is_empty() {
            return (clearance, found);
        }
        let found = match found {
            Some(found) => found,
            None => match self.learn(rule, head, identity, outcome).await {
                Ok(Probed::Found(found)) => found,
                Ok(Probed::HandBack(_) | Probed::Untold(_)) | Err(_) => return (clearance, None),
            },
        };
        (clearance.satisfying(&found.representation), Some(found))
    }
}

impl Intent {
    /// What a write asks for whose head is fit for the next hop.
    pub(super) fn of(rule: &Arc<Rule>, head: Parts, contents: Contents, identity: Identity) -> Self {
        let document = super::document(&head, &identity);
        let stated = Preconditions::from_fields(&head.headers, rule.matching);
        let policy = rule.policy(&head.method, &head.headers);
        let head = Arc::new(head);
        Self { rule: Arc::clone(rule), head, contents, identity, document, stated, policy }
    }

    /// A PUT, reduced to what tells it from another of the same bytes; nothing for any other method.
    pub(super) fn put(&self) -> Option<Put> {
        let fields = &self.head.headers;
        (self.head.method == Method::PUT).then(|| Put {
            ground: Ground::of(fields),
            label: Label::of(fields),
            credentials: Credentials::of(fields, Certificate::of(&self.head)),
            came: Came::of(fields),
        })
    }
}
