//! How fast the path delivers (draft-ietf-ccwg-bbr-03, section 4.1).

use std::time::Duration;

use super::track::Packet;
use crate::congestion::{Lost, RateSample};

/// What was delivered when, as far as it takes to measure the rate.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// Bytes that were acknowledged (`C.delivered`), and when some were last.
    delivered: u64,
    delivered_at: u64,
    /// When the packet was sent that was acknowledged last (`C.first_send_time`).
    first_sent_at: u64,
    /// Bytes that were given up (`C.lost`).
    lost: u64,
    /// The sender has too little to send until so much has been delivered; 0 if it has enough.
    app_limited: u64,
    /// The newest packet of the acknowledgement that is being taken.
    newest: Option<(Stamp, u64)>,
    last: Option<u64>,
}

/// How things stood when a packet was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stamp {
    delivered: u64,
    delivered_at: u64,
    first_sent_at: u64,
    lost: u64,
    in_flight: u64,
    pub(crate) app_limited: bool,
}

impl Rates {
    /// Returns how things stand for a packet that is sent now; `in_flight` includes it.
    #[inline]
    pub(crate) fn stamp(&mut self, now: Duration, idle: bool, in_flight: u64) -> Stamp {
        if idle {
            let now = nanos(now);
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            in_flight,
            app_limited: self.app_limited > 0,
        }
    }

    /// Notes that there is nothing to send, and nothing holds it back.
    pub(crate) fn note_idle(&mut self, in_flight: u64) {
        self.app_limited = (self.delivered + in_flight).max(1);
    }

    /// Begins with another acknowledgement.
    pub(crate) fn begin(&mut self) {
        self.newest = None;
    }

    /// Takes a packet that has arrived.
    #[inline]
    pub(crate) fn arrived(&mut self, packet: &Packet, now: Duration) {
        self.delivered += packet.bytes();
        self.delivered_at = nanos(now);
        let at = nanos(packet.at());
        let newer = self
            .newest
            .is_none_or(|(stamp, sent)| (packet.stamp.delivered, at) >= (stamp.delivered, sent));
        if newer {
            self.newest = Some((packet.stamp, at));
        }
        if self.app_limited > 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
    }

    /// Returns what the acknowledgement says.
    pub(crate) fn sample(&mut self, min_rtt: Duration) -> Option<RateSample> {
        let (stamp, sent) = self.newest?;
        self.first_sent_at = sent;
        let delivered = self.delivered - stamp.delivered;
        let sending = sent.saturating_sub(stamp.first_sent_at);
        let arriving = self.delivered_at.saturating_sub(stamp.delivered_at);
        let interval = sending.max(arriving);
        // What was acknowledged together has not arrived that fast.
        let long_enough = interval > 0 && Duration::from_nanos(interval) >= min_rtt;
        let delivery_rate = long_enough.then(|| {
            let rate = u128::from(delivered) * 1_000_000_000 / u128::from(interval);
            u64::try_from(rate).unwrap_or(u64::MAX)
        });
        self.last = delivery_rate.or(self.last);
        Some(RateSample {
            delivery_rate,
            app_limited: stamp.app_limited,
            delivered,
            prior_delivered: stamp.delivered,
            tx_in_flight: stamp.in_flight,
            lost: self.lost - stamp.lost,
        })
    }

    /// Notes that a packet was given up, and returns what congestion control hears of it.
    pub(crate) fn lost(
        &mut self,
        number: u64,
        packet: &Packet,
        next: u64,
        in_flight: u64,
        now: Duration,
    ) -> Lost {
        self.lost += packet.bytes();
        Lost {
            now,
            packet: number,
            bytes: packet.bytes(),
            sent: packet.at(),
            next,
            in_flight,
            tx_in_flight: packet.stamp.in_flight,
            lost_since: self.lost - packet.stamp.lost,
            delivered: self.delivered,
            app_limited: packet.stamp.app_limited,
        }
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns the last rate that was measured, in bytes per second.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
