//! What writers get that state no precondition: `unconditional` by method, and the exceptions under `when`.
//!
//! Layers are merged method by method. Once a higher layer names a method, in either key, what the lower ones
//! say about it under `when` is dropped: an exception of a preset never wins over a line that the user wrote.

use std::collections::{HashMap, HashSet};

use http::{HeaderName, Method};
use toml::de::DeValue;

use super::naming::method;
use super::problem::{Place, Problem, Problems, quoted};
use super::section::{Section, entries, fields};
use super::shape::Shape;
use super::status::treatment;
use super::value::{Value, choice, list, text};
use crate::guard::policy::Unconditional;
use crate::rule::When;
use crate::rule::pattern::Glob;

/// What each method gets.
type ByMethod = HashMap<Method, Unconditional>;

const BY_METHOD: &str = "unconditional = { PUT = \"require\" }";
const HEADER: &str = "header = { X-Api-Version = \"1.*\" }";

/// The lines and the exceptions of a resource.
#[derive(Debug, Default)]
pub(super) struct Writers {
    pub(super) unconditional: ByMethod,
    pub(super) when: Vec<When>,
}

pub(super) fn writers(section: &mut Section<'_, '_>) -> Writers {
    let mut layers: HashMap<usize, (ByMethod, Option<Vec<When>>)> = HashMap::new();
    for (layer, lines) in section.read_each("unconditional", by_method) {
        layers.entry(layer).or_default().0 = lines.map(|lines| lines.value).unwrap_or_default();
    }
    for (layer, exceptions) in section.read_each("when", exceptions) {
        layers.entry(layer).or_default().1 = exceptions.map(|exceptions| exceptions.value);
    }
    let mut layers: Vec<_> = layers.into_iter().collect();
    layers.sort_by_key(|(layer, _)| *layer);
    layers
        .into_iter()
        .fold(Writers::default(), |below, (_, (lines, exceptions))| below.under(lines, exceptions))
}

impl Writers {
    /// Lays a layer over this one.
    fn under(mut self, lines: ByMethod, exceptions: Option<Vec<When>>) -> Self {
        if exceptions.as_ref().is_some_and(Vec::is_empty) {
            self.when.clear();
        }
        let exceptions = exceptions.unwrap_or_default();
        let named = exceptions.iter().flat_map(|exception| exception.unconditional.keys());
        let named: HashSet<Method> = named.chain(lines.keys()).cloned().collect();
        for exception in &mut self.when {
            exception.unconditional.retain(|method, _| !named.contains(method));
        }
        let kept = self.when.into_iter().filter(|exception| !exception.unconditional.is_empty());
        self.when = exceptions.into_iter().chain(kept).collect();
        self.unconditional.extend(lines);
        self
    }
}

fn by_method(value: &Value<'_>) -> Result<ByMethod, Problems> {
    let mut problems = Problems::default();
    let mut read = ByMethod::new();
    if value.is_question() {
        let shape = Shape::Named(Box::new(Shape::told(unconditional(value))));
        return Err(value.expected("a table").expects(shape).into());
    }
    for entry in entries(value, BY_METHOD)? {
        let method =
            problems.note(writing_method(&entry.name, &value.key, &entry.place).map_err(Problems::from));
        let treatment = problems.note(unconditional(&entry.value));
        read.extend(method.zip(treatment));
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

/// A method that changes something; a line about another would never be heeded.
fn writing_method(name: &str, key: &str, place: &Place) -> Result<Method, Problem> {
    let method = method(name, key, place)?;
    if method.is_safe() {
        let message = format!("`{key}` is about writes, and {method} is none (RFC 9110 §9.2.1)");
        return Err(Problem::new(message, Some(place)).help("leave it out: reads are never refused for this"));
    }
    Ok(method)
}

fn unconditional(value: &Value<'_>) -> Result<Unconditional, Problems> {
    const WORDS: [(&str, Unconditional); 3] = [
        ("forward", Unconditional::FORWARD),
        ("conflict", Unconditional::CONFLICT),
        ("require", Unconditional::REQUIRE),
    ];
    const CASES: &str = "{ existing = 409, missing = \"forward\" }";
    let by_case = || {
        fields(value, CASES, |section| {
            let remedy = format!("say what either case gets, as in {CASES}");
            let existing = section.require("existing", &remedy, treatment);
            let missing = section.require("missing", &remedy, treatment);
            Some(Unconditional { existing: existing?.value, missing: missing?.value })
        })
    };
    match value.inner {
        DeValue::Table(_) => by_case(),
        DeValue::Datetime(_) => {
            let shape = Shape::Either(vec![Shape::told(choice(value, &WORDS)), Shape::told(by_case())]);
            Err(value.expected("a word or a status for each case").expects(shape).into())
        }
        DeValue::String(_) => choice(value, &WORDS),
        _ => Err(value
            .expected("a word or a status for each case")
            .help(format!("write \"forward\", \"conflict\", \"require\" or {CASES}"))
            .into()),
    }
}

fn exceptions(value: &Value<'_>) -> Result<Vec<When>, Problems> {
    if matches!(value.inner, DeValue::Table(_)) {
        let section = value.key.clone();
        return Err(value
            .expected("a list of tables")
            .help(format!("write [[{section}]] with two brackets"))
            .into());
    }
    list(value, "[]", |member| {
        fields(member, "[[resource.NAME.when]]", |section| {
            let header =
                section.require("header", &format!("say which requests are meant, as in {HEADER}"), header);
            let lines = section.require(
                "unconditional",
                &format!("say what their writers get, as in {BY_METHOD}"),
                by_method,
            );
            Some(When { header: header?.value, unconditional: lines?.value })
        })
    })
}

fn header(value: &Value<'_>) -> Result<Vec<(HeaderName, Glob)>, Problems> {
    let mut problems = Problems::default();
    if value.is_question() {
        return Err(value.expected("a table").expects(Shape::Named(Box::new(Shape::Text))).into());
    }
    let entries = entries(value, HEADER)?;
    if entries.is_empty() {
        // It would fit every request.
        return Err(value.problem("names no header field").help(format!("write {HEADER}")).into());
    }
    let mut read = Vec::new();
    for entry in entries {
        let name = HeaderName::from_bytes(entry.name.as_bytes()).map_err(|_| {
            let message =
                format!("`{}` names something that is no header field: {}", value.key, quoted(&entry.name));
            Problems::from(Problem::new(message, Some(&entry.place)).help("write a name like X-Api-Version"))
        });
        let name = problems.note(name);
        let glob = problems.note(text(&entry.value).map(Glob::new));
        read.extend(name.zip(glob));
    }
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}
