//! What waits for the serializer.

use std::{collections::VecDeque, time::Duration};

#[derive(Debug)]
pub(super) struct Queued<P> {
    pub(super) packet: P,
    pub(super) number: u64,
    pub(super) since: Duration,
    /// Bytes that the packet takes on this link, what the link adds included.
    pub(super) len: usize,
}

/// First in, first out.
#[derive(Debug)]
pub(super) struct Queue<P> {
    waiting: VecDeque<Queued<P>>,
    bytes: usize,
    largest: usize,
}

impl<P> Queue<P> {
    pub(super) const fn new() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, largest: 0 }
    }

    pub(super) fn push(&mut self, packet: Queued<P>) {
        self.bytes += packet.len;
        self.largest = self.largest.max(packet.len);
        self.waiting.push_back(packet);
    }

    pub(super) fn pop(&mut self) -> Option<Queued<P>> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.len;
        Some(first)
    }

    /// Returns since when the first waits.
    pub(super) fn since(&self) -> Option<Duration> {
        self.waiting.front().map(|first| first.since)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn packets(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes of the largest packet that ever came.
    pub(super) const fn largest(&self) -> usize {
        self.largest
    }
}
