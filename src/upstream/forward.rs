//! *Forward*: sending a guarded write, which asks for the evidence that it may go.

use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use tokio::time::timeout;

use super::failure::Failure;
use super::onward;
use super::pool::{Lease, Pool, Purpose};
use super::probe::interrupted;
use super::send::{Outgoing, Unanswered};
use super::streamed::Streamed;
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Interrupted, Paced};
use crate::guard::verdict::Clearance;
use crate::memory::holds::{Hold, InFlight};

/// A guarded write, with the evidence that it may go upstream.
pub struct Write {
    /// The sole right to write in its scope.
    pub hold: Hold,
    /// The verdict that lets it go.
    pub clearance: Clearance,
    /// Its head, fit for the next hop.
    pub head: Arc<Parts>,
    /// Its whole body.
    pub contents: Contents,
}

/// What became of a write.
pub enum Forwarded {
    /// The upstream answered.
    Answered(InFlight, Response<Answered>),
    /// Not one byte was sent: nothing has changed, and the hold is still just a hold.
    Unsent(Hold, Failure),
    /// It was sent, or a part of it, and no complete answer came: it may or may not be applied.
    Lost(InFlight, Failure),
}

/// The body of an answer to a write.
#[derive(Debug)]
pub enum Answered {
    /// It is complete.
    Whole(Contents),
    /// The rest is yet to come: it is larger than may be held, and the upstream is long done with the write then; or it
    /// was not waited for.
    Streamed(Box<Streamed>),
}

impl Pool {
    /// Finds the connection for a write: the one that has just answered its probe, a fresh one, or a new one.
    pub async fn lend_for_write(self: &Arc<Self>, probed: Option<Lease>) -> Result<Lease, Failure> {
        if let Some(mut lease) = probed
            && lease.is_ready().await
        {
            return Ok(lease);
        }
        self.lend(Purpose::Once).await
    }

    /// Sends a write under its hold, and reads the whole answer; or its head alone, where no `answer_max` is given.
    ///
    /// A write is sent a second time only when not one byte of it was sent the first time, and only as long as
    /// `wanted` says that its client is still there. At most `answer_max` bytes of the answer are held.
    pub async fn forward(
        self: &Arc<Self>,
        write: Write,
        lease: Lease,
        answer_max: Option<u64>,
        wanted: impl Fn() -> bool,
    ) -> Forwarded {
        let Write { hold, clearance, head, contents } = write;
        let mut head = Arc::unwrap_or_clone(head);
        onward::write(&mut head, clearance.onward());
        onward::whole_body(&mut head, contents.len(), contents.has_trailers());
        let request = Request::from_parts(head, Outgoing::Contents(contents));
        let in_flight = hold.begin();
        let unanswered = match self.send_whole(lease, request, answer_max).await {
            Ok(answer) => return Forwarded::Answered(in_flight, answer),
            Err(unanswered) => unanswered,
        };
        let Some(request) = unanswered.unsent else { return Forwarded::Lost(in_flight, unanswered.failure) };
        let hold = in_flight.settle();
        if !wanted() {
            return Forwarded::Unsent(hold, unanswered.failure);
        }
        let lease = match self.lend_new().await {
            Ok(lease) => lease,
            Err(failure) => return Forwarded::Unsent(hold, failure),
        };
        let in_flight = hold.begin();
        match self.send_whole(lease, request, answer_max).await {
            Ok(answer) => Forwarded::Answered(in_flight, answer),
            Err(Unanswered { failure, unsent: Some(_) }) => Forwarded::Unsent(in_flight.settle(), failure),
            Err(Unanswered { failure, unsent: None }) => Forwarded::Lost(in_flight, failure),
        }
    }

    async fn send_whole(
        self: &Arc<Self>,
        mut lease: Lease,
        request: Request<Outgoing>,
        answer_max: Option<u64>,
    ) -> Result<Response<Answered>, Unanswered> {
        let time = self.settings().response_timeout;
        let (mut head, body) = lease.send(request, time).await?.into_parts();
        if let Some(took) = lease.took() {
            // Its connection is given back before the answer goes on.
            head.extensions.insert(took);
        }
        let body = Paced::new(body, time);
        let Some(answer_max) = answer_max else {
            return Ok(Response::from_parts(head, Answered::Streamed(Box::new(Streamed::new(body, lease)))));
        };
        // A scope must not be held for as long as an upstream cares to trickle.
        let collected = timeout(time, body.collect(answer_max, self.reads())).await;
        let body = match collected.unwrap_or(Err(Interrupted::Stalled)) {
            Ok(Collected::Whole(contents)) => {
                lease.give_back();
                Answered::Whole(contents)
            }
            Ok(Collected::TooLarge(body) | Collected::OverBudget(body)) => {
                Answered::Streamed(Box::new(Streamed::new(body, lease)))
            }
            Err(broken) => return Err(Unanswered { failure: interrupted(broken), unsent: None }),
        };
        Ok(Response::from_parts(head, body))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::body::budget::Budget;
    use crate::memory::holds::{self, Holds};
    use crate::resource::Scope;
    use crate::upstream::Settings;

    async fn write() -> Write {
        let settings = holds::Settings {
            wait: Duration::from_secs(1),
            queue: 1,
            waiters: 1,
            scopes: 1,
            settle_time: Duration::from_secs(30),
            start_settle: Duration::ZERO,
        };
        let hold = Holds::new(settings).take(Scope::new("notes", ["a"])).await.expect("free");
        let (head, ()) = Request::put("/notes/a").body(()).expect("a request").into_parts();
        Write { hold, clearance: Clearance::observed(), head: Arc::new(head), contents: Contents::default() }
    }

    /// A connection that its server has closed since it was lent, so that nothing can be sent on it.
    async fn closed(listener: &TcpListener, pool: &Arc<Pool>) -> Lease {
        let lease = pool.lend_new().await.expect("it listens");
        drop(listener.accept().await.expect("a connection"));
        while !lease.connection.as_ref().expect("it was lent").sender.is_closed() {
            tokio::task::yield_now().await;
        }
        lease
    }

    #[tokio::test]
    async fn what_was_not_sent_is_sent_again_only_while_its_client_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let pool = Pool::new(Settings::of(&listener), Arc::new(Semaphore::new(8)), Budget::new(1 << 20));

        let lease = closed(&listener, &pool).await;
        let forwarded = pool.forward(write().await, lease, Some(10), || false).await;
        assert!(matches!(forwarded, Forwarded::Unsent(..)), "nobody wants it any more");

        let lease = closed(&listener, &pool).await;
        let unanswered = async {
            let (mut second, _) = listener.accept().await.expect("a second connection");
            let read = second.read(&mut [0; 16]).await;
            assert!(read.expect("a request") > 0);
        };
        let (forwarded, ()) = tokio::join!(pool.forward(write().await, lease, Some(10), || true), unanswered);
        assert!(matches!(forwarded, Forwarded::Lost(..)), "it was sent on a connection of its own");
    }
}
