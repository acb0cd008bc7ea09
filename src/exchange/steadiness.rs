//! Steadiness: does the upstream give the same answer twice when nobody has written in between?
//!
//! Where it does not, no entity-tag of ours names anything by the time it comes back, and every conditional write is
//! refused. Nobody is asked to find out, until several writers in a row have named what is not there.

use std::sync::Arc;

use dashmap::DashMap;
use http::request::Parts;
use tokio::time::timeout;

use super::Exchange;
use crate::fingerprint::Subject;
use crate::guard::verdict::{Reason, Refusal};
use crate::rule::Rule;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::preconditions::{Condition, Preconditions};
use crate::semantics::representation::Representation;
use crate::upstream::pool::Lease;
use crate::upstream::probe::Probed;

/// How many refusals in a row make it worth asking.
const DOUBTFUL: u8 = 3;

/// What upstreams are doubted for, by the names of resources; shared by all cores.
#[derive(Debug, Default)]
pub struct Steadiness(DashMap<Arc<str>, Doubt>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// So many writers in a row have named what was not there.
    Refused(u8),
    /// It was reported, once for the life of the process.
    Reported,
}

impl Steadiness {
    /// Counts a refusal, and says whether it is time to ask; then the count begins anew.
    fn is_doubtful(&self, resource: &Arc<str>) -> bool {
        let mut doubt = self.0.entry(Arc::clone(resource)).or_insert(Doubt::Refused(0));
        let Doubt::Refused(refused) = &mut *doubt else { return false };
        *refused = (*refused + 1) % DOUBTFUL;
        *refused == 0
    }

    /// Forgets the refusals: somebody's entity-tag has named something.
    fn trust(&self, resource: &Arc<str>) {
        self.0.remove_if(resource, |_, doubt| *doubt != Doubt::Reported);
    }

    /// Whether it was reported that this resource's upstream never answers alike.
    pub(super) fn is_reported(&self, resource: &Arc<str>) -> bool {
        self.0.get(resource).is_some_and(|doubt| *doubt == Doubt::Reported)
    }

    /// Whether this is the first report.
    fn is_news(&self, resource: &Arc<str>) -> bool {
        self.0.insert(Arc::clone(resource), Doubt::Reported) != Some(Doubt::Reported)
    }
}

impl Exchange {
    /// Notes that a stated entity-tag has named what the upstream holds.
    pub(super) fn trust(&self, rule: &Rule, stated: &Preconditions) {
        // `*` names whatever there is, and says nothing of how long a tag lasts.
        if matches!(stated.if_match, Some(Condition::Tags(_))) {
            self.steadiness.trust(&rule.name);
        }
    }

    /// Notes a refusal, under the hold that led to it, and asks twice more where too many came in a row.
    ///
    /// It takes `read-back-timeout` at most, no failure of it is told to anybody, and the refusal stays what it is.
    pub(super) async fn doubt(&self, rule: &Rule, head: &Parts, refusal: &Refusal) {
        let (Reason::IfMatchFailed, Some(first)) = (refusal.reason, &refusal.current) else { return };
        if !self.steadiness.is_doubtful(&rule.name) {
            return;
        }
        let asked = async { Some((self.tag_now(rule, head).await?, self.tag_now(rule, head).await?)) };
        // A writer that goes around this proxy may have come in between two of the answers, but hardly twice.
        if let Ok(Some((second, third))) = timeout(self.pool.settings().read_back_timeout, asked).await
            && *first != second
            && second != third
            && self.steadiness.is_news(&rule.name)
        {
            report(rule);
        }
    }

    /// The entity-tag of what the upstream shows now, if it shows anything.
    async fn tag_now(&self, rule: &Rule, head: &Parts) -> Option<EntityTag> {
        match self.pool.probe(head, &super::reading(rule)).await.ok()? {
            Probed::Found(found) => {
                found.lease.into_iter().for_each(Lease::give_back);
                match found.representation {
                    Representation::Current(current) => Some(current.tag),
                    Representation::Missing => None,
                }
            }
            Probed::HandBack(_) | Probed::Untold(_) => None,
        }
    }
}

/// Says what was seen, what it means and what to do. It names the resource, and no document and nobody.
fn report(rule: &Rule) {
    let resource = &*rule.name;
    match rule.etag_of {
        Subject::Contents => tracing::warn!(
            resource,
            "asked three times with no write in between, the upstream sent another document each time: no entity-tag \
             lasts, and every conditional write is refused. If it is only written differently (in the order of its \
             members, say), set etag-of = \"canonical-json\" for this resource"
        ),
        Subject::CanonicalJson => tracing::warn!(
            resource,
            "asked three times with no write in between, the upstream sent another document each time, and not merely \
             one that is written differently, since etag-of is \"canonical-json\": what it holds changes by itself, and \
             no If-Match can ever be satisfied"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_refusal_in_a_row_is_doubtful_until_it_was_reported() {
        let (steadiness, one, other) = (Steadiness::default(), Arc::from("one"), Arc::from("other"));
        let refusals = |count: usize| (0..count).map(|_| steadiness.is_doubtful(&one)).collect::<Vec<_>>();
        assert_eq!(refusals(6), [false, false, true, false, false, true]);
        assert_eq!(refusals(2), [false, false]);
        steadiness.trust(&one);
        assert_eq!(refusals(2), [false, false], "they were not in a row");
        assert!(!steadiness.is_doubtful(&other), "each resource has its own");
        assert_eq!(refusals(1), [true]);
        assert!(steadiness.is_news(&one));
        assert!(!steadiness.is_news(&one));
        steadiness.trust(&one);
        assert_eq!(refusals(6), [false; 6], "nobody is asked for what is known");
    }
}
