//! An LRS with the manners of a real one on a port of its own: `staleguard-upstreams --as lars --listen 127.0.0.1:0`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use staleguard_upstreams::lrs::Lrs;
use staleguard_upstreams::name::Name;
use staleguard_upstreams::server::serve;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A Learning Record Store in memory with the manners of a real one, to test Staleguard in front of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Whose manners
    #[arg(long = "as", value_enum)]
    name: Name,
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How many milliseconds pass between reading a document and storing it, so that writers race
    #[arg(long, value_name = "MILLISECONDS", default_value = "0", value_parser = milliseconds)]
    pause: Duration,
    /// Write each PUT and POST that was carried out to standard output, as a JSON array of its target and its body
    #[arg(long)]
    journal: bool,
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.trim_end_matches("ms").parse().map(Duration::from_millis)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(arguments.listen).await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;
    let mut lrs = Lrs::new(arguments.name, arguments.pause);
    if arguments.journal {
        lrs = lrs.with_journal(Box::new(|target, body| {
            let line = serde_json::json!([target, String::from_utf8_lossy(body)]);
            // In one piece and before the writer is told; who ended the reader has ended the journal.
            let _ = io::stdout().write_all(format!("{line}\n").as_bytes());
        }));
    }
    let lrs = Arc::new(lrs);
    tokio::select! {
        never = serve(listener, lrs) => match never {},
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    }
}
