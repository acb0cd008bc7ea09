//! `[resource.NAME]`: one guarded resource, from a preset, from the user's file, or from both.

use std::sync::Arc;

use super::guard::Shared;
use super::naming::naming;
use super::problem::{Place, Problem, Problems, nearest, quoted};
use super::section::{Section, Table};
use super::source::Source;
use super::status::absent;
use super::unconditional::writers;
use super::value::{At, Value, boolean, choice, text};
use crate::fingerprint::{Algorithm, Subject};
use crate::guard::policy::Mode;
use crate::rule::Rule;
use crate::rule::identity::Part;
use crate::rule::pattern::Pattern;
use crate::rule::select::Rules;

/// What a resource says that says nothing: the layer below all others. `config/default.toml` has the reasons.
const DEFAULTS: &str = r#"
agents = []
collection = []
xapi = false
etag = "xxh3"
etag-of = "contents"
absent = [404, 410]
"#;

/// What a resource is read beside.
pub(super) struct Surroundings<'a> {
    /// The layer below all others.
    pub(super) defaults: Option<Table<'a>>,
    /// The six keys as the guard has them.
    pub(super) shared: Shared,
    /// Whether the upstream is given the preconditions that it wants and a client did not state.
    pub(super) satisfies: bool,
    /// True when the command line wants nothing refused, whatever a resource says.
    pub(super) observe: bool,
    /// The names of all presets' resources.
    pub(super) known: Vec<String>,
}

/// A resource as it was read, with the path as it was written.
struct Resource {
    rule: Rule,
    /// Its own `mode = "enforce"` counts for nothing, because of `--observe`.
    is_overruled: bool,
    path: At<(String, Pattern)>,
}

/// The text of [`DEFAULTS`].
pub(super) fn defaults() -> Arc<Source> {
    Source::embedded("resource", DEFAULTS)
}

/// The resources that were read.
pub(super) struct Resources {
    pub(super) rules: Rules,
    /// The names of those that say `mode = "enforce"` and are observed all the same.
    pub(super) overruled: Vec<Arc<str>>,
}

/// Reads every resource. The user's own come first, in their order, then the presets'.
pub(super) fn resources<'a>(section: &mut Section<'a, '_>, surroundings: &Surroundings<'a>) -> Resources {
    let mut read: Vec<Resource> = Vec::new();
    let names = section.names();
    section.tell_apart(&names);
    for name in names {
        let resource = section.section_over(surroundings.defaults.as_ref(), &name, |section| {
            resource(section, &name, surroundings)
        });
        let Some(resource) = resource.flatten() else { continue };
        if let Some(other) =
            read.iter().find(|other| shape(&other.path.value.0) == shape(&resource.path.value.0))
        {
            section.note(same_path(&other.path.place, &other.rule.name, &resource));
        }
        read.push(resource);
    }
    let overruled = read.iter().filter(|resource| resource.is_overruled);
    let overruled = overruled.map(|resource| Arc::clone(&resource.rule.name)).collect();
    let rules = Rules(read.into_iter().map(|resource| Arc::new(resource.rule)).collect());
    Resources { rules, overruled }
}

fn resource<'a>(
    section: &mut Section<'a, '_>,
    name: &str,
    surroundings: &Surroundings<'a>,
) -> Option<Resource> {
    if let Some(problem) = unfit_name(section, name) {
        section.note(problem);
    }
    let remedy = own_resource(name, &surroundings.known);
    let path = section.require("path", &remedy, path);
    let naming = naming(section, &remedy);
    let own = Shared::read(section);
    let is_overruled = surroundings.observe && own.mode == Some(Mode::Enforce);
    let shared = own.or(surroundings.shared);
    let etag = section.read("etag", etag);
    let etag_of = section.read("etag-of", etag_of);
    let absent = section.read("absent", absent);
    let xapi = section.read("xapi", boolean);
    let writers = writers(section);
    let (path, naming) = (path?, naming?);
    if path.value.0.contains('{') && !naming.identity.contains(&Part::Path) {
        section.note(unnamed_segments(section.name(), &path));
    }
    let mode = if surroundings.observe { Mode::Observe } else { shared.mode? };
    let rule = Rule {
        name: name.into(),
        source: section.place().map(|place| place.label()).unwrap_or_default().into(),
        pattern: path.value.1.clone(),
        naming,
        mode,
        etag: etag?,
        etag_of: etag_of?,
        matching: shared.matching?,
        read_back: shared.read_back?,
        replay_window: shared.replay_window?,
        satisfies: surroundings.satisfies,
        cors: shared.cors?,
        absent: absent?,
        document_max: shared.document_max?,
        xapi: xapi?,
        unconditional: writers.unconditional,
        when: writers.when,
    };
    Some(Resource { rule, is_overruled, path })
}

fn path(value: &Value<'_>) -> Result<(String, Pattern), Problems> {
    let text = text(value)?;
    match Pattern::parse(text) {
        Ok(pattern) => Ok((text.to_owned(), pattern)),
        Err(what) => Err(value
            .problem(format_args!("is no path pattern: {what}"))
            .help("write one like \"/api/notes/{id}\" or \"/**/activities/state\"")
            .into()),
    }
}

fn etag(value: &Value<'_>) -> Result<Algorithm, Problems> {
    choice(value, &[("sha1", Algorithm::Sha1), ("xxh3", Algorithm::Xxh3)])
}

fn etag_of(value: &Value<'_>) -> Result<Subject, Problems> {
    choice(value, &[("contents", Subject::Contents), ("canonical-json", Subject::CanonicalJson)])
}

/// Names stand in logs and metrics, so they are kept plain.
fn unfit_name(section: &Section<'_, '_>, name: &str) -> Option<Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(plain) {
        return None;
    }
    let message = format!("a resource cannot be called {}", quoted(name));
    Some(Problem::new(message, section.place().as_ref()).help("write a name of letters, digits, - and _"))
}

/// What to do about a resource of which something is missing.
fn own_resource(name: &str, known: &[String]) -> String {
    const OWN: &str = "a resource of one's own needs `path` and `identity`, \
        as in path = \"/api/notes/{id}\" and identity = [\"path\"]";
    if known.iter().any(|known| known == name) {
        return format!(
            "`{name}` comes from a preset that `guard.presets` does not list: list it; or else {OWN}"
        );
    }
    match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`, which comes from a preset? {OWN}"),
        None => OWN.to_owned(),
    }
}

/// A path with what its open segments are called left out: two that differ in nothing else are the same.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = inside && c != '}';
        if !inside {
            shape.push(c);
        }
        inside = inside || c == '{';
    }
    shape
}

fn same_path(other: &Place, name: &str, resource: &Resource) -> Problem {
    let message = format!("the resources `{name}` and `{}` have the same path", resource.rule.name);
    Problem::new(message, Place::blamed([other, &resource.path.place]))
        .help("give each a path of its own, or put what they say into one")
}

/// Two documents whose paths differ must never be taken for one.
fn unnamed_segments(section: &str, path: &At<(String, Pattern)>) -> Problem {
    let message = format!("`{section}.path` leaves segments open, and `identity` does not name the path");
    Problem::new(message, Some(&path.place)).help("put \"path\" into `identity`")
}
