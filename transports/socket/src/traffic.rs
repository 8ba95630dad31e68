use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What went over a flow, counted by its halves.
#[derive(Debug, Default)]
pub struct Traffic {
    pub(crate) sent: Direction,
    pub(crate) received: Direction,
    pub(crate) empty: AtomicU64,
    pub(crate) strangers: AtomicU64,
    pub(crate) overflowed: AtomicU64,
}

/// One direction. It has a cache line of its own, since each half writes one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Direction {
    packets: AtomicU64,
    bytes: AtomicU64,
    calls: AtomicU64,
}

impl Direction {
    /// Counts `len` bytes in packets of `stride`, for which it took one system call.
    pub(crate) fn add(&self, len: usize, stride: usize) {
        self.add_more(len, stride);
        self.calls.fetch_add(1, Relaxed);
    }

    /// Counts what came with the same system call as something else.
    pub(crate) fn add_more(&self, len: usize, stride: usize) {
        let packets = len.div_ceil(stride.max(1)).max(1);
        self.packets.fetch_add(packets as u64, Relaxed);
        self.bytes.fetch_add(len as u64, Relaxed);
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets.load(Relaxed)
    }
}

impl Traffic {
    /// Returns the datagrams sent.
    #[must_use]
    pub fn packets_sent(&self) -> u64 {
        self.sent.packets()
    }

    /// Returns the bytes in datagrams sent, without any header.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.sent.bytes.load(Relaxed)
    }

    /// Returns the datagrams received, those without bytes among them.
    #[must_use]
    pub fn packets_received(&self) -> u64 {
        self.received.packets()
    }

    /// Returns the bytes in datagrams received, without any header.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.received.bytes.load(Relaxed)
    }

    /// Returns the system calls that sent.
    #[must_use]
    pub fn send_calls(&self) -> u64 {
        self.sent.calls.load(Relaxed)
    }

    /// Returns the system calls that received, or the times that somebody else's did.
    #[must_use]
    pub fn recv_calls(&self) -> u64 {
        self.received.calls.load(Relaxed)
    }

    /// Returns the datagrams received that had no bytes, and were skipped.
    #[must_use]
    pub fn empty(&self) -> u64 {
        self.empty.load(Relaxed)
    }

    /// Returns the reads that brought datagrams of somebody else.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.strangers.load(Relaxed)
    }

    /// Returns the datagrams that found the flow's queue full.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Relaxed)
    }
}
