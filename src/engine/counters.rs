use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What one half has moved. One writer, any number of readers; on cache lines of its own, so that
/// the readers and other flows' writers do not slow it down.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    bytes: AtomicU64,
    last: AtomicU64,
    target: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self { bytes: AtomicU64::new(0), last: AtomicU64::new(0), target: AtomicU64::new(UNKNOWN) }
    }

    /// Counts a batch that was moved at `now`, and returns the bytes so far.
    pub(crate) fn add(&self, bytes: usize, now: Duration) -> u64 {
        // One writer: a load and a store need no locked instruction.
        let total = self.bytes() + u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.store(total, Ordering::Relaxed);
        self.last.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        total
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns when the last batch was moved; zero if none was.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Ordering::Relaxed))
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
