use std::time::Duration;

use crate::{measure::Slips, spec::Rate};

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
    slips: Slips,
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
            slips: Slips::default(),
        }
    }

    /// Returns a pacer of blocks of `block` bytes, up to `most` of which may go as one burst.
    ///
    /// A burst is no longer than a millisecond of the rate, and is due when its last block is: so
    /// nothing goes ahead of time. Where the rate says how long bursts are, they are so long.
    #[must_use]
    pub fn gathering(rate: Rate, block: usize, most: usize, now: Duration) -> Self {
        let mut pacer = Self::new(rate, now);
        if rate.burst.is_none() {
            let block = u64::try_from(block.max(1)).unwrap_or(u64::MAX);
            let fitting = rate.bits_per_second / 8 / BURSTS_PER_SECOND / block;
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            pacer.burst = u32::try_from(fitting).unwrap_or(u32::MAX).min(most).max(1);
            pacer.left_in_burst = pacer.burst;
            pacer.unpaid = block * u64::from(pacer.burst - 1);
            pacer.settle();
        }
        pacer
    }

    /// Returns when the next block is due; in the past if it may go now.
    pub fn due(&mut self, now: Duration) -> Duration {
        if self.left_in_burst == 0 {
            self.settle();
            self.left_in_burst = self.burst;
            self.slip_to(now.saturating_sub(CATCH_UP));
        }
        self.due
    }

    /// Returns how many blocks may go together once the next is due.
    #[must_use]
    pub fn left_in_burst(&self) -> usize {
        usize::try_from(self.left_in_burst).unwrap_or(usize::MAX)
    }

    /// Takes note that a block of `bytes` was handed over.
    pub fn sent(&mut self, bytes: usize) {
        self.sent_batch(bytes, 1);
    }

    /// Takes note that so many blocks, of `bytes` together, were handed over.
    pub fn sent_batch(&mut self, bytes: usize, blocks: usize) {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        self.left_in_burst = self.left_in_burst.saturating_sub(blocks);
        self.unpaid += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// Returns the bits per second that it paces to.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.bits_per_second
    }

    /// Returns what the schedule has given up so far.
    #[must_use]
    pub fn slips(&self) -> Slips {
        self.slips
    }

    /// Gives up what was due before `earliest`.
    fn slip_to(&mut self, earliest: Duration) {
        if self.due < earliest {
            self.slips.count += 1;
            self.slips.time += earliest - self.due;
            self.due = earliest;
        }
    }

    fn settle(&mut self) {
        let nanos = u128::from(self.unpaid) * 8 * 1_000_000_000 + self.remainder;
        let rate = u128::from(self.bits_per_second);
        self.remainder = nanos % rate;
        self.due += Duration::from_nanos(u64::try_from(nanos / rate).unwrap_or(u64::MAX));
        self.unpaid = 0;
    }
}

/// How smooth a rate is that nobody chose bursts for: none is longer than a millisecond of it.
const BURSTS_PER_SECOND: u64 = 1000;
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
    fn bursts_are_a_millisecond_of_the_rate_at_most_and_one_batch_at_most() {
        let burst = |rate, most| {
            let rate = Rate { bits_per_second: rate, burst: None };
            Pacer::gathering(rate, 1448, most, Duration::ZERO).left_in_burst()
        };
        assert_eq!(
            [1_000_000, 100_000_000, 1_000_000_000].map(|rate| burst(rate, 100)),
            [1, 8, 86]
        );
        assert_eq!(burst(1_000_000_000, 45), 45);
        assert_eq!(burst(u64::MAX, 45), 45);
        let chosen = Rate { bits_per_second: 8_000_000, burst: Some(4) };
        assert_eq!(Pacer::gathering(chosen, 1000, 2, Duration::ZERO).left_in_burst(), 4);
    }

    #[test]
    fn a_gathered_burst_goes_when_its_last_block_is_due() {
        let rate = Rate { bits_per_second: 80_000_000, burst: None };
        let mut pacer = Pacer::gathering(rate, 1000, 10, Duration::ZERO);
        assert_eq!(pacer.due(Duration::ZERO), Duration::from_micros(900));
        pacer.sent_batch(10_000, 10);
        assert_eq!(pacer.due(Duration::from_micros(900)), Duration::from_micros(1900));
    }

    #[test]
    fn what_a_long_block_cost_is_not_made_up_for_at_once() {
        let mut pacer = pacer(8_000_000, 1);
        pacer.sent(1000);
        assert_eq!(pacer.due(CATCH_UP), Duration::from_millis(1));
        assert_eq!(pacer.slips(), Slips::default());
        pacer.sent(1000);
        let now = Duration::from_secs(5);
        assert_eq!(pacer.due(now), now - CATCH_UP);
        let time = now - CATCH_UP - Duration::from_millis(2);
        assert_eq!(pacer.slips(), Slips { count: 1, time });
        assert_eq!(pacer.due(now + CATCH_UP), now - CATCH_UP, "a burst slips once");
    }
}
