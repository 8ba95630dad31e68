//! The end that receives: what has arrived, in which order, and what is told of it.

use std::{cmp::min, time::Duration};

use crate::{
    packet::{Ack, AckRange, Kind, MAX_RANGES, NUMBER_BITS, Numbered, OFFSET_BITS, expand},
    ranges::RangeSet,
    ring::{self, Ring},
    rtt::ACK_DELAY,
    stats::Rejections,
};

/// What has been received of a stream.
#[derive(Debug)]
pub(crate) struct Receiver {
    ring: Ring,
    /// What has arrived, as offsets from the first that is missing on.
    beyond: RangeSet,
    /// The first offset that is missing.
    next: u64,
    /// The first offset that has not been read.
    read: u64,
    window: u64,
    /// Up to where the peer was told that it may send.
    told: u64,
    /// Where the stream ends, once that is known.
    end: Option<u64>,
    /// Whoever reads is gone: what comes is taken and forgotten.
    pub(crate) deserted: bool,
    /// Numbers of packets that have arrived, the last [`MAX_RANGES`] ranges of them.
    numbers: RangeSet,
    /// What is told of the packet with the highest number.
    largest: Option<Largest>,
    /// Packets that arrived marked.
    pub(crate) marked: u64,
    pending: Pending,
    pub(crate) packets: u64,
    pub(crate) duplicates: u64,
}

#[derive(Debug, Clone, Copy)]
struct Largest {
    number: u64,
    time: u32,
    arrived: Duration,
}

/// What is to be acknowledged.
#[derive(Debug, Clone, Copy, Default)]
struct Pending {
    packets: u32,
    /// By when, if there is anything.
    due: Option<Duration>,
    at_once: bool,
}

impl Receiver {
    pub(crate) fn new(window: u32) -> Self {
        Self {
            ring: Ring::new(usize::try_from(window).unwrap_or(usize::MAX)),
            beyond: RangeSet::default(),
            next: 0,
            read: 0,
            window: window.into(),
            told: window.into(),
            end: None,
            deserted: false,
            numbers: RangeSet::default(),
            largest: None,
            marked: 0,
            pending: Pending::default(),
            packets: 0,
            duplicates: 0,
        }
    }

    /// Takes a packet in, and returns whether there was anything new in it.
    #[inline]
    pub(crate) fn take(
        &mut self,
        packet: &Numbered<'_>,
        marked: bool,
        now: Duration,
        rejected: &mut Rejections,
    ) -> bool {
        let near = self.largest.map_or(0, |largest| largest.number);
        let number = expand(packet.number.into(), NUMBER_BITS, near);
        if self.numbers.contains(number) {
            self.duplicates += 1;
            // What is told of it may have been lost.
            self.acknowledge(now);
            return false;
        }
        let taken = match packet.kind {
            Kind::Data => self.take_data(packet, rejected),
            Kind::Fin => self.take_end(packet.offset, rejected),
            Kind::Ping => {
                self.pending.at_once = true;
                true
            }
        };
        if !taken {
            return false;
        }
        self.packets += 1;
        self.marked += u64::from(marked);
        self.note(number, packet.time, marked, now);
        true
    }

    /// Fills `buf` with what is in order; `None` if nothing is.
    pub(crate) fn recv(&mut self, buf: &mut [u8]) -> Option<usize> {
        let len = min(self.next - self.read, buf.len() as u64);
        if len == 0 {
            return None;
        }
        let (first, second) = self.ring.read(self.read..self.read + len);
        let (front, back) = buf.split_at_mut(first.len());
        ring::copy(first, front);
        ring::copy(second, &mut back[..second.len()]);
        let filled = first.len() + second.len();
        self.give_up(self.read + len);
        Some(filled)
    }

    /// Returns whether there is something to read, or nothing more will come.
    pub(crate) fn is_readable(&self) -> bool {
        self.next > self.read || self.is_ended()
    }

    /// Returns whether everything up to the end has been read.
    pub(crate) fn is_ended(&self) -> bool {
        self.end == Some(self.read)
    }

    /// Forgets what has not been read, and what comes.
    pub(crate) fn desert(&mut self) {
        self.deserted = true;
        self.give_up(self.next);
    }

    /// Returns when an acknowledgement is due.
    pub(crate) fn ack_due(&self) -> Option<Duration> {
        if self.wants_to_tell() { Some(Duration::ZERO) } else { self.pending.due }
    }

    /// Returns whether an acknowledgement is to leave now.
    pub(crate) fn is_ack_due(&self, now: Duration) -> bool {
        self.largest.is_some() && self.ack_due().is_some_and(|due| due <= now)
    }

    /// Writes an acknowledgement of all that has arrived.
    pub(crate) fn write_ack(&mut self, id: u32, now: Duration, out: &mut Vec<u8>) {
        let Some(Largest { number, time, arrived }) = self.largest else { return };
        let delay = u32::try_from(now.saturating_sub(arrived).as_micros()).unwrap_or(u32::MAX);
        self.told = self.limit();
        self.pending = Pending::default();
        let ack = Ack::new(low(number), time, delay, self.told, low(self.marked));
        let mut above = None;
        let ranges = self.numbers.iter_down().map(|range| {
            let gap = above.map_or(0, |above: u64| above - range.end);
            above = Some(range.start);
            AckRange { gap, len: range.end - range.start }
        });
        ack.write(id, ranges, out);
    }

    /// Returns how far the stream may be sent.
    fn limit(&self) -> u64 {
        self.read + self.window
    }

    /// Returns whether the peer should hear that there is room again: half of the window, or any if
    /// it may wait for that.
    fn wants_to_tell(&self) -> bool {
        if self.pending.at_once {
            return true;
        }
        let more = self.limit() - self.told;
        let left = self.told - self.next;
        more > 0
            && self.end.is_none()
            && (more >= self.window / 2 || left < self.window / 8 && more >= self.window / 8)
    }

    fn take_data(&mut self, packet: &Numbered<'_>, rejected: &mut Rejections) -> bool {
        let start = expand(packet.offset, OFFSET_BITS, self.next);
        let end = start + packet.payload.len() as u64;
        if end > self.told || self.end.is_some_and(|last| end > last) {
            rejected.beyond += 1;
            return false;
        }
        if start == self.next && self.beyond.is_empty() && !self.deserted {
            // In order, as nearly all is.
            self.ring.write(start, packet.payload);
            self.next = end;
            return true;
        }
        if end <= self.next && start < self.read {
            return true;
        }
        if self.conflicts(start, packet.payload) {
            rejected.conflicting += 1;
            return false;
        }
        self.keep(start, packet.payload);
        true
    }

    /// Returns whether what is here of this part of the stream, and has not been read, differs.
    fn conflicts(&self, start: u64, payload: &[u8]) -> bool {
        let end = start + payload.len() as u64;
        let differs = |from: u64, to: u64| {
            let (first, second) = self.ring.read(from..to);
            let at = usize::try_from(from - start).unwrap_or(usize::MAX);
            let (front, back) = payload[at..at + first.len() + second.len()].split_at(first.len());
            front != first || back != second
        };
        let (from, to) = (start.max(self.read), end.min(self.next));
        (from < to && differs(from, to))
            || self
                .beyond
                .present(start.max(self.next)..end.max(self.next))
                .any(|part| differs(part.start, part.end))
    }

    fn keep(&mut self, start: u64, payload: &[u8]) {
        let end = start + payload.len() as u64;
        let new = start.max(self.next)..end.max(self.next);
        let Self { ring, beyond, .. } = self;
        for part in beyond.missing(new.clone()) {
            let at = usize::try_from(part.start - start).unwrap_or(usize::MAX);
            let len = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
            ring.write(part.start, &payload[at..at + len]);
        }
        beyond.insert(new);
        if let Some(first) = beyond.first().cloned().filter(|first| first.start == self.next) {
            beyond.pop_first();
            self.next = first.end;
        }
        if self.deserted {
            self.give_up(self.next);
        }
    }

    fn take_end(&mut self, offset: u64, rejected: &mut Rejections) -> bool {
        let end = expand(offset, OFFSET_BITS, self.next);
        let highest = self.beyond.last().map_or(self.next, |last| last.end);
        if self.end.is_some_and(|known| known != end) {
            rejected.conflicting += 1;
            return false;
        }
        if end < highest || end > self.told {
            rejected.beyond += 1;
            return false;
        }
        self.end = Some(end);
        self.pending.at_once = true;
        true
    }

    fn note(&mut self, number: u64, time: u32, marked: bool, now: Duration) {
        let expected = self.largest.map_or(0, |largest| largest.number + 1);
        self.numbers.insert(number..number + 1);
        if self.numbers.len() > MAX_RANGES {
            self.numbers.pop_first();
        }
        if number >= expected {
            self.largest = Some(Largest { number, time, arrived: now });
        }
        self.pending.at_once |= number != expected || marked;
        self.acknowledge(now);
    }

    /// Has an acknowledgement leave: of one packet somewhat later, of two at once.
    fn acknowledge(&mut self, now: Duration) {
        self.pending.packets += 1;
        self.pending.at_once |= self.pending.packets >= 2;
        self.pending.due.get_or_insert(now + ACK_DELAY);
    }

    fn give_up(&mut self, read: u64) {
        self.read = read;
        let empty = self.read == self.next && self.beyond.is_empty();
        self.ring.advance(self.read, empty);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low bits are what is sent")]
fn low(number: u64) -> u32 {
    number as u32
}
