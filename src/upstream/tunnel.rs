//! The upstream's side of a tunnel.

use http::response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::failure::Failure;
use super::pool::Lease;

/// A connection to the upstream that carries no HTTP any more. Its exchange is under way for as long.
///
/// Ending its sending half ends it in good order; dropping it before resets it.
#[derive(Debug)]
pub struct Switched {
    /// What comes from the upstream and goes to it.
    pub stream: TokioIo<Upgraded>,
    _lease: Lease,
}

impl Lease {
    /// Goes on with the connection as the stream of bytes that its upstream has made of it.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn switch(self, answer: &mut response::Parts) -> Result<Switched, Failure> {
        let time = self.settings().response_timeout;
        let upgrade = answer.extensions.remove::<OnUpgrade>().ok_or(Failure::ProtocolError)?;
        let upgraded = timeout(time, upgrade).await.ok().and_then(Result::ok);
        let upgraded = upgraded.ok_or(Failure::ConnectionTerminated)?;
        if let Some(connection) = &self.connection {
            connection.sending.switch();
        }
        Ok(Switched { stream: TokioIo::new(upgraded), _lease: self })
    }
}
