//! What an end counts.

use std::time::Duration;

use polyperf_fec::FecStats;

use crate::rtt::RoundTrips;

/// What an end has counted since it was made, and how it stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams of all kinds that were written, parity included, and their bytes.
    pub datagrams_sent: u64,
    /// See above.
    pub bytes_sent: u64,
    /// Datagrams that were taken, parity included.
    pub datagrams_received: u64,
    /// Packets with a number that were sent, and those of them that had been sent before.
    pub packets_sent: u64,
    /// See [`Retransmits`].
    pub retransmits: Retransmits,
    /// Packets with a number that were received for the first time.
    pub packets_received: u64,
    /// Acknowledgements that were sent and that were received.
    pub acks_sent: u64,
    /// See above.
    pub acks_received: u64,
    /// Packets that were given up as lost, and their bytes.
    pub packets_lost: u64,
    /// See above.
    pub bytes_lost: u64,
    /// Packets that were given up and had arrived.
    pub spurious_losses: u64,
    /// Packets that were acknowledged, and their bytes.
    pub packets_acked: u64,
    /// See above.
    pub bytes_acked: u64,
    /// How often congestion control has answered to loss or marks.
    pub congestion_events: u64,
    /// Packets that the peer received marked (RFC 3168), and that were received so.
    pub marks_told: u64,
    /// See above.
    pub marks_received: u64,
    /// Questions whether a silent peer is there, and for the window while that was closed.
    pub pings: u64,
    /// Packets that were received again: by a copy that the network made, or because the sender gave
    /// up too early.
    pub duplicates: u64,
    /// Datagrams of which nothing was taken.
    pub rejected: Rejections,
    /// Time in which data waited for a window, the own or the peer's, or for its turn by the rate.
    pub window_limited: Duration,
    /// How much of that time it was the peer's.
    pub peer_limited: Duration,
    /// Round trips; `None` before the first.
    pub rtt: Option<RoundTrips>,
    /// How long an acknowledgement is waited for, now.
    pub probe_timeout: Duration,
    /// Bytes that may be under way, now; `None` if congestion control does not limit them.
    pub window: Option<u64>,
    /// Bytes that are under way, now.
    pub in_flight: u64,
    /// Bytes per second that are sent at most, now; `None` if it is not paced.
    pub pacing_rate: Option<u64>,
    /// Bytes per second that the path was last seen to deliver; `None` before.
    pub delivery_rate: Option<u64>,
    /// What congestion control is doing.
    pub state: &'static str,
    /// Bytes that the peer would still take, now.
    pub peer_window: u64,
    /// Packets by which reordering was seen to reach before one counts as lost, now.
    pub reordering: u32,
    /// Bytes of the longest datagram, now.
    pub mtu: u16,
    /// Bytes of data in the longest datagram, now.
    pub payload: u16,
    /// What forward error correction cost and brought; `None` without.
    pub fec: Option<FecStats>,
}

/// Packets that were sent again, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retransmits {
    /// Later ones were acknowledged, and there had been time for this one.
    pub lost: u64,
    /// Nothing was acknowledged for so long that the peer was asked.
    pub probes: u64,
}

impl Retransmits {
    /// Returns how many there were of all causes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lost + self.probes
    }
}

/// Datagrams of which nothing was taken, by what was wrong with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rejections {
    /// They are of another flow.
    pub foreign: u64,
    /// They are no packets.
    pub malformed: u64,
    /// They acknowledge what was never sent, or what cannot have been received.
    pub forged: u64,
    /// They have data that the window does not permit, or behind the end of the stream.
    pub beyond: u64,
    /// They have other data than was received before, or another end of the stream.
    pub conflicting: u64,
    /// They take back a part of the window.
    pub shrinking: u64,
}

impl Rejections {
    /// Returns how many there were in all; a window that shrinks is passed over, and the rest of its
    /// datagram taken.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.foreign + self.malformed + self.forged + self.beyond + self.conflicting
    }
}
