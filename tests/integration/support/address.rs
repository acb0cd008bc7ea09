//! How the store tells documents apart: by path and parameters, in whatever order and encoding they come.

use super::wire::field;

/// A target: its path, its parameters in order of their names, and both in one form.
pub(crate) struct Address {
    path: String,
    parameters: Vec<(String, String)>,
    /// The one member that is asked for, with `fields`.
    pub(crate) part: Option<String>,
    /// Equal for equal documents.
    pub(crate) key: String,
}

impl Address {
    pub(crate) fn of(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let mut parameters: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .filter(|(name, _)| name != "cachebuster")
            .collect();
        parameters.sort();
        let part = parameters.extract_if(.., |(name, _)| name == "fields").map(|(_, value)| value).next();
        Self::new(path.to_owned(), parameters, part)
    }

    /// The same without a parameter.
    pub(crate) fn without(self, name: &str) -> Self {
        let parameters = self.parameters.into_iter().filter(|(given, _)| given != name).collect();
        Self::new(self.path, parameters, self.part)
    }

    fn new(path: String, parameters: Vec<(String, String)>, part: Option<String>) -> Self {
        let encoded: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", super::xapi::encoded(value)))
            .collect();
        let key = format!("{path}?{}", encoded.join("&"));
        Self { path, parameters, part, key }
    }

    /// The parameters that a document resource needs, and the one that names the single document.
    pub(crate) fn resource(&self) -> Option<(&[&str], &str)> {
        let ends = |end: &str| self.path.ends_with(end);
        match () {
            () if ends("/activities/state") => Some((&["activityId", "agent"], "stateId")),
            () if ends("/activities/profile") => Some((&["activityId"], "profileId")),
            () if ends("/agents/profile") => Some((&["agent"], "profileId")),
            () => None,
        }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        field(&self.parameters, name)
    }

    pub(crate) fn complaint(&self, method: &str) -> Option<&'static str> {
        let (needed, id) = self.resource()?;
        if needed.iter().any(|name| self.parameter(name).is_none()) {
            return Some("a parameter is missing");
        }
        let whole = matches!(method, "GET" | "HEAD") || (method == "DELETE" && id == "stateId");
        (!whole && self.parameter(id).is_none()).then_some("the id is missing")
    }

    pub(crate) fn is_list(&self) -> bool {
        self.resource().is_some_and(|(_, id)| self.parameter(id).is_none())
    }

    pub(crate) fn id(&self) -> String {
        self.resource().and_then(|(_, id)| self.parameter(id)).unwrap_or_default().to_owned()
    }

    /// Whether a stored document is this one, or one of those that this one stands for.
    pub(crate) fn covers(&self, key: &str) -> bool {
        if !self.is_list() {
            return key == self.key;
        }
        let other = Self::of(key);
        other.path == self.path
            && self.parameters.iter().all(|parameter| other.parameters.contains(parameter))
    }
}

/// The key of a target's document.
pub(crate) fn canonical(target: &str) -> String {
    Address::of(target).key
}
