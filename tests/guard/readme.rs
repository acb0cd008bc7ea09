//! README's decision table says what the guard does.

use http::header::{HeaderMap, HeaderValue, IF_MATCH};
use staleguard::guard::evaluate::evaluate;
use staleguard::guard::policy::Policy;
use staleguard::guard::verdict::Verdict;
use staleguard::semantics::entity_tag::EntityTag;
use staleguard::semantics::preconditions::{Matching, Preconditions};
use staleguard::semantics::representation::{Current, Representation};

use crate::row::parse_unconditional;

/// The rows of the table under this heading of README, cell by cell.
fn decision_table() -> Vec<[String; 3]> {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## What a write gets").expect("README has the decision table");
    section
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            cells.try_into().expect("three cells")
        })
        .collect()
}

#[test]
fn readme_tells_what_the_guard_does() {
    let table = decision_table();
    assert!(table.len() >= 5, "only {} rows", table.len());
    for [stated, missing, current] in table {
        assert_eq!(got(&stated, &Representation::Missing), missing, "{stated}, where there is none");
        assert_eq!(got(&stated, &exists()), current, "{stated}, over a current representation");
    }
}

fn exists() -> Representation {
    Representation::Current(Current { tag: EntityTag::parse(b"\"a\"").expect("a tag"), upstream_tag: None })
}

/// What a write gets, in README's words: `forward` or a status.
fn got(stated: &str, found: &Representation) -> String {
    let unconditional = stated.rsplit('`').nth(1).filter(|_| stated.starts_with("nothing stated"));
    let policy = Policy {
        unconditional: parse_unconditional(unconditional.unwrap_or("conflict")),
        matching: Matching::Lenient,
    };
    let condition = match (stated, found) {
        ("stated condition holds", Representation::Missing) => Some(("if-none-match", "*")),
        ("stated condition holds", Representation::Current(_)) => Some((IF_MATCH.as_str(), "\"a\"")),
        ("stated condition fails", _) => Some((IF_MATCH.as_str(), "\"b\"")),
        _ => None,
    };
    let mut fields = HeaderMap::new();
    if let Some((name, value)) = condition {
        fields.insert(
            http::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_static(value),
        );
    }
    match evaluate(&policy, &Preconditions::from_fields(&fields, policy.matching), found) {
        Verdict::Forward(_) => "forward".to_owned(),
        Verdict::Refuse(refusal) => refusal.status.as_u16().to_string(),
    }
}
