//! Replays a corpus of bytes from the network, and mutations of it, against the parsers of
//! iperf3's protocol. Nothing that arrives may panic, or make a decoder keep more than it was fed.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{fs, path::Path, time::Duration};

use polyperf::{
    outcome::Side,
    protocol::{
        auth::{SealedToken, Token},
        iperf3::{
            Admission, Client, Deadlines, Decoder, Expect, Extras, Input, MAX_RESULTS, Message,
            Params, Results, Server, encode,
            udp::{Connect, Counter, Header, Iperf3Receiver},
        },
    },
    spec::{SpecFields, TestSpec},
};

#[test]
fn whatever_text_is_parameters_is_so_when_it_is_written_again() {
    replay("params", |bytes| {
        let Ok(read) = Params::parse(bytes) else { return };
        let again = Params::parse(&read.encode()).unwrap();
        assert_eq!((again.spec, again.extras), (read.spec, read.extras));
    });
}

#[test]
fn whatever_text_is_results_is_so_when_it_is_written_again() {
    replay("results", |bytes| {
        let Ok(read) = Results::parse(bytes) else { return };
        let again = Results::parse(&read.encode()).unwrap();
        assert_eq!(again.streams.len(), read.streams.len());
        for side in [Side::Client, Side::Server] {
            // What is beyond measure must do no harm in any sum.
            let summary = read.summary(&spec(), side);
            let _ = (summary.retransmits(), summary.cpu.map(|cpu| cpu.percent()));
        }
    });
}

#[test]
fn whatever_text_is_a_token_it_is_read_or_refused() {
    replay("token", |bytes| {
        let sealed = SealedToken::new(String::from_utf8_lossy(bytes).into_owned());
        let Some(token) = sealed.bytes().and_then(|plain| Token::parse(&plain)) else { return };
        assert_eq!(Token::parse(token.plain().as_bytes()), Some(token));
    });
}

#[test]
fn whatever_a_datagram_holds_it_is_counted_or_passed_over() {
    replay("datagram", |bytes| {
        let _ = (Connect::parse(bytes), Connect::is_reply(bytes));
        for counter in [Counter::Bits32, Counter::Bits64] {
            let mut receiver = Iperf3Receiver::default();
            for chunk in bytes.chunks(31).chain([bytes]) {
                let Some(header) = Header::read(chunk, counter) else { continue };
                receiver.receive(header, Duration::from_secs(7));
                receiver.omit();
            }
            let figures = receiver.figures();
            assert_eq!((figures.packets, figures.jitter), (0, Duration::ZERO));
        }
    });
}

#[test]
fn whatever_bytes_come_to_a_machine_it_keeps_no_more_than_it_was_fed() {
    replay("control", |bytes| {
        for piece in [1, 7, bytes.len().max(1)] {
            // Whether they are refused is all the same, as long as it comes to an end.
            let _ = (server(bytes, piece), client(bytes, piece));
        }
    });
}

#[test]
fn the_corpus_holds_what_it_says() {
    let is_valid = |name: &str, kind: &str, valid: bool| {
        assert_eq!(valid, name.starts_with("valid"), "{kind}/{name}");
    };
    for (name, bytes) in corpus("params") {
        is_valid(&name, "params", Params::parse(&bytes).is_ok());
    }
    for (name, bytes) in corpus("results") {
        is_valid(&name, "results", Results::parse(&bytes).is_ok());
    }
    for (name, bytes) in corpus("token") {
        let sealed = SealedToken::new(String::from_utf8(bytes).unwrap());
        let token = sealed.bytes().and_then(|plain| Token::parse(&plain));
        is_valid(&name, "token", token.is_some());
    }
    for (name, bytes) in corpus("datagram") {
        is_valid(&name, "datagram", Header::read(&bytes, Counter::Bits32).is_some());
    }
    for (name, bytes) in corpus("control") {
        is_valid(&name, "control", server(&bytes, 5) || client(&bytes, 5));
    }
}

fn spec() -> TestSpec {
    SpecFields { streams: 4, ..SpecFields::default() }.try_into().unwrap()
}

/// Lets a server hear these bytes from a client. Returns whether all of them were messages.
fn server(bytes: &[u8], piece: usize) -> bool {
    let now = Duration::ZERO;
    let mut machine = Server::new(Duration::from_secs(60), Deadlines::default(), now);
    hear(Side::Client, bytes, piece, |input| {
        if let Some(input) = input {
            machine.handle(input, now);
            machine.admission(Admission::Grant(Box::new(spec())), now);
            machine.handle(Input::StreamsOpen, now);
            while machine.poll().is_some() {}
            machine.handle(Input::Done(Box::default()), now);
        }
        machine.expects()
    })
}

/// Lets a client hear these bytes from a server.
fn client(bytes: &[u8], piece: usize) -> bool {
    let now = Duration::ZERO;
    let params = Params::new(&spec(), Extras::default()).unwrap();
    let mut machine = Client::new(params, Deadlines::default(), now);
    hear(Side::Server, bytes, piece, |input| {
        if let Some(input) = input {
            machine.handle(input, now);
            machine.handle(Input::StreamsOpen, now);
            while machine.poll().is_some() {}
            machine.handle(Input::Done(Box::default()), now);
        }
        machine.expects()
    })
}

fn hear(
    sender: Side,
    bytes: &[u8],
    piece: usize,
    mut tell: impl FnMut(Option<Input>) -> Expect,
) -> bool {
    let mut decoder = Decoder::new(sender);
    let mut fed = 0;
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        fed += piece.len();
        loop {
            match decoder.next(tell(None)) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    check(&message);
                    tell(Some(Input::Message(message)));
                }
                Err(error) => {
                    tell(Some(Input::Garbage(error)));
                    return false;
                }
            }
        }
        assert!(decoder.buffered() <= fed.min(MAX_RESULTS + 4 + piece.len()));
    }
    decoder.buffered() == 0
}

fn check(message: &Message) {
    assert!(!encode(message).is_empty() && !message.name().is_empty());
}

/// Tries each file of a corpus as it is, and what chance makes of it.
fn replay(kind: &str, attempt: impl Fn(&[u8])) {
    let corpus = corpus(kind);
    for (index, (_, bytes)) in corpus.iter().enumerate() {
        attempt(bytes);
        let mut dice = Dice(u64::try_from(index).unwrap());
        // Long files are there for their length.
        for _ in 0..if bytes.len() > LONG { MUTATIONS / 20 } else { MUTATIONS } {
            let other = &corpus[dice.roll(corpus.len())].1;
            attempt(&mutated(bytes, other, &mut dice));
        }
    }
}

fn corpus(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let mut files: Vec<_> = fs::read_dir(folder.join(format!("iperf3-{kind}")))
        .expect("there is a corpus")
        .map(|entry| entry.expect("it can be listed"))
        .map(|entry| {
            let name = entry.file_name().into_string().expect("names are plain");
            (name, fs::read(entry.path()).expect("it can be read"))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{kind} has shrunk");
    files
}

/// Returns `bytes` with a few bits, bytes, ranges or digits changed.
fn mutated(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        match dice.roll(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, TELLING[dice.roll(TELLING.len())]),
            2 => bytes.splice(at..at, other.iter().copied()).for_each(drop),
            3 => bytes.drain(at..).for_each(drop),
            _ if at == bytes.len() => {}
            4 => bytes[at] ^= 1 << dice.roll(8),
            _ => bytes[at] = TELLING[dice.roll(TELLING.len())],
        }
    }
    bytes
}

/// SplitMix64: the same mutations in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }
}

const MUTATIONS: usize = 400;
const LONG: usize = 4096;
/// Bytes that mean something to one of the parsers.
const TELLING: &[u8] = b"\0\x01\x02\x04\x09\x0a\x0c\x0d\x0e\x10\xfe\xff\"\\{}[]:,-.0e9a=\n";
