//! An emulated link of 400 Mbit/s and 100 ms, there and back, whose queue takes what is on the way
//! in one of them. Nothing is lost but what finds no room in the queue.
//!
//! Control goes over the link as well. quinn with its own defaults runs beside it, for
//! comparison: its window for a stream is meant for 100 Mbit/s at this distance.
//!
//! Asserts, in either direction: without the time of slow start, polyperf's goodput is at least
//! 0.85 of what the link carries less headers. A run in which the relay itself dropped anything does not
//! count, and is an error.

use std::time::Duration;

use polyperf_memory::link::{BitRate, LinkConfig, QueueLimit};

use crate::{
    case::{Case, Run, Suite, Tool, load},
    relay::{LaneStats, Relay},
    support::Result,
};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Seconds of each run that count.
    #[arg(long, short, default_value_t = SECONDS)]
    time: u64,
    /// Seconds before them.
    #[arg(long, short = 'O', default_value_t = OMIT)]
    omit: u64,
    /// Run polyperf alone.
    #[arg(long)]
    alone: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self { time: SECONDS, omit: OMIT, alone: false }
    }
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let mut holds = true;
    println!(
        "{MBITS} Mbit/s, {} ms, {} s after {} s, load {}",
        2 * DELAY.as_millis(),
        args.time,
        args.omit,
        load()
    );
    println!(
        "{:<20}{:>8}{:>8}{:>9}{:>8}{:>10}{:>8}",
        "Mbit/s", "goodput", "share", "lost", "events", "late p.m.", "load"
    );
    for reverse in [false, true] {
        let case = Case {
            time: args.time,
            omit: args.omit,
            reverse,
            no_gso: false,
            via: None,
            window: None,
            transport: "quic".to_owned(),
            suite: Suite::Same,
        };
        let ours = share(&Tool::ours()?, &case)?;
        holds &= ours >= LEAST;
        let word = if ours >= LEAST { "holds" } else { "BROKEN" };
        println!("{word}: {ours:.3} of what the link carries, at least {LEAST} required");
        if !args.alone {
            share(&Tool::bare(&case)?, &case)?;
        }
    }
    println!();
    Ok(holds)
}

/// Runs `tool` over a link, and returns its share of what that carries less headers.
fn share(tool: &Tool, case: &Case) -> Result<f64> {
    let link = LinkConfig::perfect()
        .rate(BitRate::mbps(MBITS))
        .delay(DELAY)
        .queue(QueueLimit::Bytes(QUEUE));
    let relay = Relay::start(tool.addr, link.clone(), link)?;
    let run = tool.run(&Case { via: Some(relay.addr()), ..case.clone() })?;
    let stats = relay.stats()?;
    let moved = stats.up.wire_bytes + stats.down.wire_bytes;
    if moved < run.figures.bytes {
        return Err(format!("only {moved} bytes went over the link").into());
    }
    for lane in [stats.up, stats.down] {
        let LaneStats { socket_drops, send_errors, .. } = lane;
        if socket_drops + send_errors > 0 {
            return Err(format!(
                "the run does not count: the relay dropped {socket_drops} datagrams before its \
                 link and {send_errors} behind it; run it again on an idle machine"
            )
            .into());
        }
    }
    Ok(print(tool, case, &run, if case.reverse { stats.down } else { stats.up }))
}

#[allow(clippy::cast_precision_loss, reason = "a rate in Mbit/s is small")]
fn print(tool: &Tool, case: &Case, run: &Run, lane: LaneStats) -> f64 {
    let goodput = run.figures.goodput_bps / 1e6;
    let share = goodput / (MBITS as f64 * f64::from(PAYLOAD) / f64::from(PACKET));
    let late = lane.lateness;
    let late = late.beyond_1ms * 1000 / late.datagrams.max(1);
    let name = format!("{}{}", tool.name, if case.reverse { ", reverse" } else { "" });
    println!(
        "{name:<20}{goodput:>8.1}{share:>8.3}{:>9}{:>8}{late:>10}{:>8}",
        run.figures.packets_lost,
        run.figures.congestion_events,
        load()
    );
    share
}

const SECONDS: u64 = 20;
const OMIT: u64 = 5;
const MBITS: u64 = 400;
const DELAY: Duration = Duration::from_millis(50);
/// 100 ms at 400 Mbit/s.
const QUEUE: usize = 5_000_000;
/// The largest packet, with the headers of UDP and IPv4.
const PACKET: u32 = 1452 + 28;
/// What of it is data. The short header with an identifier of 8 bytes and a number of 2, the tag of
/// the cipher, and the header of a STREAM frame whose offset takes 4 bytes are not.
const PAYLOAD: u32 = 1452 - 11 - 16 - 6;
/// The least share of the link.
const LEAST: f64 = 0.85;
