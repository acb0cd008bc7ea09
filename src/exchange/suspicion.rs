//! Suspicion: is a write's If-Match its writer's own, or did somebody on the way fetch its tag a moment before?
//!
//! Nothing is refused for it: a tag that names the current representation is as good as any, whoever put it there.

use std::net::IpAddr;
use std::time::Instant;

use http::header::ETAG;
use http::{HeaderMap, StatusCode};

use super::Exchange;
use super::answer::Answer;
use super::outcome::Outcome;
use crate::memory::recent_reads::Read;
use crate::rule::identity::Identity;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::preconditions::Condition;

impl Exchange {
    /// Remembers the entity-tag that the reader of a document is about to be given, where it names one.
    ///
    /// It is what the answer says, which in observe mode is the upstream's own. A 304 says it again
    /// (RFC 9110 §15.4.5).
    pub(super) fn note_read(&self, identity: Option<&Identity>, answer: &Answer, outcome: &Outcome) {
        if let Some(Identity { key: document, .. }) = identity
            && matches!(answer.status(), StatusCode::OK | StatusCode::NOT_MODIFIED)
            && let Some(tag) = given(answer.headers())
        {
            let read = Read { peer: peer(outcome), document, opaque: &tag.opaque() };
            self.memory.recent_reads.remember(&read, Instant::now());
        }
    }

    /// Whether a write states a tag of this document that its peer was given only just before it began.
    ///
    /// `*` names no tag, so it says nothing of what its writer has seen.
    pub(super) fn is_suspicious(
        &self,
        identity: &Identity,
        if_match: Option<&Condition>,
        outcome: &Outcome,
    ) -> bool {
        if_match.into_iter().flat_map(Condition::tags).any(|tag| {
            let read = Read { peer: peer(outcome), document: &identity.key, opaque: &tag.opaque() };
            self.memory.recent_reads.holds(&read, outcome.began)
        })
    }
}

fn given(fields: &HeaderMap) -> Option<EntityTag> {
    fields.get(ETAG).and_then(EntityTag::from_field)
}

fn peer(outcome: &Outcome) -> Option<IpAddr> {
    outcome.client.address.ip()
}
