//! What happened: every operation with the moments between which it took effect, if it did.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::reference::{Call, Got};

/// One operation on one document.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Unique in its history, and part of what it writes.
    pub(crate) id: u64,
    pub(crate) client: String,
    pub(crate) document: usize,
    pub(crate) call: Call,
    pub(crate) got: Got,
    pub(crate) begun: u64,
    /// Never, where the outcome is not known: it may still take effect.
    pub(crate) ended: u64,
}

/// The clock of a history and what is recorded in it. Moments are counted, not measured.
#[derive(Debug, Default)]
pub(crate) struct History {
    moments: AtomicU64,
    ids: AtomicU64,
    operations: Mutex<Vec<Operation>>,
}

pub(crate) const NEVER: u64 = u64::MAX;

impl History {
    pub(crate) fn now(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn record(&self, operation: Operation) {
        self.operations.lock().unwrap().push(operation);
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        let mut operations = self.operations.lock().unwrap().clone();
        operations.sort_by_key(|operation| operation.begun);
        operations
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.ended == NEVER { "   ?".to_owned() } else { format!("{:4}", self.ended) };
        let short = |text: &Arc<str>| text.to_string();
        let call = match &self.call {
            Call::Read => "read".to_owned(),
            Call::Put { body, stated } => format!("put {} {stated:?}", short(body)),
            Call::Merge { patch, stated } => format!("merge {} {stated:?}", short(patch)),
            Call::Delete { stated } => format!("delete {stated:?}"),
        };
        write!(
            f,
            "{:4}..{end} document {} {:>9} #{}: {call} -> {:?}",
            self.begun, self.document, self.client, self.id, self.got
        )
    }
}
