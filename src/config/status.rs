//! Statuses: which ones leave a write's outcome unknown, which ones refuse, and what a missing document looks
//! like.

use http::StatusCode;
use toml::de::DeValue;

use super::problem::{Problems, known_words, quoted};
use super::shape::Shape;
use super::value::{Value, list};
use crate::guard::policy::Treatment;
use crate::semantics::representation::Absent;

/// Complete answers after which a write may still be applied.
pub(super) fn unknown_outcome(value: &Value<'_>) -> Result<Vec<StatusCode>, Problems> {
    list(value, "[202, 502, 503, 504]", |member| {
        // A 1xx is never the last word of an answer.
        status(member, 200..=599).ok_or_else(|| {
            member
                .problem("holds something that is not the status of an answer")
                .help("write numbers between 200 and 599")
                .expects(Shape::Whole(200, 599))
                .into()
        })
    })
}

/// What becomes of an unconditional write in one of its two cases.
pub(super) fn treatment(value: &Value<'_>) -> Result<Treatment, Problems> {
    if matches!(value.inner, DeValue::String(text) if text == "forward") {
        return Ok(Treatment::Forward);
    }
    status(value, 400..=499).map(Treatment::Refuse).ok_or_else(|| {
        value
            .problem("must be \"forward\" or a status that refuses")
            .help("write a number between 400 and 499, as in 409 or 428, or \"forward\"")
            .expects(Shape::Either(vec![Shape::Words(vec!["forward".to_owned()]), Shape::Whole(400, 499)]))
            .into()
    })
}

/// What an answer to a GET looks like when there is no document.
pub(super) fn absent(value: &Value<'_>) -> Result<Absent, Problems> {
    let signs = list(value, "[404, 410]", sign)?;
    let mut absent = Absent { statuses: Vec::new(), empty: false, empty_object: false };
    for sign in signs {
        match sign {
            Sign::Status(status) => absent.statuses.push(status),
            Sign::Empty => absent.empty = true,
            Sign::EmptyObject => absent.empty_object = true,
        }
    }
    Ok(absent)
}

/// One of the forms that a missing document may have.
enum Sign {
    Status(StatusCode),
    Empty,
    EmptyObject,
}

fn sign(value: &Value<'_>) -> Result<Sign, Problems> {
    const WORDS: [&str; 2] = ["empty-200", "{}"];
    const REMEDY: &str = "write 204, a status between 400 and 499, \"empty-200\" or \"{}\"";
    match value.inner {
        DeValue::String(word) if word == "empty-200" => Ok(Sign::Empty),
        DeValue::String(word) if word == "{}" => Ok(Sign::EmptyObject),
        DeValue::String(word) => {
            let problem = value.problem(format_args!("cannot hold {}", quoted(word)));
            Err(problem.help(known_words(word, "beside statuses there are", &WORDS)).into())
        }
        DeValue::Integer(_) => {
            // A redirect, a 5xx or a plain 200 says nothing about whether a document exists.
            let status = status(value, 204..=204).or_else(|| status(value, 400..=499));
            status.map(Sign::Status).ok_or_else(|| {
                value.problem("holds a status that cannot mean a missing document").help(REMEDY).into()
            })
        }
        _ => {
            let words = Shape::Words(WORDS.map(str::to_owned).to_vec());
            let shapes = vec![words, Shape::Whole(204, 204), Shape::Whole(400, 499)];
            Err(value.expected("a list of statuses").help(REMEDY).expects(Shape::Either(shapes)).into())
        }
    }
}

/// A status within bounds.
fn status(value: &Value<'_>, bounds: std::ops::RangeInclusive<u16>) -> Option<StatusCode> {
    let number = u16::try_from(value.whole()?).ok()?;
    if bounds.contains(&number) { StatusCode::from_u16(number).ok() } else { None }
}
