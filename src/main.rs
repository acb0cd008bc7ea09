//! The program: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use staleguard::command::{self, Arguments};

/// A request makes and drops some fifty small things, which the system's allocator takes a tenth of its time for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    command::execute(Arguments::parse(), &mut std::io::stdout(), &mut std::io::stderr())
}
