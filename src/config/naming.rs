//! What names a document of a resource: `identity`, `scope`, `agents` and `collection`.

use http::Method;

use super::problem::{Place, Problem, Problems, quoted};
use super::section::Section;
use super::value::{At, Value, list, text};
use crate::rule::identity::{Naming, Part};

/// Members of a list, each with its place, since what is wrong with them shows only beside other keys.
type Members<T> = Vec<At<T>>;

pub(super) fn naming(section: &mut Section<'_, '_>, remedy: &str) -> Option<Naming> {
    let identity = section.require("identity", remedy, identity);
    let scope = section.read_at("scope", parts);
    let agents = section.read("agents", |value| list(value, "[\"agent\"]", parameter));
    let collection = section.read_at("collection", |value| list(value, "[\"DELETE\"]", listed_method));
    let identity = identity?;
    let scope = match scope {
        Some(scope) => scope.value,
        // It is wrong, which was noted; what follows from it would only distract.
        None if section.has("scope") => return None,
        // The scope of one document is the document.
        None => identity.value.clone(),
    };
    let agents = agents?;
    let collection = collection?;
    let mut problems = outside_identity(section.name(), &identity, &scope, &agents);
    if let Some(last) = identity.value.last() {
        problems.extend(uncollectable(section.name(), last, &scope, &collection));
    }
    problems.into_iter().for_each(|problem| section.note(problem));
    let values = |members: Members<Part>| members.into_iter().map(|member| member.value).collect::<Vec<_>>();
    Some(Naming {
        scope: as_in_identity(&identity.value, &scope),
        identity: values(identity.value),
        agents: agents.into_iter().map(|agent| agent.value).collect(),
        collection: collection.value,
    })
}

/// A method's name: a token in upper case, since methods are case-sensitive (RFC 9110 §9.1).
pub(super) fn method(name: &str, key: &str, place: &Place) -> Result<Method, Problem> {
    let problem = |what: &str| Problem::new(format!("`{key}` {what}: {}", quoted(name)), Some(place));
    let method = Method::from_bytes(name.as_bytes());
    let method = method
        .map_err(|_| problem("names something that is no method").help("write one like PUT or DELETE"))?;
    let upper = name.to_ascii_uppercase();
    if upper == name {
        Ok(method)
    } else {
        Err(problem("names a method in lower case").help(format!("write {upper}")))
    }
}

fn listed_method(value: &Value<'_>) -> Result<Method, Problems> {
    Ok(method(text(value)?, &value.key, &value.place)?)
}

fn identity(value: &Value<'_>) -> Result<Members<Part>, Problems> {
    let parts = parts(value)?;
    if parts.is_empty() {
        let problem = value.problem("names nothing, so that all documents would be one");
        return Err(problem.help("write [\"path\"], or names of query parameters").into());
    }
    Ok(parts)
}

/// A list of parts, each at most once.
fn parts(value: &Value<'_>) -> Result<Members<Part>, Problems> {
    let parts = list(value, "[\"path\"]", part)?;
    let mut problems = Problems::default();
    for (index, part) in parts.iter().enumerate() {
        if parts[..index].iter().any(|earlier| same(&earlier.value, &part.value)) {
            let message = format!("`{}` names {} twice", value.key, shown(&part.value));
            let problem = Problem::new(message, Some(&part.place));
            problems.push(
                problem.help("name each part once; names that differ only in case are refused in requests"),
            );
        }
    }
    if problems.is_empty() { Ok(parts) } else { Err(problems) }
}

fn part(value: &Value<'_>) -> Result<At<Part>, Problems> {
    let written = text(value)?;
    let part = match (written, written.strip_suffix('?')) {
        ("path", _) => Part::Path,
        ("path?", _) => {
            return Err(value
                .problem("holds `path?`, and a path is never absent")
                .help("write \"path\"")
                .into());
        }
        (_, Some(name)) => Part::Parameter { name: parameter_name(value, name)?, optional: true },
        (name, None) => Part::Parameter { name: parameter_name(value, name)?, optional: false },
    };
    Ok(At { value: part, place: value.place.clone() })
}

fn parameter(value: &Value<'_>) -> Result<At<String>, Problems> {
    Ok(At { value: parameter_name(value, text(value)?)?, place: value.place.clone() })
}

/// The name of a query parameter, decoded.
fn parameter_name(value: &Value<'_>, name: &str) -> Result<String, Problems> {
    let separates =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '&' | '=' | '?' | '#' | ';' | '/');
    if name.is_empty() || name.contains(separates) {
        let problem =
            value.problem(format_args!("holds something that is no query parameter: {}", quoted(name)));
        return Err(problem
            .help("write names like \"stateId\", or \"registration?\" for one that may be absent")
            .into());
    }
    Ok(name.to_owned())
}

/// Scopes and agents that name what the identity does not.
fn outside_identity(
    section: &str,
    identity: &At<Members<Part>>,
    scope: &Members<Part>,
    agents: &Members<String>,
) -> Vec<Problem> {
    let known = |wanted: &Part| identity.value.iter().any(|part| same(&part.value, wanted));
    let outside = |key: &str, part: &Part, place: &Place| {
        let message = format!("`{section}.{key}` names {}, which is not in `identity`", shown(part));
        // Where a preset's scope no longer fits, the user's identity is what can be mended.
        let problem = Problem::new(message, Place::blamed([&identity.place, place]));
        problem.help(format!("name it in `identity` too, or leave it out of `{key}`"))
    };
    let scope = scope
        .iter()
        .filter(|part| !known(&part.value))
        .map(|part| outside("scope", &part.value, &part.place));
    let agents = agents.iter().filter_map(|agent| {
        let part = Part::Parameter { name: agent.value.clone(), optional: false };
        (!known(&part)).then(|| outside("agents", &part, &agent.place))
    });
    scope.chain(agents).collect()
}

/// Methods of collections leave out the last part, so it must be a parameter, and no part of the scope.
fn uncollectable(
    section: &str,
    last: &At<Part>,
    scope: &Members<Part>,
    collection: &At<Vec<Method>>,
) -> Option<Problem> {
    if collection.value.is_empty() {
        return None;
    }
    let in_scope = scope.iter().any(|part| same(&part.value, &last.value));
    let (what, remedy) = match &last.value {
        Part::Path => ("and a path is never absent", "let `identity` end with a query parameter"),
        Part::Parameter { optional: true, .. } => (
            "which may be absent anyway, so that nobody knows what is meant",
            "let `identity` end with a parameter that is not optional",
        ),
        Part::Parameter { .. } if in_scope => ("and the scope needs it", "write a `scope` without it"),
        Part::Parameter { .. } => return None,
    };
    let places = scope.iter().map(|part| &part.place).chain([&last.place, &collection.place]);
    let message = format!("`{section}.collection` leaves out {}, {what}", shown(&last.value));
    Some(Problem::new(message, Place::blamed(places)).help(remedy))
}

/// The parts of the scope as the identity has them: what may be absent there may be absent here.
fn as_in_identity(identity: &[At<Part>], scope: &[At<Part>]) -> Vec<Part> {
    let find = |wanted: &At<Part>| identity.iter().find(|part| same(&part.value, &wanted.value));
    scope.iter().filter_map(find).map(|part| part.value.clone()).collect()
}

/// Whether two parts are one, optional or not. Names that differ in case are one, as they are in requests.
fn same(left: &Part, right: &Part) -> bool {
    match (left, right) {
        (Part::Path, Part::Path) => true,
        (Part::Parameter { name: left, .. }, Part::Parameter { name: right, .. }) => {
            left.eq_ignore_ascii_case(right)
        }
        _ => false,
    }
}

fn shown(part: &Part) -> String {
    match part {
        Part::Path => "`path`".to_owned(),
        Part::Parameter { name, .. } => quoted(name),
    }
}
