//! *Identify*: the document that a request names, and what is held for it.

use http::Method;
use http::request::Parts;

use super::Rule;
use crate::resource::{ResourceKey, Scope};

/// What names a document of a rule, and what of it makes the scope of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The parts that name a document, in their order.
    pub identity: Vec<Part>,
    /// The parts that make the scope, each one of `identity`.
    pub scope: Vec<Part>,
    /// Query parameters that hold an xAPI Agent as JSON: the agent's one identifier is what counts.
    pub agents: Vec<String>,
    /// Methods that may leave out the last part of `identity`: they then address the collection, which is all
    /// documents of the scope. (DELETE of xAPI State without stateId; Communication §2.3.)
    pub collection: Vec<Method>,
}

/// One part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The segments of the path that the pattern leaves open.
    Path,
    /// A query parameter.
    Parameter {
        /// Its name, exactly.
        name: String,
        /// Whether it may be absent, written `name?`.
        optional: bool,
    },
}

/// The document that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The document, exactly.
    pub key: ResourceKey,
    /// What is held for it.
    pub scope: Scope,
}

/// Why a request names no document. The texts are for clients and never quote the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unidentified {
    /// Two servers could read it differently, so it is refused here with 400.
    Ambiguous(String),
    /// Something that names the document is absent or malformed; the upstream owes the client an answer.
    Unnamed(String),
}

/// Names the document of a request to a guarded resource.
pub fn identify(_rule: &Rule, _request: &Parts) -> Result<Identity, Unidentified> {
    Err(Unidentified::Unnamed(String::new()))
}

/// A method override inside a form: some frameworks execute another method than the one of the request line.
pub fn overridden_in_form(_request: &Parts, _body: &[u8]) -> bool {
    false
}
