//! Writes that nothing cancels: each runs in a task of its own, and few of one connection when nobody waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Exchange;
use super::answer::Answer;
use super::failure::Failure;
use crate::fault::{self, Mutant};

/// The writes of one client connection that go on although nobody waits for them: their client has left, has given
/// their stream up, or was told that their time was up. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Detached(Arc<AtomicUsize>);

/// One of them, as long as it lives.
struct OnItsOwn(Detached);

impl Detached {
    fn one_more(&self) -> OnItsOwn {
        self.0.fetch_add(1, Ordering::Relaxed);
        OnItsOwn(self.clone())
    }
}

impl Drop for OnItsOwn {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Exchange {
    /// Refuses one more write of a connection that has left too many behind.
    pub(super) fn has_room_beside(&self, left_behind: &Detached) -> Result<(), Failure> {
        match left_behind.0.load(Ordering::Relaxed) < self.settings.detached_max {
            true => Ok(()),
            false => Err(Failure::DetachedMax),
        }
    }

    /// Runs the rest of a write in a task that nothing cancels; drain waits for it.
    ///
    /// It is handed the word that its client has left, which counts only as long as nothing was sent. From then on it
    /// is one of those that its connection leaves behind.
    pub(super) async fn detached<F>(
        &self,
        left_behind: &Detached,
        rest: impl FnOnce(CancellationToken) -> F,
    ) -> Result<Answer, Failure>
    where
        F: Future<Output = Result<Answer, Failure>> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let client_left = CancellationToken::new();
        let mut rest = Box::pin(rest(client_left.clone()));
        if fault::is_mutant(Mutant::TiedToClient) {
            return rest.await;
        }
        let (left, left_behind) = (client_left.clone(), left_behind.clone());
        let _leaving = client_left.drop_guard();
        self.writes.spawn(async move {
            let answer = tokio::select! {
                biased;
                answer = &mut rest => answer,
                () = left.cancelled() => {
                    let _alone = left_behind.one_more();
                    rest.await
                }
            };
            // Nobody may be there to be told; the write is done all the same.
            let _ = tell.send(answer);
        });
        told.await.unwrap_or(Err(Failure::Internal))
    }
}
