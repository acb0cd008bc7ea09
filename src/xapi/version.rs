//! X-Experience-API-Version: which of the two families of the standard does a request speak?

use http::HeaderMap;

use crate::semantics::fields::XAPI_VERSION;

/// The version that an answer made here names: the latest patch of the family that the request asked for.
///
/// "MUST include the X-Experience-API-Version header in every response" (Communication §3.3). A request that names no
/// version, an older one or none that can be read is answered as 1.0.x.
pub fn answer_version(fields: &HeaderMap) -> &'static str {
    if is_second_family(fields) { "2.0.0" } else { "1.0.3" }
}

/// Whether a request speaks 2.x, or what may come after it.
pub fn is_second_family(fields: &HeaderMap) -> bool {
    let asked = fields.get(XAPI_VERSION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let major = asked.trim().split('.').next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_decides_the_answer() {
        for (asked, answered) in [
            (None, "1.0.3"),
            (Some(""), "1.0.3"),
            (Some("0.95"), "1.0.3"),
            (Some("1.0"), "1.0.3"),
            (Some("1.0.3"), "1.0.3"),
            (Some("1.1.0"), "1.0.3"),
            (Some("2"), "2.0.0"),
            (Some("2.0"), "2.0.0"),
            (Some(" 2.0.0 "), "2.0.0"),
            (Some("2.1.0"), "2.0.0"),
            (Some("two"), "1.0.3"),
            (Some("-2.0"), "1.0.3"),
        ] {
            let mut fields = HeaderMap::new();
            if let Some(asked) = asked {
                fields.insert(XAPI_VERSION, asked.parse().expect("a field value"));
            }
            assert_eq!(answer_version(&fields), answered, "{asked:?}");
        }
    }
}
