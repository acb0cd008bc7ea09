//! The program: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use staleguard::command::{self, Arguments};

fn main() -> ExitCode {
    command::execute(Arguments::parse(), &mut std::io::stdout(), &mut std::io::stderr())
}
