//! One direction of an emulated link, in virtual time.

mod config;
mod dice;
mod script;

use std::{cmp::Reverse, collections::BinaryHeap, collections::VecDeque, fmt, time::Duration};

pub use self::{
    config::{BitRate, LinkConfig, Loss, Probability, QueueLimit, Reorder},
    script::Script,
};
use self::{
    dice::{Dice, Fate},
    script::Lines,
};

/// Something that takes room on a link.
pub trait Packet {
    /// Returns the bytes that the packet takes on the wire, framing included.
    fn wire_len(&self) -> usize;
}

impl Packet for Vec<u8> {
    fn wire_len(&self) -> usize {
        self.len()
    }
}

impl Packet for Box<[u8]> {
    fn wire_len(&self) -> usize {
        self.len()
    }
}

/// One direction of a link: a bounded drop-tail queue, a serializer, and a wire.
///
/// ```text
/// push ─> [queue] ─> [serializer] ─> [loss · duplicate · delay + jitter · reorder] ─> pop_due
/// ```
///
/// It neither reads a clock nor waits. `now` is the time since an epoch of the caller's choice, and
/// must not go backwards from call to call. The times of all events are computed from each other,
/// never from the moment of a call: who calls late gets packets late, but the rate, and which
/// packets are lost, stay exactly as they were.
///
/// Loss sits behind the bottleneck, so a lost packet has used up its share of the rate. Without a
/// rate the queue is always empty and drops nothing.
pub struct Link<P> {
    config: LinkConfig,
    lines: Lines,
    dice: Dice,
    stats: LinkStats,
    queue: VecDeque<Queued<P>>,
    queued_bytes: usize,
    serializer: Serializer,
    /// On the wire and in order, which nearly all are: no heap needed.
    wire: VecDeque<InFlight<P>>,
    /// On the wire and held back from their place.
    held: BinaryHeap<Reverse<InFlight<P>>>,
    wire_bytes: usize,
    /// Packets put on the wire, copies included: settles who is first at equal times.
    departed: u64,
}

impl<P: Packet + Clone> Link<P> {
    /// Returns an empty link.
    #[must_use]
    pub fn new(config: LinkConfig) -> Self {
        Self {
            lines: Lines::of(&config.script),
            dice: Dice::new(&config),
            serializer: Serializer::new(config.rate),
            config,
            stats: LinkStats::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            wire: VecDeque::new(),
            held: BinaryHeap::new(),
            wire_bytes: 0,
            departed: 0,
        }
    }

    /// Puts a packet on the link; a full queue drops it.
    pub fn push(&mut self, now: Duration, packet: P) {
        self.advance(now);
        let number = self.stats.pushed;
        self.stats.pushed += 1;
        if !self.has_room(now, packet.wire_len()) {
            self.stats.dropped_by_queue += 1;
            return;
        }
        self.queued_bytes += packet.wire_len();
        self.queue.push_back(Queued { packet, number, since: now });
        self.advance(now);
    }

    /// Returns a packet that has come through by `now`, the earliest first.
    pub fn pop_due(&mut self, now: Duration) -> Option<P> {
        self.advance(now);
        let held_first = match (self.wire.front(), self.held.peek()) {
            (Some(next), Some(Reverse(held))) => held < next,
            (next, _) => next.is_none(),
        };
        let next_due = if held_first { self.held.peek()?.0.due } else { self.wire.front()?.due };
        if next_due > now {
            return None;
        }
        let next = if held_first { self.held.pop()?.0 } else { self.wire.pop_front()? };
        self.wire_bytes -= next.packet.wire_len();
        self.stats.delivered += 1;
        Some(next.packet)
    }

    /// Returns whether a packet of `len` bytes that was pushed `now` would find room in the queue.
    pub fn has_room(&mut self, now: Duration, len: usize) -> bool {
        self.advance(now);
        // What goes straight to the serializer needs no room to wait in.
        if self.queue.is_empty() && self.serializer.free_at <= now {
            return true;
        }
        match self.config.queue {
            QueueLimit::Unbounded => true,
            QueueLimit::Packets(limit) => self.queue.len() < limit,
            QueueLimit::Bytes(limit) => self.queued_bytes + len <= limit,
        }
    }

    /// Loses all that is queued or on the wire, as when a cable is pulled.
    pub fn clear(&mut self, now: Duration) {
        self.advance(now);
        self.stats.lost += self.in_flight() as u64;
        self.queue.clear();
        self.wire.clear();
        self.held.clear();
        (self.queued_bytes, self.wire_bytes) = (0, 0);
    }

    /// Returns when to call [`pop_due`](Self::pop_due) next; `None` if the link is empty.
    ///
    /// Something happens then; it may be a departure within the link rather than an arrival.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let departure = self.queue.front().map(|next| self.serializer.start(next.since));
        let arrival = self.wire.front().map(|next| next.due);
        let held = self.held.peek().map(|Reverse(next)| next.due);
        [departure, arrival, held].into_iter().flatten().min()
    }

    /// Returns what became of the packets so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// Returns how many packets are queued or on the wire.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queue.len() + self.wire.len() + self.held.len()
    }

    /// Returns how many bytes are queued or on the wire.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        self.queued_bytes + self.wire_bytes
    }

    /// Moves to the wire whatever the serializer has begun with by `now`.
    fn advance(&mut self, now: Duration) {
        while let Some(next) = self.queue.front()
            && self.serializer.start(next.since) <= now
            && let Some(next) = self.queue.pop_front()
        {
            let len = next.packet.wire_len();
            self.queued_bytes -= len;
            let sent = self.serializer.send(next.since, len);
            self.depart(sent, next.number, next.packet);
        }
    }

    fn depart(&mut self, sent: Duration, number: u64, packet: P) {
        let fate = self.lines.read(number, self.dice.throw(sent));
        if fate.lost {
            self.stats.lost += 1;
            return;
        }
        let copy = fate.duplicated.then(|| packet.clone());
        self.stats.duplicated += u64::from(fate.duplicated);
        self.travel(sent, &fate, packet);
        // The copy is never held back: each setting shows by itself.
        if let Some(copy) = copy {
            self.travel(sent, &Fate { held_back: Duration::ZERO, ..fate }, copy);
        }
    }

    fn travel(&mut self, sent: Duration, fate: &Fate, packet: P) {
        self.wire_bytes += packet.wire_len();
        let due = sent.saturating_add(fate.delay);
        let order = self.departed;
        self.departed += 1;
        if fate.held_back > Duration::ZERO {
            self.stats.reordered += 1;
            let due = due.saturating_add(fate.held_back);
            self.held.push(Reverse(InFlight { due, order, packet }));
            return;
        }
        let due = self.wire.back().map_or(due, |last| last.due.max(due));
        self.wire.push_back(InFlight { due, order, packet });
    }
}

impl<P> fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("config", &self.config)
            .field("stats", &self.stats)
            .field("queued", &self.queue.len())
            .field("on_the_wire", &(self.wire.len() + self.held.len()))
            .finish_non_exhaustive()
    }
}

/// What became of the packets of a link.
///
/// `pushed + duplicated` is the sum of the others but `reordered`, and of what is in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets put on the link.
    pub pushed: u64,
    /// Packets that came through, copies included.
    pub delivered: u64,
    /// Packets that found the queue full.
    pub dropped_by_queue: u64,
    /// Packets lost on the wire, by chance, by the script or by a cut.
    pub lost: u64,
    /// Copies made on the wire.
    pub duplicated: u64,
    /// Packets held back from their place.
    pub reordered: u64,
}

#[derive(Debug)]
struct Queued<P> {
    packet: P,
    number: u64,
    since: Duration,
}

/// A packet on the wire, ordered by when it is due.
#[derive(Debug)]
struct InFlight<P> {
    due: Duration,
    order: u64,
    packet: P,
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

/// Sends one packet after the other at a fixed rate.
#[derive(Debug)]
struct Serializer {
    rate: Option<BitRate>,
    free_at: Duration,
    /// What is left of the last nanosecond, in bits times 10⁹, so that rounding never adds up.
    remainder: u128,
}

impl Serializer {
    fn new(rate: Option<BitRate>) -> Self {
        Self { rate, free_at: Duration::ZERO, remainder: 0 }
    }

    /// Returns when a packet that came at `since` can start.
    fn start(&self, since: Duration) -> Duration {
        since.max(self.free_at)
    }

    /// Sends `len` bytes that came at `since`, and returns when the last bit is out.
    fn send(&mut self, since: Duration, len: usize) -> Duration {
        let start = self.start(since);
        if start > self.free_at {
            self.remainder = 0;
        }
        if let Some(rate) = self.rate {
            let work = len as u128 * 8 * NANOS_PER_SECOND + self.remainder;
            let rate = u128::from(rate.bits_per_second());
            self.remainder = work % rate;
            let nanos = u64::try_from(work / rate).unwrap_or(u64::MAX);
            self.free_at = start.saturating_add(Duration::from_nanos(nanos));
        } else {
            self.free_at = start;
        }
        self.free_at
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;
