//! Replays a corpus of datagrams, and mutations of it, against a conversation. Nothing that arrives
//! may panic, have more sent than is due, or bring more to read than came.
//!
//! A file is a sequence of datagrams, each behind its length in two bytes, little-endian. Those in
//! `segments` are of conversation 7, those in `shards` also have error correction of 3:2.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod replay;

use std::time::Duration;

use polyperf_kcp::{Config, Conversation, First, Flushed, Mode, Output, Stats};
use replay::{corpus, replay};

#[test]
fn whatever_segments_come_they_are_taken_or_counted() {
    replay("segments", TELLING, MUTATIONS, |bytes| {
        for mode in [Mode::Stream, Mode::Messages] {
            for ends in [false, true] {
                let config = Config { mode, ends, ..Config::default() };
                let mut victim = Victim::new(config, None);
                victim.meet(bytes);
                let stats = victim.conversation.stats();
                let dropped = rejected(&stats) + malformed(&stats);
                assert_eq!(stats.received.datagrams + dropped, victim.met, "{stats:?}");
            }
        }
    });
}

#[test]
fn whatever_shards_come_they_are_taken_or_counted() {
    replay("shards", TELLING, MUTATIONS, |bytes| {
        for fec in [None, Some("3:2"), Some("1:1")] {
            let mut victim = Victim::new(Config::default(), fec);
            victim.meet(bytes);
            let Some(fec) = victim.conversation.stats().fec else { continue };
            let came = victim.met;
            assert!(fec.parity_received <= came && fec.malformed <= 3 * came, "{fec:?}");
            assert!(fec.recovered <= 4 * came, "{fec:?} of {came}");
        }
    });
}

#[test]
fn the_corpus_holds_what_it_says() {
    for (kind, fec) in [("segments", None), ("shards", Some("3:2"))] {
        for (name, bytes) in corpus(kind) {
            let mode = if name.contains("message") { Mode::Messages } else { Mode::Stream };
            let mut victim = Victim::new(Config { mode, ..Config::default() }, fec);
            victim.meet(&bytes);
            let stats = victim.conversation.stats();
            let unwanted = stats.beyond_window + stats.unfit + stats.broken_messages;
            let fine = rejected(&stats) + malformed(&stats) + unwanted == 0;
            assert_eq!(fine, name.starts_with("valid"), "{name}: {stats:?}");
            let recovered = stats.fec.map_or(0, |fec| fec.recovered);
            assert_eq!(recovered > 0, name.contains("rebuilt"), "{name}: {stats:?}");
        }
    }
}

/// A conversation that has sent something, and meets with anything.
struct Victim {
    conversation: Conversation,
    output: Output,
    now: Duration,
    buf: Vec<u8>,
    /// Datagrams that it met with, and their bytes.
    met: u64,
    bytes: u64,
}

impl Victim {
    fn new(config: Config, fec: Option<&str>) -> Self {
        let fec = fec.map(|fec| fec.parse().unwrap());
        let mut conversation = Conversation::new(7, config, fec).unwrap();
        for _ in 0..SENT {
            conversation.send(&vec![3; conversation.stats().mss]).unwrap();
        }
        let mut victim = Self {
            conversation,
            output: Output::default(),
            now: Duration::ZERO,
            buf: vec![0; 1 << 17],
            met: 0,
            bytes: 0,
        };
        victim.flush();
        victim
    }

    fn meet(&mut self, mut bytes: &[u8]) {
        let mut read = 0;
        while let Some((datagram, rest)) = split(bytes) {
            bytes = rest;
            self.met += 1;
            self.bytes += datagram.len() as u64;
            if let Some(first) = First::of(datagram) {
                assert!(first.payload.len() < datagram.len());
            }
            // Whether it is refused is all the same, as long as it is counted.
            let _ = self.conversation.input(datagram, self.now);
            while let Some(len) = self.conversation.recv(&mut self.buf) {
                read += len as u64;
            }
            self.now += Duration::from_millis(3);
            self.flush();
        }
        let stats = self.conversation.stats();
        let rebuilt = stats.fec.map_or(0, |fec| fec.recovered * LONGEST);
        assert!(read <= self.bytes + rebuilt, "{read} of {}", self.bytes);
        assert!(stats.waiting <= SENT, "{stats:?}");
        assert!(self.conversation.deadline(self.now).is_none_or(|at| at >= self.now));
    }

    /// Sends what is due: no more than all data and an answer to each segment, each at most once.
    fn flush(&mut self) {
        self.output.clear();
        assert_eq!(self.conversation.flush(self.now, &mut self.output), Flushed::All);
        let sent: usize = self.output.datagrams().map(<[u8]>::len).sum();
        let answers = self.bytes / 24 + 2;
        assert!(sent as u64 <= 3 * u64::from(SENT) * LONGEST + answers * 32, "{sent} bytes");
    }
}

/// Returns the first datagram and what is behind it; one that is cut short is what there is of it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    Some(rest.split_at(rest.len().min(u16::from_le_bytes(*len).into())))
}

fn rejected(stats: &Stats) -> u64 {
    let rejected = stats.rejected;
    rejected.foreign + rejected.malformed + rejected.unsent
}

/// What is dropped for its header of error correction; bytes at random have one now and then.
fn malformed(stats: &Stats) -> u64 {
    stats.fec.map_or(0, |fec| fec.malformed)
}

/// Segments that have been sent when something comes.
const SENT: u32 = 3;

/// Bytes of the longest datagram that goes either way.
const LONGEST: u64 = 1500;

const MUTATIONS: usize = 400;

/// Bytes that mean something: the conversation's, commands, kinds of shards, and ends of ranges.
const TELLING: &[u8] = b"\0\x01\x02\x03\x07\x18\x1a\x51\x52\x53\x54\x7f\x80\xf1\xf2\xfe\xff";
