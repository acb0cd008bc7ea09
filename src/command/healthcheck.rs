//! `staleguard healthcheck`: is the process alive, or ready? For images that hold nothing else to ask with.

use std::io::Write;

use http::Method;

use super::ask::{Asked, ask, runtime, whom};
use super::check::EXIT_CONFIG;
use super::{AdminArguments, FAILED};

/// Asks `/livez`, or `/readyz`, says what came of it in a sentence, and gives the exit code.
pub(super) fn healthcheck(of: &AdminArguments, ready: bool, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    // Where nobody can read what is printed, the exit code still says it.
    let address = match whom(of) {
        Ok(meant) => meant.address,
        Err(problems) => {
            let _ = writeln!(err, "{}", problems.trim_end());
            return EXIT_CONFIG;
        }
    };
    let (path, meant) = if ready { ("/readyz", "ready") } else { ("/livez", "alive") };
    let asked = Asked { address, method: Method::GET, path, authorization: None };
    let told = runtime()
        .and_then(|runtime| runtime.block_on(ask(asked)).map_err(|unanswered| unanswered.to_string()));
    let sentence = match told {
        Ok(told) if told.status.is_success() => {
            let _ = writeln!(out, "staleguard: {meant}");
            return 0;
        }
        Ok(told) => format!("{address}{path} answered {}: {}", told.status, told.text),
        Err(sentence) => sentence,
    };
    let _ = writeln!(err, "staleguard: not {meant}: {sentence}");
    FAILED
}
