//! The checkers: each says what a history breaks, or nothing.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::event::{COUNTER, DOCUMENTS};
use crate::history::{NEVER, Operation};
use crate::reference::{Call, Got, State, Stated};

/// What every history must keep, whatever happened in it.
pub(crate) fn check(operations: &[Operation]) -> Vec<String> {
    let mut broken = forks(operations);
    for document in 0..DOCUMENTS {
        let of_document: Vec<&Operation> =
            operations.iter().filter(|operation| operation.document == document).collect();
        if !is_linearizable(&of_document) {
            broken.push(format!("document {document} is not linearizable"));
        }
    }
    broken.extend(increments(operations));
    broken
}

/// Two writes that named one predecessor and were both told that they succeeded: one of them is lost.
///
/// Every content is written once at most, so that an entity-tag is never that of two states. A replay is told by its
/// answer, and by the id in its body: it must be that of the write that succeeded.
fn forks(operations: &[Operation]) -> Vec<String> {
    let mut successors: BTreeMap<(usize, &str), Vec<&Operation>> = BTreeMap::new();
    let mut replays = Vec::new();
    for operation in operations {
        if let Some(Stated::Tag(named)) = operation.call.stated() {
            match operation.got {
                Got::Done { .. } => {
                    successors.entry((operation.document, named)).or_default().push(operation);
                }
                Got::AlreadyApplied => replays.push((named, operation)),
                _ => {}
            }
        }
    }
    let mut broken: Vec<String> = successors
        .iter()
        .filter(|(_, successors)| successors.len() > 1)
        .map(|((document, named), successors)| {
            let ids: Vec<u64> = successors.iter().map(|operation| operation.id).collect();
            format!("lost update: {ids:?} all replaced {named} of document {document}")
        })
        .collect();
    for (named, replay) in replays {
        let made_it = successors.get(&(replay.document, named.as_str()));
        let is_same = made_it.is_some_and(|made| made.iter().any(|made| made.call == replay.call));
        // Its first answer may have been lost on the way to its client.
        let may_be = operations.iter().any(|other| other.got == Got::Unknown && other.call == replay.call);
        if !is_same && !may_be {
            broken.push(format!("#{} was told that it is applied, and nobody has applied it", replay.id));
        }
    }
    broken
}

/// The counter is what was acknowledged, and perhaps some of what nobody knows.
fn increments(operations: &[Operation]) -> Option<String> {
    let on_counter = || operations.iter().filter(|operation| operation.document == COUNTER);
    let acknowledged =
        on_counter().filter(|operation| matches!(operation.got, Got::Done { .. })).count() as u64;
    let unknown = on_counter().filter(|operation| operation.got == Got::Unknown).count() as u64;
    let last = on_counter().filter(|operation| operation.call == Call::Read).max_by_key(|read| read.begun)?;
    let Got::Shown(state) = &last.got else { return None };
    let count = count(state);
    let is_right = (acknowledged..=acknowledged + unknown).contains(&count);
    (!is_right).then(|| {
        format!("{acknowledged} increments acknowledged, {unknown} unknown, and the counter is {count}")
    })
}

/// What the counter shows.
pub(crate) fn count(state: &State) -> u64 {
    let Some(text) = state else { return 0 };
    let value: Value = serde_json::from_str(text).expect("everybody writes objects");
    value["count"].as_u64().expect("only counts are written there")
}

/// Whether there is an order of all operations that a single writer could have made, in which each takes effect
/// between its beginning and its end; those whose outcome is unknown may take effect at any time after, or never.
///
/// The search of Wing and Gong with the memory of Lowe. A read or a refusal that fits is taken at once, since it never
/// changes anything and nothing is gained by taking it later.
pub(crate) fn is_linearizable(operations: &[&Operation]) -> bool {
    let closed = operations.iter().filter(|operation| operation.ended != NEVER).count();
    let mut states: Vec<State> = Vec::new();
    let mut numbers: HashMap<State, usize> = HashMap::new();
    let mut number = |state: State, states: &mut Vec<State>| {
        *numbers.entry(state.clone()).or_insert_with(|| {
            states.push(state);
            states.len() - 1
        })
    };
    let start = number(None, &mut states);
    let mut seen = HashSet::new();
    let mut stack = vec![(vec![0_u64; operations.len().div_ceil(64)], start, 0)];
    while let Some((done, state, count)) = stack.pop() {
        if count == closed {
            return true;
        }
        if !seen.insert((done.clone(), state)) {
            continue;
        }
        let is_done = |at: usize| done[at / 64] & (1 << (at % 64)) != 0;
        let first_end = (0..operations.len())
            .filter(|at| !is_done(*at))
            .map(|at| operations[at].ended)
            .min()
            .unwrap_or(NEVER);
        let mut next = Vec::new();
        for (at, operation) in operations.iter().enumerate() {
            if is_done(at) || operation.begun > first_end {
                continue;
            }
            let Some(after) = operation.call.step(&operation.got, &states[state]) else { continue };
            let mut with = done.clone();
            with[at / 64] |= 1 << (at % 64);
            let changes_nothing = after == states[state];
            let is_open = operation.ended == NEVER;
            let after = number(after, &mut states);
            match operation.got {
                Got::Shown(_) | Got::Refused { .. } | Got::AlreadyApplied => {
                    next = vec![(with, after, count + 1)];
                    break;
                }
                // The same as if it had not been applied yet.
                _ if is_open && changes_nothing => {}
                _ => next.push((with, after, count + usize::from(!is_open))),
            }
        }
        stack.extend(next);
    }
    false
}

/// The checkers on histories that fit on a page.
mod by_hand {
    use std::sync::Arc;

    use super::{Call, Got, NEVER, Operation, Stated, check};
    use crate::event::COUNTER;
    use crate::reference::tag;

    fn put(id: u64, stated: Stated, got: Got, moments: (u64, u64)) -> Operation {
        let call = Call::Put { body: body(id), stated };
        Operation {
            id,
            client: "a client".into(),
            document: 0,
            call,
            got,
            begun: moments.0,
            ended: moments.1,
        }
    }

    fn read(id: u64, shown: Option<u64>, moments: (u64, u64)) -> Operation {
        let got = Got::Shown(shown.map(body));
        let call = Call::Read;
        Operation {
            id,
            client: "a client".into(),
            document: 0,
            call,
            got,
            begun: moments.0,
            ended: moments.1,
        }
    }

    fn body(id: u64) -> Arc<str> {
        format!("{{\"id\":{id}}}").into()
    }

    fn over(id: u64) -> Stated {
        Stated::Tag(tag(&Some(body(id))).expect("it is there"))
    }

    const DONE: Got = Got::Done { tag: None };

    #[test]
    fn what_a_single_writer_could_have_done_is_no_breach() {
        let histories = [
            vec![
                put(1, Stated::Nothing, DONE, (0, 1)),
                put(2, over(1), DONE, (2, 3)),
                read(3, Some(2), (4, 5)),
            ],
            // Two at a time, and the one that was first was sent last.
            vec![
                put(1, Stated::Nothing, DONE, (0, 1)),
                put(3, over(2), DONE, (2, 5)),
                put(2, over(1), DONE, (3, 4)),
            ],
            // Unknown: applied late, in time, or not at all.
            vec![
                put(1, Stated::Missing, Got::Unknown, (0, NEVER)),
                read(2, None, (1, 2)),
                read(3, Some(1), (3, 4)),
            ],
            vec![
                put(1, Stated::Missing, Got::Unknown, (0, NEVER)),
                read(2, Some(1), (1, 2)),
                read(3, Some(1), (3, 4)),
            ],
            vec![
                put(1, Stated::Missing, Got::Unknown, (0, NEVER)),
                read(2, None, (1, 2)),
                read(3, None, (3, 4)),
            ],
        ];
        for history in histories {
            assert_eq!(check(&history), Vec::<String>::new(), "{history:#?}");
        }
    }

    #[test]
    fn what_no_single_writer_could_have_done_is_a_breach() {
        let first = || put(1, Stated::Nothing, DONE, (0, 1));
        let refused = |named| Got::Refused { status: 412, tag: tag(&Some(body(named))) };
        let histories = [
            ("two successors", vec![first(), put(2, over(1), DONE, (2, 4)), put(3, over(1), DONE, (3, 5))]),
            ("a stale read", vec![first(), put(2, over(1), DONE, (2, 3)), read(4, Some(1), (4, 5))]),
            ("a write that is gone", vec![first(), read(2, None, (2, 3))]),
            ("a late one over another", {
                let late = put(2, over(1), Got::Unknown, (2, NEVER));
                vec![
                    first(),
                    late,
                    put(3, over(1), DONE, (3, 4)),
                    read(4, Some(3), (5, 6)),
                    read(5, Some(2), (7, 8)),
                ]
            }),
            ("refused without a reason", vec![first(), put(2, over(1), refused(1), (2, 3))]),
            ("a tag of something else", {
                let told = Got::Done { tag: tag(&Some(body(7))) };
                vec![put(1, Stated::Nothing, told, (0, 1))]
            }),
            ("a replay of nothing", vec![first(), put(2, over(1), Got::AlreadyApplied, (2, 3))]),
        ];
        for (name, history) in histories {
            assert!(!check(&history).is_empty(), "{name}: {history:#?}");
        }
    }

    #[test]
    fn a_counter_is_what_was_acknowledged() {
        let counter = |shown: u64, unknown: Got| {
            let text = |count: u64, id: u64| Arc::from(format!("{{\"count\":{count},\"id\":{id}}}"));
            let mut history = vec![
                put(1, Stated::Missing, DONE, (0, 1)),
                put(2, Stated::Nothing, unknown, (2, NEVER)),
                read(3, None, (4, 5)),
            ];
            history[0].call = Call::Put { body: text(1, 1), stated: Stated::Missing };
            history[1].call = Call::Put { body: text(2, 2), stated: Stated::Nothing };
            history[2].got = Got::Shown(Some(text(shown, shown)));
            for operation in &mut history {
                operation.document = COUNTER;
            }
            check(&history).into_iter().filter(|broken| broken.contains("increments")).count()
        };
        assert_eq!(counter(1, Got::Unknown), 0);
        assert_eq!(counter(2, Got::Unknown), 0);
        assert_eq!(counter(0, Got::Unknown), 1);
        assert_eq!(counter(3, Got::Unknown), 1);
        assert_eq!(counter(1, DONE), 1);
    }
}
