//! A text that settings are read from, with the name under which it is shown.

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::problem::{Place, Problem, Problems};

/// What to do about a text that is no TOML. What exactly is wrong stands in the parser's own words.
const REMEDY: &str = "texts, addresses and durations stand in quotation marks, \
    as in address = \"127.0.0.1:8080\"; tables begin with a line like [listen]";

/// A TOML text and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that problems show, as the user gave it.
    pub name: String,
    /// The text.
    pub text: String,
    pub(super) origin: Origin,
}

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file of the user's.
    User,
    /// A part of the program.
    Embedded,
    /// A variable of the environment.
    Variable,
}

impl Source {
    /// A file of the user's.
    pub(super) fn of_user(name: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), text: text.to_owned(), origin: Origin::User })
    }

    /// A file that is a part of the program.
    pub(super) fn embedded(name: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), text: text.to_owned(), origin: Origin::Embedded })
    }

    /// A variable of the environment, under its name.
    pub(super) fn variable(name: &str, text: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned(), text: text.to_owned(), origin: Origin::Variable })
    }

    /// Reads the text as TOML, or notes everything that makes it none.
    pub(super) fn parse(self: &Arc<Self>, problems: &mut Problems) -> Option<DeTable<'_>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        if errors.is_empty() {
            return Some(table.into_inner());
        }
        for error in errors {
            let span = error.span().unwrap_or(self.text.len()..self.text.len());
            let message = format!("this is not TOML: {}", error.message());
            problems.push(Problem::new(message, Some(&self.place(span))).help(REMEDY));
        }
        None
    }

    pub(super) fn place(self: &Arc<Self>, span: Range<usize>) -> Place {
        match self.origin {
            // It is short, and may be no business of whoever reads the log: its name is enough.
            Origin::Variable => Place::Variable(Arc::clone(self)),
            Origin::User | Origin::Embedded => Place::File { source: Arc::clone(self), span },
        }
    }

    /// The part of a span that a caret can stand under: within the text, within one line, whole characters.
    pub(super) fn shown(&self, span: &Range<usize>) -> Range<usize> {
        let start = floor(&self.text, span.start);
        let end = floor(&self.text, span.end).max(start);
        let line = self.text[start..end].find(['\n', '\r']).unwrap_or(end - start);
        start..start + line
    }
}

/// The nearest place at or before a byte where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_in_one_line_of_the_text() {
        let source = Source::of_user("f", "ä = 1\nb = 2");
        for (span, shown) in [(0..2, 0..2), (1..2, 0..2), (3..9, 3..6), (7..99, 7..12), (99..100, 12..12)] {
            assert_eq!(source.shown(&span), shown, "{span:?}");
        }
    }
}
