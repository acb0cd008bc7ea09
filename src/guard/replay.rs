//! *Replay*: is a PUT whose If-Match failed the one that made it fail, sent once more?

use std::time::Duration;

use super::policy::{Policy, Unconditional};
use super::verdict::Verdict;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::preconditions::{Condition, Preconditions};
use crate::semantics::put::Put;

/// Judges a PUT whose If-Match failed, beside the last successful one of its document, which carried the same bytes.
///
/// `last` is given only if what it produced is still current, and `age` is how long ago it succeeded. A server may
/// answer with success when the change that is asked for is the one that was just made (RFC 9110 §13.1.1): some clients
/// and hops send each PUT twice, and would take the 412 for a failure. `If-Match: *` names nothing by which the two
/// could be told from two different writes.
pub fn replayed(
    policy: &Policy,
    stated: &Preconditions,
    put: &Put,
    last: &Put,
    age: Duration,
    current: &EntityTag,
) -> Option<Verdict> {
    let is_on = policy.unconditional != Unconditional::REQUIRE && age < policy.replay_window;
    let names_tags = matches!(stated.if_match, Some(Condition::Tags(_)));
    (is_on && names_tags && put == last).then(|| Verdict::applied(current.clone()))
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
    use http::{HeaderMap, HeaderName};

    use super::*;
    use crate::semantics::credentials::Credentials;
    use crate::semantics::fields::X_FORWARDED_FOR;
    use crate::semantics::preconditions::Matching;
    use crate::semantics::put::{Came, Ground, Label};

    const WINDOW: Duration = Duration::from_secs(10);

    fn tag(text: &str) -> EntityTag {
        EntityTag::new(false, text.as_bytes()).expect("an opaque-tag")
    }

    fn policy() -> Policy {
        Policy { unconditional: Unconditional::CONFLICT, matching: Matching::Lenient, replay_window: WINDOW }
    }

    fn stated(fields: &HeaderMap) -> Preconditions {
        Preconditions::from_fields(fields, Matching::Lenient)
    }

    fn fields(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    fn put() -> Put {
        Put {
            ground: Ground::of(&fields(IF_MATCH, "\"a\"")),
            label: Label::of(&HeaderMap::new()),
            credentials: Credentials::of(&HeaderMap::new(), None),
            came: Came::of(&HeaderMap::new()),
        }
    }

    fn is_replay(policy: &Policy, put: &Put, age: Duration) -> bool {
        let stated = stated(&fields(IF_MATCH, "\"a\""));
        replayed(policy, &stated, put, &self::put(), age, &tag("b")).is_some()
    }

    #[test]
    fn the_same_put_within_the_window_is_a_replay() {
        let stated = stated(&fields(IF_MATCH, "\"a\""));
        let verdict = replayed(&policy(), &stated, &put(), &put(), Duration::from_secs(9), &tag("b"));
        assert_eq!(verdict, Some(Verdict::applied(tag("b"))));
    }

    #[test]
    fn one_condition_that_does_not_hold_is_enough() {
        let age = Duration::from_secs(1);
        assert!(is_replay(&policy(), &put(), age));
        assert!(!is_replay(&policy(), &put(), WINDOW), "the window has passed");
        let off = Policy { replay_window: Duration::ZERO, ..policy() };
        assert!(!is_replay(&off, &put(), Duration::ZERO), "there is no window");
        let require = Policy { unconditional: Unconditional::REQUIRE, ..policy() };
        assert!(!is_replay(&require, &put(), age), "the rule requires preconditions");
        for (what, other) in [
            ("If-Match", Put { ground: Ground::of(&fields(IF_MATCH, "\"c\"")), ..put() }),
            ("precondition", Put { ground: Ground::of(&fields(IF_NONE_MATCH, "\"a\"")), ..put() }),
            ("no precondition", Put { ground: Ground::of(&HeaderMap::new()), ..put() }),
            ("media type", Put { label: Label::of(&fields(CONTENT_TYPE, "text/plain")), ..put() }),
            (
                "credential",
                Put { credentials: Credentials::of(&fields(AUTHORIZATION, "Basic YQ=="), None), ..put() },
            ),
            ("address", Put { came: Came::of(&fields(X_FORWARDED_FOR, "127.0.0.2")), ..put() }),
        ] {
            assert!(!is_replay(&policy(), &other, age), "another {what}");
        }
        let any = stated(&fields(IF_MATCH, "*"));
        assert_eq!(replayed(&policy(), &any, &put(), &put(), age, &tag("b")), None, "a star names nothing");
    }
}
