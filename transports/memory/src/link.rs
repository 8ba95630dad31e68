//! One direction of an emulated link, in virtual time.

mod codel;
mod config;
mod dice;
mod policer;
mod queue;
mod script;
mod serializer;
mod stats;
mod trace;
mod wire;

use std::{collections::VecDeque, fmt, time::Duration};

use self::{
    codel::{Chosen, Control},
    dice::{Dice, Fate},
    policer::Bucket,
    queue::{Queue, Queued},
    script::Lines,
    serializer::Serializer,
    stats::Account,
    wire::Wire,
};
pub use self::{
    config::{
        Aqm, BitRate, Blackouts, CoDel, LinkConfig, Loss, Policer, Probability, QueueLimit, Rate,
        Reorder, Steps,
    },
    script::Script,
    stats::{Cause, LinkStats},
    trace::{Trace, TraceError},
};

/// Something that takes room on a link.
pub trait Packet {
    /// Returns the bytes that the packet takes on the wire, framing included.
    fn wire_len(&self) -> usize;

    /// Marks that the packet met congestion (ECN's CE of RFC 3168); false, and unchanged, if its
    /// sender does not take marks.
    fn mark(&mut self) -> bool {
        false
    }
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

/// A packet that has come through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<P> {
    /// The packet.
    pub packet: P,
    /// When it came out of the link, however late it is asked for.
    pub due: Duration,
    /// How long it waited in the queue.
    pub queued: Duration,
}

/// One direction of a link: a policer, a bounded queue, a serializer, and a wire.
///
/// ```text
/// push ─> [policer] ─> [queue: drop-tail, CoDel or marks] ─> [serializer: rate or trace]
///      ─> [blackout · loss · duplicate · delay + steps + jitter · reorder] ─> pop
/// ```
///
/// It neither reads a clock nor waits. `now` is the time since an epoch of the caller's choice, and
/// must not go backwards from call to call. Traces, blackouts and steps begin at the epoch. The
/// times of all events are computed from each other, never from the moment of a call: who calls
/// late gets packets late, but the rate, and which packets are lost, stay exactly as they were.
///
/// Loss sits behind the bottleneck, so a lost packet has used up its share of the rate. Without a
/// rate the queue is always empty and drops nothing.
pub struct Link<P> {
    config: LinkConfig,
    policer: Option<Bucket>,
    queue: Queue<P>,
    codel: Option<Control>,
    serializer: Serializer,
    lines: Lines,
    dice: Dice,
    wire: Wire<P>,
    account: Account<P>,
}

impl<P: Packet + Clone> Link<P> {
    /// Returns an empty link.
    #[must_use]
    pub fn new(config: LinkConfig) -> Self {
        let codel = match config.aqm {
            Aqm::CoDel(codel) => Some(Control::new(codel)),
            Aqm::Off | Aqm::MarkAbove(_) => None,
        };
        Self {
            policer: config.policer.map(Bucket::new),
            queue: Queue::new(),
            codel,
            serializer: Serializer::new(config.rate.as_ref()),
            lines: Lines::of(&config.script),
            dice: Dice::new(&config),
            wire: Wire::new(),
            account: Account::new(),
            config,
        }
    }

    /// Keeps packets that do not come through until [`take_lost`](Self::take_lost) takes them,
    /// which must be done as often as packets are put on the link.
    #[must_use]
    pub fn keep_lost(mut self) -> Self {
        self.account.kept = Some(VecDeque::new());
        self
    }

    /// Puts a packet on the link; the policer or a full queue may drop it.
    pub fn push(&mut self, now: Duration, mut packet: P) {
        self.advance(now);
        let number = self.account.stats.pushed;
        self.account.stats.pushed += 1;
        let len = packet.wire_len() + self.config.overhead;
        if self.policer.as_mut().is_some_and(|policer| !policer.takes(now, len)) {
            return self.account.lose(packet, Cause::Policer);
        }
        if !self.fits(now, len) {
            return self.account.lose(packet, Cause::Queue);
        }
        if let Aqm::MarkAbove(packets) = self.config.aqm
            && self.queue.packets() > packets
        {
            self.account.stats.marked += u64::from(packet.mark());
        }
        self.queue.push(Queued { packet, number, since: now, len });
        self.advance(now);
        let stats = &mut self.account.stats;
        stats.longest_queue_packets = stats.longest_queue_packets.max(self.queue.packets());
        stats.longest_queue_bytes = stats.longest_queue_bytes.max(self.queue.bytes());
    }

    /// Returns a packet that has come through by `now`, the earliest first.
    pub fn pop(&mut self, now: Duration) -> Option<Arrival<P>> {
        self.advance(now);
        let next = self.wire.pop(now)?;
        self.account.stats.delivered += 1;
        Some(Arrival { packet: next.packet, due: next.due, queued: next.queued })
    }

    /// As [`pop`](Self::pop), for who wants the packet alone.
    pub fn pop_due(&mut self, now: Duration) -> Option<P> {
        self.pop(now).map(|arrival| arrival.packet)
    }

    /// Returns a packet that did not come through, the first that was lost first; `None` if there
    /// is none, or if they are not [kept](Self::keep_lost).
    pub fn take_lost(&mut self) -> Option<(P, Cause)> {
        self.account.kept.as_mut()?.pop_front()
    }

    /// Returns whether a packet of `len` bytes that was pushed `now` would find room in the queue.
    pub fn has_room(&mut self, now: Duration, len: usize) -> bool {
        self.advance(now);
        self.fits(now, len + self.config.overhead)
    }

    /// Loses all that is queued or on the wire, as when a cable is pulled.
    pub fn clear(&mut self, now: Duration) {
        self.advance(now);
        for packet in self.wire.clear() {
            self.account.lose(packet, Cause::Cut);
        }
        while let Some(queued) = self.queue.pop() {
            self.account.lose(queued.packet, Cause::Cut);
        }
    }

    /// Returns when to call [`pop`](Self::pop) next; `None` if the link is empty.
    ///
    /// Something happens then; it may be a departure within the link rather than an arrival.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let departure = self.queue.since().map(|since| self.serializer.start(since));
        [departure, self.wire.next_arrival()].into_iter().flatten().min()
    }

    /// Returns what became of the packets so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.account.stats
    }

    /// Returns how many packets are queued or on the wire.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queue.packets() + self.wire.packets()
    }

    /// Returns how many bytes are queued or on the wire, what the link adds included.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        self.queue.bytes() + self.wire.bytes()
    }

    fn fits(&self, now: Duration, len: usize) -> bool {
        // What goes straight to the serializer needs no room to wait in.
        if self.queue.is_empty() && self.serializer.start(now) <= now {
            return true;
        }
        match self.config.queue {
            QueueLimit::Unbounded => true,
            QueueLimit::Packets(limit) => self.queue.packets() < limit,
            QueueLimit::Bytes(limit) => self.queue.bytes() + len <= limit,
            QueueLimit::Time(limit) => {
                self.queue.bytes() + len <= self.serializer.carries(now, limit)
            }
        }
    }

    /// Moves to the wire whatever the serializer has begun with by `now`.
    fn advance(&mut self, now: Duration) {
        while let Some(since) = self.queue.since() {
            let start = self.serializer.start(since);
            if start > now {
                return;
            }
            // The queue's management may have dropped all that waited.
            let Some(next) = self.choose(start) else { break };
            let sent = self.serializer.send(start, next.len);
            self.depart(sent, start.saturating_sub(next.since), next);
        }
        self.serializer.idle(now);
    }

    /// Takes from the queue what is to be sent at `start`.
    fn choose(&mut self, start: Duration) -> Option<Queued<P>> {
        let Some(codel) = &mut self.codel else { return self.queue.pop() };
        let account = &mut self.account;
        let lose = |packet| account.lose(packet, Cause::Aqm);
        let Chosen { queued, marked } = codel.take(start, &mut self.queue, lose)?;
        account.stats.marked += u64::from(marked);
        Some(queued)
    }

    fn depart(&mut self, sent: Duration, queued: Duration, next: Queued<P>) {
        let Queued { packet, number, len, .. } = next;
        let fate = self.lines.read(number, self.dice.throw(sent));
        let dark = self.config.blackouts.is_some_and(|blackouts| blackouts.is_dark(sent));
        if let Some(cause) = dark.then_some(Cause::Blackout).or(fate.lost) {
            return self.account.lose(packet, cause);
        }
        let due = sent.saturating_add(fate.delay);
        let copy = fate.duplicated.then(|| packet.clone());
        self.travel(due, &fate, queued, len, packet);
        // The copy is never held back: each setting shows by itself.
        if let Some(copy) = copy {
            self.account.stats.duplicated += 1;
            self.wire.send(due, queued, len, copy);
        }
    }

    fn travel(&mut self, due: Duration, fate: &Fate, queued: Duration, len: usize, packet: P) {
        if fate.held_back > Duration::ZERO {
            self.account.stats.reordered += 1;
            self.wire.hold(due.saturating_add(fate.held_back), queued, len, packet);
        } else {
            self.wire.send(due, queued, len, packet);
        }
    }
}

impl<P> fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("config", &self.config)
            .field("stats", &self.account.stats)
            .field("queued", &self.queue.packets())
            .field("on_the_wire", &self.wire.packets())
            .finish_non_exhaustive()
    }
}
