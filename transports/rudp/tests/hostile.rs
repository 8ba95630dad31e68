//! Whatever a peer sends, the flow lives, keeps little, and counts what it dropped.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::time::Duration;

use polyperf_rudp::{
    Config, Connection, Flushed, Output, Over, Parameters, Stats,
    packet::{self, DATA_HEADER, Kind, Numbered, Packet},
};

/// What the victim is called, and the attacker.
const VICTIM: u32 = 7;
const ATTACKER: u32 = 8;

struct Victim {
    end: Connection,
    now: Duration,
}

impl Victim {
    fn new(config: Config) -> Self {
        let own = Parameters::new(&config, VICTIM);
        let peer = Parameters::new(&Config::default(), ATTACKER);
        Self { end: Connection::new(config, own, peer, 1).unwrap(), now: Duration::from_secs(1) }
    }

    fn input(&mut self, bytes: &[u8]) {
        self.end.input(bytes, false, self.now);
    }

    fn numbered(&mut self, kind: Kind, number: u32, offset: u64, payload: &[u8]) {
        let packet = Numbered { kind, number, offset, time: 0, payload };
        self.input(&[&packet.header(VICTIM)[..], payload].concat());
    }

    fn data(&mut self, number: u32, offset: u64, payload: &[u8]) {
        self.numbered(Kind::Data, number, offset, payload);
    }

    /// Returns what leaves now.
    fn flush(&mut self) -> Vec<Vec<u8>> {
        let mut output = Output::default();
        let mut datagrams = Vec::new();
        loop {
            output.clear();
            let flushed = self.end.flush(self.now, &mut output);
            datagrams.extend(output.datagrams().map(<[u8]>::to_vec));
            if flushed == Flushed::All {
                return datagrams;
            }
        }
    }

    fn stats(&self) -> Stats {
        self.end.stats()
    }

    fn read(&mut self) -> Vec<u8> {
        let mut buf = [0; 4096];
        let mut read = Vec::new();
        while let Some(len) = self.end.recv(&mut buf) {
            read.extend(&buf[..len]);
        }
        read
    }
}

/// Returns an acknowledgement of `number` and so many below, as these bytes.
fn ack(number: u32, echo: u32, below: u32, limit: u64, marked: u32) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    bytes.extend(VICTIM.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(echo.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(&limit.to_be_bytes()[2..]);
    bytes.extend([1, 0]);
    bytes.extend(marked.to_be_bytes());
    bytes.extend(below.to_be_bytes());
    bytes
}

/// Returns the number and the time of what a victim has sent.
fn sent(datagram: &[u8]) -> (u32, u32) {
    match Packet::parse(datagram, ATTACKER).unwrap() {
        Packet::Numbered(packet) => (packet.number, packet.time),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_of_another_flow_is_dropped_its_reset_too() {
    let mut victim = Victim::new(Config::default());
    victim.input(&packet::reset(VICTIM + 1, 1));
    let data = Numbered { kind: Kind::Data, number: 0, offset: 0, time: 0, payload: b"x" };
    victim.input(&[&data.header(VICTIM + 1)[..], b"x"].concat());
    assert_eq!(victim.stats().rejected.foreign, 2);
    assert_eq!(victim.end.over(), None);
    victim.data(0, 0, b"alive");
    assert_eq!(victim.read(), b"alive");
    victim.input(&packet::reset(VICTIM, 9));
    assert_eq!(victim.end.over(), Some(Over::Reset { code: 9 }));
    assert!(victim.flush().is_empty(), "nothing is answered");
}

#[test]
fn what_was_never_sent_cannot_be_acknowledged() {
    let mut victim = Victim::new(Config::default());
    victim.end.send(&[0; 5000]);
    let datagrams = victim.flush();
    let (last, time) = sent(datagrams.last().unwrap());
    for forged in [
        ack(last + 1, time, 0, 1 << 20, 0),
        ack(u32::MAX / 3, time, 0, 1 << 20, 0),
        // More below the first than there are numbers.
        ack(last, time, last + 1, 1 << 20, 0),
        ack(last, time, u32::MAX, 1 << 20, 0),
    ] {
        victim.input(&forged);
    }
    assert_eq!(victim.stats().rejected.forged, 4);
    assert_eq!(victim.stats().packets_acked, 0);
    victim.input(&ack(last, time, last, 1 << 20, 0));
    assert_eq!(victim.stats().packets_acked, u64::from(last) + 1);
    assert_eq!(victim.stats().in_flight, 0);
}

#[test]
fn who_acknowledges_what_has_not_arrived_does_not_know_its_time() {
    let mut victim = Victim::new(Config::default());
    victim.end.send(&[0; 50_000]);
    let datagrams = victim.flush();
    let (last, time) = sent(datagrams.last().unwrap());
    let window = victim.stats().window;
    for guess in (0..1000).filter(|guess| *guess != time) {
        victim.input(&ack(last, guess, last, 1 << 20, 0));
    }
    let stats = victim.stats();
    assert!(stats.rejected.forged >= 999, "{:?}", stats.rejected);
    assert_eq!((stats.packets_acked, stats.window), (0, window));
}

#[test]
fn a_window_that_shrinks_takes_nothing_back() {
    let mut victim = Victim::new(Config::default());
    victim.end.send(&[0; 3000]);
    let datagrams = victim.flush();
    let (first, time) = sent(&datagrams[0]);
    let before = victim.stats().peer_window;
    victim.input(&ack(first, time, 0, 1500, 0));
    assert_eq!(victim.stats().rejected.shrinking, 1);
    assert_eq!(victim.stats().peer_window, before);
    assert_eq!(victim.stats().packets_acked, 1, "the rest of it is good");
}

#[test]
fn more_marks_than_packets_are_not_believed() {
    let mut victim = Victim::new(Config::default());
    victim.end.send(&[0; 3000]);
    let datagrams = victim.flush();
    let (first, time) = sent(&datagrams[0]);
    victim.input(&ack(first, time, 0, 1 << 20, 1000));
    assert_eq!((victim.stats().marks_told, victim.stats().congestion_events), (0, 0));
}

#[test]
fn other_content_for_what_has_arrived_is_dropped_and_what_came_first_stays() {
    let mut victim = Victim::new(Config::default());
    victim.data(0, 0, b"0123456789");
    victim.data(1, 20, b"klmnopqrst");
    victim.data(2, 5, b"XXXXX");
    victim.data(3, 0, b"0123456789Y");
    victim.data(4, 15, b"fghijKlmno");
    assert_eq!(victim.stats().rejected.conflicting, 2);
    victim.data(5, 8, b"89abcdefghijklm");
    assert_eq!(victim.stats().rejected.conflicting, 3);
    assert_eq!(victim.read(), b"0123456789Y");
    victim.data(6, 11, b"bcdefghijkl");
    assert_eq!(victim.read(), b"bcdefghijklmnopqrst");
}

#[test]
fn nothing_beyond_the_window_or_the_end_is_kept() {
    let config = Config { window: 8192, ..Config::default() };
    let mut victim = Victim::new(config);
    victim.data(0, 8192, b"x");
    victim.data(1, 8000, &[0; 193]);
    victim.data(2, (1 << 47) - 1, b"x");
    assert_eq!(victim.stats().rejected.beyond, 3);
    victim.data(3, 0, b"hello");
    victim.numbered(Kind::Fin, 4, 4, &[]);
    assert_eq!(victim.stats().rejected.beyond, 4, "an end before what has arrived");
    victim.numbered(Kind::Fin, 5, 10, &[]);
    victim.numbered(Kind::Fin, 6, 11, &[]);
    assert_eq!(victim.stats().rejected.conflicting, 1, "another end");
    victim.data(7, 10, b"x");
    assert_eq!(victim.stats().rejected.beyond, 5, "data behind the end");
    victim.data(8, 5, b"world");
    assert_eq!(victim.read(), b"helloworld");
    assert!(victim.end.is_ended());
}

#[test]
fn gaps_without_end_take_no_more_memory_than_the_window() {
    let mut victim = Victim::new(Config { window: 1 << 16, ..Config::default() });
    for number in 0..20_000_u32 {
        victim.data(number * 2, u64::from(number % 30_000) * 2 + 1, b"x");
        let datagrams = victim.flush();
        assert!(datagrams.iter().all(|datagram| datagram.len() <= 32 + 4 + 63 * 8));
    }
    victim.data(1, 0, &[b'x'; 1]);
    assert!(victim.stats().packets_received > 10_000);
}

#[test]
fn a_flood_of_questions_is_answered_by_one_acknowledgement_for_each_batch() {
    let mut victim = Victim::new(Config::default());
    for number in 0..10_000 {
        victim.numbered(Kind::Ping, number, 0, &[]);
    }
    assert_eq!(victim.flush().len(), 1);
    assert_eq!(victim.flush().len(), 0);
}

#[test]
fn what_an_honest_peer_sent_changed_at_random_never_panics() {
    let mut state = 11_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..300 {
        let fec = (round % 3 == 0).then(|| "3:2".parse().unwrap());
        let config = Config { window: 1 << 14, fec, ..Config::default() };
        let (ours, theirs) = (Parameters::new(&config, VICTIM), Parameters::new(&config, ATTACKER));
        let mut ends = [
            Victim { end: Connection::new(config, ours, theirs, 1).unwrap(), now: Duration::ZERO },
            Victim { end: Connection::new(config, theirs, ours, 2).unwrap(), now: Duration::ZERO },
        ];
        for _ in 0..60 {
            let from = random(2);
            let bytes = vec![7; random(4000)];
            ends[from].end.send(&bytes);
            for mut datagram in ends[from].flush() {
                match random(6) {
                    0 => {
                        let at = random(datagram.len());
                        datagram[at] = u8::try_from(random(256)).unwrap();
                    }
                    1 => datagram.truncate(random(datagram.len() + 1)),
                    2 => {
                        let at = random(datagram.len().min(DATA_HEADER + 12));
                        datagram[at] ^= 1 << random(8);
                    }
                    3 => ends[1 - from].input(&datagram.clone()),
                    _ => {}
                }
                ends[1 - from].input(&datagram);
            }
            for end in &mut ends {
                end.now += Duration::from_millis(random(40) as u64);
                end.read();
                let stats = end.stats();
                assert!(stats.in_flight <= 1 << 20, "{stats:?}");
                assert!(
                    end.end.deadline(end.now).is_none_or(|due| due < Duration::from_secs(3600))
                );
            }
        }
    }
}
