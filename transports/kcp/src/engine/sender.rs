//! What waits to be sent, and what waits to be acknowledged.

use super::{
    moment::Moment,
    pool::Pool,
    ring::{Dues, Marks, NEVER, Ring, block_end},
    rtt::LONGEST_RTO,
};
use crate::{
    config::{Config, MAX_FRAGMENTS, Mode, Nodelay},
    segment::{Command, Segment},
    seq::{ahead, before},
    stats::Retransmits,
};

/// The sending end.
///
/// Segments are numbered in the order of their bytes:
///
/// ```text
/// una ─ under way, but for those acknowledged out of order ─ next ─ waiting ─ end
/// ```
#[derive(Debug)]
pub(super) struct Sender {
    slots: Ring<Slot>,
    under_way: Marks,
    dues: Dues,
    pool: Pool,
    una: u32,
    next: u32,
    end: u32,
    /// Segments under way of which later ones have been acknowledged, and which were not sent again
    /// since. They are below `overtaken_below`.
    overtaken: u32,
    overtaken_below: u32,
    again: Vec<(u32, Cause)>,
    dead: bool,
    finished: bool,
    retransmits: Retransmits,
    spurious: u64,
    window: u32,
    stream: bool,
    nodelay: Nodelay,
    resend: u8,
    dead_link: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// When it was last sent, in microseconds.
    sent: u64,
    /// When it is sent again, in milliseconds.
    due: u64,
    /// How long an acknowledgement is waited for, in milliseconds.
    rto: u32,
    buffer: u32,
    len: u16,
    transmissions: u16,
    frg: u8,
    /// How many datagrams have acknowledged something that was sent later.
    overtaken: u8,
}

/// Why a segment is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Timeout,
    Fast,
    Early,
}

/// What an acknowledgement tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Acknowledged {
    /// The round trip in microseconds, if the segment was sent once.
    pub(super) rtt: Option<u64>,
    /// When the transmission that arrived was made, in microseconds.
    pub(super) sent: u64,
}

impl Sender {
    pub(super) fn new(config: &Config) -> Self {
        let window = u32::from(config.send_window.get());
        // A message is taken whole once there is room for its first fragment, and an end always.
        let most = window + u32::from(MAX_FRAGMENTS);
        Self {
            slots: Ring::new(most),
            under_way: Marks::new(most),
            dues: Dues::new(most),
            pool: Pool::new(config.mss()),
            una: config.first_sn,
            next: config.first_sn,
            end: config.first_sn,
            overtaken: 0,
            overtaken_below: config.first_sn,
            again: Vec::new(),
            dead: false,
            finished: false,
            retransmits: Retransmits::default(),
            spurious: 0,
            window,
            stream: config.mode == Mode::Stream,
            nodelay: config.nodelay,
            resend: config.resend,
            dead_link: config.dead_link,
        }
    }

    /// Takes as many of `bytes` as there is room for, and returns how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.finished {
            return 0;
        }
        let mut rest = self.fill_last(bytes);
        while !rest.is_empty() && self.room() > 0 {
            let (head, tail) = rest.split_at(rest.len().min(self.pool.buffer_len()));
            self.append(head, 0);
            rest = tail;
        }
        bytes.len() - rest.len()
    }

    /// Has an empty segment follow everything else. There is room for it in any case.
    pub(super) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.append(&[], 0);
        }
    }

    /// Takes a message whole, or returns `false` if there is no room now.
    pub(super) fn write_message(&mut self, bytes: &[u8]) -> bool {
        if self.room() == 0 {
            return false;
        }
        let mss = self.pool.buffer_len();
        let mut frg = u8::try_from(bytes.len().div_ceil(mss).saturating_sub(1)).unwrap_or(u8::MAX);
        let (mut head, mut rest) = bytes.split_at(bytes.len().min(mss));
        self.append(head, frg);
        while frg > 0 {
            frg -= 1;
            (head, rest) = rest.split_at(rest.len().min(mss));
            self.append(head, frg);
        }
        true
    }

    /// Takes everything below `una` as acknowledged; see [`acknowledge`](Self::acknowledge).
    pub(super) fn acknowledge_below(&mut self, una: u32, now: Moment, least_rtt: Option<u64>) {
        let mut sn = self.una;
        while let Some(found) = self.under_way.next(sn, una) {
            self.under_way.clear(found);
            let slot = self.release(found);
            self.spurious += u64::from(slot.is_too_quick(now, least_rtt));
            sn = found.wrapping_add(1);
        }
        if before(self.una, una) {
            self.una = una;
        }
        self.settle_una();
    }

    /// Takes one segment as acknowledged by a peer that saw `ts` on it; `None` if it was not under
    /// way.
    pub(super) fn acknowledge(
        &mut self,
        sn: u32,
        ts: u32,
        now: Moment,
        least_rtt: Option<u64>,
    ) -> Option<Acknowledged> {
        if !self.is_under_way(sn) {
            return None;
        }
        self.under_way.clear(sn);
        let slot = self.release(sn);
        self.settle_una();
        // By how many milliseconds the transmission that arrived was made before the last one.
        let earlier = u64::try_from(ahead(Moment::from_micros(slot.sent).ts(), ts)).unwrap_or(0);
        let not_the_last = slot.transmissions > 1 && earlier > 0;
        self.spurious += u64::from(not_the_last || slot.is_too_quick(now, least_rtt));
        let rtt = (slot.transmissions == 1).then(|| now.micros().saturating_sub(slot.sent));
        Some(Acknowledged { rtt, sent: slot.sent.saturating_sub(earlier * 1000) })
    }

    /// Takes into account that a datagram acknowledged `sn`, which was sent at `sent`: what was
    /// sent before and is still under way has been overtaken.
    pub(super) fn overtake(&mut self, sn: u32, sent: u64) {
        let mut at = self.una;
        while let Some(found) = self.under_way.next(at, sn) {
            at = found.wrapping_add(1);
            let resend = self.resend;
            let slot = self.slots.at_mut(found);
            // Those that were sent once went out in the order of their numbers.
            if slot.sent < sent || (slot.sent == sent && slot.transmissions == 1) {
                self.overtaken += u32::from(slot.overtaken == 0);
                slot.overtaken = slot.overtaken.saturating_add(1);
                if slot.is_overtaken(resend) {
                    self.dues.add(found, 0);
                }
            }
        }
        if before(self.overtaken_below, sn) || self.overtaken == 0 {
            self.overtaken_below = sn;
        }
    }

    /// Returns the next segment to be sent for the first time, if `window` permits.
    pub(super) fn admit(&mut self, window: u32) -> Option<u32> {
        let sn = self.next;
        let allowed = ahead(sn, self.una.wrapping_add(window)) < 0;
        (allowed && sn != self.end).then(|| {
            self.next = sn.wrapping_add(1);
            self.under_way.set(sn);
            sn
        })
    }

    /// Finds what is to be sent again by now, for [`again`](Self::again).
    pub(super) fn find_due(&mut self, now: Moment) {
        self.again.clear();
        if self.dues.earliest() > now.millis() {
            return;
        }
        let mut at = self.una;
        while let Some(block) = self.dues.next(at, self.next, now.millis()) {
            at = self.within(block_end(block));
            let mut sn = block;
            while let Some(found) = self.under_way.next(sn, at) {
                let slot = self.slots.at(found);
                if slot.due <= now.millis() {
                    self.again.push((found, Cause::Timeout));
                } else if slot.is_overtaken(self.resend) {
                    self.again.push((found, Cause::Fast));
                }
                sn = found.wrapping_add(1);
            }
        }
    }

    /// Finds what has been overtaken at all, for [`again`](Self::again).
    pub(super) fn find_early(&mut self) {
        self.again.clear();
        if self.overtaken == 0 {
            return;
        }
        let mut sn = self.una;
        while let Some(found) = self.under_way.next(sn, self.overtaken_below) {
            if self.slots.at(found).is_overtaken(1) {
                self.again.push((found, Cause::Early));
            }
            sn = found.wrapping_add(1);
        }
    }

    /// Returns the `index`th segment that was found, and why it is sent again.
    pub(super) fn again(&self, index: usize) -> Option<(u32, Cause)> {
        self.again.get(index).copied()
    }

    /// Forgets what was due and has been sent again.
    pub(super) fn settle_dues(&mut self, now: Moment) {
        if self.dues.earliest() > now.millis() {
            return;
        }
        let mut at = self.una;
        while let Some(block) = self.dues.next(at, self.next, now.millis()) {
            at = self.within(block_end(block));
            let mut due = NEVER;
            let mut sn = block;
            while let Some(found) = self.under_way.next(sn, at) {
                let slot = self.slots.at(found);
                due = due.min(if slot.is_overtaken(self.resend) { 0 } else { slot.due });
                sn = found.wrapping_add(1);
            }
            self.dues.set(block, due);
        }
        self.dues.settle(self.una, self.next);
    }

    /// Returns segment `sn` as it goes out now; `conv`, `wnd` and `una` are those of `stamp`.
    pub(super) fn transmit<'a>(
        &'a mut self,
        sn: u32,
        cause: Option<Cause>,
        now: Moment,
        rto: u32,
        stamp: &Segment<'_>,
    ) -> Segment<'a> {
        let nodelay = self.nodelay;
        let slot = self.slots.at_mut(sn);
        let mut grace = 0;
        match cause {
            None => {
                slot.rto = rto;
                grace = if nodelay == Nodelay::Off { rto / 8 } else { 0 };
            }
            Some(Cause::Timeout) => {
                self.retransmits.timeout += 1;
                slot.rto += match nodelay {
                    Nodelay::Off => slot.rto.max(rto),
                    Nodelay::On => slot.rto / 2,
                    Nodelay::Eager => rto / 2,
                };
                slot.rto = slot.rto.min(LONGEST_RTO);
            }
            Some(Cause::Fast) => self.retransmits.fast += 1,
            Some(Cause::Early) => self.retransmits.early += 1,
        }
        self.overtaken -= u32::from(slot.overtaken > 0);
        slot.overtaken = 0;
        slot.sent = now.micros();
        slot.due = now.millis() + u64::from(slot.rto + grace);
        slot.transmissions = slot.transmissions.saturating_add(1);
        self.dead |= slot.transmissions >= self.dead_link;
        self.dues.add(sn, slot.due);
        let payload = &self.pool.at(slot.buffer)[..usize::from(slot.len)];
        Segment { cmd: Command::Push, frg: slot.frg, ts: now.ts(), sn, payload, ..*stamp }
    }

    /// Returns how many more segments may wait.
    pub(super) fn room(&self) -> u32 {
        self.window.saturating_sub(self.end.wrapping_sub(self.una))
    }

    /// Returns how many segments have not been sent yet.
    pub(super) fn waiting(&self) -> u32 {
        self.end.wrapping_sub(self.next)
    }

    /// Returns how many numbers are between the first that is not acknowledged and the first that
    /// was not sent.
    pub(super) fn span(&self) -> u32 {
        self.next.wrapping_sub(self.una)
    }

    pub(super) fn una(&self) -> u32 {
        self.una
    }

    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Returns when to look for something to send again, in milliseconds; never before that.
    pub(super) fn due(&self) -> Option<u64> {
        (self.una != self.next && self.dues.earliest() != NEVER).then(|| self.dues.earliest())
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(super) fn retransmits(&self) -> Retransmits {
        self.retransmits
    }

    pub(super) fn spurious(&self) -> u64 {
        self.spurious
    }

    /// Fills up the last segment, if it has not been sent, and returns the rest of `bytes`.
    fn fill_last<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if !self.stream || self.waiting() == 0 {
            return bytes;
        }
        let slot = self.slots.at_mut(self.end.wrapping_sub(1));
        let buffer = &mut self.pool.at_mut(slot.buffer)[usize::from(slot.len)..];
        let (head, rest) = bytes.split_at(bytes.len().min(buffer.len()));
        buffer[..head.len()].copy_from_slice(head);
        slot.len += short(head.len());
        rest
    }

    fn append(&mut self, bytes: &[u8], frg: u8) {
        let buffer = self.pool.take();
        self.pool.at_mut(buffer)[..bytes.len()].copy_from_slice(bytes);
        let slot = Slot { buffer, len: short(bytes.len()), frg, ..Slot::default() };
        *self.slots.at_mut(self.end) = slot;
        self.end = self.end.wrapping_add(1);
    }

    fn release(&mut self, sn: u32) -> Slot {
        let slot = *self.slots.at(sn);
        self.pool.give(slot.buffer);
        self.overtaken -= u32::from(slot.overtaken > 0);
        slot
    }

    /// Moves on to the first segment that is under way.
    fn settle_una(&mut self) {
        self.una = self.under_way.next(self.una, self.next).unwrap_or(self.next);
    }

    fn is_under_way(&self, sn: u32) -> bool {
        !before(sn, self.una) && before(sn, self.next) && self.under_way.is_set(sn)
    }

    /// Returns `sn`, or the end of what is under way if that comes first.
    fn within(&self, sn: u32) -> u32 {
        if before(self.next, sn) { self.next } else { sn }
    }
}

impl Slot {
    /// Returns whether it was sent again, and then acknowledged sooner than any other ever was.
    fn is_too_quick(&self, now: Moment, least_rtt: Option<u64>) -> bool {
        let since = now.micros().saturating_sub(self.sent);
        self.transmissions > 1 && least_rtt.is_some_and(|least| since < least)
    }

    /// Returns whether `times` datagrams have overtaken it, and it was not sent too often to care.
    fn is_overtaken(&self, times: u8) -> bool {
        times > 0 && self.overtaken >= times && self.transmissions <= FAST_LIMIT
    }
}

/// How often a segment is sent again because others overtook it, as in the C implementation.
const FAST_LIMIT: u16 = 5;

/// Returns a length that is known to be below the longest datagram's.
fn short(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}
