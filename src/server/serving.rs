//! What connections are served with: it can be replaced as a whole while they last.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::Settings;
use super::tls::Acceptor;
use crate::exchange::Exchange;
use crate::net::timers::Timers;

/// How connections are served. Each keeps what it came with, which is nothing that is known of documents.
#[derive(Debug)]
pub struct Terms {
    /// How clients are served.
    pub settings: Settings,
    /// What speaks TLS with them, where it is spoken.
    pub tls: Option<Arc<Acceptor>>,
}

/// What connections and requests are served with from some moment on, by every core.
pub struct Serving {
    /// How connections are served that come from then on.
    pub terms: Arc<Terms>,
    /// Makes the exchanges of a core, whose writes run where it is told; called at most once on each.
    pub exchange: Box<dyn Fn(TaskTracker) -> Arc<Exchange> + Send + Sync>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// The same for one core. A request that has begun keeps what it began with.
#[derive(Debug)]
pub(super) struct Served {
    current: Mutex<Current>,
    writes: TaskTracker,
    /// What heads of requests are waited for with.
    pub(super) timers: Timers,
}

#[derive(Debug)]
struct Current {
    served: watch::Receiver<Arc<Serving>>,
    serving: Arc<Serving>,
    exchange: Arc<Exchange>,
}

impl Served {
    pub(super) fn new(mut served: watch::Receiver<Arc<Serving>>) -> Self {
        let writes = TaskTracker::new();
        let serving = Arc::clone(&served.borrow_and_update());
        let exchange = (serving.exchange)(writes.clone());
        let current = Mutex::new(Current { served, serving, exchange });
        Self { current, writes, timers: Timers::default() }
    }

    /// What a request is seen through with that begins at this moment.
    pub(super) fn exchange(&self) -> Arc<Exchange> {
        self.with_current(|current| Arc::clone(&current.exchange))
    }

    /// How a connection is served that begins at this moment.
    pub(super) fn terms(&self) -> Arc<Terms> {
        self.with_current(|current| Arc::clone(&current.serving.terms))
    }

    /// Lets go of what was replaced, although nobody asks.
    pub(super) fn refresh(&self) {
        self.with_current(|_| ());
    }

    /// Waits until the last write that was begun has ended.
    pub(super) async fn finish(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    fn with_current<T>(&self, look: impl FnOnce(&Current) -> T) -> T {
        // Only its own core asks, so that nobody waits here.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.served.has_changed().unwrap_or(false) {
            let serving = Arc::clone(&current.served.borrow_and_update());
            current.exchange = (serving.exchange)(self.writes.clone());
            current.serving = serving;
        }
        look(&current)
    }
}
