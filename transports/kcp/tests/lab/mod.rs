//! Two ends and an emulated link between them, in virtual time.

#![allow(dead_code, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use polyperf_kcp::{Config, Conversation, FecConfig, Flushed, Output, Stats};
use polyperf_memory::link::{Link, LinkConfig, Loss, Probability};

/// One end of a conversation, whoever wrote it.
pub(crate) trait End {
    /// Takes bytes, and returns how many.
    fn send(&mut self, bytes: &[u8]) -> usize;
    /// Returns what has arrived, as far as it is in order: messages, or pieces of a stream.
    fn recv(&mut self) -> Vec<Vec<u8>>;
    fn input(&mut self, datagram: &[u8], now: Duration);
    /// Returns the datagrams that leave now.
    fn flush(&mut self, now: Duration) -> Vec<Vec<u8>>;
    fn deadline(&self, now: Duration) -> Option<Duration>;
}

/// Ours.
pub(crate) struct Ours {
    pub(crate) conversation: Conversation,
    output: Output,
    buf: Vec<u8>,
}

impl Ours {
    pub(crate) fn new(config: Config) -> Self {
        Self::with(config, None)
    }

    pub(crate) fn with(config: Config, fec: Option<FecConfig>) -> Self {
        let conversation = Conversation::new(CONV, config, fec).unwrap();
        Self { conversation, output: Output::default(), buf: vec![0; 1 << 18] }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.conversation.stats()
    }
}

impl End for Ours {
    fn send(&mut self, bytes: &[u8]) -> usize {
        self.conversation.send(bytes).unwrap()
    }

    fn recv(&mut self) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        while let Some(len) = self.conversation.recv(&mut self.buf) {
            got.push(self.buf[..len].to_vec());
        }
        got
    }

    fn input(&mut self, datagram: &[u8], now: Duration) {
        self.conversation.input(datagram, now).unwrap();
    }

    fn flush(&mut self, now: Duration) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        loop {
            self.output.clear();
            let flushed = self.conversation.flush(now, &mut self.output);
            datagrams.extend(self.output.datagrams().map(<[u8]>::to_vec));
            if flushed == Flushed::All {
                return datagrams;
            }
        }
    }

    fn deadline(&self, now: Duration) -> Option<Duration> {
        self.conversation.deadline(now)
    }
}

/// The crate `kcp`'s.
pub(crate) struct Theirs {
    kcp: kcp::Kcp<Sink>,
    sink: Sink,
    window: usize,
    buf: Vec<u8>,
}

/// Datagrams that have left.
#[derive(Debug, Clone, Default)]
struct Sink(Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Write for Sink {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Theirs {
    /// Returns one that works as ours does with `config`.
    pub(crate) fn new(config: &Config, start: Duration) -> Self {
        let sink = Sink::default();
        let mut kcp = match config.mode {
            polyperf_kcp::Mode::Stream => kcp::Kcp::new_stream(CONV, sink.clone()),
            polyperf_kcp::Mode::Messages => kcp::Kcp::new(CONV, sink.clone()),
        };
        let interval = i32::try_from(config.interval.as_millis()).unwrap();
        let nodelay = config.nodelay.number() > 0;
        kcp.set_nodelay(nodelay, interval, config.resend.into(), !config.congestion_control);
        kcp.set_wndsize(config.send_window.get(), config.receive_window.get());
        kcp.set_mtu(config.mtu.into()).unwrap();
        kcp.update(millis(start)).unwrap();
        Self { kcp, sink, window: config.send_window.get().into(), buf: vec![0; 1 << 18] }
    }
}

impl End for Theirs {
    fn send(&mut self, bytes: &[u8]) -> usize {
        if self.kcp.wait_snd() >= self.window {
            return 0;
        }
        // Of more than 127 segments it takes a part, and fails.
        let bytes = &bytes[..bytes.len().min(100 * self.kcp.mss())];
        self.kcp.send(bytes).unwrap()
    }

    fn recv(&mut self) -> Vec<Vec<u8>> {
        let mut got = Vec::new();
        while let Ok(len) = self.kcp.recv(&mut self.buf) {
            got.push(self.buf[..len].to_vec());
        }
        got
    }

    fn input(&mut self, datagram: &[u8], _: Duration) {
        self.kcp.input(datagram).unwrap();
    }

    fn flush(&mut self, now: Duration) -> Vec<Vec<u8>> {
        self.kcp.update(millis(now)).unwrap();
        self.sink.0.lock().unwrap().drain(..).collect()
    }

    fn deadline(&self, now: Duration) -> Option<Duration> {
        // It may say "at once" for ever, and does nothing before its tick.
        Some(now + Duration::from_millis(u64::from(self.kcp.check(millis(now))).max(1)))
    }
}

/// The clock as the crate takes it.
#[allow(clippy::cast_possible_truncation, reason = "it wraps")]
fn millis(now: Duration) -> u32 {
    now.as_millis() as u32
}

/// Two ends, and what is between them.
pub(crate) struct World<A, B> {
    pub(crate) here: A,
    pub(crate) there: B,
    pub(crate) forward: Link<Vec<u8>>,
    pub(crate) back: Link<Vec<u8>>,
    /// When something happens next, and when it did last.
    pub(crate) now: Duration,
    pub(crate) at: Duration,
    /// What has been read at the other end, and how long each message or piece of it was.
    pub(crate) read: Vec<u8>,
    pub(crate) lens: Vec<usize>,
    /// What has been read at this end.
    pub(crate) read_here: Vec<u8>,
}

impl<A: End, B: End> World<A, B> {
    /// Joins two ends by a link that is the same both ways, but for its chances.
    pub(crate) fn new(here: A, there: B, link: LinkConfig, start: Duration) -> Self {
        let back = link.clone().seed(link.seed.wrapping_add(1));
        Self {
            here,
            there,
            forward: Link::new(link),
            back: Link::new(back),
            now: start,
            at: start,
            read: Vec::new(),
            lens: Vec::new(),
            read_here: Vec::new(),
        }
    }

    /// Has everything happen that happens now, and moves on to when something else does.
    pub(crate) fn step(&mut self) {
        let Self { here, there, forward, back, now, at, read, lens, read_here } = self;
        let now_ = *now;
        *at = now_;
        while let Some(datagram) = forward.pop_due(now_) {
            there.input(&datagram, now_);
        }
        while let Some(datagram) = back.pop_due(now_) {
            here.input(&datagram, now_);
        }
        // Who reads at once is never told that there is less room.
        for piece in there.recv() {
            lens.push(piece.len());
            read.extend(piece);
        }
        read_here.extend(here.recv().into_iter().flatten());
        here.flush(now_).into_iter().for_each(|datagram| forward.push(now_, datagram));
        there.flush(now_).into_iter().for_each(|datagram| back.push(now_, datagram));
        let next = [
            forward.next_deadline(),
            back.next_deadline(),
            here.deadline(now_),
            there.deadline(now_),
        ];
        let next = next.into_iter().flatten().min().unwrap_or(now_ + Duration::from_secs(1));
        *now = next.max(now_ + SOON);
    }

    /// Sends `bytes` from here to there in writes of `piece`, and returns what arrives.
    pub(crate) fn transfer(&mut self, bytes: &[u8], piece: usize) -> Vec<u8> {
        self.exchange(bytes, &[], piece);
        std::mem::take(&mut self.read)
    }

    /// Sends `there` from here, and `here` from there, until all has arrived.
    pub(crate) fn exchange(&mut self, there: &[u8], here: &[u8], piece: usize) {
        let (mut sent_there, mut sent_here) = (0, 0);
        let until = self.now + LONGEST;
        while self.read.len() < there.len() || self.read_here.len() < here.len() {
            let before = sent_there + sent_here;
            write(&mut self.here, there, &mut sent_there, piece);
            write(&mut self.there, here, &mut sent_here, piece);
            if sent_there + sent_here > before {
                // Who writes does so when there is room, not when something else happens.
                self.now = self.now.min(self.at + SOON);
            }
            self.step();
            let (read, all) = (self.read.len() + self.read_here.len(), there.len() + here.len());
            assert!(self.now < until, "{read} of {all} bytes after {LONGEST:?}");
        }
    }
}

/// Writes what is left of `bytes` as far as there is room.
fn write(end: &mut impl End, bytes: &[u8], sent: &mut usize, piece: usize) {
    while *sent < bytes.len() {
        let taken = end.send(&bytes[*sent..(*sent + piece).min(bytes.len())]);
        if taken == 0 {
            return;
        }
        *sent += taken;
    }
}

/// What messages met with that were sent at a steady rate.
pub(crate) struct Latencies {
    /// How long each took to arrive, in order, shortest first.
    pub(crate) each: Vec<Duration>,
    pub(crate) sender: Stats,
    pub(crate) receiver: Stats,
    /// Datagrams that the link lost on their way to the receiver.
    pub(crate) lost: u64,
}

impl Latencies {
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.each[(self.each.len() * percent / 100).min(self.each.len() - 1)]
    }
}

/// Sends a message of 1,000 bytes every millisecond for ten seconds, over a link that loses so much.
pub(crate) fn latencies(fec: Option<FecConfig>, loss: f64, seed: u64) -> Latencies {
    let config = Config { repeat_acks: true, ..Config::default() };
    let ends = (Ours::with(config, fec), Ours::with(config, fec));
    let mut world = World::new(ends.0, ends.1, lossy(loss, seed), Duration::ZERO);
    let (mut sent, mut each) = (0, Vec::new());
    let due = |sent: usize| (sent < MESSAGES).then(|| BETWEEN * u32::try_from(sent).unwrap());
    while each.len() < MESSAGES {
        while due(sent).is_some_and(|due| due <= world.now) {
            assert_eq!(world.here.send(&[7; MESSAGE]), MESSAGE, "the window is large enough");
            sent += 1;
        }
        world.step();
        if let Some(due) = due(sent) {
            world.now = world.now.min(due.max(world.at));
        }
        while each.len() < world.read.len() / MESSAGE {
            each.push(world.at - BETWEEN * u32::try_from(each.len()).unwrap());
        }
    }
    each.sort_unstable();
    let lost = world.forward.stats().lost;
    Latencies { each, sender: world.here.stats(), receiver: world.there.stats(), lost }
}

/// A link of 40 ms there and back that loses so much of what is sent each way.
pub(crate) fn lossy(loss: f64, seed: u64) -> LinkConfig {
    LinkConfig::perfect()
        .delay(Duration::from_millis(20))
        .loss(Loss::iid(Probability::new(loss)))
        .seed(seed)
}

/// Bytes of which no two stretches are alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) const CONV: u32 = 0x1234_5678;

const MESSAGES: usize = 10_000;
const MESSAGE: usize = 1000;
const BETWEEN: Duration = Duration::from_millis(1);

/// The least that passes between two steps.
const SOON: Duration = Duration::from_micros(50);

/// More time than any transfer should take.
const LONGEST: Duration = Duration::from_secs(600);
