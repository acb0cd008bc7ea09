//! The query of a request, read strictly as a form (WHATWG URL §5.1).

use std::borrow::Cow;

use super::fold::folded;
use super::identity::Unidentified;

/// The parameters of a query in their order, decoded.
#[derive(Debug)]
pub(super) struct Parameters<'q>(Vec<Parameter<'q>>);

#[derive(Debug)]
struct Parameter<'q> {
    name: Cow<'q, str>,
    /// Its name as the loosest framework would read it, where that is more than another letter case.
    folded_name: Option<String>,
    value: Cow<'q, str>,
}

impl<'q> Parameters<'q> {
    /// Reads a query, or refuses one that servers read differently.
    pub(super) fn read(query: &'q str) -> Result<Self, Unidentified> {
        if query.contains(';') {
            return Err(ambiguous("Some servers split a query at ';': write it as %3B."));
        }
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            let folded_name = (!is_plain(&name)).then(|| folded_name(&name));
            Ok(Parameter { name, folded_name, value })
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The value of a parameter that the rule knows, if it is there.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|given| given.name == name).map(|given| given.value.as_ref())
    }

    /// The names of all parameters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|given| given.name.as_ref())
    }

    /// Refuses a query in which one of these names stands twice, or in a form that some servers take for it.
    pub(super) fn refuse_aliases<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), Unidentified> {
        for known in names {
            let read = if is_plain(known) { Cow::Borrowed(known) } else { folded_name(known).into() };
            let mut similar = self.0.iter().filter(|given| given.resembles(&read));
            let Some(given) = similar.next() else { continue };
            if similar.next().is_some() {
                return Err(ambiguous(&format!("The query parameter \"{known}\" is given more than once.")));
            }
            if given.name != known {
                return Err(ambiguous(&format!("A query parameter is written almost as \"{known}\" is.")));
            }
            if given.value.contains('\0') {
                return Err(ambiguous(&format!(
                    "The query parameter \"{known}\" holds NUL, where some servers end it."
                )));
            }
        }
        Ok(())
    }

    /// Whether there is a parameter that some server may take for one of this name.
    pub(super) fn resembles(&self, name: &str) -> bool {
        self.0.iter().any(|given| given.resembles(name))
    }
}

impl Parameter<'_> {
    /// Whether the loosest framework would read its name as this one, of which the letter case does not count.
    fn resembles(&self, name: &str) -> bool {
        self.folded_name.as_deref().unwrap_or(&self.name).eq_ignore_ascii_case(name)
    }
}

/// Decodes one segment of a path strictly (RFC 3986 §2.1).
pub(super) fn decoded_segment(text: &str) -> Result<Cow<'_, str>, Unidentified> {
    decoded_but_for(text, |_| None)
}

/// Decodes a name or a value strictly: `+` is a space.
fn decoded(text: &str) -> Result<Cow<'_, str>, Unidentified> {
    decoded_but_for(text, |byte| (byte == b'+').then_some(b' '))
}

/// Decodes every `%xx`, and reads some bytes as others; nothing else may stand behind a `%`, and all of it is UTF-8.
fn decoded_but_for(text: &str, read: impl Fn(u8) -> Option<u8>) -> Result<Cow<'_, str>, Unidentified> {
    let bytes = text.as_bytes();
    let Some(first) = bytes.iter().position(|byte| *byte == b'%' || read(*byte).is_some()) else {
        return Ok(Cow::Borrowed(text));
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == b'%' {
            let (byte, after) = encoded_byte(rest).ok_or_else(|| {
                ambiguous("Invalid percent-encoding: every '%' is followed by two hexadecimal digits.")
            })?;
            decoded.push(byte);
            rest = after;
        } else {
            decoded.push(read(*byte).unwrap_or(*byte));
        }
    }
    let text = String::from_utf8(decoded);
    text.map(Cow::Owned).map_err(|_| ambiguous("Invalid percent-encoding: what is encoded is not UTF-8."))
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn encoded_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.split_first_chunk::<2>()?;
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    Some((u8::try_from(high? << 4 | low?).ok()?, after))
}

/// Whether every framework reads a name as it is written, letter case apart.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A name as the loosest framework would read it.
///
/// PHP makes `_` of `.`, space and `[` and drops spaces in front; it, Rails and qs read `name[]` and `name[x]` as `name`.
pub(super) fn folded_name(name: &str) -> String {
    let name = folded(name.split('\0').next().unwrap_or_default());
    let name = name.split('[').next().unwrap_or_default();
    name.trim_start_matches('?').trim().replace(['.', ' '], "_")
}

fn ambiguous(text: &str) -> Unidentified {
    Unidentified::Ambiguous(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_as_a_form() {
        for (query, value) in [
            ("id=a", Some("a")),
            ("x=1&id=a+b&y=2", Some("a b")),
            ("id=a%20b%2Bc", Some("a b+c")),
            ("%69d=a", Some("a")),
            ("id=http://example.com/?a=b", Some("http://example.com/?a=b")),
            ("id=", Some("")),
            ("id", Some("")),
            ("&&id=%C3%A9&", Some("\u{e9}")),
            ("id=\u{e9}", Some("\u{e9}")),
            ("", None),
            ("idx=a", None),
        ] {
            let parameters = Parameters::read(query).expect(query);
            assert_eq!(parameters.refuse_aliases(["id"]), Ok(()), "{query}");
            assert_eq!(parameters.value("id"), value, "{query}");
        }
    }

    #[test]
    fn what_is_not_a_form_is_refused() {
        for query in
            ["id=%", "id=%4", "id=%4g", "id=%zz", "x=%u0061", "%=1", "id=%ff", "id=%C0%AF", "a=1;b=2"]
        {
            assert!(Parameters::read(query).is_err(), "{query}");
        }
    }

    #[test]
    fn aliases_of_a_known_name_are_refused() {
        for alias in [
            "user_id=a&user_id=a",
            "user_id=a&%75ser_id=b",
            "User_Id=a",
            "user_%49d=a",
            "user_id=a&USER_ID=b",
            "user_id[]=a",
            "user_id[x]=a",
            "user_id%5B%5D=a",
            "user_id[=a",
            "user.id=a",
            "user+id=a",
            "+user_id=a",
            "user_id%00x=a",
            "user_%2569d=a",
            "u\u{17f}er_id=a",
            "?user_id=a",
            "user_id=a%00",
        ] {
            let parameters = Parameters::read(alias).expect(alias);
            assert!(parameters.refuse_aliases(["user_id"]).is_err(), "{alias}");
        }
        let others = Parameters::read("userid=a&user=b&id=c&id=d").expect("a form");
        assert_eq!(others.refuse_aliases(["user_id"]), Ok(()));
    }

    proptest! {
        #[test]
        fn any_query_is_read_without_a_panic(query: String) {
            if let Ok(parameters) = Parameters::read(&query) {
                let _ = parameters.refuse_aliases(["id"]);
            }
        }

        #[test]
        fn every_encoding_of_a_value_is_read_back(value in "\\PC{0,12}") {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let query = format!("id={encoded}");
            let parameters = Parameters::read(&query).expect("a form");
            prop_assert_eq!(parameters.value("id"), Some(value.as_str()));
        }
    }
}
