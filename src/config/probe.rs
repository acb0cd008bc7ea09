//! `[probe]`: with whose credentials the upstream is asked what a writer's own cannot ask.

use std::fs::File;
use std::io::Read;

use http::HeaderValue;

use super::problem::{Problem, Problems};
use super::section::Section;
use super::value::{Value, text};

/// The longest file that is read, in bytes: far more than any credential, and too little to hang on.
const LONGEST: u64 = 16 * 1024;

/// What `[probe]` says: the Authorization of the service's probes, where there is one.
///
/// Where the proxy is to run, or all of it is checked, the file is read.
pub(super) fn probe(section: &mut Section<'_, '_>, to_run: bool) -> Option<HeaderValue> {
    let authorization = |value: &Value<'_>| match to_run {
        true => authorization(value).map(Some),
        false => Ok(text(value).map(|_| None)?),
    };
    section.read("authorization-file", authorization).flatten()
}

/// Reads the value of an Authorization field (RFC 9110 §11.6.2) from a file. What it says is never repeated.
fn authorization(value: &Value<'_>) -> Result<HeaderValue, Problems> {
    let path = text(value)?;
    let mut contents = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut contents));
    let unfit =
        |what: &str, help: &str| -> Problem { value.problem(format_args!("names a file {what}")).help(help) };
    const HELP: &str = "put the value of an Authorization field into it, as in: Basic dXNlcjpwYXNzd29yZA==";
    if let Err(error) = read {
        return Err(unfit(&format!("that cannot be read: {error}"), HELP).into());
    }
    let credential = contents.trim();
    let has_scheme =
        credential.split_once(' ').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    let is_one_line = credential.lines().count() == 1 && contents.len() as u64 <= LONGEST;
    match HeaderValue::from_str(credential) {
        Ok(mut field) if has_scheme && is_one_line => {
            field.set_sensitive(true);
            Ok(field)
        }
        _ => {
            Err(unfit("that holds no Authorization, which is a scheme, a space and credentials", HELP).into())
        }
    }
}
