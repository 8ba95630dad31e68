//! Whatever a peer sends, the flow lives, keeps little, and counts what it dropped.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::time::Duration;

use polyperf_kcp::{
    Config, Conversation, Dead, Flushed, Mode, Output, Rejected, Stats,
    segment::{Command, Segment},
};

const CONV: u32 = 7;

/// A segment as an honest peer sends it.
const HONEST: Segment<'static> = Segment {
    conv: CONV,
    cmd: Command::Push,
    frg: 0,
    wnd: 128,
    ts: 0,
    sn: 0,
    una: 0,
    payload: b"x",
};

/// A conversation, and what it is attacked with.
struct Victim {
    conversation: Conversation,
    now: Duration,
    output: Output,
}

impl Victim {
    fn new(config: Config) -> Self {
        Self::with(config, None)
    }

    fn with(config: Config, fec: Option<&str>) -> Self {
        let fec = fec.map(|fec| fec.parse().unwrap());
        let conversation = Conversation::new(CONV, config, fec).unwrap();
        Self { conversation, now: Duration::ZERO, output: Output::default() }
    }

    fn input(&mut self, segment: &Segment<'_>) -> Result<(), Rejected> {
        let datagram = [&segment.header()[..], segment.payload].concat();
        self.conversation.input(&datagram, self.now)
    }

    /// Returns the segments that leave now.
    fn flush(&mut self) -> usize {
        let mut count = 0;
        loop {
            self.output.clear();
            let flushed = self.conversation.flush(self.now, &mut self.output);
            count += self.output.len();
            if flushed == Flushed::All {
                return count;
            }
        }
    }

    fn stats(&self) -> Stats {
        self.conversation.stats()
    }

    /// Shows that it still receives and sends, when the peer has got so far.
    fn lives(&mut self, sn: u32) {
        while self.conversation.recv(&mut [0; 1000]).is_some() {}
        self.input(&Segment { sn, payload: b"alive", ..HONEST }).unwrap();
        let mut buf = [0; 100];
        assert_eq!(self.conversation.recv(&mut buf), Some(5));
        assert_eq!(&buf[..5], b"alive");
        self.conversation.send(b"alive").unwrap();
        assert!(self.flush() > 0);
    }
}

#[test]
fn another_conversation_is_dropped_and_never_taken_over() {
    let mut victim = Victim::new(Config::default());
    for conv in [0, 8, u32::MAX] {
        let refused = victim.input(&Segment { conv, ..HONEST });
        assert_eq!(refused, Err(Rejected::Foreign { expected: CONV, found: conv }));
    }
    assert_eq!(victim.stats().rejected.foreign, 3);
    victim.lives(0);
    assert_eq!(victim.conversation.recv(&mut [0; 10]), None);
}

#[test]
fn a_conversation_behind_an_honest_segment_takes_the_whole_datagram_with_it() {
    let mut victim = Victim::new(Config::default());
    let other = Segment { conv: 9, ..HONEST };
    let datagram = [HONEST.header(), other.header()].concat();
    assert!(victim.conversation.input(&datagram, victim.now).is_err());
    assert!(!victim.conversation.is_readable());
    victim.lives(0);
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_dropped() {
    let mut victim = Victim::new(Config::default());
    victim.conversation.send(&[0; 5000]).unwrap();
    victim.flush();
    for una in [5, 100, 0x7FFF_FFFF] {
        assert!(matches!(victim.input(&Segment { una, ..HONEST }), Err(Rejected::Unsent { .. })));
    }
    for sn in [4, 1000, 0x7FFF_FFFF] {
        let ack = Segment { cmd: Command::Ack, sn, payload: b"", ..HONEST };
        assert!(matches!(victim.input(&ack), Err(Rejected::Unsent { .. })));
    }
    assert_eq!(victim.stats().rejected.unsent, 6);
    assert_eq!(victim.stats().waiting, 4, "nothing of it was taken for acknowledged");
    victim.lives(0);
}

#[test]
fn old_acknowledgements_change_nothing() {
    let mut victim = Victim::new(Config::default());
    victim.conversation.send(&[0; 5000]).unwrap();
    victim.flush();
    victim.input(&Segment { cmd: Command::Ack, una: 4, payload: b"", ..HONEST }).unwrap();
    for (una, sn) in [(0, 0), (u32::MAX, 3), (0x8000_0005, 0x8000_0005)] {
        victim.input(&Segment { cmd: Command::Ack, una, sn, payload: b"", ..HONEST }).unwrap();
    }
    assert!(victim.conversation.is_drained());
    victim.lives(0);
}

#[test]
fn data_far_outside_the_window_is_neither_kept_nor_acknowledged() {
    let mut victim = Victim::new(Config::default());
    for sn in [1024, 5000, 0x7FFF_FFFF] {
        victim.input(&Segment { sn, ..HONEST }).unwrap();
    }
    assert_eq!(victim.stats().beyond_window, 3);
    assert_eq!(victim.flush(), 0, "nothing is acknowledged");
    victim.lives(0);
}

#[test]
fn a_window_of_nothing_and_one_of_everything_are_only_windows() {
    let mut victim = Victim::new(Config::default());
    victim.input(&Segment { wnd: 0, ..HONEST }).unwrap();
    victim.conversation.send(&[0; 100_000]).unwrap();
    assert_eq!(victim.flush(), 1, "an acknowledgement alone");
    assert_eq!(victim.stats().peer_window, 0);
    victim.input(&Segment { wnd: u16::MAX, sn: 1, ..HONEST }).unwrap();
    while victim.conversation.send(&[0; 100_000]).unwrap() > 0 {}
    victim.flush();
    assert_eq!(victim.stats().waiting, 1024, "its own window limits it");
    victim.lives(2);
}

#[test]
fn a_flood_of_acknowledgements_costs_nothing_but_the_look() {
    let mut victim = Victim::new(Config::default());
    victim.conversation.send(&[0; 100_000]).unwrap();
    let sent = victim.flush();
    let ack = Segment { cmd: Command::Ack, sn: 40, payload: b"", ..HONEST };
    let flood: Vec<u8> = (0..2000).flat_map(|_| ack.header()).collect();
    for _ in 0..200 {
        victim.conversation.input(&flood, victim.now).unwrap();
    }
    // Each is one datagram that has overtaken others, whatever the number of copies within.
    let again = victim.flush();
    assert!(again < sent, "{again} of {sent}");
    assert_eq!(victim.flush(), 0, "and no more for the same acknowledgement");
    victim.lives(0);
}

#[test]
fn a_flood_of_copies_is_acknowledged_once_for_each_flush() {
    let mut victim = Victim::new(Config::default());
    for _ in 0..10_000 {
        victim.input(&Segment { sn: 5, ..HONEST }).unwrap();
    }
    assert_eq!(victim.stats().duplicates, 9999);
    assert_eq!(victim.flush(), 1);
    victim.lives(0);
}

#[test]
fn lying_fragment_counts_cost_the_messages_they_are_in() {
    let config = Config { mode: Mode::Messages, ..Config::default() };
    let mut victim = Victim::new(config);
    for (sn, frg) in [(0, 200), (1, 3), (2, 3), (3, 255), (4, 0)] {
        victim.input(&Segment { sn, frg, ..HONEST }).unwrap();
    }
    let stats = victim.stats();
    assert!(stats.broken_messages > 0, "{stats:?}");
    victim.lives(5);
}

#[test]
fn a_message_that_never_ends_does_not_stop_those_behind_it_for_ever() {
    let config = Config { mode: Mode::Messages, ..Config::default() };
    let mut victim = Victim::new(config);
    for sn in 0..3000 {
        victim.input(&Segment { sn, frg: 100, ..HONEST }).unwrap();
        victim.flush();
    }
    victim.lives(3000);
}

#[test]
fn lengths_that_lie_are_malformed() {
    let mut victim = Victim::new(Config::default());
    let mut long = [&HONEST.header()[..], b"x"].concat();
    long[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut unknown = HONEST.header();
    unknown[4] = 99;
    for datagram in [&long[..], &unknown, b"", &[0; 23], &[&HONEST.header()[..], b"xy"].concat()] {
        assert!(victim.conversation.input(datagram, victim.now).is_err(), "{datagram:?}");
    }
    assert_eq!(victim.stats().rejected.malformed, 5);
    victim.lives(0);
}

#[test]
fn error_correction_with_lying_lengths_is_dropped() {
    let mut victim = Victim::with(Config::default(), Some("2:1"));
    let framed =
        |seqid: u32, kind: u8, rest: &[u8]| [&seqid.to_le_bytes()[..], &[kind, 0], rest].concat();
    let header = HONEST.header();
    for datagram in [
        framed(0, 0xF1, &[1, 0, 9]),
        framed(1, 0xF1, &[0xFF, 0xFF, 9]),
        framed(2, 0xF2, &[3; 3000]),
        framed(3, 0xF1, &[&[26, 0][..], &header[..23]].concat()),
        framed(5, 0xF2, b""),
        framed(u32::MAX, 0xF2, &[7; 100]),
    ] {
        // Whether it is an error or only counted is all the same.
        let _ = victim.conversation.input(&datagram, victim.now);
    }
    let stats = victim.stats();
    assert!(stats.fec.unwrap().malformed >= 4, "{stats:?}");
    victim.lives(0);
}

#[test]
fn a_silent_peer_ends_the_flow_in_time() {
    let mut victim = Victim::new(Config::default());
    victim.now = Duration::from_secs(100);
    victim.flush();
    assert_eq!(victim.conversation.deadline(victim.now), None, "nothing is waited for");
    victim.conversation.send(b"is anybody there").unwrap();
    let began = victim.now;
    while victim.conversation.dead().is_none() {
        victim.flush();
        victim.now = victim.conversation.deadline(victim.now).expect("it waits");
        assert!(victim.now - began < Duration::from_secs(11));
        victim.flush();
    }
    assert!(victim.now - began >= Duration::from_secs(9));
    let dead = victim.conversation.dead().unwrap();
    assert_eq!(dead, Dead::Silence(Duration::from_secs(10)));
    assert_eq!(dead.to_string(), "it did not answer for 10 seconds");
    let later = victim.conversation.deadline(victim.now);
    assert!(later.is_none_or(|later| later > victim.now), "who goes on is not kept busy");
}

#[test]
fn a_segment_that_never_arrives_ends_the_flow_though_the_peer_talks() {
    let mut victim = Victim::new(Config { dead_link: 5, ..Config::default() });
    victim.conversation.send(b"x").unwrap();
    let mut sn = 0;
    while victim.conversation.dead().is_none() {
        victim.flush();
        victim.now += Duration::from_millis(50);
        victim.input(&Segment { sn, ..HONEST }).unwrap();
        victim.conversation.recv(&mut [0; 10]);
        sn += 1;
        assert!(sn < 1000);
    }
    assert_eq!(victim.conversation.dead(), Some(Dead::Transmissions(5)));
}

#[test]
fn a_peer_that_answers_with_a_closed_window_is_not_gone() {
    let mut victim = Victim::new(Config::default());
    victim.input(&Segment { wnd: 0, ..HONEST }).unwrap();
    victim.conversation.send(b"waits").unwrap();
    let closed = Segment { cmd: Command::Tell, wnd: 0, payload: b"", ..HONEST };
    let until = Duration::from_secs(120);
    while victim.now < until {
        if victim.flush() > 0 {
            victim.input(&closed).unwrap();
        }
        victim.now = victim.conversation.deadline(victim.now).expect("it asks again");
        assert_eq!(victim.conversation.dead(), None, "after {:?}", victim.now);
    }
    assert!(victim.stats().probes > 20);
}

#[test]
fn whatever_bytes_come_nothing_breaks() {
    let mut dice = 1_u64;
    let mut roll = move |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % sides
    };
    let telling = [0, 1, 5, 127, 128, 0x51, 0x52, 0x53, 0x54, 0xF1, 0xF2, 0xFF];
    for (mode, fec) in [
        (Mode::Stream, None),
        (Mode::Messages, None),
        (Mode::Stream, Some("3:2")),
        (Mode::Messages, Some("1:1")),
    ] {
        let config = Config { mode, ends: true, ..Config::default() };
        let mut victim = Victim::with(config, fec);
        let mut corpus: Vec<Vec<u8>> = vec![HONEST.header().to_vec()];
        for round in 0..20_000 {
            match roll(8) {
                0 => drop(victim.conversation.send(&vec![3; roll(4000)])),
                1 => drop(victim.conversation.recv(&mut vec![0; roll(3000)])),
                2 => {
                    victim.output.clear();
                    let _ = victim.conversation.flush(victim.now, &mut victim.output);
                    corpus.extend(victim.output.datagrams().take(3).map(<[u8]>::to_vec));
                    corpus.truncate(200);
                }
                3 => victim.now += Duration::from_millis(roll(2000) as u64),
                _ => {
                    let mut datagram = corpus[roll(corpus.len())].clone();
                    for _ in 0..roll(4) {
                        let at = roll(datagram.len().max(1));
                        if let Some(byte) = datagram.get_mut(at) {
                            *byte = telling[roll(telling.len())];
                        }
                    }
                    if roll(10) == 0 {
                        datagram.truncate(roll(datagram.len() + 1));
                    }
                    let _ = victim.conversation.input(&datagram, victim.now);
                }
            }
            if round % 1000 == 0 {
                let _ = (victim.conversation.deadline(victim.now), victim.stats());
            }
        }
        assert!(victim.stats().waiting <= 1024 + 127 + 1);
    }
}
