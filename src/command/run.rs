//! `staleguard run`: the proxy in front of an upstream, until it is told to end.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use tokio::runtime;
use tokio::sync::{Notify, mpsc};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::reload::Handle;

use super::check::EXIT_CONFIG;
use super::in_use::Origin;
use super::proxy::Proxy;
use super::reload::{Reloader, SetLevel, warn_of_overruled};
use super::signals::{Asked, Signals};
use super::source::Source;
use super::{FAILED, RunArguments};
use crate::config::{Config, is_collector};
use crate::drain::Drain;
use crate::server::access_log::AccessLog;
use crate::server::traces::Traces;

/// How many wishes for a reload may wait; they are all for the same.
const WISHES: usize = 8;

/// Runs the proxy and gives the exit code.
pub(super) fn run(arguments: &RunArguments, err: &mut dyn Write) -> u8 {
    let source = Source::of(arguments);
    let (config, origin) = match source.read() {
        Ok(read) => read,
        Err(problems) => return say(err, &problems, EXIT_CONFIG),
    };
    let collector = match collector(&config) {
        Ok(collector) => collector,
        Err(sentence) => return say(err, &format!("staleguard: {sentence}"), EXIT_CONFIG),
    };
    let set_level = log_to_stderr(config.log_level);
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(err, &format!("staleguard: cannot start: {error}"), FAILED),
    };
    match runtime.block_on(serve(source, config, origin, collector, set_level, err)) {
        Ok(()) => 0,
        Err(sentence) => say(err, &format!("staleguard: {sentence}"), FAILED),
    }
}

async fn serve(
    source: Source,
    config: Config,
    origin: Origin,
    collector: Option<String>,
    set_level: SetLevel,
    err: &mut dyn Write,
) -> Result<(), String> {
    let (log, _written_at_end) = if config.server.access_log {
        let (log, guard) = AccessLog::on_stdout();
        (log, Some(guard))
    } else {
        (AccessLog::off(), None)
    };
    let told = |error: io::Error| error.to_string();
    let mut signals = Signals::new(source.file().is_some()).map_err(told)?;
    let drain = Drain::new();
    let traces = collector.as_deref().map(Traces::to).transpose()?.map(Arc::new);
    let proxy = Proxy::bind(config.clone(), drain.clone())?;
    proxy.comes_from(origin);
    announce(&proxy, &upstream(&config), err).map_err(told)?;
    warn_of_overruled(&config);

    let (wish, wishes) = mpsc::channel(WISHES);
    let asked_to_reload = Arc::new(Notify::new());
    let reloader = Reloader::new(source, config, proxy.assembly(), proxy.metrics(), set_level);
    let reloading = tokio::spawn(reloader.run(wishes, Arc::clone(&asked_to_reload)));
    let mut serving = std::pin::pin!(proxy.serve(log, traces.clone(), wish));
    let by_signal = loop {
        tokio::select! {
            // In this order: it says that it drains also where nothing is left to finish.
            biased;
            () = drain.begun() => break false,
            served = serving.as_mut() => return served.map_err(told),
            asked = signals.next() => match asked {
                Asked::End => break true,
                Asked::Reload => asked_to_reload.notify_one(),
            },
        }
    };
    drain.begin();
    // What ends is not changed any more.
    reloading.abort();
    tracing::info!("draining: exchanges under way may finish; a second signal ends them");
    let twice = async {
        // Whoever has had it drain by POST still sends the signal that everybody sends, and means no more by it.
        if !by_signal {
            signals.end().await;
        }
        signals.end().await;
    };
    tokio::select! {
        served = serving => served.map_err(told)?,
        () = twice => return Err("ended at once by a second signal".into()),
    }
    if let Some(traces) = traces {
        // It blocks, and whoever sends the spans must not be in its way.
        let _ = tokio::task::spawn_blocking(move || traces.finish()).await;
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

/// OpenTelemetry's own variable, which says the same to all programs.
const EVERYBODYS: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where spans are collected: as it is configured, or else as all programs are told.
///
/// # Errors
/// A sentence, where what they are told cannot be used here. It does not quote it, since there may be a password in it.
fn collector(config: &Config) -> Result<Option<String>, String> {
    let everybodys = || std::env::var_os(EVERYBODYS).filter(|url| !url.is_empty());
    let Some(told) = config.otlp_endpoint.clone().map(Into::into).or_else(everybodys) else {
        return Ok(None);
    };
    told.into_string().ok().filter(|url| is_collector(url)).map(Some).ok_or_else(|| {
        format!(
            "{EVERYBODYS} is no http:// URL of a collector; write the URL before /v1/traces, as in \
             http://127.0.0.1:4318, name another in log.otlp-endpoint, or unset it"
        )
    })
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

/// Diagnostics go to standard error, and only ours: what libraries say could quote requests. The level can be changed.
fn log_to_stderr(level: LevelFilter) -> SetLevel {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let ours = |level| Targets::new().with_target("staleguard", level);
    let (filter, handle): (_, Handle<Targets, Registry>) =
        tracing_subscriber::reload::Layer::new(ours(level));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A second subscriber in one process would be a defect of a test; the first one stays.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Box::new(move |config| {
        // It fails only where the subscriber is gone, and then nothing is said any more.
        let _ = handle.reload(ours(config.log_level));
    })
}

fn say(err: &mut dyn Write, sentence: &str, code: u8) -> u8 {
    // If even standard error is gone, the exit code still tells.
    let _ = writeln!(err, "{}", sentence.trim_end());
    code
}
