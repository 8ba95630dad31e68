//! Replays scripts of what two ends do and what becomes of their datagrams, and mutations of them.
//! Whatever is lost, copied, overtaken or late, what is read is what was written.
//!
//! A script is one letter and one byte for each step; the byte is a number, a digit itself. Small
//! letters are of the one end, large ones of the other.
//!
//! | letter | step |
//! |---|---|
//! | `w` | writes so many times 300 bytes |
//! | `f` | flushes into room for so many datagrams |
//! | `d` | has the peer get one of the datagrams under way |
//! | `l` | loses one of them |
//! | `c` | copies one of them |
//! | `r` | reads as much as fits into so many times 300 bytes |
//! | `e` | says that nothing follows |
//! | `t` | has so many milliseconds pass |
//! | `u` | has so many tenths of a second pass |

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod replay;

use std::{num::NonZeroU16, time::Duration};

use polyperf_kcp::{
    Config, Conversation, FecConfig, FlushPolicy, Flushed, Mode, Nodelay, Output, Profile,
};
use replay::replay;

#[test]
fn whatever_becomes_of_datagrams_a_stream_is_read_as_it_was_written() {
    for config in configs(8, Mode::Stream) {
        each_script_is_read_as_it_was_written(config);
    }
}

#[test]
fn whatever_becomes_of_datagrams_messages_are_read_as_they_were_written() {
    for config in configs(130, Mode::Messages) {
        each_script_is_read_as_it_was_written(config);
    }
}

/// Windows small enough to be full, and numbers about to begin anew.
fn configs(window: u16, mode: Mode) -> [Config; 3] {
    let window = NonZeroU16::new(window).unwrap();
    let base = Config {
        mode,
        mtu: 500,
        send_window: window,
        receive_window: window,
        peer_window: window,
        ..Config::default()
    };
    let Config { nodelay, interval, .. } = Config::new(Profile::Normal);
    [
        Config { first_sn: u32::MAX - 20, ends: true, repeat_acks: true, ..base },
        Config { flush: FlushPolicy::Interval, nodelay: Nodelay::Eager, early: false, ..base },
        Config { congestion_control: true, nodelay, interval, ..base },
    ]
}

fn each_script_is_read_as_it_was_written(config: Config) {
    for fec in [None, Some("3:2")] {
        let fec: Option<FecConfig> = fec.map(|fec| fec.parse().unwrap());
        let text = Text::new();
        replay("pairs", TELLING, MUTATIONS, |script| {
            let mut pair = Pair::new(&text, config, fec);
            pair.act(script);
            pair.come_to_rest();
        });
    }
}

/// Two ends, and what is under way from each.
struct Pair<'a> {
    ends: [End<'a>; 2],
    now: Duration,
}

struct End<'a> {
    text: &'a Text,
    conversation: Conversation,
    output: Output,
    /// What has left, and has neither arrived nor been lost.
    under_way: Vec<Vec<u8>>,
    /// Lengths of the messages that were written, and bytes in all.
    messages: Vec<usize>,
    written: usize,
    finished: bool,
    /// Messages and bytes of the other end's that were read.
    read_messages: usize,
    read: usize,
}

impl<'a> Pair<'a> {
    fn new(text: &'a Text, config: Config, fec: Option<FecConfig>) -> Self {
        // The clock of the wire begins anew a second later.
        let now = Duration::from_millis((1 << 32) - 1000);
        let end = || End {
            text,
            conversation: Conversation::new(7, config, fec).unwrap(),
            output: Output::default(),
            under_way: Vec::new(),
            messages: Vec::new(),
            written: 0,
            finished: false,
            read_messages: 0,
            read: 0,
        };
        Self { ends: [end(), end()], now }
    }

    fn act(&mut self, script: &[u8]) {
        for step in script.chunks_exact(2) {
            let number = usize::from(step[1] ^ b'0');
            self.step(step[0].to_ascii_lowercase(), number, step[0].is_ascii_uppercase());
        }
    }

    fn step(&mut self, letter: u8, number: usize, of_the_other: bool) {
        let now = self.now;
        let [here, there] = &mut self.ends;
        let (here, there) = if of_the_other { (there, here) } else { (here, there) };
        let index = |under_way: &Vec<_>| number.checked_rem(under_way.len());
        match letter {
            b'w' => here.write(number.min(100) * 300),
            b'f' => drop(here.flush(number * 500, now)),
            b'd' => {
                let Some(index) = index(&here.under_way) else { return };
                let datagram = here.under_way.remove(index);
                there.conversation.input(&datagram, now).unwrap();
            }
            b'l' => {
                let Some(index) = index(&here.under_way) else { return };
                here.under_way.remove(index);
            }
            b'c' => {
                let Some(index) = index(&here.under_way) else { return };
                here.under_way.push(here.under_way[index].clone());
            }
            b'r' => drop(here.read(number * 300, there)),
            b'e' => here.finish(),
            b't' => self.now += Duration::from_millis(number as u64),
            b'u' => self.now += Duration::from_millis(number as u64 * 100),
            _ => {}
        }
    }

    /// Loses nothing any more, until everything has been read and acknowledged.
    fn come_to_rest(&mut self) {
        let until = self.now + LONGEST;
        while !self.is_at_rest() {
            let now = self.now;
            let [here, there] = &mut self.ends;
            for _ in 0..2 {
                for datagram in here.under_way.drain(..) {
                    there.conversation.input(&datagram, now).unwrap();
                }
                while there.read(100_000, here) {}
                while here.flush(100_000, now) == Flushed::Full {}
                std::mem::swap(here, there);
            }
            let next = self.ends.iter().filter_map(|end| end.conversation.deadline(now)).min();
            let arrival = self.ends.iter().any(|end| !end.under_way.is_empty());
            let soon = now + Duration::from_millis(1);
            self.now = if arrival { soon } else { next.unwrap_or(soon) };
            assert!(
                self.now < until,
                "it comes to no rest: {:?}",
                self.ends.each_ref().map(|end| end.conversation.stats())
            );
        }
        let [here, there] = &self.ends;
        for (from, to) in [(here, there), (there, here)] {
            assert_eq!((to.read, to.read_messages), (from.written, from.messages.len()));
        }
    }

    fn is_at_rest(&self) -> bool {
        let [here, there] = &self.ends;
        [(here, there), (there, here)].into_iter().all(|(from, to)| {
            let ended = !from.finished || to.conversation.is_ended();
            from.conversation.is_drained() && to.read == from.written && ended
        })
    }
}

impl End<'_> {
    fn write(&mut self, len: usize) {
        let room = self.conversation.room();
        let taken = self.conversation.send(self.text.at(self.written, len)).unwrap();
        // Without room for another segment, the last may still have some.
        let takes = len > 0 && room > 0 && !self.finished;
        assert!(!takes || taken > 0, "nothing with room {room}");
        self.written += taken;
        if self.conversation.config().mode == Mode::Messages && taken > 0 {
            assert_eq!(taken, len, "a message is taken whole");
            self.messages.push(len);
        }
    }

    fn finish(&mut self) {
        self.conversation.finish();
        self.finished =
            self.conversation.config().ends && self.conversation.config().mode == Mode::Stream;
    }

    fn flush(&mut self, limit: usize, now: Duration) -> Flushed {
        self.output = Output::new(limit);
        let flushed = self.conversation.flush(now, &mut self.output);
        let longest = self.conversation.config().mtu.into();
        assert!(self.output.datagrams().all(|datagram| datagram.len() <= longest));
        self.under_way.extend(self.output.datagrams().map(<[u8]>::to_vec));
        let next = self.conversation.deadline(now);
        if flushed == Flushed::All && next.is_some_and(|next| next <= now) {
            // Congestion control may permit more than before. Nobody is kept busy with nothing.
            let had = self.under_way.len();
            let flushed = self.flush(limit, now);
            assert!(self.under_way.len() > had, "nothing leaves that was to leave at once");
            return flushed;
        }
        flushed
    }

    /// Reads what `from` wrote, and returns whether there was anything.
    fn read(&mut self, len: usize, from: &End<'_>) -> bool {
        let mut buf = vec![0; len];
        let readable = self.conversation.is_readable() && !self.conversation.is_ended();
        let Some(len) = self.conversation.recv(&mut buf) else {
            assert!(!readable || buf.is_empty(), "it said that there is something");
            return false;
        };
        assert!(readable);
        assert!(self.read + len <= from.written, "what was never written is read");
        assert!(buf[..len] == *self.text.at(self.read, len), "behind {} bytes", self.read);
        self.read += len;
        if let Some(&message) = from.messages.get(self.read_messages) {
            // What does not fit is lost.
            assert_eq!(len, message.min(buf.len()));
            self.read += message - len;
            self.read_messages += 1;
        }
        true
    }
}

/// What is written, again and again.
struct Text(Vec<u8>);

impl Text {
    fn new() -> Self {
        let byte = |at: usize| (at % PERIOD).wrapping_mul(2_654_435_761).to_le_bytes()[2];
        Self((0..2 * PERIOD).map(byte).collect())
    }

    fn at(&self, from: usize, len: usize) -> &[u8] {
        &self.0[from % PERIOD..][..len]
    }
}

/// Bytes of the text, which are more than are written or read at once.
const PERIOD: usize = 100_003;

/// More time than anything takes that is sent again for as long.
const LONGEST: Duration = Duration::from_secs(3600);

const MUTATIONS: usize = 100;

/// What scripts are made of.
const TELLING: &[u8] = b"wWfFdDlLcCrReEtTuU0123456789";
