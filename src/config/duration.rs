//! Durations with a unit, as in `"10s"`.

use std::time::Duration;

use super::problem::Problems;
use super::shape::Shape;
use super::value::{Value, text};

/// Nothing here waits for longer, and instants do not overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What durations look like, for whoever cannot read them: numbers with units.
const FORM: &str = "^([0-9]+ *(ns|us|ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?) *)+$";

/// A time to wait; zero does not wait.
pub(super) fn wait(value: &Value<'_>) -> Result<Duration, Problems> {
    let duration = parse(value)?;
    if duration <= LONGEST {
        return Ok(duration);
    }
    let problem = value.problem(format_args!("is {}, and the longest is a day", text(value)?));
    Err(problem.help("write at most \"24h\"").into())
}

/// A time-out; with zero nothing would ever be in time.
pub(super) fn timeout(value: &Value<'_>) -> Result<Duration, Problems> {
    match wait(value)? {
        Duration::ZERO => Err(value
            .problem("must be longer than zero")
            .help(format!("write {} = \"10s\"", value.name()))
            .into()),
        duration => Ok(duration),
    }
}

fn parse(value: &Value<'_>) -> Result<Duration, Problems> {
    let without_unit = |number: &str| {
        value.problem("is a number without a unit").help(format!("write {} = \"{number}s\"", value.name()))
    };
    if let Some(number) = value.whole() {
        return Err(without_unit(&number.unsigned_abs().to_string()).into());
    }
    let text = text(value).map_err(|_| {
        let problem = value.expected("a duration").help("write it like \"10s\" or \"250ms\"");
        problem.expects(Shape::Form(FORM))
    })?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(without_unit(text).into());
    }
    humantime::parse_duration(text).map_err(|error| {
        value
            .problem(format_args!("is no duration: {error}"))
            .help("write a number and a unit, as in \"250ms\", \"10s\" or \"2min\"")
            .into()
    })
}
