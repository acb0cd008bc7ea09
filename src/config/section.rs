//! A table of the configuration as a stack of layers: the default below, then presets, then the user's file,
//! then variables of the environment, then flags. The highest layer that names a key gives its value.
//!
//! Every layer's value is read, so that a mistake in the file is reported even where a flag hides it. A
//! section remembers which keys it was asked for: what else stands in it is unknown, and the list of known
//! keys needs no second home.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::environment::Variables;
use super::problem::{Place, Problem, Problems, known_words, quoted};
use super::schema::Question;
use super::shape::{Key, Shape};
use super::source::Source;
use super::value::{At, Value};

/// One layer's share of a section.
#[derive(Debug, Clone)]
pub(super) struct Table<'a> {
    /// The text it stands in.
    pub(super) source: Arc<Source>,
    /// Where it was opened.
    pub(super) span: Range<usize>,
    /// What it says.
    pub(super) entries: &'a DeTable<'a>,
}

/// A setting that was given on the command line.
#[derive(Debug)]
pub(super) struct Flag<'a> {
    /// The section and the key that it stands for.
    pub(super) key: (&'static str, &'static str),
    /// The flag, as in `--upstream`.
    pub(super) name: &'static str,
    /// What was given.
    pub(super) value: DeValue<'a>,
}

/// What lies over every table: what was said outside of files, key by key.
#[derive(Debug, Default)]
pub(super) struct Above<'a> {
    /// What variables of the environment say.
    pub(super) variables: Variables<'a>,
    /// What the command line says, which wins.
    pub(super) flags: Vec<Flag<'a>>,
}

/// A section while it is read.
pub(super) struct Section<'a, 'p> {
    name: String,
    tables: Vec<Table<'a>>,
    /// Nothing for a table that is one value, which is given as a whole.
    above: Option<&'a Above<'a>>,
    asked: Vec<Key>,
    /// What each of those takes whose names are the user's own.
    named: Option<Shape>,
    /// What the parsers are asked with, where nothing is read but what they take.
    question: Option<Question<'a>>,
    problems: &'p mut Problems,
}

/// A name in a section whose names are the user's own.
pub(super) struct Entry<'a> {
    /// The name.
    pub(super) name: String,
    /// Where the name stands.
    pub(super) place: Place,
    /// What it names.
    pub(super) value: Value<'a>,
}

impl<'a, 'p> Section<'a, 'p> {
    /// The whole of a configuration, the lowest layer first.
    pub(super) fn root(tables: Vec<Table<'a>>, above: &'a Above<'a>, problems: &'p mut Problems) -> Self {
        Self {
            name: String::new(),
            tables,
            above: Some(above),
            asked: Vec::new(),
            named: None,
            question: None,
            problems,
        }
    }

    /// A section that finds out what its readers take.
    pub(super) fn asking(question: Question<'a>, problems: &'p mut Problems) -> Self {
        let tables = Vec::new();
        let question = Some(question);
        Self { name: String::new(), tables, above: None, asked: Vec::new(), named: None, question, problems }
    }

    /// What the section takes, once it was read.
    pub(super) fn into_shape(self) -> Shape {
        match self.named {
            Some(each) => Shape::Named(Box::new(each)),
            None => Shape::Table(self.asked),
        }
    }

    fn ask_for(&mut self, key: &str, shape: Shape, required: bool) {
        // What must be there is also read like any other key.
        if !self.asked.iter().any(|asked| asked.name == key) {
            self.asked.push(Key { name: key.to_owned(), shape, required });
        }
    }

    /// Puts layers right over the lowest one: presets over the default, and under the user's file.
    pub(super) fn lay_over_lowest(&mut self, layers: Vec<Table<'a>>) {
        let at = self.tables.len().min(1);
        self.tables.splice(at..at, layers);
    }

    /// The section's name, as in `resource.notes`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Notes a problem.
    pub(super) fn note(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Where the section was opened, by the highest layer that has it.
    pub(super) fn place(&self) -> Option<Place> {
        self.tables.last().map(|table| table.source.place(table.span.clone()))
    }

    /// Whether any layer has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        !self.values(key).is_empty()
    }

    /// Reads a key. Nothing when no layer has it, or when its value is wrong, which is then noted.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Value<'a>) -> Result<T, Problems>,
    ) -> Option<T> {
        self.read_at(key, parse).map(|read| read.value)
    }

    /// Reads a key and says where its value stands.
    pub(super) fn read_at<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Value<'a>) -> Result<T, Problems>,
    ) -> Option<At<T>> {
        self.read_each(key, parse).pop().and_then(|(_, read)| read)
    }

    /// Reads a key in every layer that has it, the lowest first, with the layer's number.
    pub(super) fn read_each<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Value<'a>) -> Result<T, Problems>,
    ) -> Vec<(usize, Option<At<T>>)> {
        let shape = self.question.map(|inner| {
            let place = Place::Flag("question");
            Shape::told(parse(&Value { key: self.key(key), place, inner, text: None }))
        });
        self.ask_for(key, shape.unwrap_or_default(), false);
        let values = self.values(key).into_iter();
        let read = |(layer, value): (usize, Value<'a>)| {
            let read = self.problems.note(parse(&value));
            (layer, read.map(|read| At { value: read, place: value.place }))
        };
        values.map(read).collect()
    }

    /// Reads a key that must be there.
    pub(super) fn require<T>(
        &mut self,
        key: &str,
        remedy: &str,
        parse: impl Fn(&Value<'a>) -> Result<T, Problems>,
    ) -> Option<At<T>> {
        if !self.has(key) {
            let message = format!("`{}` is missing", self.key(key));
            self.note(Problem::new(message, self.place().as_ref()).help(remedy));
        }
        let read = self.read_at(key, parse);
        self.asked.iter_mut().filter(|asked| asked.name == key).for_each(|asked| asked.required = true);
        read
    }

    /// Reads a section within this one and reports what it does not know.
    pub(super) fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'a, '_>) -> T) -> T {
        let tables = self.tables_of(key);
        let (read, shape) = self.open(key, tables, read);
        self.asked.iter_mut().filter(|asked| asked.name == key).for_each(|asked| asked.shape = shape.clone());
        read
    }

    /// The same with a layer below all others; nothing when no other is a table.
    pub(super) fn section_over<T>(
        &mut self,
        lowest: Option<&Table<'a>>,
        key: &str,
        read: impl FnOnce(&mut Section<'a, '_>) -> T,
    ) -> Option<T> {
        let tables = self.tables_of(key);
        if tables.is_empty() {
            return None;
        }
        let (read, shape) = self.open(key, lowest.cloned().into_iter().chain(tables).collect(), read);
        // Layers below may have what this one must not leave out.
        self.named = Some(shape.without_duties());
        Some(read)
    }

    fn open<T>(
        &mut self,
        key: &str,
        tables: Vec<Table<'a>>,
        read: impl FnOnce(&mut Section<'a, '_>) -> T,
    ) -> (T, Shape) {
        let name = self.key(key);
        let (above, question) = (self.above, self.question);
        let problems = &mut *self.problems;
        let mut section = Section { name, tables, above, asked: Vec::new(), named: None, question, problems };
        let read = read(&mut section);
        section.report_unknown();
        (read, section.into_shape())
    }

    /// Every layer's table of that name; what is no table is noted.
    fn tables_of(&mut self, key: &str) -> Vec<Table<'a>> {
        self.ask_for(key, Shape::Any, false);
        let values = self.values(key).into_iter();
        let noted = |(_, value)| self.problems.note(table(&value).map_err(Problems::from));
        values.filter_map(noted).collect()
    }

    /// The names in a section whose names are the user's own: the highest layer's first, in the order they
    /// were written, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for table in self.tables.iter().rev() {
            let mut written: Vec<_> = table.entries.keys().collect();
            written.sort_by_key(|name| name.span().start);
            for name in written {
                if !names.iter().any(|known| known == name.get_ref()) {
                    names.push(name.get_ref().to_string());
                }
            }
        }
        names
    }

    /// Notes names that the environment cannot tell apart, where it says something of them.
    pub(super) fn tell_apart(&mut self, names: &[String]) {
        let Some(above) = self.above else { return };
        for (index, name) in names.iter().enumerate() {
            for other in &names[..index] {
                let Some(place) = above.variables.within_both(&self.key(other), &self.key(name)) else {
                    continue;
                };
                let message = format!("it may mean {} or {}", quoted(other), quoted(name));
                let remedy = "give one of them another name, or write the setting into the file";
                self.note(Problem::new(message, Some(&place)).help(remedy));
            }
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn report_unknown(&mut self) {
        let known: Vec<&str> = self.asked.iter().map(|asked| asked.name.as_str()).collect();
        let (at, all) = match self.name.as_str() {
            "" => ("at the top level".to_owned(), "there are".to_owned()),
            name => (format!("in [{name}]"), format!("the keys of [{name}] are")),
        };
        for table in &self.tables {
            for key in table.entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
                let message = format!("unknown key {} {at}", quoted(key.get_ref()));
                let problem = Problem::new(message, Some(&table.source.place(key.span())));
                self.problems.push(problem.help(known_words(key.get_ref(), &all, &known)));
            }
        }
    }

    /// The values of a key, the lowest layer's first.
    fn values(&self, key: &str) -> Vec<(usize, Value<'a>)> {
        let name = self.key(key);
        let of_tables = self.tables.iter().enumerate().filter_map(|(layer, table)| {
            let value = table.entries.get(key)?;
            Some((layer, Value::of_entry(name.clone(), table, value)))
        });
        let mut values: Vec<_> = of_tables.collect();
        let Some(above) = self.above else { return values };
        let top = self.tables.len();
        values.extend(above.variables.get(&name).map(|variable| (top, variable.value_of(name.clone()))));
        let of_key = above.flags.iter().filter(|flag| flag.key == (self.name.as_str(), key));
        values.extend(of_key.map(|flag| {
            let place = Place::Flag(flag.name);
            (top + 1, Value { key: name.clone(), place, inner: &flag.value, text: None })
        }));
        values
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// Reads a value that is a table with known keys.
pub(super) fn fields<'a, T>(
    value: &Value<'a>,
    example: &str,
    read: impl FnOnce(&mut Section<'a, '_>) -> Option<T>,
) -> Result<T, Problems> {
    let mut problems = Problems::default();
    if value.is_question() {
        let mut section = Section::asking(value.inner, &mut problems);
        read(&mut section);
        let problem = value.expected("a table").help(format!("write {example}"));
        return Err(problem.expects(section.into_shape()).into());
    }
    let table = table(value).map_err(|problem| problem.help(format!("write {example}")))?;
    let mut section = Section::asking(value.inner, &mut problems);
    (section.name, section.tables, section.question) = (value.key.clone(), vec![table], None);
    let read = read(&mut section);
    section.report_unknown();
    match read {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(problems),
    }
}

/// Reads a value that is a table whose names are the user's own.
pub(super) fn entries<'a>(value: &Value<'a>, example: &str) -> Result<Vec<Entry<'a>>, Problems> {
    let table = table(value).map_err(|problem| problem.help(format!("write {example}")))?;
    let entry = |(name, inner): (&Spanned<DeString<'a>>, &'a Spanned<DeValue<'a>>)| Entry {
        name: name.get_ref().to_string(),
        place: table.source.place(name.span()),
        value: Value::of_entry(format!("{}.{}", value.key, name.get_ref()), &table, inner),
    };
    Ok(table.entries.iter().map(entry).collect())
}

/// A value as a table.
fn table<'a>(value: &Value<'a>) -> Result<Table<'a>, Problem> {
    let (DeValue::Table(entries), Some(source)) = (value.inner, value.place.source()) else {
        return Err(value.expected("a table"));
    };
    let span = if let Place::File { span, .. } = &value.place { span.clone() } else { 0..0 };
    Ok(Table { source: Arc::clone(source), span, entries })
}
