//! Flows that share an emulated link, in virtual time.

#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

pub(crate) mod tcp;

use std::time::Duration;

use polyperf_memory::link::{BitRate, Link, LinkConfig, Loss, Packet, Probability, QueueLimit};
use polyperf_rudp::{Config, CongestionControl, Connection, Flushed, Output, Parameters, Stats};

use self::tcp::Tcp;

/// A datagram, and whose.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    flow: usize,
    bytes: Vec<u8>,
}

impl Packet for Datagram {
    /// With the headers of UDP and IPv4.
    fn wire_len(&self) -> usize {
        self.bytes.len() + 28
    }
}

/// A flow that sends one way, as fast as it may.
pub(crate) struct Flow {
    pub(crate) here: Connection,
    pub(crate) there: Connection,
    /// When it begins to send, and how much.
    pub(crate) start: Duration,
    pub(crate) amount: u64,
    written: u64,
    /// How many bytes have been read, each as it was written.
    pub(crate) read: u64,
    /// How many are read at a time, and when next; at once if there is no pause.
    pub(crate) pause: Duration,
    pub(crate) piece: usize,
    reads_at: Duration,
}

impl Flow {
    pub(crate) fn new(config: Config, amount: u64) -> Self {
        Self::between(config, config, amount)
    }

    pub(crate) fn between(here: Config, there: Config, amount: u64) -> Self {
        let (ours, theirs) = (Parameters::new(&here, 0x0101), Parameters::new(&there, 0x0202));
        Self {
            here: Connection::new(here, ours, theirs, 1).unwrap(),
            there: Connection::new(there, theirs, ours, 2).unwrap(),
            start: Duration::ZERO,
            amount,
            written: 0,
            read: 0,
            pause: Duration::ZERO,
            piece: 1 << 14,
            reads_at: Duration::ZERO,
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.here.stats()
    }

    /// Returns whether everything has been read, the end of it too, and this end knows.
    pub(crate) fn is_done(&self) -> bool {
        self.read == self.amount && self.there.is_ended() && self.here.is_drained()
    }

    fn work(&mut self, now: Duration) {
        if now < self.start {
            return;
        }
        let mut bytes = [0; 1 << 14];
        while self.written < self.amount && self.here.room() > 0 {
            let left = (self.amount - self.written).min(self.here.room());
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            for (byte, at) in bytes[..len].iter_mut().zip(self.written..) {
                *byte = pattern(at);
            }
            let taken = self.here.send(&bytes[..len]);
            self.written += taken as u64;
        }
        if self.written == self.amount {
            self.here.finish();
            self.there.finish();
        }
        let mut buf = [0; 1 << 14];
        while now >= self.reads_at {
            let Some(len) = self.there.recv(&mut buf[..self.piece]) else { break };
            for (byte, at) in buf[..len].iter().zip(self.read..) {
                assert_eq!(*byte, pattern(at), "the byte at {at}");
            }
            self.read += len as u64;
            if self.pause > Duration::ZERO {
                self.reads_at = now + self.pause;
            }
        }
    }

    fn deadline(&self, now: Duration) -> Option<Duration> {
        let starts = (now < self.start).then_some(self.start);
        let reads = (self.reads_at > now && self.there.is_readable()).then_some(self.reads_at);
        [self.here.deadline(now), self.there.deadline(now), reads, starts]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Returns the byte of a stream at `offset`.
#[allow(clippy::cast_possible_truncation, reason = "any byte will do")]
pub(crate) fn pattern(offset: u64) -> u8 {
    (offset ^ (offset >> 8) ^ (offset >> 16)) as u8
}

/// Flows, and what is between their ends.
pub(crate) struct World {
    pub(crate) flows: Vec<Flow>,
    pub(crate) tcp: Vec<Tcp>,
    pub(crate) forward: Link<Datagram>,
    pub(crate) back: Link<Datagram>,
    /// When something happens next, and when it did last.
    pub(crate) now: Duration,
    pub(crate) at: Duration,
    /// Datagrams longer than this do not come through.
    pub(crate) longest: usize,
    output: Output,
    /// How much each flow has read when a second began.
    pub(crate) log: Vec<Vec<u64>>,
}

impl World {
    /// Joins flows by a link that is the same both ways, but for its chances, and that only `forward`
    /// loses.
    pub(crate) fn new(flows: Vec<Flow>, link: LinkConfig) -> Self {
        let back = LinkConfig { loss: Loss::Never, ..link.clone() }.seed(link.seed.wrapping_add(1));
        Self::between(flows, link, back)
    }

    pub(crate) fn between(flows: Vec<Flow>, forward: LinkConfig, back: LinkConfig) -> Self {
        Self {
            flows,
            tcp: Vec::new(),
            forward: Link::new(forward),
            back: Link::new(back),
            now: Duration::ZERO,
            at: Duration::ZERO,
            longest: usize::MAX,
            output: Output::default(),
            log: Vec::new(),
        }
    }

    /// Has everything happen that happens now, and moves on to when something else does.
    pub(crate) fn step(&mut self) {
        let Self { flows, tcp, forward, back, now, longest, output, .. } = self;
        let now_ = *now;
        self.at = now_;
        while let Some(Datagram { flow, bytes }) = forward.pop_due(now_) {
            match flows.get_mut(flow) {
                Some(flow) => flow.there.input(&bytes, false, now_),
                None => {
                    let index = flow - flows.len();
                    let ack = tcp[index].receive(&bytes);
                    back.push(now_, Datagram { flow, bytes: ack });
                }
            }
        }
        while let Some(Datagram { flow, bytes }) = back.pop_due(now_) {
            match flows.get_mut(flow) {
                Some(flow) => flow.here.input(&bytes, false, now_),
                None => tcp[flow - flows.len()].acknowledge(&bytes, now_),
            }
        }
        let mut next: Option<Duration> = None;
        let mut soonest = |at: Option<Duration>| next = [next, at].into_iter().flatten().min();
        for (index, flow) in flows.iter_mut().enumerate() {
            flow.work(now_);
            send(&mut flow.here, now_, output, |bytes| {
                if bytes.len() <= *longest {
                    forward.push(now_, Datagram { flow: index, bytes });
                }
            });
            send(&mut flow.there, now_, output, |bytes| {
                back.push(now_, Datagram { flow: index, bytes });
            });
            // What was sent has made room.
            let more = flow.written < flow.amount && flow.here.room() > 0 && now_ >= flow.start;
            soonest(if more { Some(now_) } else { flow.deadline(now_) });
        }
        for (index, tcp) in tcp.iter_mut().enumerate() {
            let flow = flows.len() + index;
            tcp.send(now_, |bytes| forward.push(now_, Datagram { flow, bytes }));
            soonest(tcp.deadline());
        }
        soonest(forward.next_deadline());
        soonest(back.next_deadline());
        let next = next.unwrap_or(now_ + Duration::from_secs(1)).max(now_ + SOON);
        if next.as_secs() > now_.as_secs() {
            let read = self.flows.iter().map(|flow| flow.read);
            self.log.push(read.chain(self.tcp.iter().map(Tcp::delivered)).collect());
        }
        self.now = next;
    }

    /// Goes on until `end`.
    pub(crate) fn run(&mut self, end: Duration) {
        while self.now < end {
            self.step();
        }
    }

    /// Goes on until all that is to be sent has been read.
    pub(crate) fn finish(&mut self) {
        let limit = self.now + LONGEST;
        while !self.flows.iter().all(Flow::is_done) {
            self.step();
            let read: Vec<_> =
                self.flows.iter().map(|flow| (flow.read, flow.here.over())).collect();
            assert!(self.now < limit, "{read:?} after {LONGEST:?}: {:?}", self.flows[0].here);
            let over = self.flows.iter().find_map(|flow| flow.here.over().or(flow.there.over()));
            let ends = self.flows.iter().map(|flow| (&flow.here, &flow.there));
            assert_eq!(over, None, "at {:?}: {read:?} {:?}", self.now, ends.collect::<Vec<_>>());
        }
    }

    /// Returns what flow `index` has read per second between two times, in bits.
    pub(crate) fn rate(&self, index: usize, from: usize, to: usize) -> f64 {
        let read = self.log[to - 1][index] - self.log[from - 1][index];
        float(read) * 8.0 / float((to - from) as u64)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.forward.stats().gone()
    }
}

fn send(end: &mut Connection, now: Duration, output: &mut Output, mut each: impl FnMut(Vec<u8>)) {
    loop {
        output.clear();
        let flushed = end.flush(now, output);
        output.datagrams().for_each(|datagram| each(datagram.to_vec()));
        if flushed == Flushed::All {
            return;
        }
    }
}

/// Returns a link of so many megabits per second, with a round trip of so many milliseconds, and a
/// queue of one such round trip.
pub(crate) fn link(mbps: u64, rtt: u64) -> LinkConfig {
    let bytes = mbps * 125 * rtt;
    LinkConfig::perfect()
        .rate(BitRate::mbps(mbps))
        .delay(Duration::from_millis(rtt) / 2)
        .queue(QueueLimit::Bytes(usize::try_from(bytes).unwrap()))
}

pub(crate) fn loss(probability: f64) -> Loss {
    Loss::iid(Probability::new(probability))
}

pub(crate) fn with(congestion: &str) -> Config {
    Config { congestion: control(congestion), ..Config::default() }
}

pub(crate) fn control(name: &str) -> CongestionControl {
    name.parse().unwrap()
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

/// What is written has left when the clock next moves.
const SOON: Duration = Duration::from_micros(1);

/// Longer than anything takes.
const LONGEST: Duration = Duration::from_secs(3600);
