//! Questions: who asks the upstream what. What was told to one asker answers no other, and is compared with nothing that
//! another was told.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, AGE, HOST, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::semantics::credentials::Certificate;
use crate::semantics::fields::XAPI_VERSION;

/// Fields by which servers choose among representations, beside those that carry credentials.
static CHOOSING: [HeaderName; 5] = [HOST, ACCEPT, ACCEPT_CHARSET, ACCEPT_LANGUAGE, XAPI_VERSION];

/// Fields that an answer may vary by although they choose no representation: what is read here is always
/// identity-coded, and the others decide who may read the answer in a browser.
static HARMLESS: [HeaderName; 4] =
    [ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN];

/// Who asks what: the Host and the target, letter by letter, the fields that choose among the answers, and the certificate
/// that the client has shown.
///
/// It is a digest, so that no secret is kept; in halves, since a table would align a whole one to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question(u64, u64);

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question(..)")
    }
}

/// What makes one question another.
#[derive(Debug)]
pub struct Questions {
    /// The fields that say who asks.
    credential_fields: Vec<HeaderName>,
    /// Keyed by chance, so that nobody can make one question look like another.
    digest: SipHasher13,
}

impl Questions {
    /// These fields say who asks.
    pub fn new(credential_fields: Vec<HeaderName>) -> Self {
        let key = || RandomState::new().hash_one(());
        Self { credential_fields, digest: SipHasher13::new_with_keys(key(), key()) }
    }

    /// Whether a request says in whose name it asks, or its connection does.
    pub fn names_somebody(&self, head: &Parts) -> bool {
        Certificate::of(head).is_some()
            || self.credential_fields.iter().any(|name| head.headers.contains_key(name))
    }

    /// What a request asks, and in whose name. Its head must be fit for the next hop.
    pub fn of(&self, head: &Parts) -> Question {
        let mut digest = self.digest;
        let mut take = |text: &[u8]| {
            digest.write_usize(text.len());
            digest.write(text);
        };
        take(head.uri.path().as_bytes());
        take(if head.uri.query().is_some() { b"?" } else { b"" });
        take(head.uri.query().unwrap_or_default().as_bytes());
        for (place, name) in self.credential_fields.iter().chain(&CHOOSING).enumerate() {
            for value in head.headers.get_all(name) {
                take(&place.to_be_bytes());
                take(value.as_bytes());
            }
        }
        Certificate::of(head).hash(&mut digest);
        let digest = digest.finish128();
        Question(digest.h1, digest.h2)
    }

    /// Whether an answer is the upstream's own, and the same whenever the same question is asked.
    pub fn is_lasting(&self, answer: &HeaderMap) -> bool {
        let is_fresh = answer.get_all(AGE).iter().all(|age| age.as_bytes() == b"0");
        is_fresh && answer.get_all(VARY).iter().all(|fields| self.covers(fields))
    }

    /// Whether every field that an answer varies by is a part of the question.
    fn covers(&self, vary: &HeaderValue) -> bool {
        let known = || self.credential_fields.iter().chain(&CHOOSING).chain(&HARMLESS);
        let is_known =
            |name: &[u8]| known().any(|known| name.eq_ignore_ascii_case(known.as_str().as_bytes()));
        let mut names = vary.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.all(|name| name.is_empty() || is_known(name))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::{AUTHORIZATION, COOKIE};

    use super::*;

    fn head(target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    const A: (&str, &str) = ("authorization", "Basic YQ==");
    const HOST_A: (&str, &str) = ("host", "a.example");

    #[test]
    fn another_one_asks_another_question() {
        let questions = Questions::new(vec![AUTHORIZATION, COOKIE]);
        let question = |target, fields: &[_]| questions.of(&head(target, fields));
        let asked = question("/xapi/notes?id=a", &[A, HOST_A]);
        assert_eq!(question("/xapi/notes?id=a", &[A, HOST_A, ("if-match", "\"x\"")]), asked);
        for (what, other) in [
            ("another document", question("/xapi/notes?id=b", &[A, HOST_A])),
            ("another spelling", question("/xapi/notes?id=%61", &[A, HOST_A])),
            ("another base path", question("/notes?id=a", &[A, HOST_A])),
            ("another Host", question("/xapi/notes?id=a", &[A, ("host", "b.example")])),
            ("another credential", question("/xapi/notes?id=a", &[("authorization", "Basic Yg=="), HOST_A])),
            ("one more credential", question("/xapi/notes?id=a", &[A, ("cookie", "a=b"), HOST_A])),
            ("another field", question("/xapi/notes?id=a", &[("cookie", "Basic YQ=="), HOST_A])),
            ("another media type", question("/xapi/notes?id=a", &[A, HOST_A, ("accept", "text/html")])),
            (
                "another version",
                question("/xapi/notes?id=a", &[A, HOST_A, ("x-experience-api-version", "2.0.0")]),
            ),
        ] {
            assert!(other != asked, "{what}");
        }
        let mut shown = head("/xapi/notes?id=a", &[HOST_A]);
        let mut under = |der| {
            shown.extensions.insert(Certificate::from_der(der));
            assert!(questions.names_somebody(&shown));
            questions.of(&shown)
        };
        assert!(under(b"a") != question("/xapi/notes?id=a", &[HOST_A]) && under(b"a") != under(b"b"));
        assert!(questions.names_somebody(&head("/", &[("cookie", "a=b")])));
        assert!(!questions.names_somebody(&head("/", &[HOST_A])));
        assert!(!format!("{asked:?}").contains(char::is_numeric));
    }

    #[test]
    fn an_answer_that_may_not_last_is_known_by_its_fields() {
        let questions = Questions::new(vec![AUTHORIZATION, COOKIE]);
        let is_lasting = |name: &'static str, value: &'static str| {
            questions.is_lasting(&HeaderMap::from_iter([(
                name.parse().expect("a name"),
                HeaderValue::from_static(value),
            )]))
        };
        for vary in ["Origin", "accept-encoding, ORIGIN,", "Accept, X-Experience-API-Version", "Cookie", ""] {
            assert!(is_lasting("vary", vary), "{vary}");
        }
        for vary in ["*", "X-Tenant", "Origin, User-Agent", "Accept Origin"] {
            assert!(!is_lasting("vary", vary), "{vary}");
        }
        assert!(is_lasting("age", "0") && !is_lasting("age", "1"), "it comes from a cache");
    }
}
