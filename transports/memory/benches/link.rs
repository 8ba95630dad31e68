//! What the link costs for each packet, in virtual time and on one thread.
//!
//! ```text
//! cargo bench -p polyperf-memory --bench link
//! ```
//!
//! Packets of 1500 bytes are pushed evenly at nine tenths of 10 Gbit/s, or at eleven where a queue is
//! to be full, and taken out as they are due. A packet is eight bytes of memory, so the figures are
//! those of the rules alone.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use polyperf_memory::link::{
    Aqm, BitRate, CoDel, Link, LinkConfig, Loss, Packet, Probability, QueueLimit, Trace,
};

fn main() {
    println!("{:<28}{:>12}{:>12}", "link", "packets/µs", "ns/packet");
    let rate = LinkConfig::perfect().rate(BitRate::mbps(10_000));
    let lossy = rate.clone().delay(Duration::from_millis(10)).loss(LOSS);
    let full = lossy.clone().queue(QueueLimit::Time(Duration::from_millis(1)));
    let moments: Vec<u32> = (1..=100).flat_map(|at| [at; 833]).collect();
    let trace = Trace::new(moments).map(|trace| LinkConfig::perfect().trace(trace));
    row("perfect", LinkConfig::perfect(), 9);
    row("rate", rate, 9);
    row("rate, loss, delay", lossy.clone(), 9);
    row("and jitter", lossy.jitter(Duration::from_millis(1)), 9);
    row("and a full queue", full.clone(), 11);
    row("and CoDel", full.aqm(Aqm::CoDel(CoDel::new())), 11);
    row("trace", trace.unwrap_or_default(), 9);
}

fn row(name: &str, config: LinkConfig, gigabits: u32) {
    // Whatever else the machine does only takes time away.
    let best = (0..RUNS).map(|_| run(config.clone(), gigabits)).min().unwrap_or_default();
    let nanos = best.as_secs_f64() * 1e9 / f64::from(PACKETS);
    println!("{name:<28}{:>12.1}{nanos:>12.0}", 1e3 / nanos);
}

fn run(config: LinkConfig, gigabits: u32) -> Duration {
    let mut link = Link::new(config.seed(1));
    let spacing = Duration::from_nanos(12_000) / gigabits;
    let start = Instant::now();
    for number in 0..PACKETS {
        let now = spacing * number;
        link.push(now, Full(number.into()));
        while let Some(arrival) = link.pop(now) {
            black_box(arrival);
        }
    }
    black_box(link.stats());
    start.elapsed()
}

#[derive(Debug, Clone)]
struct Full(#[allow(dead_code, reason = "what is moved")] u64);

impl Packet for Full {
    fn wire_len(&self) -> usize {
        1500
    }
}

const LOSS: Loss = Loss::iid(Probability::new(0.01));
const PACKETS: u32 = 2_000_000;
const RUNS: u32 = 3;
