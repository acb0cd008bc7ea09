//! The members of all objects of a JSON text: is one of them named twice?

use serde_json::Value;

/// Whether a valid JSON text holds members that the tree parsed from it does not.
///
/// Of members that are named twice the tree keeps one, and servers do not agree on which (RFC 8259 §4). One whose name
/// is that in which the parser keeps numbers counts too, since the tree loses it.
pub fn repeats_a_member(json: &[u8], value: &Value) -> bool {
    members_kept(value) != members_written(json)
}

/// How many members all objects of a valid JSON text name: one for each colon outside of a string.
fn members_written(json: &[u8]) -> usize {
    let (mut colons, mut in_string, mut escaped) = (0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => colons += 1,
            _ => {}
        }
    }
    colons
}

/// How many members all objects of a tree hold. The parser bounds its depth.
fn members_kept(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.len() + object.values().map(members_kept).sum::<usize>(),
        Value::Array(items) => items.iter().map(members_kept).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
