//! Sockets and connections: accepting, serving, draining; and each exchange is logged and counted once it is over.
//!
//! There is one listening socket, and one runtime per core with its own connections to the upstream. An accepted
//! connection is handed once, to the core with the fewest, and stays there.

pub mod access_log;
mod ahead;
mod collector;
mod connection;
mod core;
mod decided;
pub mod heard;
mod http1;
mod http2;
mod line;
pub mod listener;
pub mod metrics;
mod record;
mod sending;
pub mod serving;
mod streams;
pub mod tls;
pub mod traces;
mod tunnel;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Semaphore, watch};

use self::access_log::AccessLog;
use self::core::Core;
use self::heard::Heard;
use self::listener::{Endpoint, Listener};
use self::metrics::Metrics;
use self::serving::Serving;
use self::traces::Traces;
use crate::decision::Decisions;
use crate::drain::Drain;
use crate::exchange::outcome::Outcome;
use crate::net::client::Address;

/// How clients are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub address: Endpoint,
    /// Who may connect to a Unix socket: the mode of its file.
    pub socket_mode: u32,
    /// Whose word on the way of a request is believed; everybody's, where nothing is said of it.
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// What TLS is set up from, where it is spoken.
    pub tls: Option<tls::Files>,
    /// How long the handshake of TLS may take.
    pub handshake_timeout: Duration,
    /// How many connections are served at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How long a connection may take to send a request's head; an idle one is closed after as long.
    pub header_timeout: Duration,
    /// The largest head of a request, in bytes.
    pub header_max: usize,
    /// The longest pause in which a client takes nothing of its answer.
    pub send_timeout: Duration,
    /// How long exchanges under way may take to finish once draining has begun.
    pub drain_timeout: Duration,
    /// Whether each exchange is logged on standard output.
    pub access_log: bool,
}

impl Settings {
    /// Whether what a client says of the way of its requests is believed. Who may open a Unix socket was chosen by
    /// whoever set its mode.
    fn believes(&self, client: Address) -> bool {
        match (&self.trusted_proxies, client.ip()) {
            (Some(trusted), Some(ip)) => trusted.iter().any(|net| net.contains(&ip)),
            (None, _) | (_, None) => true,
        }
    }
}

/// Where exchanges are recorded. Clones record in the same places.
#[derive(Debug, Clone)]
pub struct Records {
    /// One line for each.
    pub log: AccessLog,
    /// All of them together.
    pub metrics: Arc<Metrics>,
    /// One record for each write.
    pub decisions: Decisions,
    /// Its spans, where somebody collects them.
    pub traces: Option<Arc<Traces>>,
    /// What they tell of the upstream.
    pub heard: Arc<Heard>,
}

impl Records {
    /// Records an exchange that is over, and how many bytes of body its client was sent.
    fn take(&self, outcome: &mut Outcome, sent: u64) {
        // In this order, so that whoever has read the line finds it counted.
        self.metrics.count(outcome);
        self.heard.take(outcome);
        if let Some(facts) = outcome.facts.take() {
            self.decisions.record(decided::decided(outcome, *facts));
        }
        if let Some(traces) = &self.traces {
            traces.end(outcome);
        }
        self.log.write(outcome, sent);
    }
}

/// Serves with what was served last until draining begins, then until everything under way has ended or `drain_timeout`
/// has passed.
///
/// The number of connections is that of the first; whoever changes it must begin anew.
///
/// # Errors
/// When the cores' threads cannot be started.
pub async fn run(
    listener: Listener,
    served: watch::Receiver<Arc<Serving>>,
    cores: usize,
    records: Records,
    drain: Drain,
) -> io::Result<()> {
    let cores = (0..cores.max(1))
        .map(|_| Core::start(served.clone(), records.clone(), drain.clone()))
        .collect::<io::Result<Vec<_>>>()?;
    records.metrics.count_connections(cores.iter().map(Core::counter).collect());
    let places = Arc::new(Semaphore::new(served.borrow().terms.settings.connections));
    accept(&listener, &cores, &places, &drain).await;
    drop(listener);
    // All of them begin to finish now: drain-timeout bounds them together and not one after the other.
    let finishing: Vec<_> = cores.into_iter().map(Core::finish).collect();
    for finished in finishing {
        let _ = finished.await;
    }
    Ok(())
}

/// Hands accepted connections to the cores until draining begins.
async fn accept(listener: &Listener, cores: &[Core], places: &Arc<Semaphore>, drain: &Drain) {
    loop {
        let next = async {
            let place = Arc::clone(places).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = drain.begun() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, client)) => {
                if let (Some(place), Some(core)) = (place, cores.iter().min_by_key(|core| core.connections()))
                {
                    core.serve(stream, client, place);
                }
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

/// An error of one connection concerns nobody else; without descriptors or memory, trying at once would spin.
async fn rest_after(error: &io::Error) {
    let concerns_one = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !concerns_one {
        tracing::warn!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
