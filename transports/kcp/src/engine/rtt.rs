//! Round trips: as KCP takes them, and as they are.

use std::time::Duration;

use crate::config::{Config, Nodelay};

/// Round trips in milliseconds, from which KCP works out how long to wait for an acknowledgement.
#[derive(Debug)]
pub(super) struct Rtt {
    /// `None` before the first acknowledgement.
    smoothed: Option<u32>,
    variation: u32,
    rto: u32,
    least_rto: u32,
    interval: u32,
}

impl Rtt {
    pub(super) fn new(config: &Config) -> Self {
        let least_rto = if config.nodelay == Nodelay::Off { LEAST_RTO } else { LEAST_RTO_NODELAY };
        let interval = u32::try_from(config.interval.as_millis()).unwrap_or(LONGEST_RTO);
        Self { smoothed: None, variation: 0, rto: FIRST_RTO, least_rto, interval }
    }

    /// Takes a round trip into account, in milliseconds. One that cannot be is ignored: less than
    /// nothing, or more than a minute.
    pub(super) fn sample(&mut self, rtt: i32) {
        let Some(rtt) = u32::try_from(rtt).ok().filter(|&rtt| rtt <= LONGEST_RTO) else { return };
        let smoothed = match self.smoothed {
            None => {
                self.variation = rtt / 2;
                rtt
            }
            Some(smoothed) => {
                self.variation = (3 * self.variation + rtt.abs_diff(smoothed)) / 4;
                ((7 * smoothed + rtt) / 8).max(1)
            }
        };
        self.smoothed = Some(smoothed);
        let rto = smoothed + self.interval.max(4 * self.variation);
        self.rto = rto.clamp(self.least_rto, LONGEST_RTO);
    }

    /// Returns how long an acknowledgement is waited for, in milliseconds.
    pub(super) fn rto(&self) -> u32 {
        self.rto
    }

    /// Returns the smoothed round trip and its variation.
    pub(super) fn smoothed(&self) -> Option<(Duration, Duration)> {
        let of = |ms: u32| Duration::from_millis(ms.into());
        Some((of(self.smoothed?), of(self.variation)))
    }
}

/// Round trips in microseconds, of data that was sent once, so that there is no doubt which
/// transmission was acknowledged. They include what the peer waits before it acknowledges.
#[derive(Debug, Default)]
pub(super) struct Precise {
    /// `None` before the first such acknowledgement.
    seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    latest: u64,
    least: u64,
    /// Eight times the mean, so that nothing is lost to rounding.
    smoothed_times_8: u64,
}

impl Precise {
    pub(super) fn sample(&mut self, rtt: u64) {
        let rtt = rtt.min(u64::from(LONGEST_RTO) * 1000);
        let seen =
            self.seen.get_or_insert(Seen { latest: rtt, least: rtt, smoothed_times_8: rtt * 8 });
        seen.latest = rtt;
        seen.least = seen.least.min(rtt);
        seen.smoothed_times_8 = seen.smoothed_times_8 - seen.smoothed_times_8 / 8 + rtt;
    }

    pub(super) fn least(&self) -> Option<u64> {
        self.seen.map(|seen| seen.least)
    }

    pub(super) fn round_trips(&self) -> Option<RoundTrips> {
        let seen = self.seen?;
        Some(RoundTrips {
            latest: Duration::from_micros(seen.latest),
            smoothed: Duration::from_micros(seen.smoothed_times_8 / 8),
            least: Duration::from_micros(seen.least),
        })
    }
}

/// Round trips to the microsecond, of segments that were sent once.
///
/// They begin when a segment is written into an [`Output`](crate::Output), and end with the
/// explicit acknowledgement of that segment; what the peer waits before it flushes is part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrips {
    /// The latest.
    pub latest: Duration,
    /// The mean, in which each new one has a weight of an eighth.
    pub smoothed: Duration,
    /// The shortest of all.
    pub least: Duration,
}

/// Milliseconds that an acknowledgement is waited for at most.
pub(super) const LONGEST_RTO: u32 = 60_000;

const FIRST_RTO: u32 = 200;
const LEAST_RTO: u32 = 100;
const LEAST_RTO_NODELAY: u32 = 30;
