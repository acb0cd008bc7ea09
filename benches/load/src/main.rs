//! The load as a program: it says `ready` once every connection is open and has learned, waits for a line on standard
//! input, and then sends; what came of it is one JSON object on standard output. After another line it learns again, and
//! so on, until standard input ends.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use staleguard_fixed_upstream::document::document;
use staleguard_load::load::{Amount, Load, Report};
use staleguard_load::request::{IfMatch, Request};

/// Sends the same requests again and again over kept-alive connections, and checks each answer's status.
#[derive(Debug, Parser)]
struct Arguments {
    /// Whom to ask
    address: SocketAddr,
    /// The target; {} stands for the number of the connection, {n} for that of the request on it
    target: String,
    /// The method
    #[arg(long, default_value = "GET")]
    method: String,
    /// A field, as in "Authorization: Basic eDp5"
    #[arg(long = "field", value_name = "FIELD")]
    fields: Vec<String>,
    /// Send the document of so many bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    document: usize,
    /// State this entity-tag; "learned" is what a first read shows
    #[arg(long, value_name = "ENTITY-TAG", value_parser = if_match)]
    if_match: Option<IfMatch>,
    /// Let each connection make the reads before its first so many requests, which are numbered alike
    #[arg(long, value_name = "READS", default_value_t = 0)]
    learn: u64,
    /// How many connections
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Send for so many seconds
    #[arg(long, conflicts_with = "each", required_unless_present = "each")]
    seconds: Option<f64>,
    /// Send so many requests over each connection
    #[arg(long)]
    each: Option<u64>,
    /// Send so many requests over each connection before `ready`
    #[arg(long, value_name = "REQUESTS", default_value_t = 0)]
    warm_up: u64,
    /// The status that every answer must have
    #[arg(long, value_name = "STATUS", default_value_t = 200)]
    expect: u16,
}

fn if_match(text: &str) -> Result<IfMatch, std::convert::Infallible> {
    Ok(if text == "learned" { IfMatch::Learned } else { IfMatch::Given(text.to_owned()) })
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let amount = match (arguments.each, arguments.seconds) {
        (Some(requests), _) => Amount::Each(requests),
        (None, seconds) => {
            Amount::For(Duration::try_from_secs_f64(seconds.unwrap_or(1.0)).map_err(io::Error::other)?)
        }
    };
    let request = Request {
        method: arguments.method,
        target: arguments.target,
        fields: arguments.fields,
        body: document(arguments.document),
        if_match: arguments.if_match,
    };
    let mut load = Load::connect(arguments.address, arguments.connections)?;
    let mut stdout = io::stdout();
    loop {
        load.learn(&request, arguments.learn)?;
        load.send(&request);
        load.run(Amount::Each(arguments.warm_up), arguments.expect)?;
        writeln!(stdout, "ready")?;
        stdout.flush()?;
        if !is_told()? {
            return Ok(());
        }
        print(&mut stdout, load.run(amount, arguments.expect)?)?;
        if !is_told()? {
            return Ok(());
        }
    }
}

/// Waits for a line; false if there is none, and so when who started this is gone.
fn is_told() -> io::Result<bool> {
    Ok(io::stdin().lock().read_line(&mut String::new())? > 0)
}

fn print(stdout: &mut impl Write, report: Report) -> io::Result<()> {
    let Report { requests, elapsed, mut durations, fewest, most } = report;
    let mut of = |percent| durations.percentile(percent);
    let (p50, p90, p99) = (of(50.0), of(90.0), of(99.0));
    writeln!(
        stdout,
        "{{\"requests\":{requests},\"seconds\":{:.6},\"p50_us\":{p50:.1},\"p90_us\":{p90:.1},\"p99_us\":{p99:.1},\
         \"fewest\":{fewest},\"most\":{most}}}",
        elapsed.as_secs_f64()
    )
}
