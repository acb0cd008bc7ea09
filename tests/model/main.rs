//! The promise, against everything that may happen: seeded histories through the proxy's binary between real sockets,
//! each judged by a fork check, by linearizability per document, and by a counter.
//!
//! A seed says what each client does and what the upstream does with each request. When what happens is up to the
//! machine, so that a seed is a place to look and no recording. `STALEGUARD_MODEL_SEED=n` runs one seed, and
//! `STALEGUARD_MODEL_SEEDS=n` so many of them.
//!
//! A reload of the configuration is not among the events: there is none yet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]
#![allow(clippy::print_stderr, reason = "seeds are printed so that they can be run again")]

mod check;
mod dice;
mod event;
mod history;
mod memory;
#[cfg(feature = "test-faults")]
mod mutants;
mod reference;
mod run;
mod soak;
#[allow(dead_code, reason = "the kit is that of the integration tests, and not all of it is needed here")]
#[path = "../integration/support/mod.rs"]
mod support;
mod upstream;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use run::{Report, run};

/// How many histories are made at a time. They mostly wait.
const TOGETHER: usize = 8;
/// How many seeds a run of the tests tries.
const SEEDS: u64 = 40;

/// Runs seeds until one of them fits or they are used up; all reports, in the order in which they ended.
fn run_all(
    seeds: std::ops::Range<u64>,
    mutant: Option<&str>,
    fits: impl Fn(&Report) -> bool + Sync,
) -> Vec<Report> {
    let (next, reports) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let found = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                while !found.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(seed, mutant);
                    found.fetch_or(fits(&report), Ordering::Relaxed);
                    reports.lock().unwrap().push(report);
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn no_history_breaks_the_promise() {
    let seeds = match number("STALEGUARD_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STALEGUARD_MODEL_SEEDS").unwrap_or(SEEDS),
    };
    let began = Instant::now();
    eprintln!("model: seeds {seeds:?}");
    let reports = run_all(seeds, None, |report| !report.broken.is_empty());
    let operations: usize = reports.iter().map(|report| report.operations.len()).sum();
    let unknown: usize = reports.iter().map(Report::unknown).sum();
    let refusals: u64 = reports.iter().map(|report| report.refusals).sum();
    let [replays, foreign] =
        reports.iter().map(Report::rare).fold([0, 0], |all, rare| [all[0] + rare[0], all[1] + rare[1]]);
    eprintln!("model: {replays} replays, {foreign} foreign writes");
    eprintln!(
        "model: {} histories, {operations} operations, {unknown} unknown outcomes, {refusals} refusals, {:.0?}",
        reports.len(),
        began.elapsed()
    );
    for report in &reports {
        assert!(report.broken.is_empty(), "{}", report.story());
    }
    let is_whole = number("STALEGUARD_MODEL_SEED").is_none() && number("STALEGUARD_MODEL_SEEDS").is_none();
    assert!(!is_whole || (replays > 0 && foreign > 0), "something never happens: the events need other odds");
}
