use std::{fs, path::Path};

use super::*;

#[test]
fn the_corpus_holds_what_it_says() {
    for (name, bytes) in corpus() {
        assert_eq!(Packet::parse(PREFIX, &bytes).is_some(), name.starts_with("valid"), "{name}");
    }
}

#[test]
fn whatever_bytes_come_a_packet_is_what_it_is_when_written_again() {
    let corpus = corpus();
    for (index, (_, bytes)) in corpus.iter().enumerate() {
        attempt(bytes);
        let mut dice = Dice(u64::try_from(index).unwrap());
        for _ in 0..500 {
            let other = &corpus[dice.roll(corpus.len())].1;
            attempt(&mutated(bytes, other, &mut dice));
        }
    }
}

#[test]
fn a_challenge_is_no_longer_than_any_opening_and_an_acceptance_shorter() {
    let (id, cookie) = ([1; 16], [2; 16]);
    let open = Packet::Open { id, cookie, parameters: &[], hello: b"x" }.encode(PREFIX);
    let challenge = Packet::Challenge { id, cookie }.encode(PREFIX);
    let accept = Packet::Accept { id, parameters: &[] }.encode(PREFIX);
    assert!(challenge.len() <= open.len() && accept.len() < challenge.len());
}

#[test]
fn where_bytes_are_carried_a_hello_may_be_empty() {
    let bytes = Prefix::of_bytes(b'u', 1);
    let open = Packet::Open { id: [1; 16], cookie: [2; 16], parameters: &[], hello: b"" };
    let encoded = open.encode(bytes);
    assert_eq!(Packet::parse(bytes, &encoded), Some(open));
    assert_eq!(Packet::parse(PREFIX, &encoded), None);
    let challenge = Packet::Challenge { id: [1; 16], cookie: [2; 16] }.encode(bytes);
    assert!(challenge.len() <= encoded.len());
}

#[test]
fn parameters_are_as_long_as_was_agreed_on() {
    let prefix = Prefix::of_bytes(b'u', 1).with_parameters(4);
    let (id, cookie) = ([1; 16], [2; 16]);
    for hello in [&b""[..], b"hello"] {
        let open = Packet::Open { id, cookie, parameters: b"four", hello };
        assert_eq!(Packet::parse(prefix, &open.encode(prefix)), Some(open));
    }
    let accept = Packet::Accept { id, parameters: b"four" };
    let encoded = accept.encode(prefix);
    assert_eq!(Packet::parse(prefix, &encoded), Some(accept));
    assert_eq!(Packet::parse(prefix, &encoded[..encoded.len() - 1]), None);
    let short = Packet::Open { id, cookie, parameters: b"two", hello: b"" }.encode(prefix);
    assert_eq!(Packet::parse(prefix, &short), None);
}

#[test]
fn no_packet_can_be_taken_for_quic() {
    assert_eq!(PREFIX.bytes[0] & 0x40, 0);
}

fn attempt(bytes: &[u8]) {
    if let Some(packet) = Packet::parse(PREFIX, bytes) {
        assert_eq!(packet.encode(PREFIX), bytes);
    }
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("there is a corpus")
        .map(|entry| entry.expect("it can be listed"))
        .map(|entry| {
            let name = entry.file_name().into_string().expect("names are plain");
            (name, fs::read(entry.path()).expect("it can be read"))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 15, "the corpus has shrunk");
    files
}

/// Returns `bytes` with a few bits, bytes or ranges changed.
fn mutated(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(bytes.len() + 1);
        match dice.roll(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, TELLING[dice.roll(TELLING.len())]),
            2 => bytes.splice(at..at, other.iter().copied()).for_each(drop),
            3 => bytes.extend_from_slice(&other[..dice.roll(other.len() + 1)]),
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

/// That of the udp transport, whose packets the corpus has.
const PREFIX: Prefix = Prefix::of_messages(b'u', 1);

const TELLING: &[u8] = b"\0\x01\x02\x03\x04!pu9\x40\xff";
