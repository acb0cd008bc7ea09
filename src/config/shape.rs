//! What a key takes, as its own parser says it: every parser is asked with a date, which no key takes, and what it
//! expects instead is written down. So nothing is said of a key in two places.

use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use super::problem::Problems;
use super::value::Value;

/// What a value may look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Shape {
    /// The parser says no more than its problems do.
    #[default]
    Any,
    /// True or false.
    Boolean,
    /// A whole number between these two, both included.
    Whole(i128, i128),
    /// A number from 0 to 1.
    Share,
    /// Any text.
    Text,
    /// A text that a regular expression (ECMA 262) knows.
    Form(&'static str),
    /// One of these words.
    Words(Vec<String>),
    /// A list of such members.
    List(Box<Self>),
    /// A table with these keys.
    Table(Vec<Key>),
    /// A table whose names are the user's own, with such values.
    Named(Box<Self>),
    /// Any of these.
    Either(Vec<Self>),
}

/// A key that a table was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// Whether the table is nothing without it.
    pub(super) required: bool,
}

impl Shape {
    /// What a parser takes that gave this answer to a question.
    pub(super) fn told<T>(read: Result<T, Problems>) -> Self {
        let problems = read.err().unwrap_or_default();
        problems
            .0
            .into_iter()
            .next()
            .and_then(|problem| problem.expects)
            .map(|shape| *shape)
            .unwrap_or_default()
    }

    /// The same table, which may leave out any of its keys.
    pub(super) fn without_duties(self) -> Self {
        match self {
            Self::Table(keys) => {
                Self::Table(keys.into_iter().map(|key| Key { required: false, ..key }).collect())
            }
            other => other,
        }
    }

    /// As a JSON Schema (draft 2020-12).
    pub(super) fn schema(&self) -> Json {
        // What a string is before the environment fills it in may be anything that holds a variable.
        let or_filled_in = |schema: Json| json!({ "anyOf": [schema, { "$ref": "#/$defs/filled-in" }] });
        match self {
            Self::Any => json!({}),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Whole(least, most) => {
                // They are bounds of numbers that fit a machine.
                let bound = |number: &i128| i64::try_from(*number).unwrap_or(i64::MAX);
                json!({ "type": "integer", "minimum": bound(least), "maximum": bound(most) })
            }
            Self::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
            Self::Text => json!({ "type": "string" }),
            Self::Form(pattern) => or_filled_in(json!({ "type": "string", "pattern": pattern })),
            Self::Words(words) => or_filled_in(json!({ "enum": words })),
            Self::List(member) => json!({ "type": "array", "items": member.schema() }),
            Self::Table(keys) => {
                let properties: Map<String, Json> =
                    keys.iter().map(|key| (key.name.clone(), key.shape.schema())).collect();
                let required: Vec<&str> =
                    keys.iter().filter(|key| key.required).map(|key| key.name.as_str()).collect();
                let mut table =
                    json!({ "type": "object", "properties": properties, "additionalProperties": false });
                if !required.is_empty() {
                    table["required"] = json!(required);
                }
                table
            }
            Self::Named(each) => json!({ "type": "object", "additionalProperties": each.schema() }),
            Self::Either(shapes) => json!({ "anyOf": shapes.iter().map(Self::schema).collect::<Vec<_>>() }),
        }
    }
}

impl Value<'_> {
    /// Whether this is no value of anybody's but the question what is taken here.
    pub(super) fn is_question(&self) -> bool {
        matches!(self.inner, DeValue::Datetime(_))
    }
}
