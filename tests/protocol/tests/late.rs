//! The late write, in thousands of interleavings: nothing is lost, and each way to do it wrong loses something.

use staleguard_protocol::simulation::{Outcome, Variant, simulate};

/// How many interleavings are tried.
const SEEDS: u64 = 3_000;
/// In how many of them a wrong way must show.
const BOUND: u64 = 100;

#[test]
#[allow(clippy::print_stderr, reason = "the figures are what the test is run for")]
fn no_late_write_is_ever_applied_over_another() {
    let mut all = Outcome::default();
    for seed in 0..SEEDS {
        let outcome = simulate(seed, Variant::Sound);
        assert_eq!(outcome.lost, 0, "seed {seed}: {outcome:?}");
        all.acknowledged += outcome.acknowledged;
        all.unknown += outcome.unknown;
        all.late += outcome.late;
        all.refused += outcome.refused;
    }
    eprintln!(
        "simulation: {SEEDS} seeds, {} acknowledged, {} unknown ({} of them applied late), {} refused",
        all.acknowledged, all.unknown, all.late, all.refused
    );
    assert!(all.acknowledged > SEEDS && all.late > SEEDS, "{all:?}");
}

#[test]
fn a_seed_is_played_alike_each_time() {
    for seed in 0..50 {
        assert_eq!(simulate(seed, Variant::Sound), simulate(seed, Variant::Sound), "seed {seed}");
    }
}

#[test]
fn a_hold_that_is_given_on_after_an_unknown_outcome_loses_an_update() {
    loses(Variant::ReleasedOnUnknown);
}

#[test]
fn a_precondition_that_is_checked_before_the_hold_loses_an_update() {
    loses(Variant::CheckedBeforeHold);
}

#[test]
fn a_hold_that_lapses_loses_an_update() {
    loses(Variant::LeaseLapses);
}

#[allow(clippy::print_stderr, reason = "how soon it shows is worth knowing")]
fn loses(variant: Variant) {
    let found = (0..BOUND).find(|seed| simulate(*seed, variant).lost > 0);
    let found = found.unwrap_or_else(|| panic!("{variant:?} loses nothing in {BOUND} seeds"));
    eprintln!("simulation: {variant:?} loses an update in seed {found}");
}
