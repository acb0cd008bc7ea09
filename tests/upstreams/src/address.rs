//! Addressing: which document does a target name? Paths count by their last segments, so that any base path serves.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The document resources of xAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    State,
    AgentProfile,
    ActivityProfile,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Documents(Resource),
    Statements,
    About,
    Nowhere,
}

/// All documents of a learner, of an activity, or of a learner in an activity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Collection {
    pub(crate) resource: Resource,
    owners: Vec<String>,
}

/// What a target names: one document, or without an id the collection.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) collection: Collection,
    pub(crate) registration: Option<String>,
    pub(crate) id: Option<String>,
}

/// The decoded parameters of a query or a form.
pub(crate) type Parameters = BTreeMap<String, String>;

impl Place {
    pub(crate) fn of(path: &str) -> Self {
        let mut segments = path.rsplit('/');
        match (segments.next(), segments.next()) {
            (Some("state"), Some("activities")) => Self::Documents(Resource::State),
            (Some("profile"), Some("agents")) => Self::Documents(Resource::AgentProfile),
            (Some("profile"), Some("activities")) => Self::Documents(Resource::ActivityProfile),
            (Some("statements"), _) => Self::Statements,
            (Some("about"), _) => Self::About,
            _ => Self::Nowhere,
        }
    }
}

impl Address {
    /// Reads the parameters that name a document, or says what is wrong with them.
    pub(crate) fn read(resource: Resource, parameters: &Parameters) -> Result<Self, String> {
        let required = |name: &str| parameters.get(name).cloned().ok_or(format!("{name} is missing"));
        let agent = || required("agent").and_then(|agent| agent_key(&agent));
        let (owners, id) = match resource {
            Resource::State => (vec![required("activityId")?, agent()?], "stateId"),
            Resource::AgentProfile => (vec![agent()?], "profileId"),
            Resource::ActivityProfile => (vec![required("activityId")?], "profileId"),
        };
        let registration = parameters
            .get("registration")
            .filter(|_| resource == Resource::State)
            .map(|text| is_uuid(text).then(|| text.to_ascii_lowercase()).ok_or("registration is no UUID"));
        Ok(Self {
            collection: Collection { resource, owners },
            registration: registration.transpose()?,
            id: parameters.get(id).cloned(),
        })
    }
}

/// Decodes a query or a form.
pub(crate) fn parameters(text: &str) -> Result<Parameters, String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(String::from).map_err(|_| "not UTF-8".to_owned())
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// An agent by its one identifier: name, objectType, order and white space do not count.
fn agent_key(text: &str) -> Result<String, String> {
    let agent: Value = serde_json::from_str(text).map_err(|_| "agent is no JSON".to_owned())?;
    let identifiers: Vec<String> = ["mbox", "mbox_sha1sum", "openid"]
        .into_iter()
        .filter_map(|name| Some(format!("{name}::{}", agent.get(name)?.as_str()?)))
        .chain(agent.get("account").and_then(|account| {
            Some(format!(
                "account::{}@{}",
                account.get("name")?.as_str()?,
                account.get("homePage")?.as_str()?
            ))
        }))
        .collect();
    <[String; 1]>::try_from(identifiers)
        .map(|[identifier]| identifier)
        .map_err(|_| "agent must have one identifier".to_owned())
}

fn is_uuid(text: &str) -> bool {
    let groups = || text.split('-');
    groups().map(str::len).eq([8, 4, 4, 4, 12])
        && groups().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
