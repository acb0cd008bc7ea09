//! The verbs of the command line, one file each.
//!
//! Exit codes: 0 ok, 1 failed at run time, 2 usage, 78 bad configuration (`EX_CONFIG` of sysexits).

mod ask;
mod assembly;
mod certificates;
pub mod check;
pub mod demo;
pub mod doctor;
mod drain;
pub mod explain;
mod healthcheck;
mod in_use;
mod mark;
pub mod proxy;
mod reload;
pub mod run;
mod schema;
mod signals;
mod source;
pub mod what_if;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::environment::Environment;
use crate::config::problem::Colours;

/// Failed at run time.
const FAILED: u8 = 1;
/// Flags that say too little.
const USAGE: u8 = 2;

/// Gives optimistic concurrency to HTTP backends that have none.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the proxy in front of an upstream.
    Run(RunArguments),
    /// Say whether a configuration can be used: "ok", or every problem with its place and remedy.
    Check {
        /// The configuration file, in TOML.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say what would become of one request, and why, without asking anybody.
    Explain(explain::ExplainArguments),
    /// Say what another configuration would have decided of writes that are on record.
    WhatIf(what_if::WhatIfArguments),
    /// Ask the LRS, and through the URL that clients use, what they make of documents and entity-tags; each finding has
    /// its remedy. Documents of its own are written, and removed again.
    Doctor(doctor::arguments::DoctorArguments),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// See a lost update happen, and see it prevented: everything runs inside this process.
    Demo {
        /// End after the story instead of staying up.
        #[arg(long)]
        once: bool,
    },
    /// Ask a running Staleguard whether it is alive, for images without a shell: exit code 0 says yes, 1 no.
    Healthcheck {
        #[command(flatten)]
        of: AdminArguments,
        /// Ask whether it is ready, which it is no longer once it drains.
        #[arg(long)]
        ready: bool,
    },
    /// Have a running Staleguard end in good order, as SIGTERM does, and wait until it has.
    Drain(DrainArguments),
}

/// What `drain` is told on the command line.
#[derive(Debug, Args)]
pub struct DrainArguments {
    #[command(flatten)]
    of: AdminArguments,
    /// The file with the token [default: admin.token-file].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Begin only after this time, until whoever sends requests here has heard that this one ends.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    after: Duration,
    /// How long to wait for the end, longer than guard.drain-timeout; "0s" does not.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

/// Which running Staleguard is meant.
#[derive(Debug, Args)]
pub struct AdminArguments {
    /// The configuration file that it was started with.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its admin listener; goes before the file [default: 127.0.0.1:9901].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
}

/// What `run` is told on the command line; it goes before the file.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server behind the proxy, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where clients connect [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where health is asked for [default: 127.0.0.1:9901].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Refuse and alter nothing; reach the verdicts and log them.
    #[arg(long)]
    observe: bool,
}

/// Carries out the verb that the arguments name.
pub fn execute(arguments: Arguments, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let code = match arguments.verb {
        Verb::Run(arguments) => run::run(&arguments, err),
        Verb::Check { config } => check::check(&config, &Environment::of_process(), colours(), out, err),
        Verb::Explain(arguments) => explain::explain(&arguments, out, err),
        Verb::WhatIf(arguments) => what_if::what_if(&arguments, out, err),
        Verb::Doctor(arguments) => doctor::doctor(&arguments, out, err),
        Verb::Schema => schema::schema(out, err),
        Verb::Demo { once } => demo::demo(once, out, err),
        Verb::Drain(arguments) => drain::drain(&arguments, out, err),
        Verb::Healthcheck { of, ready } => healthcheck::healthcheck(&of, ready, out, err),
    };
    ExitCode::from(code)
}

/// Problems are shown in colours to a terminal.
fn colours() -> Colours {
    if colours_for(&std::io::stderr()) { Colours::On } else { Colours::Off }
}

/// Whether a stream is a terminal that did not ask for plain text (<https://no-color.org>).
fn colours_for(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
