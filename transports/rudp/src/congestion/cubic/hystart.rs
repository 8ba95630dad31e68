//! `HyStart++` (RFC 9406): leaves slow start when the round trip grows, before the queue overflows.

use std::time::Duration;

/// `MIN_RTT_THRESH` (RFC 9406, section 4.3).
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);

/// `MAX_RTT_THRESH`.
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);

/// `MIN_RTT_DIVISOR`.
const MIN_RTT_DIVISOR: u32 = 8;

/// `N_RTT_SAMPLE`.
const N_RTT_SAMPLE: u32 = 8;

/// `CSS_GROWTH_DIVISOR`.
pub(super) const CSS_GROWTH_DIVISOR: u32 = 4;

/// `CSS_ROUNDS`.
const CSS_ROUNDS: u32 = 5;

/// What `HyStart++` knows of the rounds of the first slow start.
#[derive(Debug, Clone, Default)]
pub(super) struct HyStart {
    window_end: Option<u64>,
    last_round_min_rtt: Option<Duration>,
    current_round_min_rtt: Option<Duration>,
    rtt_sample_count: u32,
    css: Option<Css>,
}

/// Conservative slow start.
#[derive(Debug, Clone, Copy)]
struct Css {
    baseline_min_rtt: Duration,
    rounds: u32,
}

impl HyStart {
    /// Returns whether it is in conservative slow start.
    pub(super) fn conservative(&self) -> bool {
        self.css.is_some()
    }

    /// Takes an acknowledgement of packet `largest` when `next` is sent next, and returns whether slow
    /// start is over.
    pub(super) fn on_ack(&mut self, largest: u64, next: u64, rtt: Option<Duration>) -> bool {
        if self.window_end.is_none_or(|end| largest >= end) {
            self.window_end = Some(next);
            self.last_round_min_rtt = self.current_round_min_rtt.take();
            self.rtt_sample_count = 0;
            if let Some(css) = &mut self.css {
                css.rounds = css.rounds.saturating_add(1);
                if css.rounds >= CSS_ROUNDS {
                    return true;
                }
            }
        }

        let Some(rtt) = rtt else { return false };
        let current = self.current_round_min_rtt.map_or(rtt, |min| min.min(rtt));
        self.current_round_min_rtt = Some(current);
        self.rtt_sample_count = self.rtt_sample_count.saturating_add(1);
        if self.rtt_sample_count < N_RTT_SAMPLE {
            return false;
        }

        if let Some(css) = self.css {
            if current < css.baseline_min_rtt {
                self.css = None;
            }
        } else if let Some(last) = self.last_round_min_rtt {
            let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
            if current >= last.saturating_add(threshold) {
                self.css = Some(Css { baseline_min_rtt: current, rounds: 0 });
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: u64 = 10;

    /// Acknowledges a round of ten packets, each with the given round trip.
    fn round(hystart: &mut HyStart, number: u64, rtt: u64) -> bool {
        (0..SAMPLES).any(|i| {
            let largest = number * SAMPLES + i;
            hystart.on_ack(largest, (number + 1) * SAMPLES + i, Some(Duration::from_millis(rtt)))
        })
    }

    #[test]
    fn a_steady_round_trip_keeps_slow_start_going() {
        let mut hystart = HyStart::default();
        for number in 0..100 {
            assert!(!round(&mut hystart, number, 50 + number % 4));
            assert!(!hystart.conservative());
        }
    }

    #[test]
    fn the_threshold_is_an_eighth_of_the_round_trip_within_4_and_16_ms() {
        for (rtt, threshold) in [(8, 4), (80, 10), (400, 16)] {
            let mut hystart = HyStart::default();
            round(&mut hystart, 0, rtt);
            round(&mut hystart, 1, rtt + threshold - 1);
            assert!(!hystart.conservative(), "{rtt} ms");

            let mut hystart = HyStart::default();
            round(&mut hystart, 0, rtt);
            round(&mut hystart, 1, rtt + threshold);
            assert!(hystart.conservative(), "{rtt} ms");
        }
    }

    #[test]
    fn seven_samples_do_not_suffice() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 50);
        for i in 0..7 {
            hystart.on_ack(10 + i, 20 + i, Some(Duration::from_millis(100)));
            assert!(!hystart.conservative());
        }
        hystart.on_ack(17, 27, None);
        assert!(!hystart.conservative());
        hystart.on_ack(18, 28, Some(Duration::from_millis(100)));
        assert!(hystart.conservative());
    }

    #[test]
    fn slow_start_ends_after_five_conservative_rounds_and_the_first_may_be_a_part() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 50);
        assert!(!round(&mut hystart, 1, 60));
        assert!(hystart.conservative());
        for number in 2..6 {
            assert!(!round(&mut hystart, number, 60), "round {number}");
        }
        assert!(round(&mut hystart, 6, 60));
    }

    #[test]
    fn slow_start_goes_on_if_the_round_trip_falls_again() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 0, 50);
        round(&mut hystart, 1, 60);
        assert!(hystart.conservative());
        round(&mut hystart, 2, 59);
        assert!(!hystart.conservative());
        assert!(!round(&mut hystart, 3, 59));
        round(&mut hystart, 4, 70);
        assert!(hystart.conservative());
    }
}
