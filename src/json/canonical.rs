//! The canonical form of a JSON text (RFC 8785): the one spelling that all spellings of a value share.

use serde_json::Value;

use super::read::read;
use super::same::same_value;

/// The canonical form of a JSON text, if it says exactly what the text says.
///
/// RFC 8785 takes every number for a double and every member for the only one of its name. Two texts that differ where
/// a double or a tree has no room would get one form, and whoever takes the form for the text would lose the difference.
/// So the form is read again and given only if it is the same value, digit by digit. Nothing is given either for what
/// cannot be read ([`read`]).
pub fn canonical(json: &[u8]) -> Option<Vec<u8>> {
    let value = read(json)?;
    let form = serde_json_canonicalizer::to_vec(&value).ok()?;
    let said: Value = serde_json::from_slice(&form).ok()?;
    same_value(&value, &said).then_some(form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::spelling::spell;

    fn form(json: &str) -> Option<String> {
        canonical(json.as_bytes()).map(|form| String::from_utf8(form).expect("JSON is UTF-8"))
    }

    #[test]
    fn the_examples_of_rfc_8785() {
        for (json, expected) in [
            // §3.2.2. Its first number has more digits than its double gives back, which is why it stands below.
            (
                r#"{"numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
                    "literals": [null, true, false]}"#,
                r#"{"literals":[null,true,false],"numbers":[1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#,
            ),
            // §3.2.3: names in the order of their UTF-16 code units.
            (
                r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
                    "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
                    "\u00f6": "Latin Small Letter O With Diaeresis"}"#,
                "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
                 \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\
                 \"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
            ),
            (
                r#"{"b":{"z":[],"y":{}},"a":[ {"d":1, "c":2} ]}"#,
                r#"{"a":[{"c":2,"d":1}],"b":{"y":{},"z":[]}}"#,
            ),
            (r#""\b\t\f\u001f\u007f\u2028""#, "\"\\b\\t\\f\\u001f\u{7f}\u{2028}\""),
            ("[-0, 1.0, 10e-1, 1E0]", "[0,1,1,1]"),
            (" \"text\"\n", "\"text\""),
        ] {
            assert_eq!(form(json).as_deref(), Some(expected), "{json}");
        }
    }

    #[test]
    fn the_numbers_of_rfc_8785() {
        // Appendix B, by their bits; and what of them is written with all the digits of the double.
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            let shortest = serde_json::to_string(&f64::from_bits(bits)).expect("a finite number");
            assert_eq!(form(&shortest).as_deref(), Some(expected), "{bits:x}");
            assert_eq!(form(expected).as_deref(), Some(expected), "{bits:x}");
        }
    }

    #[test]
    fn what_a_canonical_form_would_lose_has_none() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for json in [
            "",
            "text",
            "{",
            "{} {}",
            "\u{feff}{}",
            "NaN",
            &deep,
            // Integers and fractions between two doubles.
            "9007199254740993",
            "[12345678901234567890]",
            "333333333.33333329",
            "0.1000000000000000055511151231257827",
            "1.00000000000000000000000001",
            // Beyond all doubles, and below.
            "1e400",
            "1e-400",
            "1e99999999999999999999",
            // Members of one name, however it is spelt.
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"x":{"a":1,"b":2,"a":3}}]"#,
            // Halves of a character.
            r#""\ud800""#,
            r#"{"\udc00":1}"#,
            // Names in which a parser keeps what it makes of numbers and of raw texts.
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"a":{"$serde_json::private::Number":"1"}}"#,
        ] {
            assert_eq!(form(json), None, "{json}");
        }
        assert_eq!(canonical(b"\"\xff\""), None, "not UTF-8");
        let raw = r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#;
        assert_eq!(form(raw).as_deref(), Some(raw), "this name is one like any other");
    }

    /// Numbers as they are written, among them many that no double holds.
    fn number() -> impl Strategy<Value = String> {
        prop_oneof![
            "-?(0|[1-9][0-9]{0,20})",
            "-?(0|[1-9][0-9]{0,3})\\.[0-9]{1,20}",
            "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,3}",
            any::<f64>()
                .prop_filter("JSON has no others", |number| number.is_finite())
                .prop_map(|number| number.to_string()),
            (9_007_199_254_740_000u64..9_007_199_254_750_000).prop_map(|number| number.to_string()),
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-c\"\\\\:/{}\u{0}-\u{1f}\u{7f}\u{20ac}é😀\u{fb33}]{0,4}",
            Just("$serde_json::private::Number".to_owned()),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            number().prop_map(|number| Value::Number(serde_json::from_str(&number).expect("a number"))),
            text().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((text(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(json: Vec<u8>, text in "[\\[\\]{}\",:0-9eE.+\\\\u-]{0,40}") {
            let _ = (canonical(&json), canonical(text.as_bytes()));
        }

        #[test]
        fn every_spelling_of_a_value_has_the_same_form(value in value(), choices: Vec<u8>) {
            // Where a name is that in which the parser keeps numbers, there may be no form; never a wrong one.
            if value.to_string().contains("$serde_json") {
                return Ok(());
            }
            let spelling = spell(&value, &mut choices.into_iter().cycle().take(10_000));
            prop_assert_eq!(form(&spelling), form(&value.to_string()), "{}", spelling);
        }

        #[test]
        fn a_form_is_its_own_form_and_says_what_was_said(value in value()) {
            if let Some(said) = form(&value.to_string()) {
                prop_assert_eq!(form(&said), Some(said.clone()));
                prop_assert!(same_value(&value, &serde_json::from_str(&said).expect("JSON")), "{}", said);
            }
        }

        #[test]
        fn different_values_never_share_a_form(one in value(), other in value()) {
            let (left, right) = (form(&one.to_string()), form(&other.to_string()));
            prop_assert!(left.is_none() || left != right || same_value(&one, &other), "{one} {other}");
        }

        #[test]
        fn numbers_that_differ_in_a_digit_never_share_a_form(number in number(), at: prop::sample::Index, digit in 0..10u8) {
            let mut other = number.clone().into_bytes();
            let at = at.index(other.len());
            if other[at].is_ascii_digit() {
                other[at] = b'0' + digit;
            }
            let other = String::from_utf8(other).expect("ASCII");
            if let (Ok(one), Ok(two)) = (serde_json::from_str(&number), serde_json::from_str(&other)) {
                let (left, right) = (form(&number), form(&other));
                prop_assert!(left.is_none() || left != right || same_value(&one, &two), "{number} {other}");
            }
        }

        #[test]
        fn doubles_in_their_shortest_spelling_have_a_form(number in any::<f64>()) {
            prop_assume!(number.is_finite());
            prop_assert!(form(&serde_json::to_string(&number).expect("a finite number")).is_some());
        }
    }
}
