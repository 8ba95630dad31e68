use std::time::Duration;

use hdrhistogram::Histogram;

/// A distribution of times in nanoseconds, or of sizes, to within a hundredth, in about 25 KiB.
#[derive(Debug, Clone)]
pub(super) struct Distribution(Histogram<u64>);

impl Distribution {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    /// Takes a value `count` times over; longer times than an hour count as an hour.
    #[inline]
    pub(super) fn record(&mut self, value: u64, count: u64) {
        self.0.saturating_record_n(value, count);
    }

    /// Takes all of another distribution, each value larger by `add` and smaller by `subtract`.
    pub(super) fn merge(&mut self, other: &Self, add: u64, subtract: u64) {
        for step in other.0.iter_recorded() {
            let middle = other.0.median_equivalent(step.value_iterated_to());
            let nanos = middle.saturating_add(add).saturating_sub(subtract);
            self.0.saturating_record_n(nanos, step.count_at_value());
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.reset();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value that `part` of all do not exceed.
    pub(super) fn quantile(&self, part: f64) -> u64 {
        self.0.median_equivalent(self.0.value_at_quantile(part))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }
}

/// Returns nanoseconds as whole, or the most that fit.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const LONGEST: u64 = 3_600_000_000_000;
const DIGITS: u8 = 2;
