//! One core: a thread with a runtime of its own, on which its connections live from the first byte to the last.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::Records;
use super::connection::Connection;
use super::serving::{Served, Serving};
use crate::drain::Drain;
use crate::net::client::Address;
use crate::net::socket::{Released, Socket};

/// A core that is running.
pub(super) struct Core {
    accepted: mpsc::UnboundedSender<Accepted>,
    connections: Arc<AtomicUsize>,
    finished: oneshot::Receiver<()>,
}

/// A connection on its way to its core. What bounds their number is the place that each has.
struct Accepted {
    socket: Released,
    client: Address,
    place: Place,
}

/// A place among the connections that are served at a time, and among those of one core.
struct Place {
    connections: Arc<AtomicUsize>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Core {
    pub(super) fn start(
        served: watch::Receiver<Arc<Serving>>,
        records: Records,
        drain: Drain,
    ) -> io::Result<Self> {
        let (accepted, queue) = mpsc::unbounded_channel();
        let (finish, finished) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("staleguard-core".into()).spawn(move || {
            runtime.block_on(live(queue, served, &records, &drain));
            // What is still under way has had its time: its sockets are reset with the runtime.
            drop(runtime);
            let _ = finish.send(());
        })?;
        Ok(Self { accepted, connections: Arc::default(), finished })
    }

    /// How many connections it serves.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Where it counts them.
    pub(super) fn counter(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.connections)
    }

    /// Hands it a connection.
    pub(super) fn serve(&self, socket: Socket, client: Address, place: OwnedSemaphorePermit) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place { connections: Arc::clone(&self.connections), _place: place };
        if let Ok(socket) = socket.release() {
            // A core that has ended takes nothing; dropping the connection closes it.
            let _ = self.accepted.send(Accepted { socket, client, place });
        }
    }

    /// Hands it nothing more, so that its time to finish begins; what is given back says when it has ended.
    pub(super) fn finish(self) -> oneshot::Receiver<()> {
        self.finished
    }
}

/// The life of a core: connections come until the acceptor ends; then what is under way finishes, writes above all.
async fn live(
    mut queue: mpsc::UnboundedReceiver<Accepted>,
    mut served: watch::Receiver<Arc<Serving>>,
    records: &Records,
    drain: &Drain,
) {
    let exchanges = Arc::new(Served::new(served.clone()));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = queue.recv() => accepted,
            Ok(()) = served.changed() => {
                exchanges.refresh();
                continue;
            }
        };
        let Some(Accepted { socket, client, place }) = accepted else { break };
        let Ok(socket) = socket.adopt() else { continue };
        let connection = Connection::new(Arc::clone(&exchanges), records.clone(), drain.clone());
        connections.spawn(async move {
            connection.serve(socket, client).await;
            drop(place);
        });
    }
    connections.close();
    let finished = timeout(exchanges.terms().settings.drain_timeout, async {
        connections.wait().await;
        exchanges.finish().await;
    });
    if finished.await.is_err() {
        drain.cut_off();
        tracing::warn!(
            connections = connections.len(),
            "drain-timeout has passed; what is still under way is cut off"
        );
    }
}
