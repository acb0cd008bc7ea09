//! Validators: what documents hold, as it was told to those who asked, for as long as nobody has written.
//!
//! They are asked only where nobody writes to the upstream except through this proxy. What was told to one credential
//! answers no other, and none of it answers for long.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, AGE, HOST, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::generations::Generation;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::XAPI_VERSION;
use crate::semantics::representation::Representation;

/// What an entry takes beside the entity-tags it keeps, roughly, in bytes.
const ENTRY: u64 = 256;

/// Fields by which servers choose among representations, beside those that carry credentials.
static CHOOSING: [HeaderName; 5] = [HOST, ACCEPT, ACCEPT_CHARSET, ACCEPT_LANGUAGE, XAPI_VERSION];

/// Fields that an answer may vary by although they choose no representation: what is read here is always
/// identity-coded, and the others decide who may read the answer in a browser.
static HARMLESS: [HeaderName; 4] =
    [ACCEPT_ENCODING, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN];

/// For whom and for how long something is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long after somebody has asked the answer may be recalled for the same one.
    pub recall_max: Duration,
    /// The fields that say who asks.
    pub credential_fields: Vec<HeaderName>,
}

/// What documents hold, for as many as fit. What is forgotten is asked for again.
#[derive(Debug)]
pub struct Validators {
    settings: Settings,
    /// Keyed by chance, so that nobody can make one question look like another.
    hashers: [RandomState; 2],
    known: Cache<Question, Arc<Known>, Bytes>,
}

/// Who asks what: the Host and the target, letter by letter, and the fields that choose among the answers.
///
/// It is a digest, so that no secret is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question(u64, u64);

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question(..)")
    }
}

#[derive(Debug)]
struct Known {
    found: Representation,
    generation: Generation,
    asked: Instant,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Question, Arc<Known>> for Bytes {
    fn weight(&self, _: &Question, known: &Arc<Known>) -> u64 {
        let Representation::Current(current) = &known.found else { return ENTRY };
        let tags = [Some(&current.tag), current.upstream_tag.as_ref(), current.alias.as_ref()];
        ENTRY + tags.into_iter().flatten().map(|tag: &EntityTag| tag.opaque().len() as u64).sum::<u64>()
    }
}

impl Validators {
    /// Remembers nothing yet, and at most about this many bytes.
    pub fn new(max: u64, settings: Settings) -> Self {
        let entries = usize::try_from(max / ENTRY).unwrap_or(usize::MAX);
        Self {
            settings,
            hashers: [RandomState::new(), RandomState::new()],
            known: Cache::with_weighter(entries, max, Bytes),
        }
    }

    /// What a request asks, in whose name; nothing where it says nobody's. Its head must be fit for the next hop.
    pub fn question(&self, head: &Parts) -> Option<Question> {
        let credentials = &self.settings.credential_fields;
        if !credentials.iter().any(|name| head.headers.contains_key(name)) {
            return None;
        }
        let fields: Vec<(&str, &[u8])> = (credentials.iter().chain(&CHOOSING))
            .flat_map(|name| head.headers.get_all(name).iter().map(|value| (name.as_str(), value.as_bytes())))
            .collect();
        let asked = (head.uri.path(), head.uri.query(), fields);
        let [first, second] = self.hashers.each_ref().map(|hasher| hasher.hash_one(&asked));
        Some(Question(first, second))
    }

    /// What a document holds, if that is known: told to the same one, under this very generation, and not long ago.
    pub fn recall(&self, question: Question, generation: Generation, now: Instant) -> Option<Representation> {
        let known = self.known.get(&question)?;
        let is_young = now.saturating_duration_since(known.asked) < self.settings.recall_max;
        (known.generation == generation && is_young).then(|| known.found.clone())
    }

    /// Remembers an answer. The generation is the one before it was asked for.
    pub fn learn(&self, question: Question, generation: Generation, asked: Instant, found: Representation) {
        self.known.insert(question, Arc::new(Known { found, generation, asked }));
    }

    /// Whether an answer is the upstream's own, and the same whenever the same question is asked.
    pub fn is_lasting(&self, answer: &HeaderMap) -> bool {
        let is_fresh = answer.get_all(AGE).iter().all(|age| age.as_bytes() == b"0");
        is_fresh && answer.get_all(VARY).iter().all(|fields| self.covers(fields))
    }

    /// Whether every field that an answer varies by is a part of the question.
    fn covers(&self, vary: &HeaderValue) -> bool {
        let known = || self.settings.credential_fields.iter().chain(&CHOOSING).chain(&HARMLESS);
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

    use super::super::generations::Generations;
    use super::*;
    use crate::resource::Scope;
    use crate::semantics::representation::Current;

    const MINUTE: Duration = Duration::from_secs(60);

    fn validators(max: u64) -> Validators {
        let credential_fields = vec![AUTHORIZATION, COOKIE];
        Validators::new(max, Settings { recall_max: MINUTE, credential_fields })
    }

    fn current(text: &str) -> Representation {
        let tag = EntityTag::new(false, text.as_bytes()).expect("an opaque-tag");
        Representation::Current(Current { tag, upstream_tag: None, alias: None })
    }

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
    fn what_is_known_is_recalled_under_its_generation_and_for_a_while() {
        let (validators, generations) = (validators(1 << 20), Generations::new());
        let scope = Scope::new("notes", ["a"]);
        let (before, asked) = (generations.of(scope).expect("nobody writes"), Instant::now());
        let question = validators.question(&head("/notes/a", &[A])).expect("a credential");
        assert_eq!(validators.recall(question, before, asked), None);
        validators.learn(question, before, asked, current("x"));
        assert_eq!(validators.recall(question, before, asked), Some(current("x")));
        assert_eq!(validators.recall(question, before, asked + MINUTE / 2), Some(current("x")));
        assert_eq!(validators.recall(question, before, asked + MINUTE), None, "it is too old");
        drop(generations.raise(scope));
        let after = generations.of(scope).expect("nobody writes any more");
        assert_eq!(validators.recall(question, after, asked), None, "somebody has written");
        validators.learn(question, after, asked, Representation::Missing);
        assert_eq!(validators.recall(question, after, asked), Some(Representation::Missing));
    }

    #[test]
    fn another_one_asks_another_question() {
        let validators = validators(1 << 20);
        let question = |target, fields: &[_]| validators.question(&head(target, fields));
        let asked = question("/xapi/notes?id=a", &[A, HOST_A]);
        assert!(asked.is_some());
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
            assert!(other.is_some() && other != asked, "{what}");
        }
        assert_eq!(question("/xapi/notes?id=a", &[HOST_A]), None, "nobody asks");
        assert!(!format!("{asked:?}").contains(char::is_numeric));
    }

    #[test]
    fn an_answer_that_may_not_last_is_known_by_its_fields() {
        let validators = validators(1 << 20);
        let is_lasting = |name: &'static str, value: &'static str| {
            validators.is_lasting(&HeaderMap::from_iter([(
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

    #[test]
    fn no_more_is_kept_than_fits() {
        let (validators, generations) = (validators(64 * 1024), Generations::new());
        let (generation, asked) =
            (generations.of(Scope::new("notes", ["a"])).expect("nobody writes"), Instant::now());
        let question =
            |id: usize| validators.question(&head(&format!("/notes/{id}"), &[A])).expect("a credential");
        let ids = 0..10_000;
        for id in ids.clone() {
            validators.learn(question(id), generation, asked, current("x"));
        }
        let kept = ids.filter(|id| validators.recall(question(*id), generation, asked).is_some()).count();
        assert!((1..=64 * 1024 / 256).contains(&kept), "{kept} are kept");
        validators.learn(question(0), generation, asked, current(&"x".repeat(1 << 17)));
        assert_eq!(validators.recall(question(0), generation, asked), None, "it is larger than all of it");
    }
}
