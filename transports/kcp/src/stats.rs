//! What an engine counts.

use std::time::Duration;

use polyperf_fec::FecStats;

use crate::engine::RoundTrips;

/// What an engine has counted since it was made, and how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// What was written into [`Output`](crate::Output)s.
    pub sent: Traffic,
    /// What was received, less what was [rejected](Self::rejected).
    pub received: Traffic,
    /// Segments that were sent again, by what made that necessary. They are in [`sent`](Self::sent).
    pub retransmits: Retransmits,
    /// Segments whose last retransmission turned out to be for nothing, since an earlier one had
    /// arrived.
    ///
    /// Either the acknowledgement has the time of an earlier transmission, or it came sooner after
    /// the last one than the shortest round trip of all. The first needs transmissions in different
    /// milliseconds; the second, a segment whose acknowledgement came by itself.
    pub spurious: u64,
    /// Data segments that had been received before.
    pub duplicates: u64,
    /// Data segments beyond the receive window, which are neither kept nor acknowledged.
    pub beyond_window: u64,
    /// Data segments longer than Ethernet and the own [`mtu`](crate::Config::mtu) carry, or of
    /// messages longer than the receive window; neither kept nor acknowledged.
    pub unfit: u64,
    /// Messages that were dropped because their fragments did not belong together.
    pub broken_messages: u64,
    /// Questions for the peer's window, which was closed.
    pub probes: u64,
    /// Datagrams of which nothing was taken.
    pub rejected: Rejections,
    /// How long data waited for nothing but a window: the own, the peer's, or that of congestion
    /// control.
    pub window_limited: Duration,
    /// How long of that time the peer's window was closed.
    pub zero_window: Duration,
    /// KCP's smoothed round trip, in whole milliseconds; `None` before the first acknowledgement.
    pub srtt: Option<Duration>,
    /// KCP's variation of the round trip, in whole milliseconds.
    pub rttvar: Option<Duration>,
    /// How long an acknowledgement is waited for at first.
    pub rto: Duration,
    /// Round trips to the microsecond; `None` before the first acknowledgement of something that
    /// was sent once.
    pub rtt: Option<RoundTrips>,
    /// The congestion window in segments; `None` without congestion control.
    pub congestion_window: Option<u32>,
    /// The peer's window in segments, as it told last.
    pub peer_window: u16,
    /// Segments that wait or are under way.
    pub waiting: u32,
    /// Bytes of payload that fit into one segment.
    pub mss: usize,
    /// What forward error correction cost and brought; `None` without.
    pub fec: Option<FecStats>,
}

/// What went one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams, those of parity included.
    pub datagrams: u64,
    /// Segments of all kinds, those that were rebuilt included.
    pub segments: u64,
    /// Bytes of payload, each time that they went.
    pub bytes: u64,
    /// Bytes of the datagrams, with all headers above UDP's.
    pub wire_bytes: u64,
}

/// Segments sent again, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retransmits {
    /// No acknowledgement came in time.
    pub timeout: u64,
    /// As many datagrams as [`resend`](crate::Config::resend) says acknowledged later data.
    pub fast: u64,
    /// Later data was acknowledged, and there was nothing new to send.
    pub early: u64,
}

impl Retransmits {
    /// Returns how many there were of all causes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.timeout + self.fast + self.early
    }
}

/// Datagrams of which nothing was taken, by what was wrong with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rejections {
    /// They are of another conversation.
    pub foreign: u64,
    /// They are not whole segments of known kinds.
    pub malformed: u64,
    /// They acknowledge what was never sent.
    pub unsent: u64,
}
