//! What is counted is what was on the wire.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::time::Duration;

use polyperf_kcp::{Config, Conversation, FecStats, Flushed, Output, Traffic};

/// Two ends, and what went from the one to the other.
struct Both {
    here: Conversation,
    there: Conversation,
    output: Output,
    now: Duration,
    /// Whether a datagram is lost on the way, by the number that it is.
    loses: fn(u64) -> bool,
    sent: Traffic,
    received: Traffic,
}

impl Both {
    fn new(fec: Option<&str>, loses: fn(u64) -> bool) -> Self {
        let fec = fec.map(|fec| fec.parse().unwrap());
        let end = || Conversation::new(7, Config::default(), fec).unwrap();
        Self {
            here: end(),
            there: end(),
            output: Output::default(),
            now: Duration::ZERO,
            loses,
            sent: Traffic::default(),
            received: Traffic::default(),
        }
    }

    /// Has everything that is sent here read there.
    fn transfer(&mut self, bytes: &[u8]) {
        let (mut written, mut read) = (0, 0);
        while read < bytes.len() {
            written += self.here.send(&bytes[written..]).unwrap();
            read += self.forward();
            self.back();
            self.now += Duration::from_millis(20);
        }
    }

    fn forward(&mut self) -> usize {
        let (mut read, mut buf) = (0, vec![0; 1 << 17]);
        loop {
            self.output.clear();
            let flushed = self.here.flush(self.now, &mut self.output);
            for datagram in self.output.datagrams() {
                let lost = (self.loses)(self.sent.datagrams);
                count(&mut self.sent, datagram);
                if !lost {
                    count(&mut self.received, datagram);
                    self.there.input(datagram, self.now).unwrap();
                }
            }
            while let Some(len) = self.there.recv(&mut buf) {
                read += len;
            }
            if flushed == Flushed::All {
                return read;
            }
        }
    }

    fn back(&mut self) {
        self.output.clear();
        assert_eq!(self.there.flush(self.now, &mut self.output), Flushed::All);
        self.output.datagrams().for_each(|datagram| self.here.input(datagram, self.now).unwrap());
    }
}

fn count(traffic: &mut Traffic, datagram: &[u8]) {
    traffic.datagrams += 1;
    traffic.wire_bytes += datagram.len() as u64;
}

fn on_the_wire(traffic: Traffic) -> (u64, u64) {
    (traffic.datagrams, traffic.wire_bytes)
}

#[test]
fn datagrams_and_their_bytes_are_those_that_went() {
    for (fec, loses) in [
        (None, (|_| false) as fn(u64) -> bool),
        (None, |number| number % 20 == 7),
        (Some("10:3"), |_| false),
        (Some("10:3"), |number| number % 20 == 7),
        (Some("1:1"), |number| number % 20 == 7),
    ] {
        let mut both = Both::new(fec, loses);
        both.transfer(&[5; 1_000_000]);
        let (here, there) = (both.here.stats(), both.there.stats());
        assert_eq!(on_the_wire(here.sent), on_the_wire(both.sent), "{fec:?}");
        assert_eq!(on_the_wire(there.received), on_the_wire(both.received), "{fec:?}");
    }
}

#[test]
fn parity_is_counted_at_both_ends_and_brings_back_what_was_lost() {
    let mut both = Both::new(Some("10:3"), |number| number % 13 == 4);
    both.transfer(&[5; 1_000_000]);
    let (here, there) = (both.here.stats(), both.there.stats());
    let (sent, received) = (here.fec.unwrap(), there.fec.unwrap());
    assert_eq!(sent.parity_sent, received.parity_received);
    assert_eq!(sent.parity_bytes_sent, received.parity_bytes_received);
    // One of each group of 13 is lost, and another nine are there when it is rebuilt.
    assert_eq!(received.recovered, sent.parity_sent / 3);
    assert_eq!((received.unrecoverable, received.malformed), (0, 0));
    assert_eq!(here.retransmits.total(), 0);
}

#[test]
fn what_is_rebuilt_and_of_no_use_is_not_recovered() {
    // An end that takes part in another conversation has no use for it.
    let mut both = Both::new(Some("2:1"), |_| false);
    both.here.send(&[5; 2 * 1368]).unwrap();
    let _ = both.here.flush(Duration::ZERO, &mut both.output);
    let fec = Some("2:1".parse().unwrap());
    let mut other = Conversation::new(8, Config::default(), fec).unwrap();
    for datagram in both.output.datagrams().skip(1) {
        let _ = other.input(datagram, Duration::ZERO);
    }
    let stats = other.stats();
    assert_eq!(stats.rejected.foreign, 2, "the one that came, and the one that was rebuilt");
    assert_eq!((stats.fec.unwrap().parity_received, stats.fec.unwrap().recovered), (1, 0));
    assert_eq!(stats.received.segments, 0);
}

#[test]
fn an_output_holds_no_more_data_than_it_should() {
    for fec in [None, Some("10:3")] {
        let mut both = Both::new(fec, |_| false);
        both.output = Output::new(5000);
        both.here.send(&[5; 100_000]).unwrap();
        let mut flushes = 0;
        loop {
            both.output.clear();
            let flushed = both.here.flush(both.now, &mut both.output);
            let parity = both.output.datagrams().filter(|datagram| datagram[4] == 0xF2).count();
            assert!(both.output.len() - parity <= 3, "{fec:?}: {}", both.output.len());
            flushes += 1;
            if flushed == Flushed::All {
                break;
            }
        }
        assert!(flushes >= 24, "{flushes}");
    }
}

#[test]
fn a_conversation_without_error_correction_has_no_figures_of_it_until_it_meets_some() {
    let mut plain = Conversation::new(7, Config::default(), None).unwrap();
    assert_eq!(plain.stats().fec, None);
    let mut both = Both::new(Some("1:1"), |_| false);
    both.here.send(b"hello").unwrap();
    let _ = both.here.flush(both.now, &mut both.output);
    both.output.datagrams().for_each(|datagram| plain.input(datagram, both.now).unwrap());
    assert_eq!(plain.recv(&mut [0; 10]), Some(5));
    let bytes = (24 + 5 + 8) as u64;
    let expected =
        FecStats { parity_received: 1, parity_bytes_received: bytes, ..FecStats::default() };
    assert_eq!(plain.stats().fec, Some(expected));
    assert_eq!(plain.stats().received.wire_bytes, 2 * bytes);
}
