//! Labels: closed sets all of them. Nothing that a client sends becomes one.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::exchange::outcome::Outcome;

/// The name of a guarded resource, or `-` for what is relayed untouched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Resource(Option<Arc<str>>);

impl Resource {
    pub(super) fn of(name: Option<&Arc<str>>) -> Self {
        Self(name.cloned())
    }
}

impl EncodeLabelValue for Resource {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_deref().unwrap_or("-"), encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResourceLabels {
    pub(super) resource: Resource,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    resource: Resource,
    method: &'static str,
    code: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DecisionLabels {
    pub(super) resource: Resource,
    pub(super) verdict: &'static str,
    pub(super) mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FailureLabels {
    pub(super) resource: Resource,
    pub(super) failure: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RepairLabels {
    pub(super) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct UntoldLabels {
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CertificateLabels {
    pub(super) side: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReloadLabels {
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
    pub(super) revision: &'static str,
}

impl ResourceLabels {
    pub(super) fn of(outcome: &Outcome) -> Self {
        Self { resource: Resource::of(outcome.resource.as_ref()) }
    }
}

impl RequestLabels {
    pub(super) fn of(outcome: &Outcome) -> Self {
        let resource = Resource::of(outcome.resource.as_ref());
        Self { resource, method: outcome.known_method().unwrap_or("other"), code: outcome.code().into() }
    }
}

impl ReloadLabels {
    pub(super) const SUCCESS: Self = Self { outcome: "success" };
    pub(super) const FAILURE: Self = Self { outcome: "failure" };
    pub(super) const ALL: [Self; 2] = [Self::SUCCESS, Self::FAILURE];
}
