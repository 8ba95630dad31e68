//! A reliable stream of bytes over a link that may lose, repeat and reorder.
//!
//! The protocol is the simplest that is honest. Bytes are cut into segments; a segment that the
//! link has lost is offered to it again after a fixed timeout, until it has arrived. There are no
//! acknowledgements on the wire: the carrier sees both ends, so it never takes a late segment for
//! a lost one. There is no congestion control either: a window bounds what is under way, and a full
//! queue holds the sender back instead of dropping, as a host's own interface does.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use polyperf_transport::{Chunk, Received};

use crate::{
    carrier::{Carrier, End, Figures},
    link::{Link, LinkConfig, LinkStats, Packet},
};

#[derive(Debug)]
pub(crate) struct ByteCarrier {
    link: Link<Arc<Segment>>,
    /// Whether bytes may go straight to the receiver.
    perfect: bool,
    cut: bool,
    window: usize,
    timeout: Duration,
    /// Segments that the receiver has not got in order yet; the first has number `base`.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    base: u64,
    /// Numbers of the segments that the link is to be offered next, in order.
    offers: VecDeque<u64>,
    /// Numbers of the segments that are on their way, by when to look after them.
    timers: VecDeque<(Duration, u64)>,
    arrived: VecDeque<u8>,
    end: Option<End>,
    totals: Totals,
}

impl ByteCarrier {
    pub(crate) fn new(config: LinkConfig, window: usize) -> Self {
        Self {
            perfect: config.is_perfect(),
            timeout: timeout(&config),
            link: Link::new(config),
            cut: false,
            window,
            pending: VecDeque::new(),
            pending_bytes: 0,
            base: 0,
            offers: VecDeque::new(),
            timers: VecDeque::new(),
            arrived: VecDeque::new(),
            end: None,
            totals: Totals::default(),
        }
    }

    /// Lets everything happen that is due by `now`, each thing at its own time.
    fn advance(&mut self, now: Duration) {
        while let Some(at) = self.next_deadline()
            && at <= now
        {
            self.deliver(at);
            self.look_after(at);
            self.offer(at);
        }
    }

    /// Takes from the link what has come through, and hands on what is in order.
    fn deliver(&mut self, now: Duration) {
        while let Some(segment) = self.link.pop_due(now) {
            self.totals.wire_bytes_received += segment.wire_len() as u64;
            // What has been handed on already came a second time.
            if let Some(index) = segment.number.checked_sub(self.base) {
                self.pending_mut(index).arrived = true;
            }
        }
        while self.pending.front().is_some_and(|first| first.arrived)
            && let Some(first) = self.pending.pop_front()
        {
            self.base += 1;
            self.pending_bytes -= first.segment.wire_len();
            self.hand_on(&first.segment.bytes, first.segment.end);
        }
    }

    /// Queues for another offer what the link has lost.
    fn look_after(&mut self, now: Duration) {
        while let Some((at, number)) = self.timers.front().copied()
            && at <= now
        {
            self.timers.pop_front();
            let Some(index) = number.checked_sub(self.base) else { continue };
            let pending = self.pending_mut(index);
            if pending.arrived {
                continue;
            }
            // The link holds a copy of whatever it has not lost.
            if Arc::strong_count(&pending.segment) == 1 {
                let place = self.offers.partition_point(|other| *other < number);
                self.offers.insert(place, number);
            } else {
                self.timers.push_back((now + self.timeout, number));
            }
        }
    }

    /// Offers the link what is to go, as far as its queue has room.
    fn offer(&mut self, now: Duration) {
        while !self.cut
            && let Some(number) = self.offers.front().copied()
        {
            // What is offered has not arrived, so it is still pending.
            let segment = Arc::clone(&self.pending_mut(number - self.base).segment);
            if !self.link.has_room(now, segment.wire_len()) {
                return;
            }
            let pending = self.pending_mut(number - self.base);
            let again = std::mem::replace(&mut pending.offered, true);
            self.totals.count_sent(&segment, again);
            self.offers.pop_front();
            self.link.push(now, segment);
            self.timers.push_back((now + self.timeout, number));
        }
    }

    fn hand_on(&mut self, bytes: &[u8], end: Option<End>) {
        self.totals.bytes_arrived += bytes.len() as u64;
        self.arrived.extend(bytes);
        self.end = end.or(self.end);
    }

    fn enqueue(&mut self, bytes: &[u8], end: Option<End>) {
        let number = self.base + self.pending.len() as u64;
        let segment = Arc::new(Segment { number, bytes: bytes.into(), end });
        self.pending_bytes += segment.wire_len();
        self.pending.push_back(Pending { segment, offered: false, arrived: false });
        self.offers.push_back(number);
    }

    fn settle(&mut self, now: Duration) {
        self.offer(now);
        self.advance(now);
    }

    fn pending_mut(&mut self, index: u64) -> &mut Pending {
        let index = usize::try_from(index).expect("an index into what is in memory");
        &mut self.pending[index]
    }

    /// Returns how many of `len` bytes may be taken now.
    fn room_for(&self, len: usize) -> usize {
        let held = self.arrived.len() + self.pending_bytes;
        let room = self.window.saturating_sub(held);
        if self.goes_straight() || len + len.div_ceil(SEGMENT) * HEADER <= room {
            return len.min(room);
        }
        // Whole segments only: the last bit of room would go to ones that are mostly header.
        match room / (SEGMENT + HEADER) * SEGMENT {
            0 if held == 0 => len.min(room),
            whole => len.min(whole),
        }
    }

    fn goes_straight(&self) -> bool {
        self.perfect && !self.cut && self.pending.is_empty()
    }
}

impl Carrier for ByteCarrier {
    fn send(&mut self, now: Duration, chunk: Chunk<'_>) -> io::Result<Option<usize>> {
        self.advance(now);
        let taken = self.room_for(chunk.bytes.len());
        if taken == 0 {
            return Ok(None);
        }
        let bytes = &chunk.bytes[..taken];
        if self.goes_straight() {
            self.hand_on(bytes, None);
        } else {
            for bytes in bytes.chunks(SEGMENT) {
                self.enqueue(bytes, None);
            }
            self.settle(now);
        }
        Ok(Some(taken))
    }

    fn end(&mut self, now: Duration, end: End) {
        self.advance(now);
        if self.goes_straight() {
            self.hand_on(&[], Some(end));
        } else {
            self.enqueue(&[], Some(end));
            self.settle(now);
        }
    }

    fn recv(&mut self, now: Duration, buf: &mut [u8]) -> io::Result<Option<Option<Received>>> {
        self.advance(now);
        if self.arrived.is_empty() {
            return match self.end {
                None => Ok(None),
                Some(End::Finished) => Ok(Some(None)),
                Some(End::Reset) => Err(io::ErrorKind::ConnectionReset.into()),
            };
        }
        let len = io::Read::read(&mut self.arrived, buf)?;
        Ok(Some(Some(Received::whole(len))))
    }

    fn set_cut(&mut self, now: Duration, cut: bool) {
        self.advance(now);
        self.cut = cut;
        self.offers.clear();
        self.timers.clear();
        if cut {
            self.link.clear(now);
            return;
        }
        let missing = (self.base..).zip(&self.pending).filter(|(_, pending)| !pending.arrived);
        self.offers = missing.map(|(number, _)| number).collect();
        self.settle(now);
    }

    fn next_deadline(&self) -> Option<Duration> {
        let timer = self.timers.front().map(|(at, _)| *at);
        [self.link.next_deadline(), timer].into_iter().flatten().min()
    }

    fn figures(&self) -> Figures {
        // On a perfect link there are no segments to speak of.
        let segments = |count: u64| (!self.perfect).then_some(count);
        Figures {
            packets_sent: segments(self.totals.packets_sent),
            packets_received: segments(self.link.stats().delivered),
            wire_bytes_sent: segments(self.totals.wire_bytes_sent),
            wire_bytes_received: segments(self.totals.wire_bytes_received),
            retransmits: Some(self.totals.retransmits),
            bytes_retransmitted: Some(self.totals.bytes_retransmitted),
            bytes_arrived: Some(self.totals.bytes_arrived),
            largest_payload: (!self.perfect).then_some(SEGMENT),
        }
    }

    fn link_stats(&self) -> LinkStats {
        self.link.stats()
    }
}

#[derive(Debug)]
struct Pending {
    segment: Arc<Segment>,
    offered: bool,
    arrived: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: Box<[u8]>,
    end: Option<End>,
}

impl Packet for Arc<Segment> {
    fn wire_len(&self) -> usize {
        HEADER + self.bytes.len()
    }
}

#[derive(Debug, Default)]
struct Totals {
    packets_sent: u64,
    wire_bytes_sent: u64,
    wire_bytes_received: u64,
    retransmits: u64,
    bytes_retransmitted: u64,
    bytes_arrived: u64,
}

impl Totals {
    fn count_sent(&mut self, segment: &Arc<Segment>, again: bool) {
        self.packets_sent += 1;
        self.wire_bytes_sent += segment.wire_len() as u64;
        if again {
            self.retransmits += 1;
            self.bytes_retransmitted += segment.bytes.len() as u64;
        }
    }
}

/// Returns how long a segment may be under way before somebody looks after it.
fn timeout(config: &LinkConfig) -> Duration {
    MIN_TIMEOUT + 3 * config.longest_delay() + 4 * config.jitter
}

/// What a segment carries, as TCP's do over Ethernet.
const SEGMENT: usize = 1460;

/// What a segment's header takes on the wire, as IPv4's and TCP's do.
const HEADER: usize = 40;

const MIN_TIMEOUT: Duration = Duration::from_millis(10);
