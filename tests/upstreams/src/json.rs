//! JSON that is parsed and printed anew, as one language or another prints it.

use bytes::Bytes;
use serde_json::Value;

/// How a language prints JSON. Members keep their order in all of them.
pub(crate) struct Style {
    /// Between members, and between a name and its value.
    separators: [&'static str; 2],
    /// `/` becomes `\/`.
    escapes_slash: bool,
    /// What is not ASCII becomes `\uXXXX`.
    escapes_unicode: bool,
    numbers: Numbers,
    /// What an empty object is printed as.
    empty_object: &'static str,
}

/// What becomes of numbers.
enum Numbers {
    /// They stay as they were written.
    Kept,
    /// They become doubles, which are printed without an exponent from `least` up to below `most`.
    Doubles { least: f64, most: f64 },
}

/// `JSON.stringify(JSON.parse(text))`.
pub(crate) const JAVASCRIPT: Style = Style {
    separators: [",", ":"],
    escapes_slash: false,
    escapes_unicode: false,
    numbers: Numbers::Doubles { least: 1e-6, most: 1e21 },
    empty_object: "{}",
};

/// `json_encode(json_decode($text, true))`, to which an empty object is an empty array.
pub(crate) const PHP: Style = Style {
    separators: [",", ":"],
    escapes_slash: true,
    escapes_unicode: true,
    numbers: Numbers::Doubles { least: 1e-4, most: 1e17 },
    empty_object: "[]",
};

/// `json.dumps(json.loads(text))`.
pub(crate) const PYTHON: Style = Style {
    separators: [", ", ": "],
    escapes_slash: false,
    escapes_unicode: true,
    numbers: Numbers::Kept,
    empty_object: "{}",
};

/// Whether bytes are JSON.
pub(crate) fn is_valid(contents: &[u8]) -> bool {
    serde_json::from_slice::<Value>(contents).is_ok()
}

impl Style {
    /// Prints JSON anew; what is no JSON stays as it is.
    pub(crate) fn print_anew(&self, contents: &Bytes) -> Bytes {
        match std::str::from_utf8(contents) {
            Ok(text) if is_valid(contents) => self.printed(text).into(),
            _ => contents.clone(),
        }
    }

    /// Prints valid JSON anew, token by token.
    pub(crate) fn printed(&self, json: &str) -> String {
        let mut printed = String::new();
        let mut rest = json.trim_start();
        while !rest.is_empty() {
            let (token, behind) = rest.split_at(token_length(rest));
            rest = behind.trim_start();
            match token.as_bytes()[0] {
                b',' => printed.push_str(self.separators[0]),
                b':' => printed.push_str(self.separators[1]),
                b'{' if rest.starts_with('}') => {
                    printed.push_str(self.empty_object);
                    rest = rest[1..].trim_start();
                }
                b'"' => printed.push_str(&self.string(token)),
                b'-' | b'0'..=b'9' => printed.push_str(&self.number(token)),
                _ => printed.push_str(token),
            }
        }
        printed
    }

    fn string(&self, token: &str) -> String {
        let text: String = serde_json::from_str(token).expect("a string of valid JSON");
        let mut printed = serde_json::to_string(&text).expect("a string can be printed");
        if self.escapes_slash {
            printed = printed.replace('/', "\\/");
        }
        if self.escapes_unicode {
            let escaped = |c: char| match c {
                c if c.is_ascii() => c.to_string(),
                c => c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            };
            printed = printed.chars().map(escaped).collect();
        }
        printed
    }

    fn number(&self, token: &str) -> String {
        let Numbers::Doubles { least, most } = self.numbers else { return token.to_owned() };
        let number: f64 = token.parse().expect("a number of valid JSON");
        match number.abs() {
            0.0 => "0".to_owned(),
            size if size.is_infinite() => "null".to_owned(),
            size if (least..most).contains(&size) => number.to_string(),
            size if size < least => format!("{number:e}"),
            _ => format!("{number:e}").replace('e', "e+"),
        }
    }
}

/// The length of the first token: a string, a sign of punctuation, or a number or word.
fn token_length(text: &str) -> usize {
    let is_punctuation = |byte: u8| matches!(byte, b',' | b':' | b'{' | b'}' | b'[' | b']');
    match text.as_bytes()[0] {
        b'"' => {
            let mut escaped = false;
            let end = text.bytes().skip(1).position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            end.map_or(text.len(), |end| end + 2)
        }
        first if is_punctuation(first) => 1,
        _ => text
            .bytes()
            .position(|byte| is_punctuation(byte) || byte.is_ascii_whitespace())
            .unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_prints_in_its_own_way() {
        let sent = "{ \"b\" : [2, {} ],\n \"a\":1.0, \"big\":12345678901234567890, \"é/\\\"\":\"\\u00e9\", \"no\": null }";
        for (style, printed) in [
            (JAVASCRIPT, r#"{"b":[2,{}],"a":1,"big":12345678901234567000,"é/\"":"é","no":null}"#),
            (PHP, r#"{"b":[2,[]],"a":1,"big":1.2345678901234567e+19,"\u00e9\/\"":"\u00e9","no":null}"#),
            (
                PYTHON,
                r#"{"b": [2, {}], "a": 1.0, "big": 12345678901234567890, "\u00e9/\"": "\u00e9", "no": null}"#,
            ),
        ] {
            assert_eq!(style.printed(sent), printed);
        }
    }

    #[test]
    fn what_is_no_json_stays() {
        for contents in ["{", "", "text"] {
            assert_eq!(JAVASCRIPT.print_anew(&Bytes::from(contents)), contents);
        }
        assert_eq!(JAVASCRIPT.printed("[1e400, -0, 1e-7, 1e21]"), "[null,0,1e-7,1e+21]");
    }
}
