//! The schema says of every key what its parser takes, and of no other.

use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value as Json, json};

use super::*;
use crate::config::schema::schema;

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).expect("a JSON Schema")
}

fn is_valid(validator: &Validator, text: &str) -> bool {
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{text}\n{error}"));
    let table = json!(table);
    // A validator says nothing of what it does not understand, so say why where it matters.
    validator.is_valid(&table)
}

/// The keys of the schema at a place, with their own schemas.
fn keys<'a>(schema: &'a Json, section: &str) -> Vec<(&'a str, &'a Json)> {
    let inside =
        |at: &'a Json, name: &str| at["properties"].get(name).unwrap_or_else(|| &at["additionalProperties"]);
    let at = section.split('.').fold(schema, inside);
    let keys = at["properties"].as_object().unwrap_or_else(|| panic!("[{section}] {at}"));
    keys.iter().map(|(key, schema)| (key.as_str(), schema)).collect()
}

/// Every section by the name that its keys have in the default file, those within others too.
fn sections() -> Vec<String> {
    let schema = schema();
    let top = schema["properties"].as_object().expect("sections").keys();
    let top = top.map(|name| if name == "resource" { "resource.notes".to_owned() } else { name.clone() });
    let within = |section: String| {
        let inner = keys(&schema, &section).into_iter().filter(|(_, schema)| is_section(schema));
        let inner: Vec<String> = inner.map(|(key, _)| format!("{section}.{key}")).collect();
        [section].into_iter().chain(inner)
    };
    top.flat_map(within).collect()
}

fn is_section(schema: &Json) -> bool {
    schema.get("properties").is_some()
}

#[test]
fn it_has_every_key_of_the_default_file_and_no_other() {
    let (schema, text) = (schema(), with_examples(DEFAULT));
    let default = DeTableKeys::of(&text);
    let mut written: Vec<String> = default.0.keys().cloned().collect();
    written.sort_unstable();
    let top: Vec<&String> = schema["properties"].as_object().expect("sections").keys().collect();
    assert_eq!(top, written.iter().collect::<Vec<_>>());
    for section in sections() {
        let keys: Vec<&str> = keys(&schema, &section).iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, default.in_section(&section), "[{section}]");
    }
}

#[test]
fn every_key_has_a_type_its_reason_and_its_default() {
    let schema = schema();
    let text = with_examples(DEFAULT);
    for section in sections() {
        for (key, schema) in keys(&schema, &section).into_iter().filter(|(_, schema)| !is_section(schema)) {
            let has = |what: &str| schema.get(what).is_some();
            assert!(has("type") || has("anyOf") || has("enum"), "{section}.{key}: {schema}");
            let reason = schema["description"].as_str().unwrap_or_default();
            assert!(reason.len() > 10, "{section}.{key} has a reason: {schema}");
            assert!(text.contains(reason.split_whitespace().next().expect("a word")), "{reason}");
            let is_example = DEFAULT
                .lines()
                .any(|line| line.starts_with(&format!("#{key}")) || line == format!("#[[{section}.{key}]]"));
            assert!(has("default") || is_example, "{section}.{key} has a default: {schema}");
        }
    }
    let connections = &schema["properties"]["listen"]["properties"]["connections"];
    assert_eq!((&connections["type"], &connections["default"]), (&json!("integer"), &json!(10_000)));
    let level = &schema["properties"]["log"]["properties"]["level"];
    assert_eq!(level["anyOf"][0]["enum"], json!(["error", "warn", "info", "debug", "trace", "off"]));
    assert_eq!(
        level["description"].as_str().expect("a reason").split(':').next(),
        Some("What is said on standard error")
    );
    let agents = &schema["properties"]["resource"]["additionalProperties"]["properties"]["agents"];
    assert_eq!((&agents["default"], &agents["items"]["type"]), (&json!([]), &json!("string")));
}

#[test]
fn what_comes_with_the_program_is_valid() {
    let validator = validator();
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("config")];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).expect("readable").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).expect("text");
            let table: toml::Table = text.parse().expect("TOML");
            let wrong: Vec<String> = validator
                .iter_errors(&json!(table))
                .map(|error| format!("{error} at {}", error.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "the default, two presets and the image's");
    assert!(is_valid(&validator, &with_examples(DEFAULT)), "the examples of the default file");
    assert!(is_valid(&validator, ""));
    assert!(is_valid(&validator, "log.level = \"${LEVEL:-info}\"\nlisten.linger = \"${A}s\""));
}

#[test]
fn a_key_that_nobody_knows_is_not_valid() {
    let validator = validator();
    for section in sections() {
        assert!(!is_valid(&validator, &format!("[{section}]\nnonsense = 1\n")), "{section}");
    }
    for text in [
        "nonsense = 1",
        "[[resource.state.when]]\nnonsense = 1\nheader = { A = \"a\" }\nunconditional.PUT = \"forward\"",
        "[[resource.state.when]]\nheader = { A = \"a\" }",
        "[resource.state]\nunconditional.PUT = { existing = 409, missing = \"forward\", nonsense = 1 }",
        "[resource.state]\nunconditional.PUT = { existing = 409 }",
    ] {
        assert!(!is_valid(&validator, text), "{text}");
    }
}

/// An editor must never mark what the program takes; and what is of another kind it must mark like the program.
#[test]
fn it_is_of_one_mind_with_the_parsers() {
    let validator = validator();
    let values = [
        "true",
        "false",
        "0",
        "1",
        "200",
        "204",
        "404",
        "0.5",
        "1.5",
        "\"x\"",
        "\"\"",
        "\"10s\"",
        "\"250ms\"",
        "\"1h 30min\"",
        "\"10\"",
        "\"10MiB\"",
        "\"64 kB\"",
        "\"5B\"",
        "\"info\"",
        "\"enforce\"",
        "\"127.0.0.1:0\"",
        "[]",
        "[404, \"{}\"]",
        "[\"path\"]",
        "[\"PUT\"]",
        "[\"a\"]",
        "[1]",
        "{}",
        "{ PUT = \"forward\" }",
        "{ PUT = { existing = 409, missing = \"forward\" } }",
        "{ PUT = 409 }",
        "1979-05-27",
    ];
    let problems_of =
        |text: &str| Config::check("f", text, &Environment::default()).err().unwrap_or_default().0;
    let (mut taken, mut refused) = (0, 0);
    let schema = schema();
    for section in sections() {
        for (key, _) in keys(&schema, &section).into_iter().filter(|(_, schema)| !is_section(schema)) {
            for value in values {
                let text = format!("[{section}]\n{key} = {value}\n");
                let problems = problems_of(&text);
                // Beside other keys it may still be wrong, which is no matter of this one.
                let about = format!("`{section}.{key}");
                let of_kind = |problem: &&Problem| problem.message.starts_with(&about);
                match problems.iter().find(of_kind) {
                    None => {
                        taken += 1;
                        assert!(is_valid(&validator, &text), "the program takes {text}");
                    }
                    Some(problem)
                        if problem.message.contains(" must be ")
                            && problem.message.contains("here it is a") =>
                    {
                        refused += 1;
                        assert!(!is_valid(&validator, &text), "the program says {problem:?} of {text}");
                    }
                    Some(_) => {}
                }
            }
        }
    }
    assert!(taken > 100 && refused > 500, "{taken} {refused}");
}
