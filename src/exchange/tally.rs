//! What is counted when it happens, because no record of an exchange can tell it: its client may have left by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::memory::holds::{Denied, Hold};
use crate::resource::Scope;
use crate::rule::Rule;

use super::Exchange;

/// Counts by the name of the resource. They are rare things, so nobody waits for anybody here.
#[derive(Debug, Default)]
pub struct Tally {
    unknown_outcomes: DashMap<Arc<str>, Arc<AtomicU64>>,
    foreign_writes: DashMap<Arc<str>, Arc<AtomicU64>>,
}

impl Tally {
    /// How many writes to a resource were sent whose outcome is not known.
    pub fn unknown_outcomes(&self, resource: &str) -> u64 {
        count(&self.unknown_outcomes, resource)
    }

    /// How often a document of a resource was seen to have changed without a write through here.
    pub fn foreign_writes(&self, resource: &str) -> u64 {
        count(&self.foreign_writes, resource)
    }

    /// Notes that a document was seen to have changed without a write through here.
    pub(super) fn note_foreign_write(&self, resource: &Arc<str>) {
        let count = self.foreign_writes.entry(Arc::clone(resource)).or_default();
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn count(counts: &DashMap<Arc<str>, Arc<AtomicU64>>, resource: &str) -> u64 {
    counts.get(resource).map_or(0, |count| count.load(Ordering::Relaxed))
}

impl Exchange {
    /// Waits for the sole right to write in a scope. Should the outcome of a write under it stay unknown, that is
    /// counted for its resource.
    pub(super) async fn hold(&self, rule: &Rule, scope: Scope) -> Result<Hold, Denied> {
        let hold = self.holds.take(scope).await?;
        let unknown = self.tally.unknown_outcomes.entry(Arc::clone(&rule.name)).or_default();
        Ok(hold.counting(Arc::clone(&unknown)))
    }
}
