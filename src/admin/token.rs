//! The token of those who may change something here, in a file that only they can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::semantics::hex::hex;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 4096;
/// The shortest token that counts: a shorter one is a placeholder, or can be guessed.
const SHORTEST: usize = 16;
/// How many random bytes a made token has; twice as many hexadecimal digits.
const RANDOM: usize = 32;

/// Makes the file with a token of chance in it, which only this user can read, where there is none.
///
/// # Errors
/// When the file cannot be made, or is there and holds no token.
pub fn ensure(file: &Path) -> io::Result<()> {
    let mut random = [0; RANDOM];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let token = hex(&random);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut made) => made.write_all(format!("{token}\n").as_bytes()).and_then(|()| made.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(file).map(drop),
        Err(error) => Err(error),
    }
}

/// The token in a file. It is read anew each time, so that it can be changed while the process runs.
///
/// # Errors
/// When the file cannot be read, or holds no token.
pub fn read(file: &Path) -> io::Result<String> {
    let mut contents = String::new();
    File::open(file)?.take(LONGEST).read_to_string(&mut contents)?;
    let token = contents.trim();
    let is_token = token.len() >= SHORTEST && token.bytes().all(|byte| byte.is_ascii_graphic());
    match is_token {
        true => Ok(token.to_owned()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it holds no token, which is one word of at least {SHORTEST} visible characters"),
        )),
    }
}

/// Whether a request carries the token as its one `Authorization: Bearer` (RFC 6750 §2.1).
///
/// How long the comparison takes depends on the token's length alone.
pub(super) fn is_carried(fields: &HeaderMap, token: &str) -> bool {
    let mut stated = fields.get_all(AUTHORIZATION).iter();
    let (Some(stated), None) = (stated.next(), stated.next()) else { return false };
    let Some((scheme, given)) = stated.as_bytes().split_at_checked("Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && given.trim_ascii().ct_eq(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        ensure(&file).expect("made");
        let token = read(&file).expect("a token");
        assert_eq!(token.len(), 2 * RANDOM);
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        ensure(&file).expect("it is there");
        assert_eq!(read(&file).expect("a token"), token);
    }

    #[test]
    fn what_is_no_token_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        for contents in ["", "\n", "short", "two words that are long enough", "fifteen-bytes-x\n"] {
            fs::write(&file, contents).expect("written");
            assert_eq!(
                ensure(&file).map_err(|error| error.kind()),
                Err(io::ErrorKind::InvalidData),
                "{contents}"
            );
        }
        fs::write(&file, " sixteen-bytes-xy \n").expect("written");
        assert_eq!(read(&file).expect("a token"), "sixteen-bytes-xy");
    }

    #[test]
    fn only_the_token_itself_opens() {
        let carries = |values: &[&str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a value"));
            }
            is_carried(&fields, "0123456789abcdef")
        };
        assert!(carries(&["Bearer 0123456789abcdef"]) && carries(&["bearer 0123456789abcdef"]));
        let others: [&[&str]; 7] = [
            &[],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer 0123456789abcdeF"],
            &["Basic 0123456789abcdef"],
            &["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"],
        ];
        for other in others {
            assert!(!carries(other), "{other:?}");
        }
        assert!(!carries(&["Bearer 0123456789abcde"]) && !carries(&["Bearer 0123456789abcdef0"]));
    }
}
