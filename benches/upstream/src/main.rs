//! The fixed upstream as a program: `staleguard-fixed-upstream --listen 127.0.0.1:0`.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;

use clap::Parser;
use staleguard_fixed_upstream::server::Server;

/// Answers from memory and stores nothing, to measure what is in front of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// End when standard input does, and so when who started this is gone
    #[arg(long)]
    with_stdin: bool,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let server = Server::bind(arguments.listen)?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", server.address()?)?;
    stdout.flush()?;
    if arguments.with_stdin {
        let stop = server.stop();
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
            stop.stop()
        });
    }
    server.run()
}
