//! What was written before, beside what is written now: a failed If-Match is looked at once more.

use super::judge::Intent;
use super::{Exchange, tag_of};
use crate::body::contents::Contents;
use crate::fingerprint::{Algorithm, Fingerprint};
use crate::guard::evaluate::{evaluate, repairs};
use crate::guard::replay::replayed;
use crate::guard::settle::ReadBack;
use crate::guard::verdict::{Reason, Verdict};
use crate::memory::puts::{Produced, Successful};
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::repair::Repairs;
use crate::semantics::representation::{Current, Representation};
use crate::upstream::probe::Shown;

impl Exchange {
    /// Looks once more at a write whose If-Match failed, beside the last successful PUT of its document.
    ///
    /// Some clients take the SHA-1 of what they sent for the entity-tag of what the upstream then holds, and some send
    /// each PUT twice. Both count only as long as what that PUT produced is current.
    pub(super) async fn reconsider(
        &self,
        verdict: Verdict,
        intent: &Intent,
        found: &Representation,
    ) -> (Verdict, Repairs) {
        let first = (verdict, repairs(&intent.stated, found, intent.policy.matching));
        let (Verdict::Refuse(refusal), Representation::Current(current)) = (&first.0, found) else {
            return first;
        };
        if refusal.reason != Reason::IfMatchFailed {
            return first;
        }
        let Some(last) = self.memory.puts.last(intent.document) else { return first };
        let Some(other) = intent.by_alias(&last, current).or_else(|| intent.as_replay(&last, current)) else {
            return first;
        };
        if self.is_current(&last, intent, current).await { other } else { first }
    }

    /// Whether what a PUT produced is what its document holds now.
    async fn is_current(&self, last: &Successful, intent: &Intent, current: &Current) -> bool {
        let Intent { rule, head, .. } = intent;
        match &last.produced {
            Produced::Shown(shown) => shown.tag == current.tag,
            Produced::Unshown(contents) => {
                let contents = &Contents::from(contents.clone());
                // It shows what was sent, under this very entity-tag.
                let is_shown = async || {
                    let shown = self.pool.read_back(head, contents, &super::reading(rule)).await;
                    shown.and_then(Shown::own_tag).is_some_and(|tag| tag == current.tag)
                };
                tag_of(rule.etag, contents) == current.tag
                    || (rule.read_back != ReadBack::Never && is_shown().await)
            }
        }
    }
}

impl Intent {
    /// The verdict if the SHA-1 of what was last sent counts as an entity-tag too, where that lets the write go on.
    fn by_alias(&self, last: &Successful, current: &Current) -> Option<(Verdict, Repairs)> {
        if self.rule.etag != Algorithm::Sha1 {
            return None;
        }
        let alias = Some(sent(last));
        let aliased = Representation::Current(Current { alias, ..current.clone() });
        let verdict = evaluate(&self.policy, &self.stated, &aliased);
        let repairs = repairs(&self.stated, &aliased, self.policy.matching);
        matches!(verdict, Verdict::Forward(_)).then_some((verdict, repairs))
    }

    /// The verdict if this is the last PUT once more.
    fn as_replay(&self, last: &Successful, current: &Current) -> Option<(Verdict, Repairs)> {
        let put = self.put().filter(|_| self.carries_what_made(last))?;
        let verdict = replayed(&self.policy, &self.stated, &put, &last.put, last.at.elapsed(), &current.tag)?;
        Some((verdict, Repairs::NONE))
    }

    /// Whether it carries the same bytes as that PUT.
    fn carries_what_made(&self, last: &Successful) -> bool {
        match &last.produced {
            Produced::Shown(shown) => shown.sent == tag_of(Algorithm::Sha1, &self.contents),
            Produced::Unshown(contents) => *contents == self.contents.to_bytes(),
        }
    }
}

/// The SHA-1 of what a PUT carried, which some clients take for its document's entity-tag.
fn sent(put: &Successful) -> EntityTag {
    match &put.produced {
        Produced::Shown(shown) => shown.sent.clone(),
        Produced::Unshown(contents) => EntityTag::from_digest(&Fingerprint::of(Algorithm::Sha1, contents)),
    }
}
