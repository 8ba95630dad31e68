use std::time::Duration;

use crate::spec::Rate;

/// Says when the next burst may be sent, so that the rate is met.
///
/// Bytes have due times that follow from the rate alone, so a late wake-up is made up for and does
/// not lower the rate. What a blocked sender may make up for is bounded: beyond 100 ms the
/// schedule slips.
#[derive(Debug)]
pub struct Pacer {
    bits_per_second: u64,
    burst: u32,
    left_in_burst: u32,
    /// When the next burst is due, in nanoseconds: they add up without rounding drift because the
    /// remainder is carried.
    due: Duration,
    remainder: u128,
    unpaid: u64,
}

impl Pacer {
    /// Returns a pacer whose first burst is due at `now`.
    #[must_use]
    pub fn new(rate: Rate, now: Duration) -> Self {
        let burst = u32::from(rate.burst.unwrap_or(1));
        Self {
            bits_per_second: rate.bits_per_second,
            burst,
            left_in_burst: burst,
            due: now,
            remainder: 0,
            unpaid: 0,
        }
    }

    /// Returns when the next block is due; in the past if it may go now.
    pub fn due(&mut self, now: Duration) -> Duration {
        if self.left_in_burst == 0 {
            self.settle();
            self.left_in_burst = self.burst;
            self.due = self.due.max(now.saturating_sub(CATCH_UP));
        }
        self.due
    }

    /// Takes note that a block of `bytes` was handed over.
    pub fn sent(&mut self, bytes: usize) {
        self.left_in_burst = self.left_in_burst.saturating_sub(1);
        self.unpaid += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    fn settle(&mut self) {
        let nanos = u128::from(self.unpaid) * 8 * 1_000_000_000 + self.remainder;
        let rate = u128::from(self.bits_per_second);
        self.remainder = nanos % rate;
        self.due += Duration::from_nanos(u64::try_from(nanos / rate).unwrap_or(u64::MAX));
        self.unpaid = 0;
    }
}

/// How much lost time a sender makes up for.
const CATCH_UP: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn pacer(bits_per_second: u64, burst: u16) -> Pacer {
        Pacer::new(Rate { bits_per_second, burst: Some(burst) }, Duration::ZERO)
    }

    /// Sends blocks of `block` bytes for `duration`, waking up `late` each time.
    fn run(mut pacer: Pacer, block: usize, duration: Duration, late: Duration) -> usize {
        let (mut now, mut sent) = (Duration::ZERO, 0);
        while now < duration {
            let due = pacer.due(now);
            if due > now {
                now = due + late;
                continue;
            }
            sent += block;
            pacer.sent(block);
        }
        sent
    }

    #[test]
    fn the_rate_is_met_to_the_block() {
        for (rate, block) in [(64_000, 160), (1_000_000, 1448), (1_000_000_000, 1448), (3, 1)] {
            let seconds = 100;
            let sent = run(pacer(rate, 1), block, Duration::from_secs(seconds), Duration::ZERO);
            let wanted = usize::try_from(rate * seconds / 8).unwrap();
            assert!(sent.abs_diff(wanted) <= block, "{rate}: {sent} for {wanted}");
        }
    }

    #[test]
    fn late_wake_ups_do_not_lower_the_rate() {
        let late = Duration::from_micros(900);
        let sent = run(pacer(100_000_000, 1), 1448, Duration::from_secs(10), late);
        assert!(sent.abs_diff(125_000_000) < 20_000, "{sent}");
    }

    #[test]
    fn a_burst_goes_back_to_back() {
        let mut pacer = pacer(8_000, 4);
        for _ in 0..4 {
            assert_eq!(pacer.due(Duration::ZERO), Duration::ZERO);
            pacer.sent(250);
        }
        assert_eq!(pacer.due(Duration::ZERO), Duration::from_secs(1));
    }

    #[test]
    fn what_a_long_block_cost_is_not_made_up_for_at_once() {
        let mut pacer = pacer(8_000_000, 1);
        pacer.sent(1000);
        let now = Duration::from_secs(5);
        assert_eq!(pacer.due(now), now - CATCH_UP);
    }
}
