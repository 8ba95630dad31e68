//! No congestion control at all.

use super::{Ack, Controller, Lost, Marked, Sent, Spurious};
use std::time::Duration;

/// Lets everything go at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unlimited;

impl Controller for Unlimited {
    fn on_sent(&mut self, _: &Sent) {}

    fn on_ack(&mut self, _: &Ack) {}

    fn on_lost(&mut self, _: &Lost) {}

    fn on_marked(&mut self, _: &Marked) {}

    fn on_spurious(&mut self, _: &Spurious) {}

    fn on_persistent_congestion(&mut self, _: Duration) {}

    fn set_packet(&mut self, _: u64) {}

    fn window(&self) -> u64 {
        u64::MAX
    }

    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    fn state(&self) -> &'static str {
        "none"
    }

    fn events(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::simulator::torment;

    #[test]
    fn nothing_limits_it() {
        let mut unlimited = Unlimited;
        torment(&mut unlimited, 1, 10_000, |controller, _| {
            assert_eq!(controller.window(), u64::MAX);
            assert_eq!(controller.pacing_rate(), None);
            assert_eq!(controller.events(), 0);
            assert_eq!(controller.state(), "none");
        });
    }
}
