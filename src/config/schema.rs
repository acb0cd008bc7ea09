//! The JSON Schema of the configuration, for editors: what each key takes is asked of its parser, and the reason for it
//! and its default are those of `config/default.toml`.

use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use super::presets::Files;
use super::problem::Problems;
use super::section::{Section, Table};
use super::shape::Shape;
use super::source::Source;
use super::{DEFAULT, Needs, presets, read_sections, resource};

/// The schema of a file, in JSON Schema's draft 2020-12.
pub fn schema() -> Json {
    let mut schema = shape().schema();
    describe(&mut schema);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("The configuration of Staleguard");
    schema["$defs"] = json!({
        "filled-in": {
            "description": "A string that the environment fills in.",
            "type": "string",
            "pattern": "\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}",
        }
    });
    schema
}

/// What every key takes, as the parsers say it.
fn shape() -> Shape {
    // What the program says of itself is right, which the tests of the defaults hold.
    let mut problems = Problems::default();
    let (defaults, sources) = (resource::defaults(), presets::sources());
    let defaults_table = defaults.parse(&mut problems);
    let preset_tables = sources.each_ref().map(|source| source.parse(&mut problems));
    let files = Files::new(&sources, &preset_tables);
    let lowest =
        defaults_table.as_ref().map(|entries| Table { source: defaults.clone(), span: 0..0, entries });
    let empty = Source::embedded("question", "at = 2000-01-01");
    let table = empty.parse(&mut problems).unwrap_or_default();
    let Some(question) = table.values().next().map(|value| value.get_ref()) else { return Shape::Any };
    let mut root = Section::asking(question, &mut problems);
    read_sections(&mut root, &files, lowest, false, Needs::default());
    root.into_shape()
}

/// Puts the reasons and the defaults where their keys are.
fn describe(schema: &mut Json) {
    let mut section: Vec<String> = Vec::new();
    let mut reason = String::new();
    let mut is_used = false;
    for line in DEFAULT.lines() {
        let example = line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' '));
        let written = example.unwrap_or(line);
        if let Some(sentence) = line.strip_prefix("# ") {
            if std::mem::take(&mut is_used) {
                reason.clear();
            }
            reason = [reason.as_str(), sentence].join(" ").trim().to_owned();
        } else if let Some(name) = written.strip_prefix('[') {
            section = name.trim_matches(['[', ']']).split('.').map(str::to_owned).collect();
            // A list of tables is a key like any other, with a reason above it that is its members' too.
            let own = section.split_last().filter(|_| !reason.is_empty());
            if let Some(property) = own.and_then(|(key, of)| property(schema, of, key)) {
                property["description"] = json!(reason);
            }
        } else if let Some((key, _)) = written.split_once(" = ") {
            let key = key.split('.').next().unwrap_or(key);
            // Several lines may be about one key; the first has its reason.
            let property = property(schema, &section, key);
            if let Some(property) = property.filter(|property| property.get("description").is_none()) {
                property["description"] = json!(reason);
            }
            is_used = true;
        } else {
            reason.clear();
        }
    }
    let resources = resource::defaults();
    for (section, text) in
        [(&[][..], DEFAULT), (&["resource".to_owned(), "any".to_owned()][..], &resources.text)]
    {
        // Both texts are a part of the program, and tests read them.
        let Ok(Json::Object(table)) = text.parse::<toml::Table>().map(|table| json!(table)) else { continue };
        defaults_of(schema, section, &table);
    }
}

fn defaults_of(schema: &mut Json, section: &[String], table: &Map<String, Json>) {
    for (key, value) in table {
        match value {
            Json::Object(table) => defaults_of(schema, &[section, std::slice::from_ref(key)].concat(), table),
            value => {
                if let Some(property) = property(schema, section, key) {
                    property["default"] = value.clone();
                }
            }
        }
    }
}

/// A key's own schema.
fn property<'a>(schema: &'a mut Json, section: &[String], key: &str) -> Option<&'a mut Json> {
    let mut at = schema;
    for name in section {
        // A resource may have any name, and `when` is a list.
        at = match at["properties"].get(name).is_some() {
            true => &mut at["properties"][name],
            false => &mut at["additionalProperties"],
        };
        if at["type"] == "array" {
            at = &mut at["items"];
        }
    }
    at.get_mut("properties")?.get_mut(key)
}

/// A date, which no key takes.
pub(super) type Question<'a> = &'a DeValue<'a>;
