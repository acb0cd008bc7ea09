//! How long the exchanges took.

use std::time::Duration;

/// Every duration, in nanoseconds; those above four seconds count as that.
#[derive(Debug, Default)]
pub struct Durations {
    all: Vec<u32>,
    is_sorted: bool,
}

impl Durations {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        self.all.push(u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX));
        self.is_sorted = false;
    }

    /// The one below which so many of a hundred are, in microseconds; 0 if there is none.
    pub fn percentile(&mut self, percent: f64) -> f64 {
        if !self.is_sorted {
            self.all.sort_unstable();
            self.is_sorted = true;
        }
        let last = self.all.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let place = (last as f64 * percent / 100.0).round() as usize;
        self.all.get(place).map_or(0.0, |&nanoseconds| f64::from(nanoseconds) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all() {
        let mut durations = Durations::default();
        assert!(durations.percentile(50.0).abs() < f64::EPSILON);
        for microseconds in (1..=101).rev() {
            durations.add(Duration::from_micros(microseconds));
        }
        let of = |durations: &mut Durations, percent| durations.percentile(percent);
        assert!((of(&mut durations, 50.0) - 51.0).abs() < f64::EPSILON);
        assert!((of(&mut durations, 99.0) - 100.0).abs() < f64::EPSILON);
        durations.add(Duration::from_secs(9));
        assert!(of(&mut durations, 100.0) > 4_000_000.0);
    }
}
