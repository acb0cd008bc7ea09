//! A core's own connections to the upstream: kept alive, and lent for one exchange at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::Settings;
use super::connect::{Connection, connect};
use super::failure::Failure;
use super::send::Took;
use super::tls::Connector;
use crate::body::budget::Budget;
use crate::net::timers::Timers;

/// How long a connection may have been idle to be trusted with something that cannot be sent twice.
///
/// Servers close idle connections after as little as two seconds, and a request that crosses the close is lost.
const FRESH: Duration = Duration::from_secs(1);

/// The connections of one core.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    /// Where the upstream speaks TLS.
    tls: Option<Arc<Connector>>,
    /// The one that was used last is lent first, so that the others can grow old.
    idle: Mutex<Vec<Idle>>,
    /// How many exchanges may be under way; shared by all cores.
    exchanges: Arc<Semaphore>,
    /// What the upstream sends is charged to; shared by all cores.
    reads: Arc<Budget>,
    /// What its answers are waited for with.
    pub(super) timers: Timers,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A request that may be sent again if the connection turns out to be closed.
    Repeatable,
    /// A request that must not be sent twice.
    Once,
}

/// A connection that is lent for an exchange. Dropping it before the exchange is over resets the connection.
#[derive(Debug)]
pub struct Lease {
    pub(super) connection: Option<Connection>,
    /// Whether the connection has answered before: it may have been closed since.
    pub(super) reused: bool,
    /// How long the last answer on it took.
    pub(super) took: Option<Took>,
    pub(super) pool: Arc<Pool>,
    exchange: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// A pool without connections. `exchanges` bounds what is under way on all cores together, and `reads` what is held.
    pub fn new(settings: Settings, exchanges: Arc<Semaphore>, reads: Arc<Budget>) -> Arc<Self> {
        Self::over_tls(settings, exchanges, reads, None)
    }

    /// The same, before an upstream that may speak TLS.
    pub fn over_tls(
        settings: Settings,
        exchanges: Arc<Semaphore>,
        reads: Arc<Budget>,
        tls: Option<Arc<Connector>>,
    ) -> Arc<Self> {
        Arc::new(Self { settings, tls, idle: Mutex::default(), exchanges, reads, timers: Timers::default() })
    }

    /// What contents that the upstream sends are charged to.
    pub(super) fn reads(&self) -> &Arc<Budget> {
        &self.reads
    }

    /// How the upstream is reached and what is expected of it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Lends a connection: an idle one that suits the purpose, or a new one.
    pub async fn lend(self: &Arc<Self>, purpose: Purpose) -> Result<Lease, Failure> {
        let exchange = self.begin().await?;
        let oldest = match purpose {
            Purpose::Repeatable => self.settings.idle_timeout,
            Purpose::Once => FRESH,
        };
        while let Some(mut connection) = self.take_idle(oldest) {
            if connection.is_ready(self.settings.connect_timeout).await {
                return Ok(self.lease(connection, true, exchange));
            }
            connection.task.abort();
        }
        self.connect(exchange).await
    }

    /// Lends a connection that nothing has been sent on.
    pub async fn lend_new(self: &Arc<Self>) -> Result<Lease, Failure> {
        let exchange = self.begin().await?;
        self.connect(exchange).await
    }

    async fn begin(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(exchange) = Arc::clone(&self.exchanges).try_acquire_owned() {
            return Ok(exchange);
        }
        let begun = timeout(self.settings.connect_timeout, Arc::clone(&self.exchanges).acquire_owned()).await;
        begun.ok().and_then(Result::ok).ok_or(Failure::ConnectionLimit)
    }

    async fn connect(self: &Arc<Self>, exchange: OwnedSemaphorePermit) -> Result<Lease, Failure> {
        // On the heap, because few exchanges need it and all of them would have to hold its state.
        let connection = Box::pin(connect(&self.settings, self.tls.as_deref())).await?;
        Ok(self.lease(connection, false, exchange))
    }

    fn lease(
        self: &Arc<Self>,
        connection: Connection,
        reused: bool,
        exchange: OwnedSemaphorePermit,
    ) -> Lease {
        let (connection, exchange) = (Some(connection), Some(exchange));
        Lease { connection, reused, took: None, pool: Arc::clone(self), exchange }
    }

    /// The last used connection that is young enough. What is too old for anything is closed.
    fn take_idle(&self, oldest: Duration) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // They stand in the order in which they were given back.
        let old = idle.partition_point(|idle| now - idle.since >= self.settings.idle_timeout);
        idle.drain(..old).for_each(|old| old.connection.task.abort());
        idle.pop_if(|idle| now - idle.since < oldest).map(|idle| idle.connection)
    }

    fn put_idle(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= self.settings.connections {
            // The oldest may have been closed long since, and this one has only just answered.
            idle.remove(0).connection.task.abort();
        }
        idle.push(Idle { connection, since: Instant::now() });
    }
}

impl Lease {
    /// How the upstream is reached and what is expected of it.
    pub(super) fn settings(&self) -> &Settings {
        &self.pool.settings
    }

    /// How long the last answer on it took to its head.
    pub fn took(&self) -> Option<Took> {
        self.took
    }

    /// The answer has come whole: the connection may serve another exchange, unless it still carries this one's request.
    pub fn give_back(mut self) {
        if let Some(connection) = self.connection.take_if(|connection| connection.is_idle()) {
            self.pool.put_idle(connection);
        }
    }

    /// Whether the connection, whose last exchange is over, can take another request now.
    pub async fn is_ready(&mut self) -> bool {
        self.reused = true;
        match &mut self.connection {
            Some(connection) => connection.is_ready(self.pool.settings.connect_timeout).await,
            None => false,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // It is over only when the socket is closed, which may be later.
            connection.sending.outlast(self.exchange.take());
            connection.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A pool before a server that accepts and says nothing.
    async fn pool(adjust: impl FnOnce(&mut Settings)) -> (Arc<Pool>, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut settings = Settings {
            connect_timeout: Duration::from_millis(500),
            connections: 2,
            ..Settings::of(&listener)
        };
        adjust(&mut settings);
        let exchanges = Arc::new(Semaphore::new(settings.connections));
        (Pool::new(settings, exchanges, Budget::new(1 << 20)), listener)
    }

    /// Lends a connection and gives it back as after an exchange; whether it had served before.
    async fn use_one(pool: &Arc<Pool>, purpose: Purpose) -> bool {
        let mut lease = pool.lend(purpose).await.expect("a connection");
        let reused = lease.reused;
        assert!(lease.is_ready().await);
        lease.give_back();
        reused
    }

    /// Lets time pass without waiting for it.
    async fn pass(time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
    }

    #[tokio::test]
    async fn a_connection_that_was_idle_for_a_while_carries_no_write() {
        let (pool, _server) = pool(|_| {}).await;
        assert!(!use_one(&pool, Purpose::Once).await, "it is the first");
        assert!(use_one(&pool, Purpose::Once).await, "it has only just been given back");
        pass(Duration::from_secs(2)).await;
        assert!(use_one(&pool, Purpose::Repeatable).await, "what can be sent again may go on it");
        pass(Duration::from_secs(2)).await;
        assert!(!use_one(&pool, Purpose::Once).await);
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_no_longer_than_the_idle_timeout() {
        let (pool, _server) = pool(|_| {}).await;
        use_one(&pool, Purpose::Once).await;
        pass(Duration::from_secs(61)).await;
        assert!(!use_one(&pool, Purpose::Repeatable).await);
        assert_eq!(pool.idle.lock().expect("nobody panicked").len(), 1, "the old one is gone");
    }

    #[tokio::test]
    async fn one_that_has_only_just_answered_is_kept_in_the_place_of_the_oldest() {
        let (pool, _server) = pool(|settings| settings.connections = 1).await;
        use_one(&pool, Purpose::Once).await;
        pass(Duration::from_secs(2)).await;
        assert!(!use_one(&pool, Purpose::Once).await, "the one that is there has been idle for too long");
        assert!(use_one(&pool, Purpose::Once).await, "this one has not");
        assert_eq!(pool.idle.lock().expect("nobody panicked").len(), 1);
    }

    #[tokio::test]
    async fn exchanges_are_bounded_and_waiting_for_one_is_too() {
        let (pool, _server) = pool(|settings| settings.connections = 1).await;
        let lease = pool.lend(Purpose::Once).await.expect("a connection");
        assert_eq!(pool.lend(Purpose::Once).await.expect_err("one is under way"), Failure::ConnectionLimit);
        drop(lease);
        pool.lend(Purpose::Once).await.expect("nothing is under way");
    }
}
