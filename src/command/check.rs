//! `staleguard check --config F`: is a configuration right? Nothing is bound or made and nobody is asked; the
//! certificates, keys and credentials that it names are looked into.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::config::Config;
use crate::config::environment::Environment;
use crate::config::problem::Colours;

/// The exit code of a configuration that cannot be used: EX_CONFIG of sysexits.
pub const EXIT_CONFIG: u8 = 78;

/// Prints "ok", or every problem, and gives the exit code. A file may leave the upstream's URL to `run
/// --upstream`.
pub fn check(
    file: &Path,
    environment: &Environment,
    colours: Colours,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let checked = read_text(file).and_then(|text| {
        Config::check_with_files(&file.to_string_lossy(), &text, environment)
            .map_err(|problems| problems.render(colours))
    });
    // Where nobody can read what is printed, the exit code still says it.
    match checked {
        Ok(()) => {
            let _ = writeln!(out, "ok");
            0
        }
        Err(said) => {
            let _ = writeln!(err, "{}", said.trim_end());
            EXIT_CONFIG
        }
    }
}

/// The text of a configuration's file, or a sentence about why there is none.
pub fn read_text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            format!("error: {} cannot be read: it is not text in UTF-8", file.display())
        }
        _ => format!("error: {} cannot be read: {error}", file.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(contents: Option<&[u8]>) -> (u8, String, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("staleguard.toml");
        if let Some(contents) = contents {
            fs::write(&file, contents).expect("written");
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(&file, &Environment::default(), Colours::Off, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8").replace(&*file.to_string_lossy(), "FILE");
        (code, text(out), text(err))
    }

    #[test]
    fn a_right_file_is_ok_without_a_url_too() {
        for contents in ["", "[upstream]\nurl = \"http://127.0.0.1:8000\"\n", "[guard]\nmode = \"observe\""] {
            assert_eq!(
                checked(Some(contents.as_bytes())),
                (0, "ok\n".to_owned(), String::new()),
                "{contents}"
            );
        }
    }

    #[test]
    fn every_problem_of_a_wrong_file_is_shown() {
        let (code, out, err) = checked(Some(b"[listen]\nconnections = 0\nlinger = 5\n"));
        assert_eq!((code, out.as_str()), (EXIT_CONFIG, ""));
        assert_eq!(err.matches("error: ").count(), 2, "{err}");
        assert!(err.contains("FILE:2:15") && err.contains("FILE:3:10"), "{err}");
    }

    #[test]
    fn files_that_are_named_are_looked_into() {
        let (code, _, err) = checked(Some(b"[probe]\nauthorization-file = \"/no/such/file\"\n"));
        assert_eq!(code, EXIT_CONFIG);
        assert!(err.contains("FILE:2:22") && err.contains("cannot be read"), "{err}");
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        let (code, ..) = checked(Some(format!("[admin]\ntoken-file = {token:?}\n").as_bytes()));
        assert!(code == 0 && !token.exists(), "nothing is made");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_one_sentence() {
        let (code, out, err) = checked(None);
        assert_eq!((code, out.as_str()), (EXIT_CONFIG, ""));
        assert!(
            err.starts_with("error: FILE cannot be read: No such file") && err.lines().count() == 1,
            "{err}"
        );
        let (code, _, err) = checked(Some(b"\xff\xfe"));
        assert_eq!(code, EXIT_CONFIG);
        assert_eq!(err, "error: FILE cannot be read: it is not text in UTF-8\n");
    }
}
