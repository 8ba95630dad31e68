//! Round trips (RFC 9002, section 5).

use std::time::Duration;

/// An estimate of the round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rtt {
    /// The last one; `None` before the first.
    latest: Option<Duration>,
    smoothed: Duration,
    deviation: Duration,
    least: Duration,
}

/// Round trips as they were measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrips {
    /// The last one.
    pub latest: Duration,
    /// The smoothed one, without what the peer waited.
    pub smoothed: Duration,
    /// The mean deviation.
    pub deviation: Duration,
    /// The shortest one.
    pub least: Duration,
}

impl Rtt {
    pub(crate) fn new() -> Self {
        Self { latest: None, smoothed: INITIAL, deviation: INITIAL / 2, least: Duration::ZERO }
    }

    /// Takes a sample: `rtt` in all, of which the peer says that it waited `delay`. Returns the sample
    /// without that.
    pub(crate) fn update(&mut self, rtt: Duration, delay: Duration) -> Duration {
        if self.latest.is_none() {
            *self = Self { latest: Some(rtt), smoothed: rtt, deviation: rtt / 2, least: rtt };
            return rtt;
        }
        self.least = self.least.min(rtt);
        // A peer that says more than it can have waited must not make the path look shorter.
        let without = rtt.saturating_sub(delay.min(MOST_DELAY));
        let adjusted = if without >= self.least { without } else { rtt };
        self.latest = Some(adjusted);
        let error = self.smoothed.abs_diff(adjusted);
        self.deviation = (self.deviation * 3 + error) / 4;
        self.smoothed = (self.smoothed * 7 + adjusted) / 8;
        adjusted
    }

    /// Returns the smoothed round trip; before the first sample, what is assumed.
    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    pub(crate) fn least(&self) -> Duration {
        self.least
    }

    /// Returns how long after it was sent a packet is lost, if a later one was acknowledged: the
    /// longer of the last and the smoothed round trip, and so many eighths of it more.
    pub(crate) fn loss_delay(&self, eighths: u32) -> Duration {
        let longer = self.latest.unwrap_or(self.smoothed).max(self.smoothed);
        (longer + longer * eighths / 8).max(GRANULARITY)
    }

    /// Returns how long after the last packet an acknowledgement is asked for by another.
    pub(crate) fn probe_timeout(&self) -> Duration {
        self.smoothed + (self.deviation * 4).max(GRANULARITY) + ACK_DELAY
    }

    /// Returns the figures; `None` before the first sample.
    pub(crate) fn figures(&self) -> Option<RoundTrips> {
        let Self { latest, smoothed, deviation, least } = *self;
        latest.map(|latest| RoundTrips { latest, smoothed, deviation, least })
    }
}

/// How long a receiver keeps an acknowledgement back at most.
pub(crate) const ACK_DELAY: Duration = Duration::from_millis(1);

/// How much longer than agreed a peer may have waited, whose timers are coarse.
const MOST_DELAY: Duration = Duration::from_millis(5);

/// The shortest time that timers tell apart.
const GRANULARITY: Duration = Duration::from_millis(1);

/// What is assumed before the first sample. The handshake has shown that the peer is there, so that a
/// packet that is sent again in vain does no harm.
const INITIAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_sample_is_believed_and_later_ones_move_it_by_an_eighth() {
        let mut rtt = Rtt::new();
        assert_eq!(rtt.figures(), None);
        rtt.update(ms(80), ms(4));
        assert_eq!(rtt.smoothed(), ms(80));
        assert_eq!(rtt.probe_timeout(), ms(80 + 160 + 1));
        rtt.update(ms(164), ms(4));
        assert_eq!(rtt.smoothed(), ms(90), "7/8 of 80 and 1/8 of 160");
        let figures = rtt.figures().unwrap();
        assert_eq!((figures.latest, figures.deviation, figures.least), (ms(160), ms(50), ms(80)));
        assert_eq!(rtt.loss_delay(1), ms(180));
    }

    #[test]
    fn a_peer_that_lies_about_its_delay_does_not_shorten_the_path() {
        let mut rtt = Rtt::new();
        rtt.update(ms(50), Duration::ZERO);
        assert_eq!(rtt.update(ms(52), ms(40)), ms(52), "47 would be shorter than any");
        assert_eq!(rtt.update(ms(60), ms(3)), ms(57));
        assert_eq!(rtt.update(ms(70), ms(60)), ms(65), "no more than 5 are believed");
        assert_eq!(rtt.least(), ms(50));
    }
}
