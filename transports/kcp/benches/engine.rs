//! What the protocol costs without a network: two ends back to back on one thread, which hand each
//! other their datagrams.
//!
//! ```text
//! cargo bench -p polyperf-kcp --bench engine
//! cargo bench -p polyperf-kcp --bench engine --features simd
//! ```
//!
//! Both ends' work is in each figure: a byte is written, sent, received and read. The window is 1024
//! segments of datagrams of 1400 bytes, with the settings of `fast3`, and a flush fills one
//! [`Output`] of what a system call takes. `ns/segment` is of data, acknowledgements included.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]
#![allow(clippy::unwrap_used, reason = "what cannot be ends the program")]

use std::time::{Duration, Instant};

use polyperf_kcp::{Config, Conversation, FecConfig, Flushed, Output};

fn main() {
    println!("{:>8}{:>6}{:>10}{:>12}{:>12}", "fec", "lost", "Gbit/s", "ns/segment", "again");
    for fec in [None, Some("10:3")] {
        for lost in [None, Some(100)] {
            // Whatever else the machine does only takes time away.
            let runs = (0..RUNS).map(|_| run(fec.map(|fec| fec.parse().unwrap()), lost));
            let best = runs.min_by_key(|run| run.took).unwrap();
            println!(
                "{:>8}{:>6}{:>10.1}{:>12.0}{:>12}",
                fec.unwrap_or("off"),
                lost.map_or("0".to_owned(), |every| format!("1/{every}")),
                float(best.bytes) * 8.0 / 1e9 / best.took.as_secs_f64(),
                best.took.as_secs_f64() * 1e9 / float(best.segments),
                best.again,
            );
        }
    }
}

struct Run {
    took: Duration,
    bytes: u64,
    segments: u64,
    again: u64,
}

/// Sends for a while, and loses a datagram of so many.
fn run(fec: Option<FecConfig>, lost: Option<u64>) -> Run {
    let mut both = Both::new(fec, lost);
    both.until(WARM);
    let before = both.progress();
    let began = Instant::now();
    both.until(before.0 + MEASURED);
    let (took, after) = (began.elapsed(), both.progress());
    Run {
        took,
        bytes: after.0 - before.0,
        segments: after.1 - before.1,
        again: both.here.stats().retransmits.total(),
    }
}

/// Two ends, and what is between them.
struct Both {
    here: Conversation,
    there: Conversation,
    output: Output,
    written: Vec<u8>,
    buf: Vec<u8>,
    now: Duration,
    read: u64,
    lost: Option<u64>,
    datagrams: u64,
}

impl Both {
    fn new(fec: Option<FecConfig>, lost: Option<u64>) -> Self {
        let end = || Conversation::new(7, Config::default(), fec).unwrap();
        Self {
            here: end(),
            there: end(),
            output: Output::default(),
            written: vec![9; 128 << 10],
            buf: vec![0; 128 << 10],
            now: Duration::ZERO,
            read: 0,
            lost,
            datagrams: 0,
        }
    }

    /// Goes on until so many bytes have been read in all.
    fn until(&mut self, bytes: u64) {
        while self.read < bytes {
            self.now += ROUND;
            self.here.send(&self.written).unwrap();
            while self.forward() == Flushed::Full {}
            self.back();
        }
    }

    fn forward(&mut self) -> Flushed {
        self.output.clear();
        let flushed = self.here.flush(self.now, &mut self.output);
        for datagram in self.output.datagrams() {
            self.datagrams += 1;
            if self.lost.is_none_or(|every| !self.datagrams.is_multiple_of(every)) {
                self.there.input(datagram, self.now).unwrap();
            }
        }
        while let Some(len) = self.there.recv(&mut self.buf) {
            self.read += len as u64;
        }
        flushed
    }

    fn back(&mut self) {
        self.output.clear();
        let flushed = self.there.flush(self.now, &mut self.output);
        assert_eq!(flushed, Flushed::All, "only acknowledgements go back");
        for datagram in self.output.datagrams() {
            self.here.input(datagram, self.now).unwrap();
        }
    }

    fn progress(&self) -> (u64, u64) {
        (self.read, self.here.stats().sent.segments)
    }
}

#[allow(clippy::cast_precision_loss, reason = "they are below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Bytes until what is kept has grown to its size, and bytes from there on.
const WARM: u64 = 64 << 20;
const MEASURED: u64 = 512 << 20;

const RUNS: usize = 5;

/// How much later it is after each round trip.
const ROUND: Duration = Duration::from_micros(50);
