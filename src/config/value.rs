//! One value as it was written: where it stands, under which key, and how the simple kinds are read.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::problem::{Place, Problem, Problems, known_words, quoted};
use super::section::Table;
use super::shape::Shape;

/// A value, its key and its place.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    /// The key as problems name it, as in `listen.address`.
    pub(super) key: String,
    /// Where it stands.
    pub(super) place: Place,
    /// What was written.
    pub(super) inner: &'a DeValue<'a>,
    /// The whole text of a variable, which has no quotation marks: whoever wants a string takes it as it is.
    pub(super) text: Option<&'a str>,
}

/// What was read, and where it was written.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// What was read.
    pub(super) value: T,
    /// Where it was written.
    pub(super) place: Place,
}

impl<'a> Value<'a> {
    /// The value in a table's entry.
    pub(super) fn of_entry(key: String, table: &Table<'a>, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { key, place: table.source.place(value.span()), inner: value.get_ref(), text: None }
    }

    /// A problem with this value. The sentence goes on after the key's name.
    pub(super) fn problem(&self, what: impl std::fmt::Display) -> Problem {
        let message = match &self.place {
            Place::File { .. } => format!("`{}` {what}", self.key),
            // The flag's or the variable's name stands before it.
            Place::Flag(_) | Place::Variable(_) => format!("it {what}"),
        };
        Problem::new(message, Some(&self.place))
    }

    /// A problem with the kind of this value.
    pub(super) fn expected(&self, what: &str) -> Problem {
        let problem = self.problem(format_args!("must be {what}, and here it is {}", self.kind()));
        // Whoever reads the value from anything else than a text says so.
        problem.expects(Shape::Text)
    }

    /// The kind of the value, with its article.
    fn kind(&self) -> &'static str {
        match self.inner {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// The last part of the key.
    pub(super) fn name(&self) -> &str {
        self.key.rsplit_once('.').map_or(self.key.as_str(), |(_, name)| name)
    }

    /// A whole number, if it is one that fits.
    pub(super) fn whole(&self) -> Option<i128> {
        match self.inner {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// The members of a list.
    pub(super) fn members(&self, example: &str) -> Result<Vec<Value<'a>>, Problem> {
        let (DeValue::Array(array), Some(source)) = (self.inner, self.place.source()) else {
            return Err(self.expected("a list").help(format!("write {} = {example}", self.name())));
        };
        let member = |member: &'a Spanned<DeValue<'a>>| Value {
            key: self.key.clone(),
            place: source.place(member.span()),
            inner: member.get_ref(),
            text: None,
        };
        Ok(array.iter().map(member).collect())
    }
}

/// A text.
pub(super) fn text<'a>(value: &Value<'a>) -> Result<&'a str, Problems> {
    match (value.inner, value.text) {
        (DeValue::String(text), _) => Ok(text),
        (_, Some(text)) => Ok(text),
        _ => Err(value.expected("a string").help("write it in quotation marks").into()),
    }
}

/// True or false.
pub(super) fn boolean(value: &Value<'_>) -> Result<bool, Problems> {
    match value.inner {
        DeValue::Boolean(boolean) => Ok(*boolean),
        _ => Err(value
            .expected("true or false")
            .help(format!("write {0} = true or {0} = false, without quotation marks", value.name()))
            .expects(Shape::Boolean)
            .into()),
    }
}

/// How many; at least one, since a bound of zero would stop everything.
pub(super) fn count(value: &Value<'_>) -> Result<usize, Problems> {
    // Far beyond any machine, and far below where counters and semaphores overflow.
    const MOST: i128 = 10_000_000;
    let Some(number) = value.whole() else {
        let what = format!("a whole number between 1 and {MOST}");
        return Err(value
            .expected(&what)
            .help(format!("write it without a unit, as in {} = 100", value.name()))
            .expects(Shape::Whole(1, MOST))
            .into());
    };
    within(value, number, 1..=MOST)?;
    usize::try_from(number).map_err(|_| value.problem("does not fit this machine").into())
}

/// Holds a number to its bounds.
fn within(value: &Value<'_>, number: i128, bounds: RangeInclusive<i128>) -> Result<(), Problems> {
    if bounds.contains(&number) {
        return Ok(());
    }
    let (least, most) = (bounds.start(), bounds.end());
    let problem = if number < *least {
        value.problem(format_args!("must be at least {least}, and here it is {number}"))
    } else {
        value.problem(format_args!("must be at most {most}, and here it is {number}"))
    };
    Err(problem.help(format!("write a number between {least} and {most}")).into())
}

/// One of a few words.
pub(super) fn choice<T: Copy>(value: &Value<'_>, words: &[(&str, T)]) -> Result<T, Problems> {
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let text = text(value).map_err(|_| {
        let words = known.iter().map(|word| (*word).to_owned()).collect();
        let problem = value.expected("a string").help(known_words("", "it is one of", &known));
        problem.expects(Shape::Words(words))
    })?;
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let problem = value.problem(format_args!("cannot be {}", quoted(text)));
        problem.help(known_words(text, "it is one of", &known)).into()
    })
}

/// A list, every member of which is read; all that is wrong with any of them is reported.
pub(super) fn list<'a, T>(
    value: &Value<'a>,
    example: &str,
    member: impl Fn(&Value<'a>) -> Result<T, Problems>,
) -> Result<Vec<T>, Problems> {
    let mut problems = Problems::default();
    if value.is_question() {
        let shape = Shape::List(Box::new(Shape::told(member(value))));
        return Err(value
            .expected("a list")
            .help(format!("write {} = {example}", value.name()))
            .expects(shape)
            .into());
    }
    let members = value.members(example)?;
    let read: Vec<T> = members.iter().filter_map(|value| problems.note(member(value))).collect();
    if problems.is_empty() { Ok(read) } else { Err(problems) }
}

/// A flag's text as a value, so that it is read by the same function as the file's.
pub(super) fn flag(text: &str) -> DeValue<'_> {
    DeValue::String(DeString::Borrowed(text))
}
