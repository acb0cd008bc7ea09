//! The certificates of both sides: shown to peers, and read again when their files change.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::assembly::Assembly;
use crate::config::Config;
use crate::server::metrics::{Metrics, Side};
use crate::server::tls::Acceptor;
use crate::upstream::tls::Connector;

/// How often the files are looked at. They are few and small, and whoever has just renewed a certificate looks too.
const LOOK: Duration = Duration::from_secs(2);

/// What speaks TLS with clients and with the upstream, where that is configured. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    /// With clients.
    pub(super) acceptor: Option<Arc<Acceptor>>,
    /// With the upstream.
    pub(super) connector: Option<Arc<Connector>>,
}

impl Certificates {
    /// Reads the files that a configuration names.
    ///
    /// # Errors
    /// A sentence that says which file cannot be used and why.
    pub(super) fn load(config: &Config) -> Result<Self, String> {
        let acceptor = config.server.tls.as_ref().map(Acceptor::load).transpose()?;
        let connector = config.upstream.tls.as_ref().map(Connector::load).transpose()?;
        Ok(Self { acceptor: acceptor.map(Arc::new), connector: connector.map(Arc::new) })
    }

    /// Those of another configuration, which are the same where it names the same files.
    ///
    /// # Errors
    /// A sentence that says which file cannot be used and why.
    pub(super) fn renewed(&self, old: &Config, new: &Config) -> Result<Self, String> {
        let loaded = Self::load(new)?;
        Ok(Self {
            acceptor: if old.server.tls == new.server.tls { self.acceptor.clone() } else { loaded.acceptor },
            connector: if old.upstream.tls == new.upstream.tls {
                self.connector.clone()
            } else {
                loaded.connector
            },
        })
    }

    /// Reads the files again, and says in the log what came of it where it is something else.
    ///
    /// # Errors
    /// Sentences that say what cannot be used. What was there before stays.
    pub(super) fn reload(&self) -> Result<(), String> {
        let sides = [
            ("clients", self.acceptor.as_ref().map(|acceptor| acceptor.reload())),
            ("the upstream", self.connector.as_ref().map(|connector| connector.reload())),
        ];
        let mut wrong = Vec::new();
        for (side, reloaded) in sides {
            match reloaded {
                Some(Ok(true)) => {
                    tracing::info!("TLS with {side}: what its files hold has changed and is used")
                }
                Some(Err(what)) => wrong.push(format!("TLS with {side}: {what}")),
                Some(Ok(false)) | None => {}
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Tells when they expire.
    pub(super) fn tell(&self, metrics: &Metrics) {
        let sides = [
            (Side::Listen, self.acceptor.as_ref().and_then(|acceptor| acceptor.expiry())),
            (Side::Upstream, self.connector.as_ref().and_then(|connector| connector.expiry())),
        ];
        for (side, expiry) in sides {
            metrics.certificate_expires(side, expiry);
        }
    }
}

/// Looks at the files again and again, for as long as it is polled.
pub(super) async fn watch(assembly: Arc<Mutex<Assembly>>, metrics: Arc<Metrics>) {
    let certificates = || assembly.lock().unwrap_or_else(PoisonError::into_inner).certificates();
    let mut complained = None;
    loop {
        let current = certificates();
        current.tell(&metrics);
        // A file system may take its time, and this runtime accepts connections.
        let Ok(reloaded) = spawn_blocking(move || current.reload()).await else { return };
        let wrong = reloaded.err();
        if let Some(what) = wrong.as_ref().filter(|_| complained != wrong) {
            tracing::error!("certificates could not be reloaded, and the old ones stay: {what}");
        }
        complained = wrong;
        certificates().tell(&metrics);
        sleep(LOOK).await;
    }
}
