//! What error correction costs and brings over a link that loses, in virtual time: the figures are
//! the same in every run.
//!
//! ```text
//! cargo bench -p polyperf-kcp --bench lossy
//! ```
//!
//! A message of 1,000 bytes leaves every millisecond for ten seconds, over 40 ms there and back, with
//! the settings of `fast3`. Latency is the time until a message and all before it have arrived.
//! Overhead is what was put on the wire beyond the messages, headers of UDP and IP aside.
//!
//! Asserts that error correction lowers the 99th percentile, and that no more is sent again than a
//! fifth more or less than was lost.

#![allow(clippy::print_stdout, reason = "a program that prints a table")]
#![allow(clippy::unwrap_used, reason = "what cannot be ends the program")]

#[path = "../tests/lab/mod.rs"]
mod lab;

use std::time::Duration;

use lab::{Latencies, Ours, World, latencies, lossy, pattern};
use polyperf_kcp::Config;

fn main() {
    bulk();
    messages();
}

/// As much as the window permits.
fn bulk() {
    println!("bulk: 50 MB, window 1024, 40 ms");
    println!(
        "{:>6}{:>12}{:>8}{:>8}{:>9}{:>7}{:>7}{:>10}{:>12}{:>10}",
        "loss",
        "Mbit/s",
        "lost",
        "again",
        "timeout",
        "fast",
        "early",
        "spurious",
        "again/lost",
        "overhead"
    );
    for loss in [0.0, 0.01, 0.05] {
        let config = Config { repeat_acks: true, ..Config::default() };
        let sent = pattern(50_000_000);
        let ends = (Ours::new(config), Ours::new(config));
        let mut world = World::new(ends.0, ends.1, lossy(loss, 1), Duration::ZERO);
        assert!(world.transfer(&sent, 100_000) == sent, "every byte arrives");
        let (stats, lost) = (world.here.stats(), world.forward.stats().lost);
        let again = stats.retransmits.total();
        println!(
            "{:>5}%{:>12.0}{lost:>8}{again:>8}{:>9}{:>7}{:>7}{:>10}{:>12.2}{:>9.1}%",
            loss * 100.0,
            float(sent.len() as u64) * 8.0 / 1e6 / world.at.as_secs_f64(),
            stats.retransmits.timeout,
            stats.retransmits.fast,
            stats.retransmits.early,
            stats.spurious,
            float(again) / float(lost.max(1)),
            (float(stats.sent.wire_bytes) / float(sent.len() as u64) - 1.0) * 100.0,
        );
        assert!(again * 10 >= lost * 8 && again * 10 <= lost * 12, "{again} for {lost}");
    }
}

fn messages() {
    println!("\nmessages: 1,000 bytes every millisecond, 40 ms");
    println!(
        "{:>6}{:>7}{:>8}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "loss",
        "fec",
        "p50 ms",
        "p99 ms",
        "worst ms",
        "lost",
        "again",
        "rebuilt",
        "beyond",
        "overhead"
    );
    for loss in [0.01, 0.05] {
        let plain = latencies(None, loss, 1);
        let corrected = latencies(Some("10:3".parse().unwrap()), loss, 1);
        show(loss, "off", &plain);
        show(loss, "10:3", &corrected);
        assert!(corrected.percentile(99) < plain.percentile(99), "it lowers the percentile");
    }
}

fn show(loss: f64, fec: &str, met: &Latencies) {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let rebuilt = met.receiver.fec.unwrap_or_default();
    let wire = met.sender.sent.wire_bytes;
    println!(
        "{:>5}%{fec:>7}{:>8.1}{:>8.1}{:>10.1}{:>10}{:>10}{:>10}{:>10}{:>9.1}%",
        loss * 100.0,
        millis(met.percentile(50)),
        millis(met.percentile(99)),
        millis(met.percentile(100)),
        met.lost,
        met.sender.retransmits.total(),
        rebuilt.recovered,
        rebuilt.unrecoverable,
        (float(wire) / float(met.each.len() as u64 * 1000) - 1.0) * 100.0,
    );
}

#[allow(clippy::cast_precision_loss, reason = "they are below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}
