//! What was written before, beside what is written now: a failed If-Match is looked at once more, and a write that an
//! upstream would refuse for want of a precondition gets one.

use std::net::IpAddr;

use http::Method;
use http::request::Parts;
use tokio::time::Instant;

use super::Exchange;
use super::outcome::Outcome;
use crate::body::contents::Contents;
use crate::fingerprint::{Algorithm, Fingerprint};
use crate::guard::evaluate::{evaluate, repairs};
use crate::guard::policy::Policy;
use crate::guard::replay::replayed;
use crate::guard::settle::ReadBack;
use crate::guard::verdict::{Clearance, Reason, Verdict};
use crate::memory::puts::{Produced, Successful};
use crate::resource::Document;
use crate::rule::Rule;
use crate::rule::identity::Identity;
use crate::semantics::credentials::Credentials;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::preconditions::Preconditions;
use crate::semantics::put::{Label, Put};
use crate::semantics::repair::Repairs;
use crate::semantics::representation::{Current, Representation};
use crate::upstream::probe::{Found, Probed, Shown};

/// A write whose verdict is looked at once more.
pub(super) struct Judged<'a> {
    pub(super) rule: &'a Rule,
    pub(super) policy: &'a Policy,
    pub(super) head: &'a Parts,
    pub(super) stated: &'a Preconditions,
    pub(super) contents: &'a Contents,
    pub(super) client: IpAddr,
    pub(super) document: Document,
    pub(super) found: &'a Representation,
}

impl Exchange {
    /// Looks once more at a write whose If-Match failed, beside the last successful PUT of its document.
    ///
    /// Some clients take the SHA-1 of what they sent for the entity-tag of what the upstream then holds, and some send
    /// each PUT twice. Both count only as long as what that PUT produced is current.
    pub(super) async fn reconsider(&self, verdict: Verdict, write: &Judged<'_>) -> (Verdict, Repairs) {
        let first = (verdict, repairs(write.stated, write.found, write.policy.matching));
        let (Verdict::Refuse(refusal), Representation::Current(current)) = (&first.0, write.found) else {
            return first;
        };
        if refusal.reason != Reason::IfMatchFailed {
            return first;
        }
        let Some(last) = self.memory.puts.last(write.document) else { return first };
        let Some(other) = write.by_alias(&last, current).or_else(|| write.as_replay(&last, current)) else {
            return first;
        };
        if self.is_current(&last, write, current).await { other } else { first }
    }

    /// Whether what a PUT produced is what its document holds now.
    async fn is_current(&self, last: &Successful, write: &Judged<'_>, current: &Current) -> bool {
        match &last.produced {
            Produced::Shown(tag) => *tag == current.tag,
            Produced::Unshown(contents) => {
                fingerprint(write.rule.etag, contents) == current.tag
                    || (write.rule.read_back != ReadBack::Never && self.shows(write, contents, current).await)
            }
        }
    }

    /// Whether the upstream shows what was sent, under this very entity-tag.
    async fn shows(&self, write: &Judged<'_>, sent: &Contents, current: &Current) -> bool {
        let shown = self.pool.read_back(write.head, sent, &super::reading(write.rule)).await;
        shown.and_then(Shown::own_tag).is_some_and(|tag| tag == current.tag)
    }

    /// Remembers a PUT that has succeeded, and what a read-back has shown of it. Its hold is still held.
    pub(super) fn remember(
        &self,
        document: Document,
        put: Put,
        contents: &Contents,
        shown: Option<EntityTag>,
    ) {
        let produced = shown.map_or_else(|| Produced::Unshown(contents.clone()), Produced::Shown);
        self.memory.puts.remember(document, Successful { put, at: Instant::now(), produced });
    }
}

impl Exchange {
    /// Gives a write that states nothing what the upstream wants to hear, if it will tell: the last write wins, as it
    /// would before an upstream that wants nothing.
    ///
    /// The verdict stands already, so that whatever goes wrong here leaves the write as it came.
    pub(super) async fn satisfy(
        &self,
        rule: &Rule,
        head: &Parts,
        identity: &Identity,
        found: Option<Found>,
        clearance: &mut Clearance,
        outcome: &mut Outcome,
    ) -> Option<Found> {
        let found = match found {
            Some(found) => found,
            None => match self.learn(rule, head, identity, outcome).await {
                Ok(Probed::Found(found)) => found,
                Ok(Probed::HandBack(_) | Probed::Untold(_)) | Err(_) => return None,
            },
        };
        *clearance = clearance.clone().satisfying(&found.representation);
        Some(found)
    }
}

impl Judged<'_> {
    /// The verdict if the SHA-1 of what was last sent counts as an entity-tag too, where that lets the write go on.
    fn by_alias(&self, last: &Successful, current: &Current) -> Option<(Verdict, Repairs)> {
        if self.rule.etag != Algorithm::Sha1 {
            return None;
        }
        let alias = Some(last.put.sent.clone());
        let aliased = Representation::Current(Current { alias, ..current.clone() });
        let verdict = evaluate(self.policy, self.stated, &aliased);
        let repairs = repairs(self.stated, &aliased, self.policy.matching);
        matches!(verdict, Verdict::Forward(_)).then_some((verdict, repairs))
    }

    /// The verdict if this is the last PUT once more.
    fn as_replay(&self, last: &Successful, current: &Current) -> Option<(Verdict, Repairs)> {
        let put = put(self.head, self.stated, self.contents, self.client)?;
        let verdict = replayed(self.policy, &put, &last.put, last.at.elapsed(), &current.tag)?;
        Some((verdict, Repairs::NONE))
    }
}

/// A PUT, reduced to what tells it from another; nothing for any other method.
pub(super) fn put(head: &Parts, stated: &Preconditions, contents: &Contents, client: IpAddr) -> Option<Put> {
    (head.method == Method::PUT).then(|| Put {
        if_match: stated.if_match.clone(),
        sent: fingerprint(Algorithm::Sha1, contents),
        label: Label::of(&head.headers),
        credentials: Credentials::of(&head.headers),
        client: client.to_canonical(),
    })
}

fn fingerprint(algorithm: Algorithm, contents: &Contents) -> EntityTag {
    let mut fingerprint = Fingerprint::new(algorithm);
    contents.pieces().for_each(|piece| fingerprint.update(piece));
    EntityTag::from_digest(&fingerprint.finish())
}
