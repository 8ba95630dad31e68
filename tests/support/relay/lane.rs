//! One direction of a relay: a link, and the trains in which datagrams leave it.

use std::{io, time::Duration};

use polyperf_memory::link::{Link, LinkConfig, Packet};
use quinn_udp::EcnCodepoint;

use super::LaneStats;

/// A datagram between two sockets.
#[derive(Debug, Clone)]
pub(super) struct Datagram {
    /// Whose it is, or whom it is for.
    pub(super) client: usize,
    pub(super) ecn: Option<EcnCodepoint>,
    /// Bytes of the IP and UDP headers that it travels with.
    pub(super) headers: usize,
    pub(super) bytes: Box<[u8]>,
}

impl Packet for Datagram {
    fn wire_len(&self) -> usize {
        self.headers + self.bytes.len()
    }
}

/// One direction. It reads no clock; `now` is the time since the relay's start.
#[derive(Debug)]
pub(super) struct Lane {
    link: Link<Datagram>,
    train: Train,
    cut: bool,
    stats: LaneStats,
}

impl Lane {
    /// Returns an idle direction that sends up to `segments` datagrams at once.
    pub(super) fn new(config: LinkConfig, segments: usize) -> Self {
        Self {
            link: Link::new(config),
            train: Train { segments, ..Train::default() },
            cut: false,
            stats: LaneStats::default(),
        }
    }

    /// Takes a datagram. All that is due by `now` must have been delivered before.
    pub(super) fn push(&mut self, now: Duration, datagram: Datagram) {
        if self.cut {
            self.stats.blackholed += 1;
        } else {
            self.link.push(now, datagram);
        }
    }

    /// Gives `send` all that is due by `now`, in trains; it returns when a train had left.
    ///
    /// The link is moved on from event to event, rather than to `now` at once, since that tells
    /// when each datagram was due.
    pub(super) fn deliver(
        &mut self,
        now: Duration,
        mut send: impl FnMut(&Train) -> io::Result<Duration>,
    ) {
        while let Some(at) = self.link.next_deadline().filter(|at| *at <= now) {
            let Some(datagram) = self.link.pop_due(at) else { continue };
            self.stats.wire_bytes += datagram.wire_len() as u64;
            self.stats.due = Some((self.stats.due.map_or(at, |(first, _)| first), at));
            if !self.train.takes(&datagram) {
                self.flush(&mut send);
            }
            self.train.add(at, &datagram);
        }
        self.flush(&mut send);
    }

    /// Cuts the cable, which loses what is under way, or mends it.
    pub(super) fn cut(&mut self, now: Duration, cut: bool) {
        self.cut = cut;
        if cut {
            self.link.clear(now);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.link.next_deadline()
    }

    /// Returns all but what the sockets know.
    pub(super) fn stats(&self) -> LaneStats {
        LaneStats { link: self.link.stats(), ..self.stats }
    }

    fn flush(&mut self, send: &mut impl FnMut(&Train) -> io::Result<Duration>) {
        if self.train.dues.is_empty() {
            return;
        }
        match send(&self.train) {
            Ok(left) => self.record(left),
            Err(_) => self.stats.send_errors += self.train.dues.len() as u64,
        }
        self.train.clear();
    }

    fn record(&mut self, left: Duration) {
        let lateness = &mut self.stats.lateness;
        for due in &self.train.dues {
            let late = left.saturating_sub(*due);
            lateness.datagrams += 1;
            lateness.total += late;
            lateness.max = lateness.max.max(late);
            lateness.beyond_1ms += u64::from(late > Duration::from_millis(1));
        }
    }
}

/// Datagrams that leave with one system call: for one client, with one ECN codepoint, and of one
/// length but for the last, which may be shorter.
#[derive(Debug, Default)]
pub(super) struct Train {
    pub(super) client: usize,
    pub(super) ecn: Option<EcnCodepoint>,
    /// One after the other.
    pub(super) bytes: Vec<u8>,
    /// The length of each but the last.
    pub(super) segment: usize,
    /// Datagrams that fit in at most.
    segments: usize,
    /// When each was due.
    dues: Vec<Duration>,
}

impl Train {
    fn takes(&self, datagram: &Datagram) -> bool {
        let len = datagram.bytes.len();
        let ended = self.bytes.len() != self.segment * self.dues.len();
        self.dues.is_empty()
            || (!ended
                && (1..=self.segment).contains(&len)
                && (self.client, self.ecn) == (datagram.client, datagram.ecn)
                && self.dues.len() < self.segments
                && self.bytes.len() + len <= MAX_TRAIN)
    }

    fn add(&mut self, due: Duration, datagram: &Datagram) {
        if self.dues.is_empty() {
            (self.client, self.ecn) = (datagram.client, datagram.ecn);
            self.segment = datagram.bytes.len();
        }
        self.bytes.extend_from_slice(&datagram.bytes);
        self.dues.push(due);
    }

    /// Empties the train, and keeps its memory.
    fn clear(&mut self) {
        self.bytes.clear();
        self.dues.clear();
    }
}

/// What a UDP datagram over IPv4 carries at most, which is what a train counts as.
const MAX_TRAIN: usize = 65_507;
