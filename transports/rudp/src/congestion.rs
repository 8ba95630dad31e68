//! How much may be under way, and how fast it goes.

mod bbr;
mod cubic;
mod fixed;
#[cfg(test)]
mod simulator;
mod unlimited;

use std::{fmt, time::Duration};

pub use self::{bbr::Bbr, cubic::Cubic, fixed::Fixed, unlimited::Unlimited};

/// Says how much a sender may have under way, and at what rate it sends.
///
/// Pure: time comes with each event, as time since an epoch, and never goes backwards. Bytes are those
/// of whole packets as UDP carries them; rates are in bytes per second. The events of one
/// acknowledgement come in this order: [`on_lost`](Self::on_lost) for each packet that is given up by
/// it, then [`on_marked`](Self::on_marked) if it told of new marks, then [`on_ack`](Self::on_ack).
pub trait Controller: fmt::Debug + Send {
    /// A packet that counts as under way was sent.
    fn on_sent(&mut self, sent: &Sent);

    /// Packets were acknowledged for the first time.
    fn on_ack(&mut self, ack: &Ack);

    /// A packet was given up as lost.
    fn on_lost(&mut self, lost: &Lost);

    /// The network has marked packets instead of dropping them (RFC 3168).
    fn on_marked(&mut self, marked: &Marked);

    /// A packet that was given up has arrived after all, so that the answer to its loss was wrong.
    fn on_spurious(&mut self, spurious: &Spurious);

    /// Nothing came through for so long that the path may have changed (RFC 9002, section 7.6).
    fn on_persistent_congestion(&mut self, now: Duration);

    /// The size of whole packets has changed.
    fn set_packet(&mut self, bytes: u64);

    /// Returns how many bytes may be under way.
    fn window(&self) -> u64;

    /// Returns the rate to send at; `None` to send as the window permits.
    fn pacing_rate(&self) -> Option<u64>;

    /// Returns what it is doing, by the name that its specification uses: `slow start`, `ProbeBW`.
    fn state(&self) -> &'static str;

    /// Returns how often it has answered to loss or marks.
    fn events(&self) -> u64;
}

/// A packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub now: Duration,
    /// Its number; the next one's is one more.
    pub packet: u64,
    /// Its length.
    pub bytes: u64,
    /// What was under way before it.
    pub in_flight: u64,
    /// Whether there was nothing under way, and no data had been waiting: the flow was idle.
    pub idle: bool,
    /// Whether the sender had too little to fill the window before now
    /// ([`RateSample::app_limited`]).
    pub app_limited: bool,
}

/// What one acknowledgement has acknowledged for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// When it came.
    pub now: Duration,
    /// Bytes of the packets that it acknowledges and no other did.
    pub acked: u64,
    /// Bytes that were given up by it.
    pub lost: u64,
    /// What was under way before it, and what is now.
    pub prior_in_flight: u64,
    /// See above.
    pub in_flight: u64,
    /// All bytes acknowledged so far, these included.
    pub delivered: u64,
    /// The highest number of those packets.
    pub largest: u64,
    /// When that packet was sent.
    pub largest_sent: Duration,
    /// The number of the packet that is sent next: a round trip ends when that is acknowledged.
    pub next: u64,
    /// The round trip of that packet, without what the peer waited; `None` if it had been given up.
    pub rtt: Option<Duration>,
    /// The smoothed round trip, and the shortest of all.
    pub smoothed_rtt: Duration,
    /// See above.
    pub min_rtt: Duration,
    /// Whether the window, or the rate, held the sender back: only then does more help.
    pub limited: bool,
    /// How fast the path delivers, as measured by the newest of those packets.
    pub sample: Option<RateSample>,
}

/// A measurement of the delivery rate (draft-ietf-ccwg-bbr-03, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSample {
    /// Bytes per second that were delivered; `None` if the time was too short to tell.
    pub delivery_rate: Option<u64>,
    /// Whether the rate may be what the sender offered, rather than what the path can.
    pub app_limited: bool,
    /// Bytes that were delivered in that time (`RS.delivered`).
    pub delivered: u64,
    /// All bytes that had been delivered when the packet was sent (`P.delivered`).
    pub prior_delivered: u64,
    /// Bytes that were under way when it was sent, itself included (`P.tx_in_flight`).
    pub tx_in_flight: u64,
    /// Bytes that were given up since (`RS.lost`).
    pub lost: u64,
}

/// A packet that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// When it was given up.
    pub now: Duration,
    /// Its number.
    pub packet: u64,
    /// Its length.
    pub bytes: u64,
    /// When it was sent.
    pub sent: Duration,
    /// The number of the packet that is sent next.
    pub next: u64,
    /// What is under way without it.
    pub in_flight: u64,
    /// Bytes that were under way when it was sent, itself included (`P.tx_in_flight`).
    pub tx_in_flight: u64,
    /// Bytes that were given up since it was sent, itself included (`C.lost - P.lost`).
    pub lost_since: u64,
    /// All bytes acknowledged so far.
    pub delivered: u64,
    /// Whether the sender had had too little to fill the window when it was sent.
    pub app_limited: bool,
}

/// Marks that the network made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// When they were told of.
    pub now: Duration,
    /// How many packets more are marked than were before.
    pub packets: u64,
    /// When the newest acknowledged packet was sent.
    pub sent: Duration,
    /// What is under way.
    pub in_flight: u64,
}

/// A packet that was given up and arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spurious {
    /// When that was heard.
    pub now: Duration,
    /// When it was sent.
    pub sent: Duration,
    /// When it was given up.
    pub given_up: Duration,
    /// Its length.
    pub bytes: u64,
}
