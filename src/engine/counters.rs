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
    cut: Cut,
}

/// What had been counted when an interval ended, as the writer alone can tell: whoever looks at the
/// counters from another thread comes late, by more than a slow flow's datagrams are apart.
#[derive(Debug)]
struct Cut {
    /// When the interval ends, in nanoseconds; [`NEVER`], or [`TAKEN`] once it has.
    at: AtomicU64,
    bytes: AtomicU64,
    datagrams: Datagrams,
}

/// What has been counted by some time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) bytes: u64,
    pub(crate) datagrams: DatagramCounts,
    pub(crate) jitter: Option<Duration>,
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
            cut: Cut {
                at: AtomicU64::new(NEVER),
                bytes: AtomicU64::new(0),
                datagrams: Datagrams::default(),
            },
        }
    }

    /// Sets when the current interval ends: what is counted from then on belongs to the next.
    pub(crate) fn cut_at(&self, end: Option<Duration>) {
        let at = end.map_or(NEVER, |end| nanos(end).min(NEVER));
        self.cut.at.store(at, Ordering::Release);
    }

    /// Takes note that the time is `now`, before what has just been moved is counted.
    pub(crate) fn pass(&self, now: Duration) {
        if nanos(now).min(NEVER - 1) < self.cut.at.load(Ordering::Acquire) {
            return;
        }
        self.cut.bytes.store(self.bytes(), Ordering::Relaxed);
        self.cut.datagrams.store(&self.datagrams(), self.jitter());
        self.cut.at.store(TAKEN, Ordering::Release);
    }

    /// Returns what had been counted at the end of the current interval.
    pub(crate) fn at_cut(&self) -> Tally {
        // Read in this order: what was counted after the cut is seen no sooner than the cut.
        let so_far = self.tally();
        if self.cut.at.load(Ordering::Acquire) != TAKEN {
            return so_far;
        }
        Tally {
            bytes: self.cut.bytes.load(Ordering::Relaxed),
            datagrams: self.cut.datagrams.load(),
            jitter: self.cut.datagrams.jitter(),
        }
    }

    /// Returns what has been counted so far.
    pub(crate) fn tally(&self) -> Tally {
        Tally { bytes: self.bytes(), datagrams: self.datagrams(), jitter: self.jitter() }
    }

    /// Counts a batch that was moved at `now`, and returns the bytes so far.
    pub(crate) fn add(&self, bytes: usize, now: Duration) -> u64 {
        self.pass(now);
        // One writer: a load and a store need no locked instruction.
        let total = self.bytes() + u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.store(total, Ordering::Release);
        self.last.store(nanos(now), Ordering::Relaxed);
        total
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Returns when the last batch was moved; zero if none was.
    pub(crate) fn last(&self) -> Duration {
        Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// Counts datagrams that were sent.
    pub(crate) fn add_datagrams(&self, count: u64) {
        let sent = &self.datagrams.received;
        sent.store(sent.load(Ordering::Relaxed) + count, Ordering::Release);
    }

    /// Publishes what became of a receiver's datagrams so far.
    pub(crate) fn publish(&self, counts: &DatagramCounts, jitter: Option<Duration>) {
        self.datagrams.store(counts, jitter);
    }

    /// Returns what was published last; of a sender, what it sent as `received`.
    pub(crate) fn datagrams(&self) -> DatagramCounts {
        self.datagrams.load()
    }

    pub(crate) fn jitter(&self) -> Option<Duration> {
        self.datagrams.jitter()
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

impl Datagrams {
    fn store(&self, counts: &DatagramCounts, jitter: Option<Duration>) {
        for (cell, value) in [
            (&self.received, counts.received),
            (&self.lost, counts.lost),
            (&self.reordered, counts.reordered),
            (&self.duplicated, counts.duplicated),
            (&self.late, counts.late),
            (&self.strays, counts.strays),
            (&self.jitter, jitter.map_or(0, |jitter| nanos(jitter).saturating_add(1))),
        ] {
            cell.store(value, Ordering::Release);
        }
    }

    fn load(&self) -> DatagramCounts {
        let load = |cell: &AtomicU64| cell.load(Ordering::Acquire);
        let (received, lost) = (load(&self.received), load(&self.lost));
        DatagramCounts {
            expected: received.saturating_add(lost),
            received,
            lost,
            reordered: load(&self.reordered),
            duplicated: load(&self.duplicated),
            late: load(&self.late),
            strays: load(&self.strays),
        }
    }

    fn jitter(&self) -> Option<Duration> {
        let jitter = self.jitter.load(Ordering::Acquire);
        jitter.checked_sub(1).map(Duration::from_nanos)
    }
}

const UNKNOWN: u64 = u64::MAX;
/// No interval of a test ends as late as that.
const NEVER: u64 = u64::MAX - 1;
const TAKEN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    const END: Duration = Duration::from_secs(1);
    const BEFORE: Duration = Duration::from_millis(999);

    #[test]
    fn what_is_moved_when_an_interval_ends_belongs_to_the_next() {
        let counters = Counters::new();
        counters.cut_at(Some(END));
        for (bytes, now) in [(70, BEFORE), (30, END), (5, 2 * END)] {
            counters.add(bytes, now);
            counters.add_datagrams(1);
        }
        let (cut, so_far) = (counters.at_cut(), counters.tally());
        assert_eq!((cut.bytes, cut.datagrams.received), (70, 1));
        assert_eq!((so_far.bytes, so_far.datagrams.received), (105, 3));
    }

    #[test]
    fn an_interval_after_which_nothing_moved_has_all() {
        let counters = Counters::new();
        counters.cut_at(Some(END));
        counters.add(70, BEFORE);
        assert_eq!(counters.at_cut().bytes, 70);
    }

    #[test]
    fn copies_end_an_interval_though_they_add_nothing() {
        let counters = Counters::new();
        counters.cut_at(Some(END));
        counters.add(70, BEFORE);
        counters.pass(END);
        let copied = DatagramCounts { duplicated: 1, ..DatagramCounts::default() };
        counters.publish(&copied, Some(BEFORE));
        let cut = counters.at_cut();
        assert_eq!((cut.bytes, cut.datagrams.duplicated, cut.jitter), (70, 0, None));
    }

    #[test]
    fn without_an_interval_nothing_is_cut() {
        let counters = Counters::new();
        counters.add(70, Duration::MAX);
        counters.cut_at(None);
        counters.add(30, Duration::MAX);
        assert_eq!(counters.at_cut().bytes, 100);
    }
}
