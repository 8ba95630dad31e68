use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What became of the datagrams that no flow's own socket took, and of the flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Flows that are open now.
    pub flows: usize,
    /// Flows opened.
    pub opened: u64,
    /// Datagrams passed on to a flow.
    pub passed_on: u64,
    /// Datagrams answered without anything being kept.
    pub answered: u64,
    /// Dropped: no protocol knows them.
    pub unknown: u64,
    /// Dropped: a protocol knows them, and does not want them.
    pub refused: u64,
    /// Dropped: their flow has ended.
    pub ended: u64,
    /// Dropped: their flow's queue was full.
    pub overflowed: u64,
    /// Dropped: there were too many flows, or too many new ones.
    pub limited: u64,
    /// Dropped: no socket could be had for their flow.
    pub failed: u64,
    /// Dropped: they had no bytes.
    pub empty: u64,
    /// Failures to receive, which were survived.
    pub errors: u64,
    /// Datagrams received that were QUIC's, without those injected.
    pub quic: u64,
    /// Datagrams of QUIC's that were found elsewhere, and handed to it.
    pub injected: u64,
    /// Dropped: they were QUIC's, were found elsewhere, and too many waited for it already.
    pub injections_overflowed: u64,
    /// Dropped: QUIC received them, they were not its own, and too many waited already.
    pub foreign_overflowed: u64,
    /// What QUIC could not send, other than for want of room or for its length.
    pub unsent: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) opened: AtomicU64,
    pub(super) passed_on: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) ended: AtomicU64,
    pub(super) overflowed: AtomicU64,
    pub(super) limited: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) empty: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) quic: AtomicU64,
    pub(super) injected: AtomicU64,
    pub(super) injections_overflowed: AtomicU64,
    pub(super) foreign_overflowed: AtomicU64,
    pub(super) unsent: AtomicU64,
}

impl Counts {
    pub(super) fn read(&self, flows: usize) -> PortCounts {
        let read = |count: &AtomicU64| count.load(Relaxed);
        PortCounts {
            flows,
            opened: read(&self.opened),
            passed_on: read(&self.passed_on),
            answered: read(&self.answered),
            unknown: read(&self.unknown),
            refused: read(&self.refused),
            ended: read(&self.ended),
            overflowed: read(&self.overflowed),
            limited: read(&self.limited),
            failed: read(&self.failed),
            empty: read(&self.empty),
            errors: read(&self.errors),
            quic: read(&self.quic),
            injected: read(&self.injected),
            injections_overflowed: read(&self.injections_overflowed),
            foreign_overflowed: read(&self.foreign_overflowed),
            unsent: read(&self.unsent),
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub(super) fn add(counter: &AtomicU64, datagrams: u64) {
    counter.fetch_add(datagrams, Relaxed);
}
