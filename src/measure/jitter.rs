use std::time::Duration;

use super::{VariationSummary, histogram::Distribution};

/// How evenly datagrams arrive, from when each was sent and received.
///
/// Times are nanoseconds on each end's own clock. The two need not be tied: only differences of
/// transit times count, and what is constant in them cancels out. Datagrams are taken in the order
/// of arrival; copies and strays are better left out.
///
/// # Steps
///
/// A clock that is set makes transit times leap. Where arrivals go backwards, or a transit time
/// differs from the one before by more than [`STEP`](Self::STEP), a clock was set: the datagram is
/// taken for as long under way as the one before. A smaller step of the *sender's* clock, or a
/// forward one of the receiver's, cannot be told from the network, and counts as variation.
#[derive(Debug, Clone)]
pub struct Delays {
    last: Option<Last>,
    /// What the clocks were set by, which is taken out of every transit time.
    correction: i64,
    steps: u64,
    jitter: Jitter,
    variation: Variation,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    received: u64,
    transit: i64,
}

impl Delays {
    /// How much a transit time may change from one datagram to the next.
    pub const STEP: Duration = Duration::from_secs(10);

    /// Returns an empty record.
    #[must_use]
    pub fn new() -> Self {
        Self {
            last: None,
            correction: 0,
            steps: 0,
            jitter: Jitter::default(),
            variation: Variation::new(),
        }
    }

    /// Takes a datagram that was sent and received at these times.
    #[inline]
    pub fn observe(&mut self, sent: u64, received: u64) {
        self.observe_run(sent, received, 1);
    }

    /// Takes `count` datagrams that were sent together and received together, at these times.
    #[inline]
    pub fn observe_run(&mut self, sent: u64, received: u64, count: u64) {
        let Some(others) = count.checked_sub(1) else { return };
        // The clocks' epochs may be anything, so the difference may wrap; that of two does not.
        let raw = received.wrapping_sub(sent).cast_signed();
        let mut transit = raw.wrapping_sub(self.correction);
        if let Some(last) = self.last {
            let change = transit.wrapping_sub(last.transit);
            let stepped = received < last.received || change.unsigned_abs() > STEP_NANOS;
            if stepped {
                self.steps += 1;
                self.correction = self.correction.wrapping_add(change);
                transit = last.transit;
            }
            self.jitter.take(if stepped { 0 } else { change.unsigned_abs() });
        }
        self.last = Some(Last { received, transit });
        self.jitter.take_unchanged(others);
        self.variation.take(transit, count);
    }

    /// Starts over with the variation, as at the end of the time that totals leave out.
    ///
    /// The jitter runs on: it tells of the last few datagrams alone.
    pub fn reset(&mut self) {
        self.steps = 0;
        self.variation.reset();
    }

    /// Adds another flow's variation, each relative to its own flow's minimum. Its jitter stays its
    /// own.
    pub fn merge(&mut self, other: &Self) {
        self.steps = self.steps.saturating_add(other.steps);
        self.variation.merge(&other.variation);
    }

    /// Returns the interarrival jitter of RFC 3550, as it is now; `None` before the second datagram.
    #[must_use]
    pub fn jitter(&self) -> Option<Duration> {
        self.jitter.value()
    }

    /// Returns the delay variation of RFC 5481: each delay less the smallest; `None` of nothing.
    #[must_use]
    pub fn variation(&self) -> Option<VariationSummary> {
        self.variation.summary()
    }

    /// Returns how often a clock was set.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

impl Default for Delays {
    fn default() -> Self {
        Self::new()
    }
}

/// RFC 3550 in whole numbers: sixteen times the jitter, so that what division cuts off is not lost.
#[derive(Debug, Clone, Copy, Default)]
struct Jitter {
    sixteenfold: u64,
    changes: u64,
}

impl Jitter {
    #[inline]
    fn take(&mut self, change: u64) {
        self.sixteenfold += change;
        self.sixteenfold -= (self.sixteenfold - change + 8) >> 4;
        self.changes += 1;
    }

    /// Takes so many changes of nothing.
    #[inline]
    fn take_unchanged(&mut self, count: u64) {
        self.changes += count;
        for _ in 0..count {
            let falls = (self.sixteenfold + 8) >> 4;
            if falls == 0 {
                break;
            }
            self.sixteenfold -= falls;
        }
    }

    fn value(&self) -> Option<Duration> {
        (self.changes > 0).then(|| Duration::from_nanos(self.sixteenfold >> 4))
    }
}

/// Delays relative to a floor, which lies at or below the smallest seen.
///
/// When a delay falls below the floor, all that was recorded has to be moved up. So that this is
/// rare even where clocks drift apart, the floor is then set lower than needed.
#[derive(Debug, Clone)]
struct Variation {
    times: Distribution,
    floor: i64,
    /// Above the floor; both are of no meaning while nothing is recorded.
    min: u64,
    max: u64,
}

impl Variation {
    fn new() -> Self {
        Self { times: Distribution::new(), floor: 0, min: 0, max: 0 }
    }

    #[inline]
    fn take(&mut self, transit: i64, count: u64) {
        let mut above = transit.wrapping_sub(self.floor);
        if above < 0 || self.times.is_empty() {
            self.lower(transit);
            above = SLACK.cast_signed();
        }
        let above = above.unsigned_abs();
        self.min = self.min.min(above);
        self.max = self.max.max(above);
        self.times.record(above, count);
    }

    #[cold]
    fn lower(&mut self, transit: i64) {
        let floor = transit.wrapping_sub(SLACK.cast_signed());
        if self.times.is_empty() {
            (self.floor, self.min, self.max) = (floor, u64::MAX, 0);
            return;
        }
        let by = self.floor.wrapping_sub(floor).unsigned_abs();
        let mut times = Distribution::new();
        times.merge(&self.times, by, 0);
        let (min, max) = (self.min.saturating_add(by), self.max.saturating_add(by));
        *self = Self { times, floor, min, max };
    }

    fn merge(&mut self, other: &Self) {
        if other.times.is_empty() {
            return;
        }
        if self.times.is_empty() {
            *self = other.clone();
            return;
        }
        self.times.merge(&other.times, self.min, other.min);
        self.max = self.max.max((other.max - other.min).saturating_add(self.min));
    }

    fn reset(&mut self) {
        self.times.clear();
    }

    fn summary(&self) -> Option<VariationSummary> {
        if self.times.is_empty() {
            return None;
        }
        // The quantiles are rounded, and the ends are not.
        let quantile = |part| {
            let above = self.times.quantile(part).clamp(self.min, self.max);
            Duration::from_nanos(above - self.min)
        };
        Some(VariationSummary {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: Duration::from_nanos(self.max - self.min),
        })
    }
}

const STEP_NANOS: u64 = 10_000_000_000;
/// How far below a new minimum the floor is set: a fraction of a microsecond is lost to rounding,
/// and clocks that drift apart by 50 ppm have all moved up every other second at most.
const SLACK: u64 = 64_000;
const _: () = assert!(Delays::STEP.as_nanos() == STEP_NANOS as u128);

#[cfg(test)]
mod tests;
