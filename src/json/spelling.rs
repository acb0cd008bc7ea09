//! For tests: the many ways in which one JSON value can be written.

use serde_json::Value;

/// Writes a value with the spaces, escapes and order of members that a source of choices gives.
pub fn spell(value: &Value, choices: &mut impl Iterator<Item = u8>) -> String {
    let space = [" ", "", "\n\t", "\r"][usize::from(choices.next().unwrap_or(1) % 4)];
    match value {
        Value::Object(object) => {
            let mut members: Vec<String> = object
                .iter()
                .map(|(name, value)| {
                    format!("{}{space}:{}", spell_text(name, choices), spell(value, choices))
                })
                .collect();
            let shift = usize::from(choices.next().unwrap_or(0)) % members.len().max(1);
            members.rotate_left(shift);
            format!("{{{space}{}}}{space}", members.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| spell(item, choices)).collect();
            format!("{space}[{}{space}]", items.join(","))
        }
        Value::String(text) => format!("{space}{}{space}", spell_text(text, choices)),
        other => format!("{space}{other}"),
    }
}

fn spell_text(text: &str, choices: &mut impl Iterator<Item = u8>) -> String {
    let mut spelt = String::from("\"");
    for character in text.chars() {
        let must = character.is_ascii_control() || "\"\\".contains(character);
        if must || choices.next().is_some_and(|choice| choice % 3 == 0) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                spelt.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            spelt.push(character);
        }
    }
    spelt + "\""
}
