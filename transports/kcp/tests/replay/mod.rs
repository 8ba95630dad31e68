//! Corpora of what may arrive, and mutations of them that are the same in every run.

use std::{fs, path::Path};

/// Tries each file of a corpus as it is, and so many mutations of it with bytes that are `telling`.
pub(crate) fn replay(kind: &str, telling: &[u8], mutations: usize, attempt: impl Fn(&[u8])) {
    let corpus = corpus(kind);
    for (index, (_, bytes)) in corpus.iter().enumerate() {
        attempt(bytes);
        let mut dice = Dice(u64::try_from(index).unwrap());
        for _ in 0..mutations {
            let other = &corpus[dice.roll(corpus.len())].1;
            attempt(&mutated(bytes, other, telling, &mut dice));
        }
    }
}

/// Returns the files of a corpus by name.
pub(crate) fn corpus(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(kind);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("there is a corpus")
        .map(|entry| entry.expect("it can be listed"))
        .map(|entry| {
            let name = entry.file_name().into_string().expect("names are plain");
            (name, fs::read(entry.path()).expect("it can be read"))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{kind} has shrunk");
    files
}

/// Returns `bytes` with a few bits, bytes or ranges changed, most of them in the headers.
fn mutated(bytes: &[u8], other: &[u8], telling: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.roll(4) {
        let reach = if dice.roll(2) == 0 { bytes.len().min(64) } else { bytes.len() };
        let at = dice.roll(reach + 1);
        match dice.roll(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, telling[dice.roll(telling.len())]),
            2 => bytes.splice(at..at, other.iter().copied()).for_each(drop),
            3 => bytes.extend_from_slice(&other[..dice.roll(other.len() + 1)]),
            _ if at == bytes.len() => {}
            4 => bytes[at] ^= 1 << dice.roll(8),
            _ => bytes[at] = telling[dice.roll(telling.len())],
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
