//! UDP on loopback: throughput beside iperf3, in turns (A B A B), and how evenly a rate is kept.
//!
//! ```text
//! cargo bench --bench udp
//! cargo bench --bench udp -- --pairs 7 --time 3 throughput
//! cargo bench --bench udp -- --time 10 pacing
//! ```
//!
//! Clients and servers are processes of their own. Goodput is what the receiver counted. Both tools
//! send datagrams of 1448 bytes as fast as they can; polyperf once with segmentation offload and
//! once without. Loopback never cuts what offload joins, so the first figure is one of the host's
//! processors, and not of a network.
//!
//! A rate is run for one second more than is looked at, so that the last, which ends with the
//! flow, is none of them. The worst second is that of any flow, as its sender and as its receiver
//! counted it. 64 kbit/s go in datagrams of 20 bytes, and 1 Mbit/s of 200: with longer ones, a second
//! has too few of them to be within 0.5 % of anything. Tokens are the bytes that a flow was ahead of
//! its rate at its end, and at most, either way; a burst is what goes without a wait in between. Of
//! several flows these are the one's that was furthest off. The last rates are nine tenths of what
//! goes without one, and nothing is asserted of them.
//!
//! Asserts, and exits with 1 if it does not hold: the median ratio of the pairs is at least 8 with
//! offload and at least 1 without; every second is within 0.5 % of the rate.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;

use std::{
    net::{SocketAddr, TcpListener},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand};
use polyperf::{
    Client,
    measure::{FlowSample, PacingSummary, Role as FlowRole, SizeSummary, bits_per_second},
    outcome::{Ended, Outcome, Side},
    spec::Rate,
    units::parse_rate,
};
use serde::{Deserialize, Serialize};

use crate::support::{Process, Result, median, runtime, serve, start_server};

#[derive(Debug, Parser)]
#[command(about = "Measures UDP on loopback")]
struct Args {
    /// Rounds of the comparison; each tool runs once in each.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Seconds of each run, and seconds of a rate that are looked at.
    #[arg(long, short, default_value_t = 3)]
    time: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Compare with iperf3 alone.
    Throughput,
    /// Look at rates alone.
    Pacing,
    /// Be the server (used by the program itself).
    Serve,
    /// Be a client, and print what was measured (used by the program itself).
    Client {
        server: SocketAddr,
        #[command(flatten)]
        case: Case,
    },
}

#[derive(Debug, Clone, Default, ClapArgs)]
struct Case {
    #[arg(long, default_value_t = 2)]
    time: u64,
    #[arg(long, default_value_t = 1448)]
    block: u32,
    #[arg(long, default_value_t = 0)]
    rate: u64,
    #[arg(long, default_value_t = 1)]
    streams: u16,
    #[arg(long)]
    reverse: bool,
    #[arg(long)]
    no_gso: bool,
}

/// What one run came to; `worst_*` are parts of the rate.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Figures {
    goodput_bps: f64,
    loss: f64,
    worst_sent: f64,
    worst_received: f64,
    late_p50_us: f64,
    late_p99_us: f64,
    pacing: Option<PacingSummary>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.role {
        Some(Role::Serve) => serve(64).map(|()| true),
        Some(Role::Client { server, case }) => client(*server, case).map(|()| true),
        Some(Role::Throughput) => throughput(&args),
        Some(Role::Pacing) => pacing(&args),
        None => throughput(&args).and_then(|fast| Ok(pacing(&args)? && fast)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("udp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn throughput(args: &Args) -> Result<bool> {
    let (_ours, ours) = start_server()?;
    let (_theirs, theirs) = start_iperf3()?;
    let case = Case { time: args.time, block: 1448, streams: 1, ..Case::default() };
    let singly = Case { no_gso: true, ..case.clone() };
    let mut rounds = Vec::new();
    println!("{:<26}{:>12}{:>9}", "-l 1448 -b 0", "Gbit/s", "loss");
    for _ in 0..args.pairs {
        let round = [run(ours, &case)?, run_iperf3(theirs, &case)?, run(ours, &singly)?];
        for (name, figures) in ["polyperf", "iperf3", "polyperf --no-gso"].iter().zip(&round) {
            let Figures { goodput_bps, loss, .. } = figures;
            println!("{name:<26}{:>12.3}{:>8.2}%", goodput_bps / 1e9, loss * 100.0);
        }
        rounds.push(round.map(|figures| figures.goodput_bps));
    }
    let ratio = |tool: usize| {
        let ratios: Vec<_> = rounds.iter().map(|round| round[tool] / round[1]).collect();
        median(&ratios).unwrap_or_default()
    };
    let held = |name: &str, ratio: f64, least: f64| {
        let word = if ratio >= least { "holds" } else { "BROKEN" };
        println!("{word}: {name} {ratio:.2} times iperf3's goodput, at least {least} required");
        ratio >= least
    };
    let joined = held("with offload", ratio(0), MIN_RATIO_JOINED);
    Ok(held("without offload", ratio(2), MIN_RATIO_SINGLY) && joined)
}

fn pacing(args: &Args) -> Result<bool> {
    let (_process, server) = start_server()?;
    let mut kept = true;
    println!(
        "{:<34}{:>12}{:>12}{:>12}{:>12}{:>11}{:>11}{:>20}{:>7}",
        "rate kept, worst second",
        "sender",
        "receiver",
        "late p50",
        "late p99",
        "tokens",
        "at most",
        "burst",
        "slips"
    );
    for (rate, block) in [("64K", 20), ("1M", 200), ("10M", 1448), ("100M", 1448), ("1G", 1448)] {
        for (streams, reverse) in [(1, false), (1, true), (4, false)] {
            for no_gso in [false, true] {
                let bits = parse_rate(rate)?;
                // Four times a gigabit in single datagrams is more than two processors send.
                if no_gso && bits * u64::from(streams) > MOST_SINGLY {
                    continue;
                }
                let time = args.time + 1;
                let case = Case { time, block, rate: bits, streams, reverse, no_gso };
                kept &= print_rate(rate, &case, &run(server, &case)?);
            }
        }
    }
    for no_gso in [false, true] {
        let time = args.time + 1;
        let unlimited = Case { time, block: 1448, streams: 1, no_gso, ..Case::default() };
        let limit = run(server, &unlimited)?.goodput_bps;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate fits")]
        let rate = (limit * NEAR_THE_LIMIT) as u64;
        let case = Case { rate, ..unlimited };
        print_rate(&format!("{:.2}G", limit * NEAR_THE_LIMIT / 1e9), &case, &run(server, &case)?);
    }
    let word = if kept { "holds" } else { "BROKEN" };
    println!("{word}: every second within {:.1} % of its rate", MAX_DEVIATION * 100.0);
    Ok(kept)
}

fn print_rate(rate: &str, case: &Case, figures: &Figures) -> bool {
    let Figures { worst_sent, worst_received, late_p50_us, late_p99_us, .. } = figures;
    let kept = worst_sent.abs().max(worst_received.abs()) <= MAX_DEVIATION;
    let mut name = format!("-b {rate} -l {} -P {}", case.block, case.streams);
    name += if case.reverse { " -R" } else { "" };
    name += if case.no_gso { " --no-gso" } else { "" };
    println!(
        "{name:<34}{:>+11.3}%{:>+11.3}%{late_p50_us:>9.0} µs{late_p99_us:>9.0} µs{}{}",
        worst_sent * 100.0,
        worst_received * 100.0,
        tokens(figures.pacing),
        if kept { "" } else { "  off" }
    );
    kept
}

/// Returns the columns of how closely a rate was kept.
fn tokens(pacing: Option<PacingSummary>) -> String {
    let Some(PacingSummary { token_error, max_token_error, burst_blocks, slips, .. }) = pacing
    else {
        return format!("{:>11}{:>11}{:>20}{:>7}", "-", "-", "-", "-");
    };
    let SizeSummary { p50, p99, max } = burst_blocks;
    let burst = format!("{p50}/{p99}/{max}");
    format!("{token_error:>+11}{max_token_error:>11}{burst:>20}{slips:>7}")
}

/// Runs this program once more, as a client.
fn run(server: SocketAddr, case: &Case) -> Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["client", &server.to_string()]);
    for (name, value) in [
        ("--time", case.time),
        ("--block", case.block.into()),
        ("--rate", case.rate),
        ("--streams", case.streams.into()),
    ] {
        command.args([name, &value.to_string()]);
    }
    command.args(case.reverse.then_some("--reverse"));
    command.args(case.no_gso.then_some("--no-gso"));
    Ok(serde_json::from_slice(&output(&mut command)?)?)
}

fn client(server: SocketAddr, case: &Case) -> Result<()> {
    let rate = Rate { bits_per_second: case.rate, burst: None };
    let mut builder = Client::builder(server.ip().to_string())
        .port(server.port())
        .transport("udp")
        .streams(case.streams)
        .time(Duration::from_secs(case.time))
        .spec(|spec| {
            spec.block = case.block;
            spec.rate = (case.rate > 0).then_some(rate);
            spec.tuning.no_gso = case.no_gso;
        });
    if case.reverse {
        builder = builder.reverse();
    }
    let outcome = runtime()?.block_on(builder.build()?.run())?;
    if outcome.ended != Ended::Complete {
        return Err(format!("{:?}", outcome.ended).into());
    }
    println!("{}", serde_json::to_string(&figures(&outcome, case)?)?);
    Ok(())
}

fn figures(outcome: &Outcome, case: &Case) -> Result<Figures> {
    let (sender, receiver) =
        if case.reverse { (Side::Server, Side::Client) } else { (Side::Client, Side::Server) };
    let flows = |side| outcome.side(side).map(|side| side.flows.iter()).ok_or("no summary");
    let lateness = flows(sender)?.filter_map(|flow| flow.lateness).max_by_key(|late| late.p99);
    let micros = |late: Option<Duration>| late.unwrap_or_default().as_secs_f64() * 1e6;
    let losses = flows(receiver)?.filter_map(|flow| flow.datagrams.as_ref()?.loss());
    Ok(Figures {
        goodput_bps: outcome.goodput(receiver).ok_or("nothing was received")?,
        loss: losses.fold(0.0, f64::max),
        worst_sent: worst(outcome, FlowRole::Sender, case),
        worst_received: worst(outcome, FlowRole::Receiver, case),
        late_p50_us: micros(lateness.map(|late| late.p50)),
        late_p99_us: micros(lateness.map(|late| late.p99)),
        pacing: flows(sender)?
            .filter_map(|flow| flow.pacing)
            .max_by_key(|pacing| pacing.max_token_error),
    })
}

/// Returns the largest part of the rate by which a second of any flow was off; 0 without a rate.
fn worst(outcome: &Outcome, role: FlowRole, case: &Case) -> f64 {
    if case.rate == 0 {
        return 0.0;
    }
    let whole = outcome.intervals.len().saturating_sub(1);
    let samples = outcome.intervals.iter().take(whole).flat_map(|interval| {
        [Some(&interval.local), interval.remote.as_ref()].into_iter().flatten()
    });
    #[allow(clippy::cast_precision_loss, reason = "2^53 bits are more than any machine sends")]
    let rate = case.rate as f64;
    let mut worst = 0.0_f64;
    for sample in samples {
        let flows = sample.flows.iter().filter(|flow| flow.role == role);
        let bits = |flow: &FlowSample| bits_per_second(flow.bytes, sample.duration());
        for off in flows.filter_map(bits).map(|bits| bits / rate - 1.0) {
            worst = if off.abs() > worst.abs() { off } else { worst };
        }
    }
    worst
}

fn start_iperf3() -> Result<(Process, u16)> {
    // It cannot pick a port itself; this one was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = Command::new("iperf3");
    command.args(["-s", "--forceflush", "-B", "127.0.0.1", "-p", &port.to_string()]);
    let ready = |line: &str| line.starts_with("Server listening").then_some(());
    Ok((Process::start(&mut command, ready)?.0, port))
}

fn run_iperf3(port: u16, case: &Case) -> Result<Figures> {
    let mut command = Command::new("iperf3");
    command.args(["-c", "127.0.0.1", "-J", "-u", "-b", "0", "-p", &port.to_string()]);
    command.args(["-l", &case.block.to_string(), "-t", &case.time.to_string()]);
    let report: serde_json::Value = serde_json::from_slice(&output(&mut command)?)?;
    let figure = |key: &str| {
        let sum = &report["end"]["sum_received"];
        sum[key].as_f64().ok_or_else(|| format!("no {key} in iperf3's report"))
    };
    let loss = figure("lost_percent")? / 100.0;
    Ok(Figures { goodput_bps: figure("bits_per_second")?, loss, ..Figures::default() })
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&said).trim()).into())
}

const MIN_RATIO_JOINED: f64 = 8.0;
const MIN_RATIO_SINGLY: f64 = 1.0;
const MAX_DEVIATION: f64 = 0.005;
const MOST_SINGLY: u64 = 1_000_000_000;
/// Part of what goes without a rate.
const NEAR_THE_LIMIT: f64 = 0.9;
