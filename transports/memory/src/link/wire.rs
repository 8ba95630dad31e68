//! What is on its way to the other end.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

/// A packet on the wire, ordered by when it is due.
#[derive(Debug)]
pub(super) struct InFlight<P> {
    pub(super) due: Duration,
    order: u64,
    pub(super) queued: Duration,
    pub(super) len: usize,
    pub(super) packet: P,
}

#[derive(Debug)]
pub(super) struct Wire<P> {
    /// In order, which nearly all are: no heap needed.
    ordered: VecDeque<InFlight<P>>,
    /// Held back from their place.
    held: BinaryHeap<Reverse<InFlight<P>>>,
    bytes: usize,
    /// Packets put on the wire, copies included: settles who is first at equal times.
    departed: u64,
}

impl<P> Wire<P> {
    pub(super) const fn new() -> Self {
        Self { ordered: VecDeque::new(), held: BinaryHeap::new(), bytes: 0, departed: 0 }
    }

    /// Sends a packet that arrives at `due`, or behind whatever is to arrive later.
    pub(super) fn send(&mut self, due: Duration, queued: Duration, len: usize, packet: P) {
        let due = self.ordered.back().map_or(due, |last| last.due.max(due));
        let next = self.board(due, queued, len, packet);
        self.ordered.push_back(next);
    }

    /// Sends a packet that arrives at `due`, whatever overtakes it.
    pub(super) fn hold(&mut self, due: Duration, queued: Duration, len: usize, packet: P) {
        let next = self.board(due, queued, len, packet);
        self.held.push(Reverse(next));
    }

    /// Takes off the first packet that has arrived by `now`.
    pub(super) fn pop(&mut self, now: Duration) -> Option<InFlight<P>> {
        let held_first = match (self.ordered.front(), self.held.peek()) {
            (Some(next), Some(Reverse(held))) => held < next,
            (next, _) => next.is_none(),
        };
        let next = if held_first {
            if self.held.peek()?.0.due > now {
                return None;
            }
            self.held.pop()?.0
        } else {
            self.ordered.pop_front_if(|next| next.due <= now)?
        };
        self.bytes -= next.len;
        Some(next)
    }

    /// Takes off all packets, in no order.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = P> {
        self.bytes = 0;
        let held = self.held.drain().map(|Reverse(held)| held);
        self.ordered.drain(..).chain(held).map(|next| next.packet)
    }

    pub(super) fn next_arrival(&self) -> Option<Duration> {
        let ordered = self.ordered.front().map(|next| next.due);
        let held = self.held.peek().map(|Reverse(next)| next.due);
        [ordered, held].into_iter().flatten().min()
    }

    pub(super) fn packets(&self) -> usize {
        self.ordered.len() + self.held.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn board(&mut self, due: Duration, queued: Duration, len: usize, packet: P) -> InFlight<P> {
        self.bytes += len;
        let order = self.departed;
        self.departed += 1;
        InFlight { due, order, queued, len, packet }
    }
}

impl<P> Ord for InFlight<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl<P> PartialOrd for InFlight<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for InFlight<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<P> Eq for InFlight<P> {}
