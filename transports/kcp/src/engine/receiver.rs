//! What has arrived: in order and waiting for the reader, or out of order.

use std::collections::VecDeque;

use super::{
    pool::Pool,
    ring::{Marks, Ring},
};
use crate::{
    config::{Config, Mode},
    segment::Segment,
    seq::{ahead, before},
};

/// The receiving end.
///
/// ```text
/// read ─ in order, for the reader ─ next ─ what arrived out of order, with gaps ─ next + window
/// ```
///
/// Each of the two parts is a window long at most, and nothing outside of them is kept.
#[derive(Debug)]
pub(super) struct Receiver {
    slots: Ring<Slot>,
    present: Marks,
    pool: Pool,
    read: u32,
    next: u32,
    /// Bytes of the first segment that have been read.
    offset: usize,
    window: u32,
    /// The first message, as far as it has been looked at; `None` in a stream.
    front: Option<Front>,
    broken: u64,
    /// Numbers out of order to be acknowledged, each once, in the order of their arrival: to the peer,
    /// an earlier one looks overtaken by a later one that comes first.
    pending: VecDeque<u32>,
    /// What arrived last: its number and time.
    last: Option<(u32, u32)>,
    /// Whether the peer should be told that there is room again.
    reopened: bool,
    /// Whether an empty segment is the end of the stream.
    ends: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    buffer: u32,
    ts: u32,
    len: u16,
    frg: u8,
    /// Whether it is among those to be acknowledged.
    pending: bool,
}

/// The message whose first fragment is the next to be read.
#[derive(Debug, Default)]
struct Front {
    fragments: u32,
    whole: bool,
}

/// What became of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    /// It had arrived before.
    Duplicate,
    /// It is beyond the window.
    Beyond,
    /// It is longer than any datagram should be, or part of a message that the window cannot hold.
    Unfit,
}

impl Receiver {
    pub(super) fn new(config: &Config) -> Self {
        let window = u32::from(config.receive_window.get());
        Self {
            slots: Ring::new(2 * window),
            present: Marks::new(2 * window),
            pool: Pool::new(config.mss().max(ETHERNET_MSS)),
            read: config.first_sn,
            next: config.first_sn,
            offset: 0,
            window,
            front: (config.mode == Mode::Messages).then(Front::default),
            broken: 0,
            pending: VecDeque::new(),
            last: None,
            reopened: false,
            ends: config.ends && config.mode == Mode::Stream,
        }
    }

    /// Takes data in, and notes whether it is to be acknowledged.
    pub(super) fn accept(&mut self, segment: &Segment<'_>) -> Arrival {
        let Segment { sn, ts, frg, payload, .. } = *segment;
        let place = ahead(sn, self.next);
        if place >= self.window.cast_signed() {
            return Arrival::Beyond;
        }
        let len = payload.len();
        let never_whole = self.front.is_some() && u32::from(frg) >= self.window;
        if never_whole || len > self.pool.buffer_len() {
            return Arrival::Unfit;
        }
        self.last = Some((sn, ts));
        if place < 0 {
            return Arrival::Duplicate;
        }
        if self.present.is_set(sn) {
            self.note(sn);
            return Arrival::Duplicate;
        }
        let buffer = self.pool.take();
        self.pool.at_mut(buffer)[..len].copy_from_slice(payload);
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        *self.slots.at_mut(sn) = Slot { buffer, ts, len, frg, pending: false };
        self.present.set(sn);
        self.advance();
        // Without room it stays where it is, even if it is in order.
        if !before(sn, self.next) {
            self.note(sn);
        }
        Arrival::New
    }

    /// Reads bytes of a stream, and returns how many.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> usize {
        let was_full = self.is_full();
        let mut filled = 0;
        while filled < buf.len() && self.read != self.next {
            let slot = *self.slots.at(self.read);
            if self.ends && slot.len == 0 {
                break;
            }
            let bytes = &self.pool.at(slot.buffer)[self.offset..usize::from(slot.len)];
            let len = bytes.len().min(buf.len() - filled);
            buf[filled..filled + len].copy_from_slice(&bytes[..len]);
            filled += len;
            if len == bytes.len() {
                self.drop_first();
            } else {
                self.offset += len;
            }
        }
        self.make_room(was_full);
        filled
    }

    /// Reads a message as far as it fits into `buf`, and returns how many bytes; `None` if there is
    /// no whole one.
    pub(super) fn read_message(&mut self, buf: &mut [u8]) -> Option<usize> {
        let was_full = self.is_full();
        let fragments = self.front.as_ref().filter(|front| front.whole)?.fragments;
        let mut filled = 0;
        for _ in 0..fragments {
            let slot = *self.slots.at(self.read);
            let len = usize::from(slot.len).min(buf.len() - filled);
            buf[filled..filled + len].copy_from_slice(&self.pool.at(slot.buffer)[..len]);
            filled += len;
            self.drop_first();
        }
        self.front = Some(Front::default());
        self.make_room(was_full);
        self.look_at_front();
        Some(filled)
    }

    /// Returns what is to be acknowledged next: a number, and the time that its sender gave it.
    ///
    /// What arrived in order needs no mention, since every segment says how far that goes. The last
    /// arrival is told nevertheless, so that the sender can take the time.
    pub(super) fn take_acknowledgement(&mut self) -> Option<(u32, u32)> {
        while let Some(sn) = self.pending.pop_front() {
            // A place that has been passed may be another segment's by now.
            if before(sn, self.next) {
                continue;
            }
            let slot = self.slots.at_mut(sn);
            slot.pending = false;
            let ts = slot.ts;
            self.last = self.last.filter(|&last| last != (sn, ts));
            return Some((sn, ts));
        }
        self.last.take()
    }

    /// Returns whether the peer should be told that there is room again, which it then was.
    pub(super) fn take_reopened(&mut self) -> bool {
        std::mem::take(&mut self.reopened)
    }

    /// Returns whether there is anything to say to the peer.
    pub(super) fn has_news(&self) -> bool {
        self.last.is_some() || self.reopened || !self.pending.is_empty()
    }

    /// Returns whether there is anything to read.
    pub(super) fn is_readable(&self) -> bool {
        self.front.as_ref().map_or(self.read != self.next, |front| front.whole)
    }

    /// Returns whether everything has been read that there will ever be.
    pub(super) fn is_ended(&self) -> bool {
        self.ends && self.read != self.next && self.slots.at(self.read).len == 0
    }

    /// Returns the window as it is told to the peer, in segments.
    pub(super) fn free(&self) -> u16 {
        u16::try_from(self.window.saturating_sub(self.held())).unwrap_or(u16::MAX)
    }

    /// Returns the number expected next.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Returns how many messages were dropped because their fragments did not belong together.
    pub(super) fn broken(&self) -> u64 {
        self.broken
    }

    fn note(&mut self, sn: u32) {
        let slot = self.slots.at_mut(sn);
        if slot.pending {
            return;
        }
        slot.pending = true;
        // A window is the most that is out of order; the others have been passed since.
        if self.pending.len() >= 2 * self.window as usize {
            let next = self.next;
            self.pending.retain(|&sn| !before(sn, next));
        }
        self.pending.push_back(sn);
    }

    fn advance(&mut self) {
        loop {
            while !self.is_full() && self.present.clear(self.next) {
                self.next = self.next.wrapping_add(1);
            }
            // A broken message that is dropped makes room for more.
            self.look_at_front();
            if self.is_full() || !self.present.is_set(self.next) {
                return;
            }
        }
    }

    /// Looks at fragments in order until a message is whole. Those that do not count down to the
    /// end of a message are dropped with those before them.
    fn look_at_front(&mut self) {
        let Some(mut front) = self.front.take() else { return };
        while !front.whole && self.read.wrapping_add(front.fragments) != self.next {
            let at = self.read.wrapping_add(front.fragments);
            let slot = *self.slots.at(at);
            let before = front.fragments.checked_sub(1).map(|_| at.wrapping_sub(1));
            let follows = |before| self.slots.at(before).frg == slot.frg.wrapping_add(1);
            if !before.is_none_or(follows) {
                for _ in 0..front.fragments {
                    self.drop_first();
                }
                self.broken += 1;
                front = Front::default();
                continue;
            }
            front.fragments += 1;
            front.whole = slot.frg == 0;
        }
        self.front = Some(front);
    }

    fn drop_first(&mut self) {
        let buffer = self.slots.at(self.read).buffer;
        self.pool.give(buffer);
        self.read = self.read.wrapping_add(1);
        self.offset = 0;
    }

    /// Moves up what had to wait for the reader.
    fn make_room(&mut self, was_full: bool) {
        if was_full && !self.is_full() {
            self.advance();
            self.reopened |= !self.is_full();
        }
    }

    fn is_full(&self) -> bool {
        self.held() >= self.window
    }

    fn held(&self) -> u32 {
        self.next.wrapping_sub(self.read)
    }
}

/// A peer whose datagrams are longer than ours are may still use all that Ethernet carries.
const ETHERNET_MSS: usize = 1500 - crate::segment::HEADER;
