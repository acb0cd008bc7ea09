//! The course of a guarded exchange: how far it has come, and by when its client must have an answer.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::answer::Answer;
use super::detached::Detached;
use super::failure::Failure;
use crate::memory::holds::Denied;
use crate::net::timers::Timers;
use crate::upstream;

/// What an exchange waits for. It decides what its client is told when its time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The request, to its last byte.
    Accept,
    /// The sole right to write.
    Hold,
    /// What the upstream holds, or a connection to write on: nothing of a write was sent.
    Learn,
    /// The upstream's answer to a write.
    Forward,
    /// What a write left behind; the upstream has answered it.
    Settle,
    /// The upstream's answer to a read.
    Read,
}

/// How far an exchange has come, by when it must be over, and what its connection leaves behind. Clones go on together.
#[derive(Debug, Clone)]
pub(super) struct Course {
    until: Instant,
    stage: Arc<Mutex<Stage>>,
    detached: Detached,
    timers: Timers,
}

impl Course {
    /// That of an exchange whose head has just arrived.
    pub(super) fn new(until: Instant, detached: &Detached, timers: &Timers) -> Self {
        let stage = Arc::new(Mutex::new(Stage::Accept));
        Self { until, stage, detached: detached.clone(), timers: timers.clone() }
    }

    /// When time is up.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// The writes that its connection leaves behind.
    pub(super) fn detached(&self) -> &Detached {
        &self.detached
    }

    /// Goes on to another stage; once time is up, to none.
    pub(super) fn reach(&self, stage: Stage) -> Result<(), Failure> {
        if Instant::now() >= self.until {
            return Err(overdue(self.stage()));
        }
        self.set(stage);
        Ok(())
    }

    /// The upstream has answered a write. Its client gets that answer, which no time-out of ours must turn into a
    /// question; what follows has time-outs of its own.
    pub(super) fn was_answered(&self) {
        self.set(Stage::Settle);
    }

    /// Sees an exchange through, or gives it up when its time is up: dropping it takes back what was not sent, and
    /// leaves what was to its own task.
    pub(super) async fn bound(
        &self,
        exchange: impl Future<Output = Result<Answer, Failure>>,
    ) -> Result<Answer, Failure> {
        let mut exchange = pin!(exchange);
        if let Ok(ended) = self.timers.timeout_at(self.until, &mut exchange).await {
            return ended;
        }
        match self.stage() {
            // Nothing is reached any more from here; a refused upload is thrown away for a while, so that its client
            // can read why, and an answer that is there is handed on.
            Stage::Accept | Stage::Settle => exchange.await,
            stage => Err(overdue(stage)),
        }
    }

    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }
}

/// What a client is told whose exchange took too long.
fn overdue(stage: Stage) -> Failure {
    let silent = upstream::failure::Failure::ResponseTimeout;
    match stage {
        Stage::Accept => Failure::BodyLate,
        Stage::Hold => Failure::Denied(Denied::TimedOut),
        Stage::Learn => Failure::Unsent(silent),
        Stage::Forward | Stage::Settle => Failure::OutcomeUnknown(silent),
        Stage::Read => Failure::Upstream(silent),
    }
}
