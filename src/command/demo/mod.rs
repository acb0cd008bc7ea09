//! `staleguard demo`: a lost update, and the same story with Staleguard in front.
//!
//! Everything runs inside this process and on the loopback interface: a small document server without concurrency
//! control (`legacy`), a real [`Proxy`] in front of it, and two devices that show what they send and what they are
//! answered (`story`, `device`, `wire`, `screen`). The devices know nothing of the outcome: it is read from what is
//! stored in the end, and a story that does not end as it should is an error.

mod device;
mod legacy;
mod screen;
mod story;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;

use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::proxy::Proxy;
use super::signals::Signals;
use super::{FAILED, colours_for};
use crate::config::{Config, Overrides};
use crate::drain::Drain;
use crate::server::access_log::AccessLog;
use crate::server::listener::Endpoint;
use legacy::Legacy;
use screen::Screen;
use story::Ending;

/// Where a demo that stays up listens, unless somebody else does.
const LISTEN: &str = "127.0.0.1:8080";
/// Any free port.
const ANYWHERE: &str = "127.0.0.1:0";

/// Why the demo ended early.
#[derive(Debug)]
enum Trouble {
    /// The terminal, file or pipe that it tells its story to takes no more.
    Unwritable(io::Error),
    /// Anything else, in a sentence.
    Told(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unwritable(error) => write!(f, "cannot write to standard output: {error}"),
            Self::Told(sentence) => f.write_str(sentence),
        }
    }
}

/// Plays the story and gives the exit code.
pub(super) fn demo(once: bool, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    conclude(start(once, &mut Screen::new(out, colours_for(&io::stdout()))), err)
}

/// The exit code. A reader that closed its pipe has seen what it wanted to see.
fn conclude(shown: Result<(), Trouble>, err: &mut dyn Write) -> u8 {
    match shown {
        Ok(()) => 0,
        Err(Trouble::Unwritable(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(trouble) => {
            // If even standard error is gone, the exit code still tells.
            let _ = writeln!(err, "staleguard: {trouble}");
            FAILED
        }
    }
}

fn start(once: bool, screen: &mut Screen<'_>) -> Result<(), Trouble> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::Told(format!("cannot start: {error}")))?;
    runtime.block_on(show(once, screen))
}

/// Starts both servers, tells the story, and stays up if asked to.
async fn show(once: bool, screen: &mut Screen<'_>) -> Result<(), Trouble> {
    let addresses: &[&str] = if once { &[ANYWHERE] } else { &[LISTEN, ANYWHERE] };
    let servers = Servers::start(addresses).await?;
    introduce(&servers, screen)?;
    let told = story::tell(servers.straight, servers.through, screen).await;
    let shown = match told {
        Ok(ending) if !once => stay(servers.through, &ending, screen).await,
        told => told.map(drop),
    };
    // A story that failed is worth more than whatever ending in good order may complain about.
    shown.and(servers.end().await)
}

/// The legacy document server, and Staleguard in front of it.
struct Servers {
    /// The legacy server's address.
    straight: SocketAddr,
    /// Staleguard's address.
    through: SocketAddr,
    drain: Drain,
    proxy: JoinHandle<io::Result<()>>,
    legacy: JoinHandle<()>,
}

impl Servers {
    /// Starts both, Staleguard on the first of these addresses that is free.
    async fn start(addresses: &[&str]) -> Result<Self, Trouble> {
        let unknown = |error: io::Error| Trouble::Told(format!("cannot learn an address: {error}"));
        let legacy = Legacy::bind()
            .await
            .map_err(|error| Trouble::Told(format!("cannot start the legacy server: {error}")))?;
        let straight = legacy.address().map_err(unknown)?;
        let drain = Drain::new();
        let proxy = in_front_of(straight, addresses, &drain)?;
        let Endpoint::Ip(through) = proxy.address().map_err(unknown)? else {
            return Err(Trouble::Told("the demo listens at an IP address".into()));
        };
        // Nothing was configured, so that there is nothing to read again.
        let (wish, _) = mpsc::channel(1);
        Ok(Self {
            straight,
            through,
            drain,
            proxy: tokio::spawn(proxy.serve(AccessLog::off(), None, wish)),
            legacy: tokio::spawn(legacy.serve()),
        })
    }

    /// Ends in good order: the legacy server stays until Staleguard has drained. A signal ends it at once.
    async fn end(self) -> Result<(), Trouble> {
        self.drain.begin();
        let mut signals = signals()?;
        let served = tokio::select! {
            served = self.proxy => served.unwrap_or_else(|error| Err(io::Error::other(error))),
            () = signals.end() => Err(io::Error::other("ended at once by a second signal")),
        };
        self.legacy.abort();
        served.map_err(|error| Trouble::Told(error.to_string()))
    }
}

/// A Staleguard as an empty configuration makes it, on the first of these addresses that is free.
fn in_front_of(upstream: SocketAddr, addresses: &[&str], drain: &Drain) -> Result<Proxy, Trouble> {
    let mut refusal = String::from("there is no address to listen on");
    for address in addresses {
        let overrides = Overrides {
            upstream: Some(format!("http://{upstream}")),
            listen: Some((*address).to_owned()),
            admin: Some(ANYWHERE.to_owned()),
            ..Overrides::default()
        };
        let config =
            Config::read(None, &overrides).map_err(|problems| Trouble::Told(problems.to_string()))?;
        match Proxy::bind(config, drain.clone()) {
            Ok(proxy) => return Ok(proxy),
            Err(sentence) => refusal = sentence,
        }
    }
    Err(Trouble::Told(refusal))
}

fn introduce(servers: &Servers, screen: &mut Screen<'_>) -> Result<(), Trouble> {
    screen.heading("Staleguard demo: a lost update, and the same story with Staleguard in front")?;
    screen.text(&format!(
        "A legacy document server, made for this demo and in memory only, is on http://{}. It keeps what was \
         written last and knows no ETags. Staleguard is in front of it, on http://{}.",
        servers.straight, servers.through,
    ))?;
    screen.gap()?;
    screen.text(
        "Ada learns on a phone and on a laptop, and both save her progress in one xAPI State document. Both run \
         the same code: whoever is given an ETag sends it back in If-Match. What follows is what is really sent \
         and answered; targets and ETags are shortened, and other fields are left out.",
    )
}

/// Offers commands to try, and stays until the process is asked to end.
async fn stay(through: SocketAddr, ending: &Ending, screen: &mut Screen<'_>) -> Result<(), Trouble> {
    let mut signals = signals()?;
    screen.heading("Now you: Staleguard stays up until Ctrl-C")?;
    story::offer(through, ending, screen)?;
    signals.end().await;
    Ok(())
}

fn signals() -> Result<Signals, Trouble> {
    Signals::new(false).map_err(|error| Trouble::Told(format!("cannot listen for signals: {error}")))
}
