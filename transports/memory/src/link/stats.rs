//! What became of the packets of a link.

use std::{collections::VecDeque, fmt};

/// Why a packet did not come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The queue was full.
    Queue,
    /// The queue's management dropped it, to tell its sender to slow down.
    Aqm,
    /// It went beyond what the policer lets through.
    Policer,
    /// By chance, on the wire.
    Loss,
    /// The wire was dark when it was sent.
    Blackout,
    /// The script says so.
    Script,
    /// The cable was pulled while it was under way.
    Cut,
}

impl Cause {
    /// Every cause, in the order in which a packet meets them.
    pub const ALL: [Self; 7] = [
        Self::Policer,
        Self::Queue,
        Self::Aqm,
        Self::Blackout,
        Self::Loss,
        Self::Script,
        Self::Cut,
    ];

    /// Returns the cause as a word: `queue`, `aqm`, `policer` and so on.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Aqm => "aqm",
            Self::Policer => "policer",
            Self::Loss => "loss",
            Self::Blackout => "blackout",
            Self::Script => "script",
            Self::Cut => "cut",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of the packets of a link.
///
/// `pushed + duplicated` is `delivered`, and [`gone`](Self::gone), and what is in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets put on the link.
    pub pushed: u64,
    /// Packets that came through, copies included.
    pub delivered: u64,
    /// Packets that found the queue full.
    pub dropped_by_queue: u64,
    /// Packets that the queue's management dropped.
    pub dropped_by_aqm: u64,
    /// Packets beyond what the policer lets through.
    pub dropped_by_policer: u64,
    /// Packets lost on the wire by chance.
    pub lost: u64,
    /// Packets sent while the wire was dark.
    pub lost_in_blackouts: u64,
    /// Packets lost on the wire because the script says so.
    pub lost_by_script: u64,
    /// Packets, copies included, that were under way when the cable was pulled.
    pub cut: u64,
    /// Packets that were told of congestion instead of being dropped.
    pub marked: u64,
    /// Copies made on the wire.
    pub duplicated: u64,
    /// Packets held back from their place.
    pub reordered: u64,
    /// The most packets that ever waited in the queue.
    pub longest_queue_packets: usize,
    /// The most bytes that ever waited in the queue.
    pub longest_queue_bytes: usize,
}

impl LinkStats {
    /// Returns how many packets did not come through because of `cause`.
    #[must_use]
    pub const fn dropped(&self, cause: Cause) -> u64 {
        match cause {
            Cause::Queue => self.dropped_by_queue,
            Cause::Aqm => self.dropped_by_aqm,
            Cause::Policer => self.dropped_by_policer,
            Cause::Loss => self.lost,
            Cause::Blackout => self.lost_in_blackouts,
            Cause::Script => self.lost_by_script,
            Cause::Cut => self.cut,
        }
    }

    /// Returns how many packets did not come through, whatever the cause.
    #[must_use]
    pub fn gone(&self) -> u64 {
        Cause::ALL.into_iter().map(|cause| self.dropped(cause)).sum()
    }

    /// Returns how many packets were lost behind the bottleneck, whatever the cause.
    #[must_use]
    pub const fn lost_on_the_wire(&self) -> u64 {
        self.lost + self.lost_in_blackouts + self.lost_by_script + self.cut
    }

    const fn count(&mut self, cause: Cause) {
        *match cause {
            Cause::Queue => &mut self.dropped_by_queue,
            Cause::Aqm => &mut self.dropped_by_aqm,
            Cause::Policer => &mut self.dropped_by_policer,
            Cause::Loss => &mut self.lost,
            Cause::Blackout => &mut self.lost_in_blackouts,
            Cause::Script => &mut self.lost_by_script,
            Cause::Cut => &mut self.cut,
        } += 1;
    }
}

/// The account of a link: the counts, and the packets that are gone if somebody wants them.
#[derive(Debug)]
pub(super) struct Account<P> {
    pub(super) stats: LinkStats,
    pub(super) kept: Option<VecDeque<(P, Cause)>>,
}

impl<P> Account<P> {
    pub(super) fn new() -> Self {
        Self { stats: LinkStats::default(), kept: None }
    }

    pub(super) fn lose(&mut self, packet: P, cause: Cause) {
        self.stats.count(cause);
        if let Some(kept) = &mut self.kept {
            kept.push_back((packet, cause));
        }
    }
}
