//! The last hour, minute by minute.

use std::sync::Arc;

use serde::Serialize;

use super::told::Fate;
use crate::decision::record::Decision;

/// How many minutes are told.
pub(super) const MINUTES: u64 = 60;

/// The writes of one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Minute {
    /// All of them.
    pub(super) writes: u64,
    /// Those that are refused, or are where enforced.
    pub(super) refused: u64,
}

/// The minutes of decisions, the oldest first; `now` is in minutes since 1970. The last one is not over yet.
pub(super) fn minutes(decisions: &[Arc<Decision>], now: u64) -> Vec<Minute> {
    let mut minutes = vec![Minute::default(); usize::try_from(MINUTES).unwrap_or_default()];
    for decision in decisions {
        let age = minute(&decision.time).and_then(|minute| now.checked_sub(minute));
        let place = age.and_then(|age| (MINUTES - 1).checked_sub(age));
        let minute = place.and_then(|place| minutes.get_mut(usize::try_from(place).ok()?));
        if let Some(minute) = minute {
            minute.writes += 1;
            minute.refused += u64::from(Fate::of(decision).is_refusal());
        }
    }
    minutes
}

/// The minute of this moment, since 1970.
#[expect(clippy::disallowed_types, reason = "a time of day is told")]
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / 60
}

#[expect(clippy::disallowed_types, reason = "a time of day is read")]
fn minute(date: &str) -> Option<u64> {
    let date = humantime::parse_rfc3339(date).ok()?;
    Some(date.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?.as_secs() / 60)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, decision};
    use super::*;

    #[test]
    fn each_write_counts_in_its_minute_and_an_hour_later_no_more() {
        let at = |time| Sample { time, ..Sample::default() };
        let refused = Sample { verdict: "precondition-missing", would_be: Some(409), ..Sample::default() };
        let decisions: Vec<_> = [
            at("2026-11-22T08:00:01.000Z"),
            at("2026-11-22T07:59:59.999Z"),
            Sample { time: "2026-11-22T07:01:00.000Z", ..refused },
            at("2026-11-22T07:00:59.000Z"),
            at("2026-11-22T09:00:00.000Z"),
            at("yesterday"),
        ]
        .iter()
        .map(|sample| Arc::new(decision(sample)))
        .collect();
        let now = minute("2026-11-22T08:00:30Z").expect("a date");
        let minutes = minutes(&decisions, now);
        assert_eq!(minutes.len(), 60);
        assert_eq!((minutes[59].writes, minutes[58].writes), (1, 1));
        assert_eq!(minutes[0], Minute { writes: 1, refused: 1 });
        assert_eq!(minutes.iter().map(|minute| minute.writes).sum::<u64>(), 3);
    }
}
