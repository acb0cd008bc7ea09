//! Folding: a text as the loosest server would read it.
//!
//! Folded texts are only compared with each other, and never sent. Whatever some server might take for the same must
//! fold to the same; taking too much for the same merely makes two writers wait for each other, or costs a 400.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// How often a text is decoded. Each hop and each layer of a framework may decode once; no chain is this long.
const DECODINGS_MAX: usize = 8;

/// A value, decoded as often as it can be, without the case of its letters, without control characters and without
/// white space around it.
pub(super) fn folded(value: &str) -> Cow<'_, str> {
    // What most values are: nothing in them can be read in two ways.
    if value.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'%' | b'+' | b'A'..=b'Z')) {
        return value.into();
    }
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%') {
        return compared(value).into();
    }
    let mut text = value.as_bytes().to_vec();
    for _ in 0..DECODINGS_MAX {
        let further = read_loosely(&decoded(&text));
        if further == text {
            break;
        }
        text = further;
    }
    compared(&String::from_utf8_lossy(&text)).into()
}

/// Some servers leave a `+` as it is where others read a space.
fn compared(text: &str) -> String {
    text.replace('+', " ").trim().to_ascii_lowercase()
}

/// Decodes every `%xx` once, and also `%uxxxx`, which Internet Information Services and ASP.NET know.
pub(super) fn decoded(text: &[u8]) -> Vec<u8> {
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if let Some((character, after)) = percent_u(rest) {
            units.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        } else {
            units.push(*first);
            rest = after;
        }
    }
    Cow::from(percent_decode(&units)).into_owned()
}

/// Reads bytes as UTF-8 in the loosest way: overlong forms stand for their character, what is broken or a control
/// character falls away, and other letters become the lower-case or ASCII letter that they are compared as.
///
/// ASCII keeps its case, so that an ordinary text comes back unchanged.
pub(super) fn read_loosely(bytes: &[u8]) -> Vec<u8> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let (continuations, bits) = match first {
            0x00..=0x7f => (0, *first),
            0xc0..=0xdf => (1, first & 0x1f),
            0xe0..=0xef => (2, first & 0x0f),
            0xf0..=0xf7 => (3, first & 0x07),
            _ => continue,
        };
        let Some((tail, after)) = rest.split_at_checked(continuations) else { continue };
        if tail.iter().all(|byte| byte & 0xc0 == 0x80) {
            let code = tail.iter().fold(u32::from(bits), |code, byte| (code << 6) | u32::from(byte & 0x3f));
            push_folded(&mut text, code);
            rest = after;
        }
    }
    text.into_bytes()
}

fn push_folded(text: &mut String, code: u32) {
    match char::from_u32(code) {
        Some(character) if character.is_control() => {}
        Some(character) if character.is_ascii() => text.push(character),
        Some(character) if character.is_whitespace() => text.push(' '),
        // Look-alikes of slashes, which code pages of Windows map to them.
        Some('\u{2044}' | '\u{2215}') => text.push('/'),
        Some('\u{2216}') => text.push('\\'),
        // The full-width forms of ASCII, which code pages of Windows map to it.
        Some('\u{ff01}'..='\u{ff5e}') => text.extend(char::from_u32(code - 0xff01 + 0x21)),
        // To upper case and back, since some letters are equal only in upper case: ſ and s, ı and i.
        Some(character) => text.extend(character.to_uppercase().flat_map(char::to_lowercase)),
        None => {}
    }
}

/// Reads `%uxxxx` at the beginning of a text.
fn percent_u(text: &[u8]) -> Option<(char, &[u8])> {
    let (lead, rest) = text.split_at_checked(2)?;
    let (digits, rest) = rest.split_at_checked(4)?;
    if !lead.eq_ignore_ascii_case(b"%u") || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let digits = std::str::from_utf8(digits).ok()?;
    Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_that_some_server_takes_for_the_same() {
        for (one, other) in [
            ("bookmark", "BookMark"),
            ("bookmark", " bookmark\t"),
            ("bookmark", "book%6Dark"),
            ("bookmark", "book%256dark"),
            ("bookmark", "book%u006dark"),
            ("bookmark", "bookmark\u{0}"),
            ("bookmark", "book\u{ff4d}ark"),
            ("http://example.com/%7Ea", "http://example.com/~a"),
            ("caf\u{e9}", "CAF\u{c9}"),
            ("state", "\u{17f}tate"),
            ("a/b", "a%C0%AFb"),
            ("a/b", "a\u{2215}b"),
            ("a/b", "a%u2044b"),
            ("a\\b", "a\u{2216}b"),
            ("a%2fb", "a%2Fb"),
            ("a+b", "a b"),
            ("a%2Bb", "a b"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
    }

    #[test]
    fn values_that_no_server_takes_for_the_same() {
        for (one, other) in [("a", "b"), ("a", ""), ("a b", "ab"), ("a/b", "ab"), ("1", "10"), ("é", "e")] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_fold_without_a_panic(bytes: Vec<u8>) {
            read_loosely(&decoded(&bytes));
            folded(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn encoding_once_more_does_not_count(text in "\\PC{0,12}", layers in 1usize..4) {
            let mut encoded = text.clone();
            for _ in 0..layers {
                encoded = encoded.bytes().map(|byte| format!("%{byte:02X}")).collect();
            }
            prop_assert_eq!(folded(&encoded), folded(&text));
        }
    }
}
