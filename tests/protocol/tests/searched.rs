//! The protocol as a model, searched whole by stateright: every interleaving of three writers, their answers, a crash.
//!
//! The upstream keeps one assumption, that of SECURITY.md: a scope settles only once nothing that was sent into it can be
//! applied any more. Each broken variant gives up one rule of the protocol and must lose an update.

use stateright::{Checker, Model, Property};

const WRITERS: usize = 3;

/// How the protocol is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    Sound,
    /// After an unknown outcome the next writer gets in at once.
    ReleasedOnUnknown,
    /// The precondition is checked before the hold is there, and not again.
    CheckedBeforeHold,
    /// The hold may end while its write is on its way.
    LeaseLapses,
    /// After a crash the next process writes at once.
    RestartedAtOnce,
}

struct Protocol(Variant);

/// Where a writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Idle,
    /// It has read the document and will name what it has seen.
    Wants(u8),
    /// Its precondition held, and it has no hold yet: only in a broken variant.
    CheckedEarly(u8),
    Holds(u8),
    Cleared(u8),
    Sent(u8),
    Acknowledged,
    Refused,
    Unknown,
}

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Turn {
    Free,
    Held(usize),
    Unsettled,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    document: u8,
    turn: Turn,
    stages: [Stage; WRITERS],
    /// What is on its way, and what each of these named.
    wire: [Option<u8>; WRITERS],
    /// Whose write was applied, and not yet answered.
    applied: [bool; WRITERS],
    crashed: bool,
    /// A write was applied over something else than it named.
    lost: bool,
    /// A write was applied after its answer was given up.
    late: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Read(usize),
    CheckEarly(usize),
    Take(usize),
    Check(usize),
    Send(usize),
    Apply(usize),
    Vanish(usize),
    Answer(usize),
    GiveUp(usize),
    Lapse,
    Settle,
    Crash,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            document: 0,
            turn: Turn::Free,
            stages: [Stage::Idle; WRITERS],
            wire: [None; WRITERS],
            applied: [false; WRITERS],
            crashed: false,
            lost: false,
            late: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let is_early = self.0 == Variant::CheckedBeforeHold;
        for writer in 0..WRITERS {
            match state.stages[writer] {
                Stage::Idle => actions.push(Action::Read(writer)),
                Stage::Wants(_) if is_early => actions.push(Action::CheckEarly(writer)),
                Stage::Wants(_) | Stage::CheckedEarly(_) if state.turn == Turn::Free => {
                    actions.push(Action::Take(writer));
                }
                Stage::Holds(_) => actions.push(Action::Check(writer)),
                Stage::Cleared(_) => actions.push(Action::Send(writer)),
                Stage::Sent(_) => {
                    actions.push(Action::GiveUp(writer));
                    if state.applied[writer] {
                        actions.push(Action::Answer(writer));
                    }
                    if self.0 == Variant::LeaseLapses && state.turn == Turn::Held(writer) {
                        actions.push(Action::Lapse);
                    }
                }
                _ => {}
            }
            if state.wire[writer].is_some() {
                actions.push(Action::Apply(writer));
                actions.push(Action::Vanish(writer));
            }
        }
        // The assumption: the settle time is as long as anything can be on its way.
        if state.turn == Turn::Unsettled && state.wire.iter().all(Option::is_none) {
            actions.push(Action::Settle);
        }
        if !state.crashed {
            actions.push(Action::Crash);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let release = |state: &mut State, writer| {
            if state.turn == Turn::Held(writer) {
                state.turn = Turn::Free;
            }
        };
        match action {
            Action::Read(writer) => state.stages[writer] = Stage::Wants(state.document),
            Action::CheckEarly(writer) => {
                let Stage::Wants(seen) = state.stages[writer] else { return None };
                state.stages[writer] =
                    if state.document == seen { Stage::CheckedEarly(seen) } else { Stage::Refused };
            }
            Action::Take(writer) => {
                state.turn = Turn::Held(writer);
                state.stages[writer] = match state.stages[writer] {
                    Stage::Wants(seen) => Stage::Holds(seen),
                    Stage::CheckedEarly(seen) => Stage::Cleared(seen),
                    _ => return None,
                };
            }
            Action::Check(writer) => {
                let Stage::Holds(seen) = state.stages[writer] else { return None };
                state.stages[writer] = Stage::Cleared(seen);
                if state.document != seen {
                    state.stages[writer] = Stage::Refused;
                    release(&mut state, writer);
                }
            }
            Action::Send(writer) => {
                let Stage::Cleared(seen) = state.stages[writer] else { return None };
                state.stages[writer] = Stage::Sent(seen);
                state.wire[writer] = Some(seen);
            }
            Action::Apply(writer) => {
                let named = state.wire[writer].take()?;
                state.lost |= state.document != named;
                state.late |= !matches!(state.stages[writer], Stage::Sent(_));
                state.document = 1 + u8::try_from(writer).ok()?;
                state.applied[writer] = true;
            }
            Action::Vanish(writer) => state.wire[writer] = None,
            Action::Answer(writer) => {
                state.stages[writer] = Stage::Acknowledged;
                release(&mut state, writer);
            }
            Action::GiveUp(writer) => {
                state.stages[writer] = Stage::Unknown;
                if state.turn == Turn::Held(writer) {
                    state.turn = match self.0 {
                        Variant::ReleasedOnUnknown => Turn::Free,
                        _ => Turn::Unsettled,
                    };
                }
            }
            Action::Lapse => state.turn = Turn::Free,
            Action::Settle => state.turn = Turn::Free,
            Action::Crash => {
                state.crashed = true;
                for stage in &mut state.stages {
                    *stage = match *stage {
                        Stage::Sent(_) => Stage::Unknown,
                        // Their clients hear that the connection has ended, and come again.
                        Stage::Holds(seen) | Stage::Cleared(seen) | Stage::CheckedEarly(seen) => {
                            Stage::Wants(seen)
                        }
                        stage => stage,
                    };
                }
                state.turn = match self.0 {
                    Variant::RestartedAtOnce => Turn::Free,
                    _ => Turn::Unsettled,
                };
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no lost update", |_, state: &State| !state.lost),
            Property::sometimes("one write after another succeeds", |_, state: &State| {
                state.stages.iter().filter(|stage| **stage == Stage::Acknowledged).count() == 2
            }),
            Property::sometimes("a write is applied late", |_, state: &State| state.late),
        ]
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "how large the search was is worth knowing")]
fn no_interleaving_loses_an_update() {
    let checker = Protocol(Variant::Sound).checker().spawn_bfs().join();
    checker.assert_properties();
    eprintln!("protocol: {} states", checker.unique_state_count());
}

#[test]
fn a_hold_that_is_released_on_an_unknown_outcome_loses_an_update() {
    loses(Variant::ReleasedOnUnknown);
}

#[test]
fn a_precondition_that_is_checked_before_the_hold_loses_an_update() {
    loses(Variant::CheckedBeforeHold);
}

#[test]
fn a_lease_that_lapses_loses_an_update() {
    loses(Variant::LeaseLapses);
}

#[test]
fn a_restart_that_does_not_wait_loses_an_update() {
    loses(Variant::RestartedAtOnce);
}

#[allow(clippy::print_stderr, reason = "how it is lost is worth knowing")]
fn loses(variant: Variant) {
    let checker = Protocol(variant).checker().spawn_bfs().join();
    let path = checker.discovery("no lost update");
    let path = path.unwrap_or_else(|| panic!("{variant:?} loses nothing"));
    eprintln!("protocol: {variant:?} loses an update: {:?}", path.into_actions());
}
