//! `staleguard drain`: tells a running process to end in good order and waits until it has, for images without a shell.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

use super::ask::{Asked, Unanswered, ask, runtime, whom};
use super::check::EXIT_CONFIG;
use super::{DrainArguments, FAILED, USAGE};
use crate::admin::token;

/// How often it is asked whether it still drains.
const PERIOD: Duration = Duration::from_millis(100);

/// Has it drain, says what came of it in a sentence, and gives the exit code.
pub(super) fn drain(arguments: &DrainArguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    // Where nobody can read what is printed, the exit code still says it.
    let mut fails = |sentence: &str, code| {
        let _ = writeln!(err, "{}", sentence.trim_end());
        code
    };
    let asked = match whom(&arguments.of) {
        Ok(asked) => asked,
        Err(problems) => return fails(&problems, EXIT_CONFIG),
    };
    let Some(file) = arguments.token_file.as_ref().or(asked.token_file.as_ref()) else {
        return fails(
            "staleguard: drain needs the token: give --token-file, or --config with admin.token-file",
            USAGE,
        );
    };
    let drained = runtime().and_then(|runtime| runtime.block_on(drained(arguments, asked.address, file)));
    match drained {
        Ok(sentence) => {
            let _ = writeln!(out, "staleguard: {sentence}");
            0
        }
        Err(sentence) => fails(&format!("staleguard: {sentence}"), FAILED),
    }
}

async fn drained(arguments: &DrainArguments, address: SocketAddr, file: &Path) -> Result<String, String> {
    sleep(arguments.after).await;
    let order = Asked { address, method: Method::POST, path: "/-/drain", authorization: Some(bearer(file)?) };
    match ask(order).await {
        Ok(told) if told.status == StatusCode::ACCEPTED => {}
        Ok(told) => return Err(format!("{address} does not drain: {}: {}", told.status, told.text)),
        Err(unanswered) => return Err(unanswered.to_string()),
    }
    if arguments.wait.is_zero() {
        return Ok("draining".into());
    }
    let waited = timeout_at(Instant::now() + arguments.wait, until_gone(address)).await;
    match waited {
        Ok(()) => Ok("drained".into()),
        Err(_) => Err(format!("{address} still drains after {}", humantime::format_duration(arguments.wait))),
    }
}

/// The admin listener is the last to go. One that is ready again belongs to a process that was started since.
async fn until_gone(address: SocketAddr) {
    loop {
        let question = Asked { address, method: Method::GET, path: "/readyz", authorization: None };
        match ask(question).await {
            Ok(told) if told.status.is_success() => return,
            Err(Unanswered::Broken { .. }) => return,
            Ok(_) | Err(Unanswered::Late { .. }) => sleep(PERIOD).await,
        }
    }
}

/// What carries the token of a file.
fn bearer(file: &Path) -> Result<HeaderValue, String> {
    let unfit = |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", file.display());
    let token = token::read(file).map_err(|error| unfit(&error))?;
    let mut field = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| unfit(&error))?;
    field.set_sensitive(true);
    Ok(field)
}
