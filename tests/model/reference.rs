//! The reference model: one document, and what a write does to it if nobody else is there.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::support::sha1_tag;

/// What a document holds; nothing if it is not there.
pub(crate) type State = Option<Arc<str>>;

/// What was asked of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Put { body: Arc<str>, stated: Stated },
    Merge { patch: Arc<str>, stated: Stated },
    Delete { stated: Stated },
}

/// What a write asks of the state that it starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stated {
    /// Nothing: whatever is there, it goes on.
    Nothing,
    /// Nothing, where the rule wants no document to be overwritten so.
    NothingOverExisting,
    Tag(String),
    Exists,
    Missing,
}

/// What became of it, as its client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    /// What a read has shown.
    Shown(State),
    /// Success, perhaps with the entity-tag of what is there now.
    Done { tag: Option<String> },
    /// It had been applied before and is current.
    AlreadyApplied,
    /// 412 or 409, with the current entity-tag.
    Refused { status: u16, tag: Option<String> },
    /// Nobody knows.
    Unknown,
}

impl Stated {
    pub(crate) fn holds(&self, state: &State) -> bool {
        match self {
            Self::Nothing => true,
            Self::NothingOverExisting | Self::Missing => state.is_none(),
            Self::Tag(named) => tag(state).as_ref() == Some(named),
            Self::Exists => state.is_some(),
        }
    }
}

impl Call {
    /// What a write leaves behind.
    pub(crate) fn apply(&self, state: &State) -> State {
        match self {
            Self::Read => state.clone(),
            Self::Put { body, .. } => Some(Arc::clone(body)),
            Self::Merge { patch, .. } => Some(merged(state.as_deref(), patch).into()),
            Self::Delete { .. } => None,
        }
    }

    pub(crate) fn stated(&self) -> Option<&Stated> {
        match self {
            Self::Read => None,
            Self::Put { stated, .. } | Self::Merge { stated, .. } | Self::Delete { stated } => Some(stated),
        }
    }

    /// The state after this call, if it may have got this answer in this state.
    pub(crate) fn step(&self, got: &Got, state: &State) -> Option<State> {
        let holds = self.stated().is_none_or(|stated| stated.holds(state));
        match got {
            Got::Shown(shown) => (shown == state).then(|| state.clone()),
            Got::Done { tag: told } => {
                let after = holds.then(|| self.apply(state))?;
                let is_true = told.is_none() || *told == tag(&after);
                is_true.then_some(after)
            }
            Got::AlreadyApplied => {
                let is_there = matches!(self, Self::Put { body, .. } if state.as_ref() == Some(body));
                is_there.then(|| state.clone())
            }
            Got::Refused { status, tag: told } => {
                let expected = if self.stated() == Some(&Stated::NothingOverExisting) { 409 } else { 412 };
                let is_right = !holds && *status == expected && *told == tag(state);
                is_right.then(|| state.clone())
            }
            Got::Unknown => holds.then(|| self.apply(state)),
        }
    }
}

/// The entity-tag of a state.
pub(crate) fn tag(state: &State) -> Option<String> {
    state.as_ref().map(|bytes| sha1_tag(bytes.as_bytes()))
}

/// A document with the members of another put into it.
pub(crate) fn merged(old: Option<&str>, patch: &str) -> String {
    let object =
        |text: &str| serde_json::from_str::<Map<String, Value>>(text).expect("everybody writes objects");
    let mut merged = old.map(object).unwrap_or_default();
    merged.extend(object(patch));
    Value::Object(merged).to_string()
}
