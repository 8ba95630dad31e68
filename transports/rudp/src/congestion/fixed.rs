//! A rate that is set by hand.

use super::{Ack, Controller, Lost, Marked, Sent, Spurious};
use std::time::Duration;

/// The window is never below so many packets.
const MINIMUM_PACKETS: u64 = 64;

/// The window holds what is sent in so many round trips.
const ROUND_TRIPS: u32 = 8;

/// The window holds at least what is sent in this time.
const MINIMUM_TIME: Duration = Duration::from_secs(1);

/// Sends at a given rate, whatever happens.
#[derive(Debug, Clone)]
pub struct Fixed {
    rate: u64,
    packet: u64,
    smoothed_rtt: Duration,
    recovery_start: Option<Duration>,
    events: u64,
}

impl Fixed {
    /// Creates one that sends `rate` bytes per second (at least one), in packets of `packet` bytes.
    #[must_use]
    pub fn new(rate: u64, packet: u64) -> Self {
        Self {
            rate: rate.max(1),
            packet,
            smoothed_rtt: Duration::ZERO,
            recovery_start: None,
            events: 0,
        }
    }

    /// Counts a round trip in which a packet that was sent at `sent` was lost or marked.
    fn count(&mut self, now: Duration, sent: Duration) {
        if self.recovery_start.is_none_or(|start| sent > start) {
            self.recovery_start = Some(now);
            self.events = self.events.saturating_add(1);
        }
    }
}

impl Controller for Fixed {
    fn on_sent(&mut self, _: &Sent) {}

    fn on_ack(&mut self, ack: &Ack) {
        self.smoothed_rtt = ack.smoothed_rtt;
    }

    fn on_lost(&mut self, lost: &Lost) {
        self.count(lost.now, lost.sent);
    }

    fn on_marked(&mut self, marked: &Marked) {
        self.count(marked.now, marked.sent);
    }

    fn on_spurious(&mut self, _: &Spurious) {}

    fn on_persistent_congestion(&mut self, _: Duration) {}

    fn set_packet(&mut self, bytes: u64) {
        self.packet = bytes;
    }

    fn window(&self) -> u64 {
        let time = self.smoothed_rtt.saturating_mul(ROUND_TRIPS).max(MINIMUM_TIME);
        let bytes = u128::from(self.rate).saturating_mul(time.as_nanos()) / 1_000_000_000;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        bytes.max(self.packet.saturating_mul(MINIMUM_PACKETS))
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.rate)
    }

    fn state(&self) -> &'static str {
        "fixed"
    }

    fn events(&self) -> u64 {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::simulator::{PACKET, Path, Simulator, lost, torment};

    #[test]
    fn the_rate_is_exact_whatever_happens() {
        let mut fixed = Fixed::new(1_234_567, PACKET);
        torment(&mut fixed, 2, 100_000, |controller, packet| {
            assert_eq!(controller.pacing_rate(), Some(1_234_567));
            assert!(controller.window() >= packet.saturating_mul(64));
            assert!(controller.window() >= 1_234_567);
            assert_eq!(controller.state(), "fixed");
        });
    }

    #[test]
    fn a_path_that_loses_and_overflows_gets_the_rate_all_the_same() {
        let rate = 2_500_000;
        let path = Path {
            rate: Some(2_000_000),
            rtt: Duration::from_millis(80),
            queue: 100_000,
            loss: 0.05,
        };
        let mut simulator = Simulator::new(path, 3);
        let flow = simulator.add(Box::new(Fixed::new(rate, PACKET)), Duration::ZERO, None);
        simulator.run_until(Duration::from_secs(30));
        let sent = simulator.flow(flow).sent_bytes;
        println!(
            "sent {sent} B in 30 s, wanted {} B, {} events",
            rate * 30,
            simulator.flow(flow).controller.events()
        );
        assert!(sent.abs_diff(rate * 30) <= 2 * PACKET);
        assert!(simulator.flow(flow).controller.events() > 100);
    }

    #[test]
    fn losses_count_once_per_round_trip() {
        let mut fixed = Fixed::new(1_000_000, PACKET);
        let ms = Duration::from_millis;
        fixed.on_lost(&lost(ms(100), ms(50)));
        fixed.on_lost(&lost(ms(110), ms(60)));
        fixed.on_lost(&lost(ms(140), ms(100)));
        assert_eq!(fixed.events(), 1);
        fixed.on_lost(&lost(ms(160), ms(101)));
        assert_eq!(fixed.events(), 2);
    }

    #[test]
    fn the_window_holds_eight_round_trips() {
        let mut fixed = Fixed::new(1_000_000, PACKET);
        assert_eq!(fixed.window(), 1_000_000);
        fixed.smoothed_rtt = Duration::from_millis(500);
        assert_eq!(fixed.window(), 4_000_000);
        assert_eq!(Fixed::new(0, PACKET).window(), 64 * PACKET);
    }
}
