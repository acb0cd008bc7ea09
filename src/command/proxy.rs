//! A proxy put together from its configuration: the one place where the rooms meet.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::certificates::Certificates;
use super::mark::Mark;
use crate::admin::{self, Figures};
use crate::body::budget::{Budget, Buffers};
use crate::config::Config;
use crate::drain::Drain;
use crate::exchange::{Exchange, Shared};
use crate::memory::Memory;
use crate::memory::generations::Generations;
use crate::memory::holds::Holds;
use crate::server::access_log::AccessLog;
use crate::server::listener::{self, Endpoint, Listener};
use crate::server::metrics::Metrics;
use crate::server::{self, MakeExchange, Records};
use crate::upstream::pool::Pool;

/// A proxy whose addresses are bound, and which serves nobody yet.
pub struct Proxy {
    config: Config,
    listener: Listener,
    admin: TcpListener,
    certificates: Certificates,
}

impl Proxy {
    /// Binds both addresses.
    ///
    /// # Errors
    /// A sentence that says which address cannot be had, why, and what to do.
    pub fn bind(config: Config) -> Result<Self, String> {
        let certificates = Certificates::load(&config)?;
        let address = &config.server.address;
        let listener = Listener::bind(address, config.server.socket_mode);
        let listener = listener.map_err(|error| cannot_listen(address, "--listen", &error))?;
        let admin = listener::bind_ip(config.admin);
        let admin = admin.map_err(|error| cannot_listen(&config.admin, "--admin", &error))?;
        Ok(Self { config, listener, admin, certificates })
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn address(&self) -> io::Result<Endpoint> {
        self.listener.endpoint()
    }

    /// Where clients connect, as a URL.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn url(&self) -> io::Result<String> {
        let scheme = if self.certificates.acceptor.is_some() { "https" } else { "http" };
        Ok(match self.address()? {
            Endpoint::Ip(address) => format!("{scheme}://{address}"),
            unix @ Endpoint::Unix(_) => unix.to_string(),
        })
    }

    /// Where health and figures are asked for.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until draining begins and everything under way has ended, and every scope has settled, as far as
    /// `drain-timeout` allows.
    ///
    /// # Errors
    /// When the cores' threads cannot be started, or the state folder cannot be written.
    pub async fn serve(mut self, log: AccessLog, drain: Drain) -> io::Result<()> {
        let mark = self.config.state_dir.as_deref().map(Mark::set).transpose()?;
        let was_unclean = mark.as_ref().is_some_and(|(_, was_there)| *was_there);
        self.config.holds.start_settle = start_settle(&self.config, was_unclean);
        let generations = self.config.validators.as_ref().map(|_| Generations::new());
        let holds = Holds::withdrawing(self.config.holds.clone(), generations);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let make = exchanges(&self.config, &holds, &drain, &self.certificates);
        let metrics = Arc::new(Metrics::new());
        self.certificates.tell(&metrics);
        let acceptor = self.certificates.acceptor.clone();
        let watching = tokio::spawn(self.certificates.watch(Arc::clone(&metrics)));
        let admin =
            tokio::spawn(admin::serve(self.admin, figures(&metrics), self.config.admin_hosts, drain.clone()));
        let records = Records { log, metrics };
        let bound = self.config.server.drain_timeout;
        let serving =
            server::run(self.listener, acceptor, self.config.server, cores, make, records, drain.clone());
        let ending = async {
            drain.begun().await;
            Instant::now() + bound
        };
        let (served, deadline) = tokio::join!(serving, ending);
        wait_until_settled(&holds, deadline, &drain).await;
        admin.abort();
        watching.abort();
        if let Some((mark, _)) = mark.filter(|_| !drain.has_cut_off()) {
            mark.clear()?;
        }
        served
    }
}

/// How long guarded writes wait after the start: as long as somebody has said, or until nothing that the process before
/// this one may have left under way can be applied any more.
fn start_settle(config: &Config, was_unclean: bool) -> Duration {
    let settle_time = if was_unclean { config.holds.settle_time } else { Duration::ZERO };
    let wait = config.start_settle.unwrap_or(settle_time);
    if was_unclean {
        tracing::warn!(
            ?wait,
            "the last process did not end in good order, or still runs: guarded writes wait"
        );
    }
    wait
}

/// Waits until nothing that was sent can be applied any more; a process that starts next knows nothing of it.
async fn wait_until_settled(holds: &Holds, deadline: Instant, drain: &Drain) {
    let Some(until) = holds.unsettled_until() else { return };
    let until = tokio::time::Instant::into_std(until);
    tracing::info!("draining: waiting until the outcome of every write is settled");
    tokio::time::sleep_until(until.min(deadline).into()).await;
    if until > deadline {
        tracing::warn!("drain-timeout has passed; the outcome of a write is still unknown");
        drain.cut_off();
    }
}

/// What makes the exchanges of each core: what is known is shared, connections are a core's own.
fn exchanges(
    config: &Config,
    holds: &Arc<Holds>,
    drain: &Drain,
    certificates: &Certificates,
) -> Arc<MakeExchange> {
    let shared = Shared {
        rules: Arc::new(config.rules.clone()),
        holds: Arc::clone(holds),
        memory: Arc::new(Memory::new(config.remembered_max, Instant::now(), config.validators.clone())),
        untranslated: Arc::default(),
        steadiness: Arc::default(),
        buffers: Buffers {
            writes: Budget::new(config.buffered_writes_max),
            reads: Budget::new(config.buffered_reads_max),
        },
        drain: drain.clone(),
    };
    let under_way = Arc::new(Semaphore::new(config.upstream.connections));
    let (settings, upstream) = (config.exchange.clone(), config.upstream.clone());
    let connector = certificates.connector.clone();
    Arc::new(move || {
        let (under_way, reads) = (Arc::clone(&under_way), Arc::clone(&shared.buffers.reads));
        let pool = Pool::over_tls(upstream.clone(), under_way, reads, connector.clone());
        Exchange::new(settings.clone(), shared.clone(), pool)
    })
}

/// What has been counted, as the admin listener asks for it.
fn figures(metrics: &Arc<Metrics>) -> Figures {
    let (all, some) = (Arc::clone(metrics), Arc::clone(metrics));
    Figures { metrics: Box::new(move || all.open_metrics().ok()), status: Box::new(move || some.status()) }
}

fn cannot_listen(address: &dyn fmt::Display, flag: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another process holds this address; stop it or choose another with {flag}"
        ),
        _ => format!("cannot listen on {address}: {error}; choose another address with {flag}"),
    }
}
