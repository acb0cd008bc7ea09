//! A proxy put together from its configuration: the one place where the rooms meet.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::admin::{self, Figures};
use crate::config::Config;
use crate::drain::Drain;
use crate::exchange::Exchange;
use crate::memory::Memory;
use crate::memory::holds::Holds;
use crate::server::access_log::AccessLog;
use crate::server::metrics::Metrics;
use crate::server::{self, MakeExchange, Records};
use crate::upstream::pool::Pool;

/// A proxy whose addresses are bound, and which serves nobody yet.
pub struct Proxy {
    config: Config,
    listener: TcpListener,
    admin: TcpListener,
}

impl Proxy {
    /// Binds both addresses.
    ///
    /// # Errors
    /// A sentence that says which address cannot be had, why, and what to do.
    pub fn bind(config: Config) -> Result<Self, String> {
        let listener = bind(config.server.address, "--listen")?;
        let admin = bind(config.admin, "--admin")?;
        Ok(Self { config, listener, admin })
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where health and figures are asked for.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until draining begins and everything under way has ended.
    ///
    /// # Errors
    /// When the cores' threads cannot be started.
    pub async fn serve(self, log: AccessLog, drain: Drain) -> io::Result<()> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let make = exchanges(&self.config);
        let metrics = Arc::new(Metrics::new());
        let admin =
            tokio::spawn(admin::serve(self.admin, figures(&metrics), self.config.admin_hosts, drain.clone()));
        let records = Records { log, metrics };
        let served = server::run(self.listener, self.config.server, cores, make, records, drain).await;
        admin.abort();
        served
    }
}

/// What makes the exchanges of each core: rules and holds are shared, connections are a core's own.
fn exchanges(config: &Config) -> Arc<MakeExchange> {
    let rules = Arc::new(config.rules.clone());
    let holds = Holds::new(config.holds.clone());
    let memory = Arc::new(Memory::new(config.remembered_max, Instant::now()));
    let (untranslated, steadiness) = (Arc::default(), Arc::default());
    let under_way = Arc::new(Semaphore::new(config.upstream.connections));
    let (exchange, upstream) = (config.exchange.clone(), config.upstream.clone());
    Arc::new(move || {
        let pool = Pool::new(upstream.clone(), Arc::clone(&under_way));
        let (rules, holds) = (Arc::clone(&rules), Arc::clone(&holds));
        let (memory, untranslated) = (Arc::clone(&memory), Arc::clone(&untranslated));
        let steadiness = Arc::clone(&steadiness);
        Exchange::new(exchange.clone(), rules, holds, memory, untranslated, steadiness, pool)
    })
}

/// What has been counted, as the admin listener asks for it.
fn figures(metrics: &Arc<Metrics>) -> Figures {
    let (all, some) = (Arc::clone(metrics), Arc::clone(metrics));
    Figures { metrics: Box::new(move || all.open_metrics().ok()), status: Box::new(move || some.status()) }
}

fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, String> {
    server::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another process holds this address; stop it or choose another with {flag}"
        ),
        _ => format!("cannot listen on {address}: {error}; choose another address with {flag}"),
    })
}
