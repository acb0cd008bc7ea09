//! Writers of one document, an upstream that may apply a write long after its answer was given up, and what was lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::IF_MATCH;
use http::{HeaderMap, StatusCode};
use staleguard::fingerprint::{Algorithm, Fingerprint};
use staleguard::guard::evaluate::evaluate;
use staleguard::guard::plan::{Plan, plan};
use staleguard::guard::policy::{Policy, Unconditional};
use staleguard::guard::settle::{Settlement, settle};
use staleguard::guard::verdict::Verdict;
use staleguard::memory::holds::{Denied, Hold, Holds, Settings};
use staleguard::resource::Scope;
use staleguard::semantics::entity_tag::EntityTag;
use staleguard::semantics::preconditions::{Matching, Preconditions};
use staleguard::semantics::representation::{Current, Representation};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::dice::Dice;

/// How the writes of a simulation are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As the product does them.
    Sound,
    /// The hold is given on although the outcome of the write is not known.
    ReleasedOnUnknown,
    /// The precondition is checked before the hold is there, and not again.
    CheckedBeforeHold,
    /// The hold ends after a while, as a lease does, although the write under it is on its way.
    LeaseLapses,
}

/// What a simulation has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Writes that were applied over something else than what they named.
    pub lost: u64,
    /// Writes that were answered with success.
    pub acknowledged: u64,
    /// Writes whose answer was given up.
    pub unknown: u64,
    /// Of these, the writes that were applied afterwards.
    pub late: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// What the document held, from first to last.
    pub contents: Vec<u64>,
}

const WRITERS: u64 = 3;
const WRITES: u64 = 6;
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);
const SETTLE_TIME: Duration = Duration::from_millis(400);
const LEASE: Duration = Duration::from_millis(60);

/// Plays what a seed says, to the same end each time.
///
/// # Panics
/// When there can be no runtime.
pub fn simulate(seed: u64, variant: Variant) -> Outcome {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("it needs nothing of the machine");
    runtime.block_on(async {
        let world = Arc::new(World::new(variant));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write_on(Arc::clone(&world), Dice::new(seed, writer), writer)))
            .collect();
        for writer in writers {
            writer.await.expect("no writer panics");
        }
        // Whatever is still on its way arrives.
        sleep(RESPONSE_TIMEOUT + SETTLE_TIME).await;
        world.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    })
}

struct World {
    variant: Variant,
    holds: Arc<Holds>,
    outcome: Mutex<Outcome>,
}

impl World {
    fn new(variant: Variant) -> Self {
        let holds = Holds::new(Settings {
            wait: Duration::from_secs(2),
            queue: 100,
            waiters: 100,
            scopes: 100,
            settle_time: SETTLE_TIME,
            start_settle: Duration::ZERO,
        });
        Self { variant, holds, outcome: Mutex::new(Outcome { contents: vec![0], ..Outcome::default() }) }
    }

    fn note<T>(&self, note: impl FnOnce(&mut Outcome) -> T) -> T {
        note(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn current(&self) -> u64 {
        self.note(|outcome| *outcome.contents.last().expect("it began with one"))
    }

    async fn take(&self) -> Result<Hold, Denied> {
        self.holds.take(Scope::new("state", ["one"])).await
    }

    /// What the upstream holds, as it is learned: both ways take their time.
    async fn probe(&self, dice: &mut Dice) -> Representation {
        sleep(Duration::from_millis(dice.below(10))).await;
        let tag = entity_tag(self.current());
        sleep(Duration::from_millis(dice.below(10))).await;
        Representation::Current(Current { tag, upstream_tag: None, alias: None })
    }

    /// Sends a write. It arrives some time later, is applied, and answered some time after that; or it is never
    /// applied, or never answered. Within the settle time after its sender has given up it is done.
    fn send(self: &Arc<Self>, dice: &mut Dice, named: u64, new: u64) -> oneshot::Receiver<StatusCode> {
        let longest = u64::try_from((RESPONSE_TIMEOUT + SETTLE_TIME).as_millis()).expect("it is short");
        let arrives = if dice.percent(15) { dice.below(longest) } else { dice.below(20) };
        let (is_lost, is_answered) = (dice.percent(8), dice.percent(85));
        let back = dice.below(20);
        // A complete answer of a hop in between says nothing of what the server behind it does.
        let status = if dice.percent(8) { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::NO_CONTENT };
        let answered_first = status == StatusCode::GATEWAY_TIMEOUT;
        let (tell, told) = oneshot::channel();
        let world = Arc::clone(self);
        tokio::spawn(async move {
            let mut tell = Some(tell);
            if answered_first {
                // From this moment on the settle time runs.
                sleep(Duration::from_millis(arrives.min(20))).await;
                tell.take().map(|tell| tell.send(status));
                sleep(Duration::from_millis(arrives * 7 / 10)).await;
            } else {
                sleep(Duration::from_millis(arrives)).await;
            }
            if is_lost {
                return;
            }
            world.note(|outcome| {
                if outcome.contents.last() != Some(&named) {
                    outcome.lost += 1;
                }
                outcome.late += u64::from(tell.as_ref().is_none_or(oneshot::Sender::is_closed));
                outcome.contents.push(new);
            });
            sleep(Duration::from_millis(back)).await;
            if is_answered {
                tell.take().map(|tell| tell.send(status));
            } else {
                // Nothing is said, and the connection stays open.
                sleep(Duration::from_secs(10)).await;
            }
        });
        told
    }
}

async fn write_on(world: Arc<World>, mut dice: Dice, writer: u64) {
    for number in 0..WRITES {
        sleep(Duration::from_millis(dice.below(200))).await;
        let named = world.current();
        // A while in which somebody edits.
        sleep(Duration::from_millis(dice.below(30))).await;
        let new = 1 + writer * WRITES + number;
        write(&world, &mut dice, named, new).await;
    }
}

/// A guarded write: the stages of `Exchange::write`, in their order.
async fn write(world: &Arc<World>, dice: &mut Dice, named: u64, new: u64) {
    let policy = Policy {
        unconditional: Unconditional::FORWARD,
        matching: Matching::Lenient,
        replay_window: Duration::ZERO,
    };
    let mut fields = HeaderMap::new();
    fields.insert(IF_MATCH, entity_tag(named).to_field());
    let stated = Preconditions::from_fields(&fields, policy.matching);
    assert_eq!(plan(&policy, &stated), Plan::Learn, "a tag was named");
    let is_early = world.variant == Variant::CheckedBeforeHold;
    let early = if is_early { Some(world.probe(dice).await) } else { None };
    // hold
    let Ok(hold) = world.take().await else { return world.note(|outcome| outcome.refused += 1) };
    // learn, evaluate
    let found = match early {
        Some(found) => found,
        None => world.probe(dice).await,
    };
    let Verdict::Forward(_) = evaluate(&policy, &stated, &found) else {
        return world.note(|outcome| outcome.refused += 1);
    };
    // forward
    let in_flight = hold.begin();
    let answer = timeout(RESPONSE_TIMEOUT, world.send(dice, named, new));
    if world.variant == Variant::LeaseLapses {
        let mut answer = std::pin::pin!(answer);
        let status = match timeout(LEASE, &mut answer).await {
            Ok(status) => status,
            Err(_) => {
                drop(in_flight.settle());
                answer.await
            }
        };
        return world.note(|outcome| match status {
            Ok(Ok(StatusCode::NO_CONTENT)) => outcome.acknowledged += 1,
            _ => outcome.unknown += 1,
        });
    }
    // settle
    match answer.await {
        Ok(Ok(status)) if settle(status, &[StatusCode::GATEWAY_TIMEOUT]) == Settlement::Known => {
            drop(in_flight.settle());
            world.note(|outcome| outcome.acknowledged += 1);
        }
        _ => {
            world.note(|outcome| outcome.unknown += 1);
            match world.variant {
                Variant::ReleasedOnUnknown => drop(in_flight.settle()),
                _ => drop(in_flight),
            }
        }
    }
}

fn entity_tag(content: u64) -> EntityTag {
    EntityTag::from_digest(&Fingerprint::of(Algorithm::Sha1, &content.to_be_bytes()))
}
