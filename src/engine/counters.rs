use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::framing::nanos;
use crate::measure::DatagramCounts;

/// What one half has moved. One writer, any number of readers; on cache lines of its own, so that
/// the readers and other flows' writers do not slow it down.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    bytes: AtomicU64,
    last: AtomicU64,
    target: AtomicU64,
    datagrams: Datagrams,
}

/// Of a sender's, `received` holds what it sent, and the others nothing.
#[derive(Debug, Default)]
struct Datagrams {
    received: AtomicU64,
    lost: AtomicU64,
    reordered: AtomicU64,
    duplicated: AtomicU64,
    late: AtomicU64,
    strays: AtomicU64,
    /// In nanoseconds, and one more: 0 is unknown.
    jitter: AtomicU64,
    /// How many there will be in all, and one more: 0 is unknown.
    target: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            target: AtomicU64::new(UNKNOWN),
            datagrams: Datagrams::default(),
        }
    }

    /// Counts a batch that was moved at `now`, and returns the bytes so far.
    pub(crate) fn add(&self, bytes: usize, now: Duration) -> u64 {
        // One writer: a load and a store need no locked instruction.
        let total = self.bytes() + u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.store(total, Ordering::Relaxed);
        self.last.store(nanos(now), Ordering::Relaxed);
        total
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns when the last batch was moved; zero if none was.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// Counts datagrams that were sent.
    pub(crate) fn add_datagrams(&self, count: u64) {
        let sent = &self.datagrams.received;
        sent.store(sent.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// Publishes what became of a receiver's datagrams so far.
    pub(crate) fn publish(&self, counts: &DatagramCounts, jitter: Option<Duration>) {
        let cells = &self.datagrams;
        for (cell, value) in [
            (&cells.received, counts.received),
            (&cells.lost, counts.lost),
            (&cells.reordered, counts.reordered),
            (&cells.duplicated, counts.duplicated),
            (&cells.late, counts.late),
            (&cells.strays, counts.strays),
            (&cells.jitter, jitter.map_or(0, |jitter| nanos(jitter).saturating_add(1))),
        ] {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// Returns what was published last; of a sender, what it sent as `received`.
    pub(crate) fn datagrams(&self) -> DatagramCounts {
        let cells = &self.datagrams;
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let (received, lost) = (load(&cells.received), load(&cells.lost));
        DatagramCounts {
            expected: received.saturating_add(lost),
            received,
            lost,
            reordered: load(&cells.reordered),
            duplicated: load(&cells.duplicated),
            late: load(&cells.late),
            strays: load(&cells.strays),
        }
    }

    pub(crate) fn jitter(&self) -> Option<Duration> {
        let jitter = self.datagrams.jitter.load(Ordering::Relaxed);
        jitter.checked_sub(1).map(Duration::from_nanos)
    }

    /// Sets how many datagrams there will be in all.
    pub(crate) fn expect_datagrams(&self, count: u64) {
        self.datagrams.target.store(count.saturating_add(1), Ordering::Relaxed);
    }

    /// Returns how many datagrams there will be in all, once that is known.
    pub(crate) fn datagram_target(&self) -> Option<u64> {
        self.datagrams.target.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Sets how many bytes there will be in all.
    pub(crate) fn expect(&self, bytes: u64) {
        self.target.store(bytes, Ordering::Relaxed);
    }

    /// Returns how many bytes there will be in all, once that is known.
    pub(crate) fn target(&self) -> Option<u64> {
        Some(self.target.load(Ordering::Relaxed)).filter(|&target| target != UNKNOWN)
    }

    /// Returns whether everything that was to come has come.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes() >= self.target.load(Ordering::Relaxed)
    }
}

const UNKNOWN: u64 = u64::MAX;
