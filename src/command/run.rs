//! `staleguard run`: the proxy in front of an upstream, until it is told to end.

use std::io::{self, IsTerminal, Write};

use tokio::runtime;
use tracing_subscriber::filter::LevelFilter;

use super::check::{EXIT_CONFIG, read_text};
use super::proxy::Proxy;
use super::signals::Signals;
use super::{FAILED, RunArguments, colours};
use crate::config::{Config, Overrides};
use crate::drain::Drain;
use crate::server::access_log::AccessLog;

/// Runs the proxy and gives the exit code.
pub(super) fn run(arguments: &RunArguments, err: &mut dyn Write) -> u8 {
    let config = match configuration(arguments) {
        Ok(config) => config,
        Err(problems) => return say(err, &problems, EXIT_CONFIG),
    };
    log_to_stderr(config.log_level);
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(err, &format!("staleguard: cannot start: {error}"), FAILED),
    };
    match runtime.block_on(serve(config, err)) {
        Ok(()) => 0,
        Err(sentence) => say(err, &format!("staleguard: {sentence}"), FAILED),
    }
}

async fn serve(config: Config, err: &mut dyn Write) -> Result<(), String> {
    let (log, _written_at_end) = if config.server.access_log {
        let (log, guard) = AccessLog::on_stdout();
        (log, Some(guard))
    } else {
        (AccessLog::off(), None)
    };
    let told = |error: io::Error| error.to_string();
    let upstream = upstream(&config);
    let mut signals = Signals::new().map_err(told)?;
    let proxy = Proxy::bind(config)?;
    announce(&proxy, &upstream, err).map_err(told)?;
    let drain = Drain::new();
    let mut serving = std::pin::pin!(proxy.serve(log, drain.clone()));
    tokio::select! {
        served = serving.as_mut() => return served.map_err(told),
        () = signals.any() => drain.begin(),
    }
    tracing::info!("draining: exchanges under way may finish; a second signal ends them");
    tokio::select! {
        served = serving => served.map_err(told)?,
        () = signals.any() => return Err("ended at once by a second signal".into()),
    }
    if drain.has_cut_off() {
        return Err(
            "drain-timeout passed, and a write may still be under way; wait settle-time before the next start, or \
             set guard.state-dir, with which the next process waits by itself"
                .into(),
        );
    }
    Ok(())
}

/// The upstream as it may be written in a configuration.
fn upstream(config: &Config) -> String {
    let upstream = &config.upstream;
    match (&upstream.socket, &upstream.tls) {
        (Some(path), _) => format!("unix:{}", path.display()),
        (None, Some(_)) => format!("https://{}", upstream.authority),
        (None, None) => format!("http://{}", upstream.authority),
    }
}

/// Says where everything is. Scripts read these lines, so they do not depend on the level of the log.
fn announce(proxy: &Proxy, upstream: &str, err: &mut dyn Write) -> io::Result<()> {
    writeln!(err, "staleguard: listening on {}", proxy.url()?)?;
    writeln!(err, "staleguard: admin on http://{}", proxy.admin_address()?)?;
    writeln!(err, "staleguard: upstream is {upstream}")?;
    err.flush()
}

fn configuration(arguments: &RunArguments) -> Result<Config, String> {
    let overrides = Overrides {
        upstream: arguments.upstream.clone(),
        listen: arguments.listen.clone(),
        admin: arguments.admin.clone(),
        observe: arguments.observe,
    };
    let file = match &arguments.config {
        None => None,
        Some(path) => Some((path.display().to_string(), read_text(path)?)),
    };
    let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    Config::read(file, &overrides).map_err(|problems| problems.render(colours()))
}

/// Diagnostics go to standard error, and only ours: what libraries say could quote requests.
fn log_to_stderr(level: LevelFilter) {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let ours = tracing_subscriber::filter::Targets::new().with_target("staleguard", level);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A second subscriber in one process would be a defect of a test; the first one stays.
    let _ = tracing_subscriber::registry().with(lines).with(ours).try_init();
}

fn say(err: &mut dyn Write, sentence: &str, code: u8) -> u8 {
    // If even standard error is gone, the exit code still tells.
    let _ = writeln!(err, "{}", sentence.trim_end());
    code
}
