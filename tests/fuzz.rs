//! Replays a corpus of bytes from the network and from files, and mutations of it, against the parsers
//! of the native protocol and of keys. Nothing that arrives may panic, or make a decoder keep more than
//! it was fed.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{fs, path::Path};

use polyperf::{
    auth::AuthorizedKeys,
    protocol::native::{
        Decoder, Encoder, FrameError, HELLO_LEN, Hello, MAX_FRAME, Message, Nonce, Opening, Prove,
        Transcript,
    },
};

#[test]
fn whatever_37_bytes_open_a_connection_they_are_read_or_refused() {
    replay("opening", opening);
}

#[test]
fn whatever_bytes_come_a_decoder_keeps_no_more_than_it_was_fed() {
    replay("frames", |bytes| {
        for large in [false, true] {
            for piece in [1, 7, bytes.len().max(1)] {
                // Whether it is refused is all the same, as long as it comes to an end.
                let _ = decode(bytes, large, piece);
            }
        }
    });
}

#[test]
fn whatever_body_is_a_message_is_one_when_it_is_written_again() {
    replay("messages", message);
}

#[test]
fn whatever_bytes_are_authorized_keys_each_line_is_read_or_named() {
    replay("authorized-keys", authorized_keys);
}

#[test]
fn the_corpus_holds_what_it_says() {
    for (name, bytes) in corpus("opening") {
        let bytes = bytes.try_into().unwrap_or_else(|_| panic!("{name} has not {HELLO_LEN} bytes"));
        let native = matches!(Opening::parse(&bytes), Opening::Native(_));
        assert_eq!(native, name.starts_with("native"), "{name}");
    }
    for (name, bytes) in corpus("messages") {
        let valid = serde_json::from_slice::<Message>(&bytes).is_ok();
        assert_eq!(valid, name.starts_with("valid"), "{name}");
    }
    for (name, bytes) in corpus("authorized-keys") {
        let valid = AuthorizedKeys::parse(&bytes).is_ok();
        assert_eq!(valid, name.starts_with("valid"), "{name}");
    }
    for (name, bytes) in corpus("frames") {
        assert_eq!(decode(&bytes, false, 5).is_ok(), name.starts_with("valid"), "{name}");
    }
}

fn opening(bytes: &[u8]) {
    let mut hello = [0; HELLO_LEN];
    let length = bytes.len().min(HELLO_LEN);
    hello[..length].copy_from_slice(&bytes[..length]);
    let Opening::Native(read) = Opening::parse(&hello) else { return };
    match read {
        // A control hello has no flow, and what stands there means nothing.
        Hello::Control(_) => assert_eq!(read.encode()[..34], hello[..34]),
        Hello::Attach(..) => assert_eq!(read.encode(), hello),
    }
}

/// Feeds `bytes` in pieces, and checks after each what is kept.
fn decode(bytes: &[u8], large: bool, piece: usize) -> Result<usize, FrameError> {
    let mut decoder = Decoder::new();
    if large {
        decoder.allow_large();
    }
    let (mut fed, mut messages) = (0, 0);
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        fed += piece.len();
        while decoder.next()?.is_some() {
            messages += 1;
        }
        assert!(decoder.buffered() <= fed.min(MAX_FRAME + 8 + piece.len()));
    }
    Ok(messages)
}

fn message(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<Message>(bytes) else { return };
    if let Message::Prove(prove) = &message {
        signer(prove);
    }
    let frame = Encoder::default().encode(&message);
    let mut decoder = Decoder::new();
    decoder.allow_large();
    decoder.feed(&frame);
    assert_eq!(decoder.next(), Ok(Some(message)));
}

fn authorized_keys(bytes: &[u8]) {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    match AuthorizedKeys::parse(bytes) {
        Ok(keys) => assert!(keys.len() <= lines),
        Err(mistakes) => {
            let mut last = 0;
            for mistake in mistakes.iter() {
                assert!(mistake.line > last && mistake.line <= lines, "{mistake:?}");
                assert!(mistake.problem.len() < 200, "{mistake:?}");
                last = mistake.line;
            }
            assert!(last > 0 && mistakes.to_string().len() < 2000);
        }
    }
}

/// Whoever has signed it is whom it names, for this server's nonce and proposal alone.
fn signer(prove: &Prove) {
    let Prove { identity, nonce, proof, certificate, propose } = prove;
    let Some(certificate) = certificate else { return };
    let of = |server: u8, propose: &str| {
        let server = &Nonce::new([server; 32]);
        let transcript = Transcript { server, client: nonce, identity, propose, channel: &[] };
        transcript.signer(certificate, proof)
    };
    if let Some(signer) = of(1, propose) {
        assert_eq!(signer.to_string(), *identity);
        assert_eq!((of(2, propose), of(1, "{}")), (None, None));
    }
}

/// Tries each file of a corpus as it is, and what chance makes of it.
fn replay(kind: &str, attempt: impl Fn(&[u8])) {
    let corpus = corpus(kind);
    for (index, (_, bytes)) in corpus.iter().enumerate() {
        attempt(bytes);
        let mut dice = Dice(u64::try_from(index).unwrap());
        for _ in 0..MUTATIONS {
            let other = &corpus[dice.roll(corpus.len())].1;
            attempt(&mutated(bytes, other, &mut dice));
        }
    }
}

fn corpus(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(kind);
    let mut files: Vec<_> = fs::read_dir(folder)
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

const MUTATIONS: usize = 500;
/// Bytes that mean something to one of the parsers.
const TELLING: &[u8] = b"\0\x01\x7f\xff\"\\{}[]:,-.0e9az27";
