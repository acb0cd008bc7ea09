//! `${NAME}` and `${NAME:-default}` in the strings of the file, which the environment fills in; `$$` is a `$`.
//!
//! They are filled in once the file is TOML, and only in values. So what a variable says is a part of one string,
//! whatever it says: it can never open a table, name a key, or be filled in itself.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::environment::Environment;
use super::problem::{Place, Problem, Problems, quoted};
use super::source::Source;

/// What is wrong with one of them, and what to do about it.
struct Wrong {
    message: String,
    remedy: String,
}

/// The strings of a text while they are filled in.
pub(super) struct Strings<'a> {
    source: &'a Arc<Source>,
    environment: &'a Environment,
    /// What cannot be filled in.
    problems: Problems,
    /// Where the strings stand with which something is wrong.
    unfilled: Vec<Range<usize>>,
}

impl<'a> Strings<'a> {
    /// The strings of a table, with everything filled in that can be.
    pub(super) fn fill(
        table: &mut DeTable<'_>,
        source: &'a Arc<Source>,
        environment: &'a Environment,
    ) -> Self {
        let mut strings = Self { source, environment, problems: Problems::default(), unfilled: Vec::new() };
        strings.fill_table(table);
        strings
    }

    /// Notes what could not be filled in, in place of what was found wrong with the rest of such a string.
    pub(super) fn report(self, problems: &mut Problems) {
        let is_unfilled = |problem: &Problem| match &problem.place {
            Some(Place::File { source, span }) => source == self.source && self.unfilled.contains(span),
            _ => false,
        };
        problems.0.retain(|problem| !is_unfilled(problem));
        problems.0.extend(self.problems.0);
    }

    fn fill_table(&mut self, table: &mut DeTable<'_>) {
        table.iter_mut().for_each(|(_, value)| self.fill_value(value));
    }

    fn fill_value(&mut self, value: &mut Spanned<DeValue<'_>>) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) if text.contains('$') => *text = DeString::Owned(self.filled(text, span)),
            DeValue::Array(members) => members.iter_mut().for_each(|member| self.fill_value(member)),
            DeValue::Table(table) => self.fill_table(table),
            _ => {}
        }
    }

    /// A string with everything filled in, or as it was where something cannot be, which is noted.
    fn filled(&mut self, text: &str, span: Range<usize>) -> String {
        let mut filled = String::new();
        let mut is_filled = true;
        let mut rest = text;
        // Where the next one is looked for in the text as written, in which escapes make other places longer.
        let mut from = span.start;
        while let Some(at) = rest.find('$') {
            filled.push_str(&rest[..at]);
            let (piece, after) = rest[at..].split_at(length(&rest[at..]));
            let found = written(self.source, from..span.end, piece);
            from = found.as_ref().map_or(from, |found| found.end);
            match replacement(piece, self.environment) {
                Ok(replacement) => filled.push_str(replacement),
                Err(wrong) => {
                    let place = self.source.place(found.unwrap_or_else(|| span.clone()));
                    self.problems.push(Problem::new(wrong.message, Some(&place)).help(wrong.remedy));
                    self.unfilled.push(span.clone());
                    is_filled = false;
                }
            }
            rest = after;
        }
        // What is half filled in might mean something else.
        if is_filled { filled + rest } else { text.to_owned() }
    }
}

/// How much of a text that begins with a dollar sign belongs to it.
fn length(text: &str) -> usize {
    match text.as_bytes().get(1) {
        Some(b'$') => 2,
        Some(b'{') => text.find('}').map_or(text.len(), |end| end + 1),
        _ => 1,
    }
}

/// Where a piece of a string stands in the text, if it is written there as it is read.
fn written(source: &Source, within: Range<usize>, piece: &str) -> Option<Range<usize>> {
    let at = within.start + source.text.get(within)?.find(piece)?;
    Some(at..at + piece.len())
}

/// What a piece stands for that begins with a dollar sign.
fn replacement<'a>(written: &'a str, environment: &'a Environment) -> Result<&'a str, Wrong> {
    const FORMS: &str = "write ${NAME}, or ${NAME:-default}; a dollar sign alone is $$";
    let malformed =
        |what: &str| Wrong { message: format!("{} {what}", quoted(written)), remedy: FORMS.to_owned() };
    if let "$" | "$$" = written {
        return Ok("$");
    }
    let inside = written.strip_prefix("${").and_then(|inside| inside.strip_suffix('}'));
    let inside = inside.ok_or_else(|| malformed("is not closed"))?;
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(malformed("names no variable"));
    }
    let value = match (environment.get(name), default) {
        // As in a shell, a default also stands in for what is empty.
        (None | Some(Some("")), Some(default)) => default,
        (Some(Some(value)), _) => value,
        (Some(None), _) => {
            let message = format!("the variable {name} is not text in UTF-8");
            return Err(Wrong { message, remedy: "set it to text".to_owned() });
        }
        (None, None) => {
            let message = format!("the variable {name} is not set");
            return Err(Wrong { message, remedy: format!("set it, or write ${{{name}:-default}}") });
        }
    };
    if value.contains(['\n', '\r']) {
        let message = format!("the variable {name} holds a line break");
        let remedy = "give it in one line: no setting has several";
        return Err(Wrong { message, remedy: remedy.to_owned() });
    }
    Ok(value)
}

/// A name that every shell can set.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
