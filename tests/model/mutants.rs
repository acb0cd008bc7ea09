//! Can the checkers fail? Each defect that matters is put into the proxy, and one of the first seeds must find it.

use std::time::Instant;

use crate::run_all;

/// How many seeds a defect may stay undiscovered.
const BOUND: u64 = 128;

#[test]
fn a_hold_that_is_taken_out_is_found() {
    find("HoldTakenOut");
}

#[test]
fn a_hold_that_is_released_on_an_unknown_outcome_is_found() {
    find("ReleasedOnUnknown");
}

#[test]
fn a_precondition_that_is_checked_before_the_hold_is_found() {
    find("CheckedBeforeHold");
}

#[test]
fn a_task_that_is_tied_to_its_clients_connection_is_found() {
    find("TiedToClient");
}

#[test]
fn a_generation_that_is_not_raised_is_found() {
    find("GenerationNotRaised");
}

#[test]
fn holds_of_other_scopes_that_are_not_waited_for_are_found() {
    find("ScopesNotAwaited");
}

#[test]
fn an_answer_that_is_remembered_as_of_its_arrival_is_found() {
    find("GenerationAfterAnswer");
}

#[test]
fn a_read_back_that_is_stamped_unseen_is_found() {
    find("ReadBackUnseen");
}

fn find(mutant: &str) {
    let began = Instant::now();
    let reports = run_all(0..BOUND, Some(mutant), |report| !report.broken.is_empty());
    let found = reports.iter().find(|report| !report.broken.is_empty());
    let found = found.unwrap_or_else(|| panic!("{mutant} stayed undiscovered in {BOUND} seeds"));
    eprintln!(
        "model: {mutant} was found by seed {} after {} histories and {:.1?}: {}",
        found.seed,
        reports.len(),
        began.elapsed(),
        found.broken[0]
    );
}
