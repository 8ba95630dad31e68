//! One direction of the link: frames in, packets through the model, and frames out.

use std::{io, io::IoSlice, rc::Rc, time::Duration};

use polyperf_memory::link::{self, Link, LinkConfig};

use super::{
    frame::{Frame, Head, Piece, is_chatter, write_head},
    pool::Pool,
    sys::device::Device,
    tally::{Tally, Times, nanos},
    truth::Direction,
};

/// One direction of the link.
#[derive(Debug)]
pub(super) struct Way {
    link: Link<Carried>,
    config: Known,
    tally: Tally,
    lateness: Times,
    device_drops_before: Option<u64>,
    write_errors: u64,
    overflows: u64,
    head: Head,
}

/// What is asked of the link's configuration again and again.
#[derive(Debug)]
struct Known {
    per_packet: bool,
    rate: Option<u64>,
    delay: Duration,
}

impl Way {
    /// Returns an empty link; `from` is the device out of which its packets come.
    pub(super) fn new(config: LinkConfig, from: &Device) -> Self {
        let known = Known {
            per_packet: config.is_per_packet(),
            rate: config.mean_rate().map(|rate| rate.bits_per_second()),
            delay: config.delay,
        };
        Self {
            link: Link::new(config).keep_lost(),
            config: known,
            tally: Tally::new(),
            lateness: Times::new(),
            device_drops_before: from.lost().ok(),
            write_errors: 0,
            overflows: 0,
            head: Head::new(),
        }
    }

    /// Puts what has been read on the link.
    pub(super) fn push(&mut self, now: Duration, frame: Rc<Frame>, pool: &mut Pool) {
        let key = frame.flow();
        if is_chatter(&key) {
            return pool.give_back(frame);
        }
        let flow = self.tally.number(&key);
        let packets = frame.packets();
        let takes_marks = frame.takes_marks();
        let step = if self.config.per_packet { 1 } else { packets };
        let mut first = 0;
        while first < packets {
            let wire_len = frame.layout().wire_len(first, step);
            self.tally.put(flow, count(step), count(wire_len));
            let frame = Rc::clone(&frame);
            let piece = Piece { first, count: step, marked: false };
            self.put(now, Carried { frame, piece, wire_len, flow, takes_marks });
            first += step;
        }
        pool.give_back(frame);
        self.take_lost(pool);
    }

    /// Hands on what is due; returns whether anything was. Packets of a frame that still follow each
    /// other leave as one.
    pub(super) fn pop(&mut self, now: Duration, to: &Device, pool: &mut Pool) -> bool {
        let mut open: Option<Carried> = None;
        while let Some(arrival) = self.link.pop(now) {
            let late = nanos(now.saturating_sub(arrival.due));
            let next = arrival.packet;
            let packets = count(next.piece.count);
            let marked = next.piece.marked;
            self.lateness.record(late, packets);
            self.tally.deliver(next.flow, packets, count(next.wire_len), marked, arrival.queued);
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
        self.link.next_deadline()
    }

    /// Returns what became of all packets so far.
    pub(super) fn truth(&self, from: &Device) -> Direction {
        let stats = self.link.stats();
        let device_drops = from.lost().ok().zip(self.device_drops_before);
        Direction {
            rate: self.config.rate,
            delay: self.config.delay,
            per_packet: self.config.per_packet,
            total: self.tally.total(),
            duplicated: stats.duplicated,
            reordered: stats.reordered,
            longest_queue_packets: count(stats.longest_queue_packets),
            longest_queue_bytes: count(stats.longest_queue_bytes),
            lateness: self.lateness.show(),
            device_drops: device_drops.map(|(now, before)| now.saturating_sub(before)),
            write_errors: self.write_errors,
            overflows: self.overflows,
            flows: self.tally.flows(),
            other_flows: self.tally.others(),
        }
    }

    fn put(&mut self, now: Duration, packet: Carried) {
        // A queue without a limit must not take all of the machine's memory.
        if self.link.bytes_in_flight() > MOST_BYTES || self.link.in_flight() > MOST_PACKETS {
            self.overflows += count(packet.piece.count);
            return;
        }
        self.link.push(now, packet);
    }

    fn take_lost(&mut self, pool: &mut Pool) {
        while let Some((packet, cause)) = self.link.take_lost() {
            self.tally.lose(packet.flow, count(packet.piece.count), cause);
            pool.give_back(packet.frame);
        }
    }

    fn write(&mut self, packet: Carried, to: &Device, pool: &mut Pool) {
        let rest = write_head(&packet.frame, packet.piece, &mut self.head);
        let rest = &packet.frame.bytes()[rest];
        let parts = [IoSlice::new(self.head.bytes()), IoSlice::new(rest)];
        if to.write(&parts).is_err() {
            self.write_errors += count(packet.piece.count);
        }
        pool.give_back(packet.frame);
    }
}

/// Packets on the link: one, or all of a frame.
#[derive(Debug, Clone)]
struct Carried {
    frame: Rc<Frame>,
    piece: Piece,
    wire_len: usize,
    flow: u32,
    takes_marks: bool,
}

impl Carried {
    fn is_followed_by(&self, next: &Self) -> bool {
        Rc::ptr_eq(&self.frame, &next.frame)
            && self.piece.first + self.piece.count == next.piece.first
            && self.piece.marked == next.piece.marked
    }
}

impl link::Packet for Carried {
    fn wire_len(&self) -> usize {
        self.wire_len
    }

    fn mark(&mut self) -> bool {
        self.piece.marked |= self.takes_marks;
        self.takes_marks
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

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// Frames that are read before what is due is handed on.
const BATCH: usize = 16;

/// What a link may hold: half a second of 8 Gbit/s.
const MOST_BYTES: usize = 512 << 20;
/// Small packets take more than their bytes.
const MOST_PACKETS: usize = 4 << 20;
