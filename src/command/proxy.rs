//! A proxy put together from its configuration: the one place where the rooms meet.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_appender::non_blocking::WorkerGuard;

use super::assembly::{Assembly, cores};
use super::certificates::watch;
use super::explain;
use super::in_use::Origin;
use super::mark::Mark;
use crate::admin::page::{self, Overview, Page};
use crate::admin::{self, Admin, Figures, Reload};
use crate::config::Config;
use crate::decision::{Decisions, file};
use crate::drain::Drain;
use crate::memory::holds::Holds;
use crate::server::access_log::AccessLog;
use crate::server::heard::Heard;
use crate::server::listener::{self, Endpoint, Listener};
use crate::server::metrics::Metrics;
use crate::server::traces::Traces;
use crate::server::{self, Records};

/// A proxy whose addresses are bound, and which serves nobody yet.
pub struct Proxy {
    config: Config,
    listener: Listener,
    admin: TcpListener,
    mark: Option<Mark>,
    metrics: Arc<Metrics>,
    assembly: Arc<Mutex<Assembly>>,
    drain: Drain,
    decisions: Decisions,
    /// What is not yet written down of decisions is when this is dropped.
    written_at_end: Option<WorkerGuard>,
}

impl Proxy {
    /// Binds both addresses, and makes what does not exist yet of what the configuration names.
    ///
    /// # Errors
    /// A sentence that says which address or file cannot be had, why, and what to do.
    pub fn bind(mut config: Config, drain: Drain) -> Result<Self, String> {
        let address = &config.server.address;
        let listener = Listener::bind(address, config.server.socket_mode);
        let listener = listener.map_err(|error| cannot_listen(address, "--listen", &error))?;
        let admin = listener::bind_ip(config.admin);
        let admin = admin.map_err(|error| cannot_listen(&config.admin, "--admin", &error))?;
        if let Some(file) = &config.admin_token_file {
            admin::token::ensure(file)
                .map_err(|error| format!("cannot make {}, of admin.token-file: {error}", file.display()))?;
        }
        let mark = config.state_dir.as_deref().map(Mark::claim).transpose()?;
        config.holds.start_settle = start_settle(&config, mark.as_ref().is_some_and(Mark::was_there));
        let (decisions, written_at_end) = decisions(&config)?;
        let assembly = Assembly::new(config.clone(), &decisions, &drain)?;
        // Only now: whoever cannot start sends nothing, and leaves no mark behind.
        if let Some(mark) = &mark {
            mark.set()
                .map_err(|error| format!("cannot write into the folder of guard.state-dir: {error}"))?;
        }
        Ok(Self {
            assembly: Arc::new(Mutex::new(assembly)),
            decisions,
            written_at_end,
            config,
            listener,
            admin,
            mark,
            metrics: Arc::new(Metrics::new()),
            drain,
        })
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
        let scheme = if self.config.server.tls.is_some() { "https" } else { "http" };
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

    /// Notes where its configuration was read.
    pub(super) fn comes_from(&self, origin: Origin) {
        self.assembly.lock().unwrap_or_else(PoisonError::into_inner).in_use().replace(origin);
    }

    /// What is served with, for whoever replaces it.
    pub(super) fn assembly(&self) -> Arc<Mutex<Assembly>> {
        Arc::clone(&self.assembly)
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Serves until draining begins and everything under way has ended, and every scope has settled, as far as
    /// `drain-timeout` allows. That the configuration is to be read again, `reloads` hears.
    ///
    /// # Errors
    /// When the cores' threads cannot be started, or the state folder cannot be written.
    pub async fn serve(
        self,
        log: AccessLog,
        traces: Option<Arc<Traces>>,
        reloads: mpsc::Sender<Reload>,
    ) -> io::Result<()> {
        let Self { config, listener, admin, mark, metrics, assembly, drain, decisions, written_at_end } =
            self;
        let _written_at_end = written_at_end;
        let heard = Arc::new(Heard::new());
        let admin = tokio::spawn(admin::serve(
            admin,
            Admin {
                figures: figures(&metrics, &assembly),
                page: page(&decisions, &assembly, &heard),
                decisions: decisions.clone(),
                names: config.admin_hosts,
                token_file: config.admin_token_file,
                reloads,
                drain: drain.clone(),
            },
        ));
        let watching = tokio::spawn(watch(Arc::clone(&assembly), Arc::clone(&metrics)));
        let records = Records { log, metrics, decisions, traces, heard };
        let bound = config.server.drain_timeout;
        let served = assembly.lock().unwrap_or_else(PoisonError::into_inner).served();
        let serving = server::run(listener, served, cores(), records, drain.clone());
        let ending = async {
            drain.begun().await;
            Instant::now() + bound
        };
        let (served, deadline) = tokio::join!(serving, ending);
        let holds = assembly.lock().unwrap_or_else(PoisonError::into_inner).holds();
        wait_until_settled(&holds, deadline, &drain).await;
        admin.abort();
        watching.abort();
        match mark {
            Some(mark) if mark.was_there() && holds.all_unsettled_for().is_some() => tracing::info!(
                "a write of the process before this one may still be applied: the mark in guard.state-dir stays, and \
                 guarded writes wait again after the next start"
            ),
            Some(mark) if !drain.has_cut_off() => mark.clear()?,
            _ => {}
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
            "the last process did not end in good order: guarded writes get 503 with Retry-After until what is left of \
             this wait fits into hold-wait"
        );
    }
    wait
}

/// Waits until nothing that this process has sent can be applied any more; one that starts next knows nothing of it. What
/// the process before has sent is no reason to wait: the mark stays.
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

/// Where decisions are recorded, and what must live as long as they are written down.
fn decisions(config: &Config) -> Result<(Decisions, Option<WorkerGuard>), String> {
    let Some(settings) = config.decisions.clone() else { return Ok((Decisions::default(), None)) };
    let path = settings.path.clone();
    let (lines, guard) = file::open(settings).map_err(|error| {
        format!("cannot write decisions to {}, of log.decisions-file: {error}", path.display())
    })?;
    Ok((Decisions::new(Some(lines)), Some(guard)))
}

/// What has been counted, as the admin listener asks for it.
fn figures(metrics: &Arc<Metrics>, assembly: &Arc<Mutex<Assembly>>) -> Figures {
    let readings = {
        let assembly = Arc::clone(assembly);
        move || assembly.lock().unwrap_or_else(PoisonError::into_inner).readings()
    };
    let [open, plain, some] = [(); 3].map(|()| Arc::clone(metrics));
    let (again, assembly) = (readings.clone(), Arc::clone(assembly));
    let status = move || {
        let mut told = assembly.lock().unwrap_or_else(PoisonError::into_inner).status();
        let counted = some.status();
        told.as_object_mut()
            .into_iter()
            .for_each(|told| told.extend(counted.as_object().cloned().unwrap_or_default()));
        told
    };
    Figures {
        open_metrics: Box::new(move || open.open_metrics(&readings()).ok()),
        prometheus: Box::new(move || plain.prometheus(&again()).ok()),
        status: Box::new(status),
    }
}

/// The page, of what is served with whenever somebody asks for it.
fn page(decisions: &Decisions, assembly: &Arc<Mutex<Assembly>>, heard: &Arc<Heard>) -> Page {
    let (of, heard) = (Arc::clone(assembly), Arc::clone(heard));
    let overview = move || of.lock().unwrap_or_else(PoisonError::into_inner).overview();
    let rules = overview.clone();
    let look = move || Overview {
        heard: page::Heard { answered: heard.answered(), failed: heard.failed() },
        ..overview()
    };
    let explain = move |asked: &page::Asked| explain::of_page(&rules().rules, asked);
    let of = Arc::clone(assembly);
    let recall = move |document| of.lock().unwrap_or_else(PoisonError::into_inner).remembered(document);
    Page::new(decisions.clone(), Box::new(look), Box::new(explain), Box::new(recall))
}

fn cannot_listen(address: &dyn fmt::Display, flag: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another process holds this address; stop it or choose another with {flag}"
        ),
        _ => format!("cannot listen on {address}: {error}; choose another address with {flag}"),
    }
}
