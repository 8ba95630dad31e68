//! One direction of the link between devices: frames in, packets across, and frames out.

use std::{io, io::IoSlice, rc::Rc, time::Duration};

use polyperf_memory::link::LinkConfig;

use super::{
    frame::{Frame, Head, Piece, is_chatter, write_head},
    lane::{Lane, Load, count},
    pool::Pool,
    sys::device::Device,
    truth::Direction,
};

/// One direction of the link.
#[derive(Debug)]
pub(super) struct Way {
    lane: Lane<Part>,
    device_drops_before: Option<u64>,
    write_errors: u64,
    head: Head,
}

impl Way {
    /// Returns an empty link; `from` is the device out of which its packets come.
    pub(super) fn new(config: LinkConfig, from: &Device) -> Self {
        Self {
            lane: Lane::new(config),
            device_drops_before: from.lost().ok(),
            write_errors: 0,
            head: Head::new(),
        }
    }

    /// Puts what has been read on the link.
    pub(super) fn push(&mut self, now: Duration, frame: Rc<Frame>, pool: &mut Pool) {
        let key = frame.flow();
        if is_chatter(&key) {
            return pool.give_back(frame);
        }
        let flow = self.lane.flow(&key);
        let packets = frame.packets();
        let takes_marks = frame.takes_marks();
        let step = if self.lane.is_per_packet() { 1 } else { packets };
        for first in (0..packets).step_by(step) {
            let wire_len = frame.layout().wire_len(first, step);
            let piece = Piece { first, count: step, marked: false };
            let part = Part { frame: Rc::clone(&frame), piece, wire_len, takes_marks };
            if let Some(part) = self.lane.put(now, flow, part) {
                pool.give_back(part.frame);
            }
        }
        pool.give_back(frame);
        self.take_lost(pool);
    }

    /// Hands on what is due; returns whether anything was. Packets of a frame that still follow each
    /// other leave as one.
    pub(super) fn pop(&mut self, now: Duration, to: &Device, pool: &mut Pool) -> bool {
        let mut open: Option<Part> = None;
        while let Some(next) = self.lane.next(now) {
            if let Some(before) = &mut open
                && before.is_followed_by(&next)
            {
                before.piece.count += next.piece.count;
                pool.give_back(next.frame);
            } else if let Some(before) = open.replace(next) {
                self.write(before, to, pool);
            }
        }
        let any = open.is_some();
        if let Some(last) = open {
            self.write(last, to, pool);
        }
        self.take_lost(pool);
        any
    }

    /// Returns when to hand on packets next.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.lane.deadline()
    }

    /// Returns what became of all packets so far.
    pub(super) fn truth(&self, from: &Device) -> Direction {
        let device_drops = from.lost().ok().zip(self.device_drops_before);
        Direction {
            device_drops: device_drops.map(|(now, before)| now.saturating_sub(before)),
            write_errors: self.write_errors,
            ..self.lane.truth()
        }
    }

    fn take_lost(&mut self, pool: &mut Pool) {
        while let Some(part) = self.lane.next_lost() {
            pool.give_back(part.frame);
        }
    }

    fn write(&mut self, part: Part, to: &Device, pool: &mut Pool) {
        let rest = write_head(&part.frame, part.piece, &mut self.head);
        let rest = &part.frame.bytes()[rest];
        let parts = [IoSlice::new(self.head.bytes()), IoSlice::new(rest)];
        if to.write(&parts).is_err() {
            self.write_errors += count(part.piece.count);
        }
        pool.give_back(part.frame);
    }
}

/// A packet of a frame, or several that follow each other.
#[derive(Debug, Clone)]
struct Part {
    frame: Rc<Frame>,
    piece: Piece,
    wire_len: usize,
    takes_marks: bool,
}

impl Part {
    fn is_followed_by(&self, next: &Self) -> bool {
        Rc::ptr_eq(&self.frame, &next.frame)
            && self.piece.first + self.piece.count == next.piece.first
            && self.piece.marked == next.piece.marked
    }
}

impl Load for Part {
    fn packets(&self) -> usize {
        self.piece.count
    }

    fn wire_len(&self) -> usize {
        self.wire_len
    }

    fn mark(&mut self) -> bool {
        self.piece.marked |= self.takes_marks;
        self.takes_marks
    }

    fn is_marked(&self) -> bool {
        self.piece.marked
    }
}

/// Reads what has come, up to a bound; returns whether there may be more.
pub(super) fn read(
    from: &Device,
    spare: &mut Rc<Frame>,
    pool: &mut Pool,
    mut take: impl FnMut(Rc<Frame>, &mut Pool),
) -> io::Result<bool> {
    for _ in 0..BATCH {
        let Some(frame) = Rc::get_mut(spare) else {
            // Never so: only what was fitted is handed on.
            *spare = pool.largest();
            continue;
        };
        let Some(len) = from.read(frame.room())? else { return Ok(false) };
        frame.fill(len, from.link_header());
        let frame = pool.fit(spare);
        take(frame, pool);
    }
    Ok(true)
}

/// Frames that are read before what is due is handed on.
const BATCH: usize = 16;
