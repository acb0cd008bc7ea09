//! Targets and fields of xAPI requests.

/// The version field of xAPI 1.0.3.
pub(crate) const V1: (&str, &str) = ("X-Experience-API-Version", "1.0.3");
/// The version field of xAPI 2.0.
pub(crate) const V2: (&str, &str) = ("X-Experience-API-Version", "2.0.0");
/// The content type of JSON documents.
pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An agent, percent-encoded.
pub(crate) const AGENT: &str = "%7B%22mbox%22%3A%22mailto%3Alearner%40example.com%22%7D";
/// An activity, percent-encoded.
pub(crate) const ACTIVITY: &str = "http%3A%2F%2Fexample.com%2Fcourse";

/// A State document of the one learner and activity.
pub(crate) fn state(id: &str) -> String {
    format!("{}&stateId={id}", state_ids())
}

/// All State of the one learner and activity.
pub(crate) fn state_ids() -> String {
    format!("/xapi/activities/state?activityId={ACTIVITY}&agent={AGENT}")
}

/// A State document of the one learner in a course of its own, so that it has a scope of its own.
pub(crate) fn state_of(course: &str, id: &str) -> String {
    format!("/xapi/activities/state?activityId={ACTIVITY}%2F{course}&agent={AGENT}&stateId={id}")
}

/// A profile of the one learner.
pub(crate) fn agent_profile(id: &str) -> String {
    format!("/xapi/agents/profile?agent={AGENT}&profileId={id}")
}

/// A profile of the one activity.
pub(crate) fn activity_profile(id: &str) -> String {
    format!("/xapi/activities/profile?activityId={ACTIVITY}&profileId={id}")
}

/// Encodes every byte that is not unreserved.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
