//! Replays a corpus of datagrams, and mutations of it, against a flow. Nothing that arrives may
//! panic, have more sent than is due, or bring more to read than came.
//!
//! A file is a sequence of datagrams, each behind its length in two bytes, little-endian. They are
//! for an end that is called 7, which has sent three packets in its second second. Those in `shards`
//! have error correction of 3:2.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

#[path = "../../kcp/tests/replay/mod.rs"]
mod replay;

use std::time::Duration;

use polyperf_rudp::{Config, Connection, Flushed, Output, Parameters, packet::Packet};
use replay::{corpus, replay};

#[test]
fn whatever_packets_come_they_are_taken_or_counted() {
    replay("packets", TELLING, MUTATIONS, |bytes| {
        for control in ["cubic", "bbr", "fixed:1M", "none"] {
            let config = Config { congestion: control.parse().unwrap(), ..config() };
            let mut victim = Victim::new(config);
            victim.meet(bytes);
            let stats = victim.end.stats();
            let taken = stats.datagrams_received + stats.rejected.total();
            assert_eq!(taken, victim.met, "{control}: {stats:?}");
        }
    });
}

#[test]
fn whatever_shards_come_they_are_taken_or_counted() {
    replay("shards", TELLING, MUTATIONS, |bytes| {
        for fec in ["3:2", "1:1"] {
            let mut victim = Victim::new(Config { fec: Some(fec.parse().unwrap()), ..config() });
            victim.meet(bytes);
            let (fec, came) = (victim.end.stats().fec.unwrap(), victim.met);
            assert!(fec.parity_received <= came && fec.malformed <= 3 * came, "{fec:?}");
            assert!(fec.recovered <= 4 * came, "{fec:?} of {came}");
        }
    });
}

#[test]
fn the_corpus_holds_what_it_says() {
    for (kind, fec) in [("packets", None), ("shards", Some("3:2".parse().unwrap()))] {
        for (name, bytes) in corpus(kind) {
            let mut victim = Victim::new(Config { fec, ..config() });
            victim.meet(&bytes);
            let stats = victim.end.stats();
            let malformed = stats.fec.map_or(0, |fec| fec.malformed);
            let fine = stats.rejected.total() + stats.rejected.shrinking + malformed == 0;
            assert_eq!(fine, name.starts_with("valid"), "{name}: {stats:?}");
            let recovered = stats.fec.map_or(0, |fec| fec.recovered);
            assert_eq!(recovered > 0, name.contains("rebuilt"), "{name}: {stats:?}");
            assert_eq!(victim.end.over().is_some(), name.contains("reset-own"), "{name}");
            assert_eq!(stats.packets_acked > 0, name.contains("acknowledged"), "{name}: {stats:?}");
        }
    }
}

/// A flow that has sent something, and meets with anything.
struct Victim {
    end: Connection,
    output: Output,
    now: Duration,
    buf: Vec<u8>,
    /// Datagrams that it met with, and their bytes.
    met: u64,
    bytes: u64,
}

impl Victim {
    fn new(config: Config) -> Self {
        let (own, peer) = (Parameters::new(&config, 7), Parameters::new(&config, 8));
        let mut end = Connection::new(config, own, peer, 1).unwrap();
        let data = vec![3; usize::from(end.payload()) * SENT];
        assert_eq!(end.send(&data), data.len());
        let mut victim = Self {
            end,
            output: Output::default(),
            now: Duration::from_secs(1),
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
            if let Ok(Packet::Numbered(packet)) = Packet::parse(datagram, 7) {
                assert!(packet.payload.len() < datagram.len());
            }
            self.end.input(datagram, self.met.is_multiple_of(4), self.now);
            while let Some(len) = self.end.recv(&mut self.buf) {
                read += len as u64;
            }
            self.now += Duration::from_millis(3);
            self.flush();
        }
        let stats = self.end.stats();
        let rebuilt = stats.fec.map_or(0, |fec| fec.recovered * LONGEST);
        assert!(read <= self.bytes + rebuilt, "{read} of {}", self.bytes);
        assert!(stats.in_flight <= stats.packets_sent * LONGEST, "{stats:?}");
        assert!(stats.packets_acked <= stats.packets_sent, "{stats:?}");
        assert!(stats.packets_lost <= stats.packets_sent, "{stats:?}");
        let due = self.end.deadline(self.now);
        assert!(due.is_none_or(|due| due < self.now + Duration::from_secs(60)), "{due:?}");
    }

    /// Sends what is due: no more than all data, an acknowledgement, a question and a reset, each at
    /// most once, and parity for it.
    fn flush(&mut self) {
        self.output.clear();
        assert_eq!(self.end.flush(self.now, &mut self.output), Flushed::All);
        let sent: usize = self.output.datagrams().map(<[u8]>::len).sum();
        assert!(sent as u64 <= 3 * (SENT as u64 + 4) * LONGEST, "{sent} bytes");
    }
}

/// Returns the first datagram and what is behind it; one that is cut short is what there is of it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    Some(rest.split_at(rest.len().min(u16::from_le_bytes(*len).into())))
}

fn config() -> Config {
    Config { window: 1 << 14, mtu: 1400, ..Config::default() }
}

/// Packets that have been sent when something comes.
const SENT: usize = 3;

/// Bytes of the longest datagram that goes either way.
const LONGEST: u64 = 1500;

const MUTATIONS: usize = 400;

/// Bytes that mean something: names, types, kinds of shards, and ends of ranges.
const TELLING: &[u8] = b"\0\x01\x02\x03\x04\x05\x07\x08\x0f\x40\x41\x7f\x80\xf1\xf2\xfe\xff";
