//! WebSockets, where nothing is guarded: a handshake goes on, and what the upstream makes of it comes back.

use std::time::Duration;

use http::request::Parts;
use http::{Request, StatusCode};

use super::Exchange;
use super::answer::{self, Answer};
use super::failure::Failure;
use crate::body::contents::Contents;
use crate::semantics::websocket::Handshake;
use crate::upstream;
use crate::upstream::pool::Purpose;
use crate::upstream::send::Outgoing;
use crate::upstream::tunnel::Switched;

/// A connection to the upstream that is now joined to its client's, and how.
#[derive(Debug)]
pub struct Tunnel {
    /// The upstream's side.
    pub upstream: Switched,
    /// How long both sides may be silent.
    pub idle_timeout: Duration,
}

impl Exchange {
    /// Passes a handshake on, and the answer back. The head is already fit for the next hop.
    ///
    /// Nothing that the client sends behind the handshake goes anywhere before the upstream has said that it speaks
    /// WebSocket, to this very key: an upstream that still reads HTTP would take it for requests that nobody judged.
    pub(super) async fn upgrade(&self, mut head: Parts, handshake: &Handshake) -> Result<Answer, Failure> {
        handshake.restate(&mut head.headers);
        let request = Request::from_parts(head, Outgoing::from(Contents::default()));
        let (response, lease) =
            self.pool.fetch(request, Purpose::Repeatable).await.map_err(Failure::Upstream)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.passed_on(response, lease));
        }
        if !handshake.is_accepted(response.headers()) {
            return Err(Failure::Upstream(upstream::failure::Failure::ProtocolError));
        }
        let (mut head, _nothing) = response.into_parts();
        if let Some(took) = lease.took() {
            head.extensions.insert(took);
        }
        let upstream = lease.switch(&mut head).await.map_err(Failure::Upstream)?;
        let tunnel = Tunnel { upstream, idle_timeout: self.settings.tunnel_idle_timeout };
        Ok(answer::switched(head, handshake, tunnel))
    }
}
