//! One core: a thread with a runtime of its own, on which its connections live from the first byte to the last.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::serving::{Served, Serving};
use super::{Records, connection, released};
use crate::drain::Drain;

/// A core that is running.
pub(super) struct Core {
    accepted: mpsc::UnboundedSender<Accepted>,
    connections: Arc<AtomicUsize>,
    finished: oneshot::Receiver<()>,
}

/// A connection on its way to its core. What bounds their number is the place that each has.
struct Accepted {
    stream: std::net::TcpStream,
    client: SocketAddr,
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

    /// Hands it a connection.
    pub(super) fn serve(&self, stream: TcpStream, client: SocketAddr, place: OwnedSemaphorePermit) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place { connections: Arc::clone(&self.connections), _place: place };
        if let Ok(stream) = released(stream) {
            // A core that has ended takes nothing; dropping the connection closes it.
            let _ = self.accepted.send(Accepted { stream, client, place });
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
        let Some(Accepted { stream, client, place }) = accepted else { break };
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        let serving =
            connection::serve(stream, client, Arc::clone(&exchanges), records.clone(), drain.clone());
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }
    connections.close();
    let finished = timeout(exchanges.serving().settings.drain_timeout, async {
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
