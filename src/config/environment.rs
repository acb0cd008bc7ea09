//! The environment of the process: settings that it gives (`STALEGUARD__SECTION__KEY`), and what `${NAME}` in the file
//! stands for. It is handed in, so that nothing below the command line reads a global.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::problem::{Place, Problem, Problems, nearest};
use super::source::Source;
use super::value::Value;

/// What a variable's name begins with that gives a setting. One underscore alone means nothing here: Kubernetes makes
/// variables like `STALEGUARD_PORT` for a Service of that name.
const PREFIX: &str = "STALEGUARD__";

/// The variables of a process, by name; nothing is kept of a value that is not text in UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, Option<String>>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// What a variable says: nothing where it is not set, and no text where that is not UTF-8.
    pub(super) fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.get(name).map(Option::as_deref)
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        let variable = |(name, value): (OsString, OsString)| {
            (name.to_string_lossy().into_owned(), value.into_string().ok())
        };
        Self(variables.into_iter().map(variable).collect())
    }
}

impl fmt::Debug for Environment {
    /// Other programs' secrets are in there too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

/// The texts of the variables that give settings, each under the variable's name.
pub(super) fn sources(environment: &Environment, problems: &mut Problems) -> Vec<Arc<Source>> {
    let mut sources = Vec::new();
    for (name, value) in environment.0.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        let source = Source::variable(name, value.as_deref().unwrap_or_default());
        match value {
            Some(_) => sources.push(source),
            None => problems.push(Problem::new("it is not text in UTF-8", Some(&Place::Variable(source)))),
        }
    }
    sources
}

/// A setting that a variable gives.
#[derive(Debug)]
pub(super) struct Variable<'a> {
    source: Arc<Source>,
    /// The text as the TOML value that it looks like, or else as a string.
    value: DeValue<'a>,
    /// The text itself, for a key that wants a string.
    text: &'a str,
}

/// The settings that variables give, and which of their names mean something.
#[derive(Debug, Default)]
pub(super) struct Variables<'a> {
    given: Vec<Variable<'a>>,
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Variable<'a> {
    fn read(source: &'a Arc<Source>) -> Self {
        let text = source.text.as_str();
        let string = || DeValue::String(DeString::Borrowed(text));
        let value = DeValue::parse(text).map_or_else(|_| string(), Spanned::into_inner);
        Self { source: Arc::clone(source), value, text }
    }

    fn place(&self) -> Place {
        Place::Variable(Arc::clone(&self.source))
    }

    /// What it says of a key.
    pub(super) fn value_of(&'a self, key: String) -> Value<'a> {
        Value { key, place: self.place(), inner: &self.value, text: Some(self.text) }
    }
}

impl<'a> Variables<'a> {
    pub(super) fn read(sources: &'a [Arc<Source>]) -> Self {
        Self { given: sources.iter().map(Variable::read).collect(), known: RefCell::default() }
    }

    /// The variable that gives a key, named in full as in `listen.address`. Its name is known from then on.
    pub(super) fn get(&self, key: &str) -> Option<&Variable<'a>> {
        let name = name(key);
        let given = self.given.iter().find(|variable| variable.source.name == name);
        self.known.borrow_mut().insert(name);
        given
    }

    /// Where a variable stands that gives something within any of two keys, where these are called alike in the environment.
    pub(super) fn within_both(&self, one: &str, other: &str) -> Option<Place> {
        let (one, other) = (name(one), name(other));
        let is_within = |variable: &&Variable<'a>| {
            let rest = variable.source.name.strip_prefix(&one);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("__"))
        };
        let within = self.given.iter().find(is_within).filter(|_| one == other);
        within.map(Variable::place)
    }

    /// Notes every variable that names nothing. `resources` is false where the file's own resources are not known.
    pub(super) fn report_unknown(&self, resources: bool, problems: &mut Problems) {
        let known = self.known.borrow();
        let is_resource = |name: &str| name.starts_with(&self::name("resource."));
        for variable in &self.given {
            let name = variable.source.name.as_str();
            if !known.contains(name) && (resources || !is_resource(name)) {
                let problem = Problem::new("there is no setting that it could give", Some(&variable.place()));
                problems.push(problem.help(remedy(name, &known)));
            }
        }
    }
}

/// How the variable is called that gives a key.
fn name(key: &str) -> String {
    PREFIX.to_owned() + &key.to_ascii_uppercase().replace('.', "__").replace('-', "_")
}

fn remedy(name: &str, known: &BTreeSet<String>) -> String {
    let is_within =
        |known: &&String| name.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with("__"));
    // A section is known too; its keys have variables of their own, and so have their slips.
    let is_section = |section: &str| known.iter().any(|known| known.starts_with(&format!("{section}__")));
    if let Some(table) = known.iter().filter(is_within).find(|known| !is_section(known)) {
        return format!("{table} gives all that stands there, as in {{ PUT = \"conflict\" }}");
    }
    // What all of them begin with says nothing about which one was meant.
    let of_all = PREFIX.len();
    match nearest(&name[of_all..], known.iter().map(|known| &known[of_all..])) {
        Some(meant) => format!("did you mean {PREFIX}{meant}?"),
        None => "one is called like STALEGUARD__UPSTREAM__URL, for `url` in [upstream], and a resource must be in the \
                 file or in a preset"
            .to_owned(),
    }
}
