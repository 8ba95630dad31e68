use std::time::Duration;

use super::{
    LatenessSummary,
    histogram::{Distribution, nanos},
};

/// How much later than due a sender sent.
///
/// A sender that cannot keep its own schedule makes the network look jittery; this tells the two
/// apart. What went early was on time.
#[derive(Debug, Clone)]
pub struct Lateness {
    times: Distribution,
    max: Duration,
}

impl Lateness {
    /// Returns an empty record.
    #[must_use]
    pub fn new() -> Self {
        Self { times: Distribution::new(), max: Duration::ZERO }
    }

    /// Takes one datagram, or one batch that counts as one.
    #[inline]
    pub fn record(&mut self, due: Duration, sent: Duration) {
        self.record_batch(due, sent, 1);
    }

    /// Takes `count` datagrams that were due together and went together.
    #[inline]
    pub fn record_batch(&mut self, due: Duration, sent: Duration, count: u32) {
        if count == 0 {
            return;
        }
        let late = sent.saturating_sub(due);
        self.max = self.max.max(late);
        self.times.record(nanos(late), u64::from(count));
    }

    /// Adds what another flow of the same end recorded.
    pub fn merge(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        self.times.merge(&other.times, 0, 0);
    }

    /// Forgets all, as at the end of the time that totals leave out.
    pub fn reset(&mut self) {
        self.times.clear();
        self.max = Duration::ZERO;
    }

    /// Returns what was recorded; `None` if nothing was.
    #[must_use]
    pub fn summary(&self) -> Option<LatenessSummary> {
        if self.times.is_empty() {
            return None;
        }
        // The quantiles are rounded, and the largest is not.
        let quantile = |part| Duration::from_nanos(self.times.quantile(part)).min(self.max);
        Some(LatenessSummary {
            count: self.times.count(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: self.max,
        })
    }
}

impl Default for Lateness {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: fn(u64) -> Duration = Duration::from_micros;

    fn close(left: Duration, right: Duration) -> bool {
        left.abs_diff(right) <= right / 100 + Duration::from_nanos(1)
    }

    #[test]
    fn half_are_no_later_than_the_median() {
        let mut lateness = Lateness::new();
        for late in 1..=1000 {
            lateness.record(US(7), US(7 + late));
        }
        let summary = lateness.summary().unwrap();
        assert!(close(summary.p50, US(500)) && close(summary.p99, US(990)), "{summary:?}");
        assert_eq!((summary.max, summary.count), (US(1000), 1000));
    }

    #[test]
    fn early_is_on_time_and_a_measured_zero_is_a_value() {
        let mut lateness = Lateness::new();
        assert_eq!(lateness.summary(), None);
        lateness.record(US(10), US(5));
        assert_eq!(lateness.summary().map(|summary| summary.max), Some(Duration::ZERO));
    }

    #[test]
    fn a_batch_weighs_as_much_as_its_datagrams() {
        let mut lateness = Lateness::new();
        lateness.record_batch(US(0), US(0), 60);
        lateness.record_batch(US(0), US(100), 40);
        lateness.record_batch(US(0), US(999), 0);
        let summary = lateness.summary().unwrap();
        assert_eq!((summary.p50, summary.max), (Duration::ZERO, US(100)));
        assert!(close(summary.p99, US(100)));
    }

    #[test]
    fn several_flows_make_one_record() {
        let (mut one, mut other) = (Lateness::new(), Lateness::new());
        one.record(US(0), US(10));
        other.record(US(0), US(30));
        one.merge(&other);
        let summary = one.summary().unwrap();
        assert_eq!((summary.max, summary.count), (US(30), 2));
        assert!(close(summary.p50, US(10)));
        one.reset();
        assert_eq!(one.summary(), None);
    }

    #[test]
    fn a_lateness_beyond_all_bounds_is_only_long() {
        let mut lateness = Lateness::new();
        lateness.record(Duration::ZERO, Duration::MAX);
        assert_eq!(lateness.summary().map(|summary| summary.max), Some(Duration::MAX));
    }
}
