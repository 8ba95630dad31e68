//! Pacing: a token bucket that is filled at a rate.

use std::time::Duration;

/// Says when the next packet may leave.
///
/// It holds what is sent in [`BURST`], or two packets if that is more, so that timers that come late
/// by less cost no rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Bytes that may leave at once, less those that have.
    tokens: f64,
    /// When they were counted.
    at: Duration,
    /// Bytes per second; `None` if nothing is held back.
    rate: Option<u64>,
    packet: u64,
}

impl Pacer {
    pub(crate) fn new(packet: u64) -> Self {
        Self { tokens: INITIAL_PACKETS * float(packet), at: Duration::ZERO, rate: None, packet }
    }

    /// Changes the rate from `now` on.
    pub(crate) fn set_rate(&mut self, rate: Option<u64>, now: Duration) {
        if rate != self.rate {
            self.fill(now);
            self.rate = rate;
        }
    }

    pub(crate) fn set_packet(&mut self, bytes: u64) {
        self.packet = bytes;
    }

    /// Returns whether a packet may leave now.
    pub(crate) fn permits(&mut self, now: Duration) -> bool {
        if self.rate.is_none() {
            return true;
        }
        self.fill(now);
        // What is missing was not there when the last packet left: whole packets keep the mean.
        self.tokens >= float(self.packet)
    }

    /// Notes that so many bytes leave.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.tokens -= float(bytes);
    }

    /// Returns when the next packet may leave; `None` if nothing is held back.
    ///
    /// As many packets leave together as are due within [`TOGETHER`], since each wait costs.
    pub(crate) fn next(&self) -> Option<Duration> {
        let rate = float(self.rate?.max(1));
        let wanted = (rate * TOGETHER.as_secs_f64()).max(float(self.packet));
        let missing = (wanted.min(self.capacity()) - self.tokens).max(0.0);
        Some(self.at + Duration::from_secs_f64((missing / rate).min(LONGEST)) + TICK)
    }

    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        if let Some(rate) = self.rate {
            let filled = self.tokens + float(rate) * passed.as_secs_f64();
            self.tokens = filled.min(self.capacity().max(self.tokens));
        }
    }

    fn capacity(&self) -> f64 {
        let burst = float(self.rate.unwrap_or(0)) * BURST.as_secs_f64();
        burst.max(LEAST_PACKETS * float(self.packet))
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "below 2^53, or so far beyond that it does not matter"
)]
fn float(bytes: u64) -> f64 {
    bytes as f64
}

/// What may leave at once after a pause, as time at the rate.
const BURST: Duration = Duration::from_millis(4);

/// What leaves together, as time at the rate.
const TOGETHER: Duration = Duration::from_micros(500);

/// Packets that may leave together at any rate.
const LEAST_PACKETS: f64 = 2.0;

/// Packets that may leave before a rate is known.
const INITIAL_PACKETS: f64 = 10.0;

/// Seconds that a wait takes at most before the rate is looked at again.
const LONGEST: f64 = 60.0;

/// So that what is due by then has all its bytes in spite of rounding.
const TICK: Duration = Duration::from_nanos(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets whenever it is permitted to, at the times that it says, `late` each time.
    fn run(rate: u64, packet: u64, late: Duration, until: Duration) -> u64 {
        let mut pacer = Pacer::new(packet);
        pacer.set_rate(Some(rate), Duration::ZERO);
        let (mut now, mut sent) = (Duration::ZERO, 0);
        while now < until {
            while pacer.permits(now) {
                pacer.spend(packet);
                sent += packet;
            }
            now = pacer.next().unwrap().max(now) + late;
        }
        sent
    }

    #[test]
    fn any_rate_is_kept_to_a_thousandth() {
        for rate in [8_000, 125_000, 12_500_000, 1_250_000_000] {
            let seconds = if rate < 100_000 { 200 } else { 2 };
            let sent = run(rate, 1452, Duration::ZERO, Duration::from_secs(seconds));
            let expected = float(rate * seconds);
            let beginning = 12.0 * 1452.0;
            let error = (float(sent) - expected).abs();
            assert!(error <= expected / 1000.0 + beginning, "{sent} bytes, not {expected}");
        }
    }

    #[test]
    fn timers_that_are_late_cost_nothing_while_they_are_within_the_burst() {
        let sent = run(12_500_000, 1452, Duration::from_millis(2), Duration::from_secs(2));
        assert!((24_900_000..25_100_000).contains(&sent), "{sent}");
    }

    #[test]
    fn after_a_pause_no_more_leaves_at_once_than_a_burst() {
        let mut pacer = Pacer::new(1000);
        pacer.set_rate(Some(10_000_000), Duration::ZERO);
        let mut burst = |now| {
            let mut packets = 0;
            while pacer.permits(now) {
                pacer.spend(1000);
                packets += 1;
            }
            packets
        };
        burst(Duration::ZERO);
        assert_eq!(burst(Duration::from_secs(10)), 40);
        assert_eq!(burst(Duration::from_secs(10)), 0);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = Pacer::new(1000);
        for _ in 0..1000 {
            assert!(pacer.permits(Duration::ZERO));
            pacer.spend(1000);
        }
        assert_eq!(pacer.next(), None);
    }
}
