//! The same histories for as long as one likes, most of them through proxies that live as long. `tests/soak` runs it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::event::Profile;
use crate::number;
use crate::run::{Report, Site, run, run_at};

/// How many histories go through each proxy at a time.
const TOGETHER: usize = 3;
/// How often it says how far it is.
const SAYS: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Totals {
    histories: u64,
    operations: u64,
    unknown: u64,
    refusals: u64,
    /// The stories of histories that break the promise.
    broken: Vec<String>,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.histories += 1;
        self.operations += report.operations.len() as u64;
        self.unknown += report.unknown() as u64;
        self.refusals += report.refusals;
        if !report.broken.is_empty() {
            eprintln!("{}", report.story());
            self.broken.push(report.story());
        }
    }

    fn say(&self, began: Instant) {
        eprintln!(
            "soak: {:.0?}: {} histories, {} operations, {} unknown outcomes, {} refusals, {} lost updates",
            began.elapsed(),
            self.histories,
            self.operations,
            self.unknown,
            self.refusals,
            self.broken.len()
        );
    }
}

#[test]
#[ignore = "it takes as long as it is told to: tests/soak"]
fn soak() {
    let minutes = number("STALEGUARD_SOAK_MINUTES").expect("tests/soak says how long");
    let first = number("STALEGUARD_SOAK_SEED").expect("tests/soak says where to begin");
    let began = Instant::now();
    let ends = began + Duration::from_secs(60 * minutes);
    let (next, totals) = (AtomicU64::new(first), Mutex::new(Totals::default()));
    let sites = [Profile::Faults, Profile::Impatient, Profile::HangUps, Profile::Exclusive]
        .map(|profile| Site::start(profile, false, None));
    eprintln!("soak: {minutes} minutes from seed {first} on");
    let resident = || sites.iter().map(|site| site.resident().unwrap_or(0)).collect::<Vec<_>>();
    let at_first = resident();
    let seed = |profile| loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if Profile::of(seed) == profile {
            return seed;
        }
    };
    let repeat = |make: &(dyn Fn() -> Report + Sync)| {
        while Instant::now() < ends {
            let report = make();
            totals.lock().unwrap().add(&report);
        }
    };
    std::thread::scope(|scope| {
        let (work, done) = channel::<()>();
        for site in &sites {
            for _ in 0..TOGETHER {
                let (work, seed, repeat) = (work.clone(), &seed, &repeat);
                scope.spawn(move || {
                    let _work = work;
                    repeat(&|| run_at(site, seed(site.profile())));
                });
            }
        }
        scope.spawn(|| {
            let _work = work;
            repeat(&|| run(seed(Profile::Signals), None));
        });
        while done.recv_timeout(SAYS) == Err(RecvTimeoutError::Timeout) {
            totals.lock().unwrap().say(began);
        }
    });
    let totals = totals.into_inner().unwrap();
    totals.say(began);
    eprintln!("soak: the proxies' memory went from {at_first:?} to {:?} KiB", resident());
    assert!(totals.broken.is_empty(), "{} histories break the promise; see above", totals.broken.len());
}
