//! Which resource does a request address, under which policy, and which document is it?
//!
//! *Select* finds the rule by the path; *identify* names the document and what is held for it. Both only look at
//! the request: they do no I/O, and the target alone makes the scope.

mod fold;
pub mod identity;
mod method_override;
pub mod pattern;
mod query;
mod reading;
pub mod select;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};

use crate::fingerprint::{Algorithm, Subject};
use crate::guard::policy::{Mode, Policy, Unconditional};
use crate::guard::settle::ReadBack;
use crate::semantics::cors::Cors;
use crate::semantics::preconditions::Matching;
use crate::semantics::representation::Absent;
use identity::Naming;
use pattern::{Glob, Pattern};

/// One guarded resource: where it is, what names its documents, and what its writers get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name in the configuration, as in `[resource.NAME]`.
    pub name: Arc<str>,
    /// Where it was written: `staleguard.toml:14`, or `preset xapi`.
    pub source: Arc<str>,
    /// Which paths it stands for.
    pub pattern: Pattern,
    /// What names a document and what is held for it.
    pub naming: Naming,
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// Which digest makes its entity-tags.
    pub etag: Algorithm,
    /// What it is the digest of.
    pub etag_of: Subject,
    /// Whether repaired forms of our entity-tags are accepted.
    pub matching: Matching,
    /// When a write is read back.
    pub read_back: ReadBack,
    /// How long after it succeeded a PUT that comes once more is answered as it was then; zero is not at all.
    pub replay_window: Duration,
    /// Whether a PUT that states nothing goes on with the upstream's own entity-tag: the last write wins.
    pub satisfies: bool,
    /// Whether what the upstream says of CORS is repaired.
    pub cors: Cors,
    /// What a missing document looks like.
    pub absent: Absent,
    /// The largest document, in bytes, that is written, or read with an entity-tag.
    pub document_max: u64,
    /// True when its exchanges speak xAPI, so that answers made here carry X-Experience-API-Version.
    pub xapi: bool,
    /// What unconditional writes get, by method; a method that is not named is forwarded.
    pub unconditional: HashMap<Method, Unconditional>,
    /// Exceptions: the first that fits and names the method wins over the line above.
    pub when: Vec<When>,
}

/// An exception to a rule's policy for requests whose header fields fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// Every one of these fields must be there with a value that fits.
    pub header: Vec<(HeaderName, Glob)>,
    /// What unconditional writes get, by method.
    pub unconditional: HashMap<Method, Unconditional>,
}

impl Rule {
    /// What holds for a write with this method and these fields.
    pub fn policy(&self, method: &Method, fields: &HeaderMap) -> Policy {
        let unconditional = self
            .when
            .iter()
            .filter(|when| when.fits(fields))
            .find_map(|when| when.unconditional.get(method))
            .or_else(|| self.unconditional.get(method))
            .copied()
            .unwrap_or(Unconditional::FORWARD);
        Policy { unconditional, matching: self.matching, replay_window: self.replay_window }
    }
}

impl When {
    fn fits(&self, fields: &HeaderMap) -> bool {
        self.header.iter().all(|(name, glob)| {
            fields.get(name).is_some_and(|value| value.to_str().is_ok_and(|value| glob.fits(value)))
        })
    }
}
