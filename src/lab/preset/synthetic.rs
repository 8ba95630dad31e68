//! A trace that is computed, where one that was recorded would be a large file.

use std::time::Duration;

use polyperf_memory::link::{Trace, TraceError};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

/// How a rate wanders between two bounds.
///
/// Each half second has a rate, drawn so that its logarithm is uniform between the bounds; in between
/// the rate goes straight from one to the next, and from the last to the first. Each millisecond
/// brings the bits of the rate in its middle, and for each 12,000 bits there is an opportunity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wander {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) length: Duration,
    pub(super) seed: u64,
}

impl Wander {
    /// Returns the trace; the same one for the same settings.
    pub(super) fn trace(self) -> Result<Trace, TraceError> {
        let millis = u32::try_from(self.length.as_millis()).unwrap_or(Trace::MAX_MOMENT);
        let knots = self.knots(millis.div_ceil(SPACING));
        let mut moments = Vec::new();
        let mut credit = 0.0;
        for millisecond in 0..millis {
            credit += rate_at(&knots, f64::from(millisecond) + 0.5) / 1000.0;
            while credit >= OPPORTUNITY {
                credit -= OPPORTUNITY;
                moments.push(millisecond + 1);
            }
        }
        // The last line is the period.
        if moments.last() != Some(&millis) {
            moments.push(millis);
        }
        Trace::new(moments)
    }

    fn knots(self, count: u32) -> Vec<f64> {
        let mut random = Pcg64::seed_from_u64(self.seed);
        #[allow(clippy::cast_precision_loss, reason = "rates are known to a few digits")]
        let (from, to) = (self.from as f64, self.to as f64);
        let draw = |_| from * (to / from).powf(random.random::<f64>());
        (0..count).map(draw).collect()
    }
}

fn rate_at(knots: &[f64], millis: f64) -> f64 {
    let place = millis / f64::from(SPACING);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let index = place as usize;
    let share = place.fract();
    let at = |index: usize| knots[index % knots.len()];
    at(index) * (1.0 - share) + at(index + 1) * share
}

/// Milliseconds from one drawn rate to the next.
const SPACING: u32 = 500;
/// Bits of an opportunity.
const OPPORTUNITY: f64 = 12_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    const LTE: Wander =
        Wander { from: 5_000_000, to: 40_000_000, length: Duration::from_secs(60), seed: 1 };

    #[test]
    fn it_keeps_between_its_bounds_and_repeats_after_its_length() {
        for seed in 0..20 {
            let trace = Wander { seed, ..LTE }.trace().unwrap();
            assert_eq!(trace.length(), LTE.length);
            // The logarithm's middle is 14.1 Mbit/s; the mean of such rates is 16.8.
            let mean = trace.mean_rate().bits_per_second();
            assert!((14_000_000..20_000_000).contains(&mean), "{mean}");
        }
        let steady = Wander { from: 12_000_000, to: 12_000_000, ..LTE }.trace().unwrap();
        assert_eq!(steady, Trace::new((1..=60_000).collect()).unwrap());
    }

    #[test]
    fn the_same_seed_gives_the_same_trace_and_another_another() {
        assert_eq!(LTE.trace(), LTE.trace());
        assert_ne!(LTE.trace(), Wander { seed: 2, ..LTE }.trace());
    }

    #[test]
    fn a_trace_too_slow_for_one_opportunity_still_has_its_period() {
        let slow = Wander { from: 1000, to: 1000, length: Duration::from_millis(10), seed: 1 };
        assert_eq!(slow.trace(), Trace::new(vec![10]));
    }
}
