//! On loopback beside quinn itself, in turns: A B A B.
//!
//! One stream, from a client process to a server process and back, as fast as it goes. What
//! polyperf adds to the library it is built on is to cost nothing, so quinn is given the same
//! cipher; with `--suite default` it has rustls' own choice, which takes longer. All else is left
//! to each: polyperf's buffers of sockets are larger than the system's, which quinn leaves alone.
//!
//! Processor time is that of both whole processes, user and system. Loopback never cuts what
//! segmentation offload joins, so figures with it are those of the host's processors, and not of a
//! network.
//!
//! Both look for packets of 1452 bytes by default. `packet` is the largest at the end, in the run
//! in which that was the least: quinn goes back to 1200 where bursts are lost.
//!
//! Asserts, in either direction: the median ratio of goodput is at least 1, and that of processor
//! time for each Gbit at most 1, both within the noise of [`NOISE`].

use std::num::NonZeroU32;

use crate::{
    case::{Case, Figures, Run, Suite, Tool, load},
    support::{Result, median},
};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Rounds; each tool runs once in each.
    #[arg(long, default_value_t = PAIRS)]
    pairs: usize,
    /// Seconds of each run.
    #[arg(long, short, default_value_t = SECONDS)]
    time: u64,
    /// The cipher that quinn is given.
    #[arg(long, value_enum, default_value_t = Suite::Same)]
    suite: Suite,
    /// polyperf's window of a stream in bytes; its default without.
    #[arg(long)]
    window: Option<NonZeroU32>,
    /// Run what this names alone, which may be given again: forward, reverse, no-gso, datagram,
    /// datagram-reverse.
    #[arg(long)]
    only: Vec<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self { pairs: PAIRS, time: SECONDS, suite: Suite::Same, window: None, only: Vec::new() }
    }
}

/// What is compared, and whether anything is asserted of it.
struct Comparison {
    name: &'static str,
    case: Case,
    /// Whether quinn has the like, as a program of a few lines.
    beside: bool,
    asserted: bool,
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let mut holds = true;
    for comparison in comparisons(args) {
        if args.only.is_empty() || args.only.iter().any(|only| only == comparison.name) {
            holds &= compare(args, &comparison)?;
        }
    }
    Ok(holds)
}

fn comparisons(args: &Args) -> [Comparison; 5] {
    let case = |transport: &str| Case {
        time: args.time,
        omit: 0,
        reverse: false,
        no_gso: false,
        via: None,
        window: args.window,
        transport: transport.to_owned(),
        suite: args.suite,
    };
    let reversed = |case: Case| Case { reverse: true, ..case };
    let of = |name, case, beside, asserted| Comparison { name, case, beside, asserted };
    let (streams, datagrams) = (case("quic"), case("quic-datagram"));
    [
        of("forward", streams.clone(), true, true),
        of("reverse", reversed(streams.clone()), true, true),
        of("no-gso", Case { no_gso: true, ..streams }, true, false),
        of("datagram", datagrams.clone(), false, false),
        of("datagram-reverse", reversed(datagrams), false, false),
    ]
}

fn compare(args: &Args, comparison: &Comparison) -> Result<bool> {
    let case = &comparison.case;
    let mut tools = vec![Tool::ours()?];
    if comparison.beside {
        tools.push(Tool::bare(case)?);
    }
    let mut series: Vec<Vec<Run>> = tools.iter().map(|_| Vec::new()).collect();
    println!("{}, {} s, {} rounds, load {}", comparison.name, case.time, args.pairs, load());
    for _ in 0..args.pairs {
        for (tool, runs) in tools.iter().zip(&mut series) {
            let run = tool.run(case)?;
            check(&run.figures, case)?;
            runs.push(run);
        }
    }
    print(&tools, &series);
    let [ours, theirs] = &series[..] else { return Ok(true) };
    let ratio = |figure: fn(&Run) -> f64| {
        let ratios: Vec<_> = ours.iter().zip(theirs).map(|(a, b)| figure(a) / figure(b)).collect();
        median(&ratios).unwrap_or(f64::NAN)
    };
    let (goodput, cost) = (ratio(Run::gbits), ratio(Run::cost));
    let holds = goodput >= 1.0 - NOISE && cost <= 1.0 + NOISE;
    let word = match (comparison.asserted, holds) {
        (false, _) => "measured",
        (true, true) => "holds",
        (true, false) => "BROKEN",
    };
    println!("{word}: {goodput:.3} times quinn's goodput, {cost:.3} times its processor time");
    println!("load {}\n", load());
    Ok(holds || !comparison.asserted)
}

/// Looks at whether a run was what it was to be.
fn check(figures: &Figures, case: &Case) -> Result<()> {
    if case.no_gso && figures.gso_segments != Some(1) {
        let said = figures.gso_segments;
        return Err(format!("the sender says that it joins {said:?} packets, and not 1").into());
    }
    Ok(())
}

fn print(tools: &[Tool], series: &[Vec<Run>]) {
    println!(
        "{:<10}{:>8}{:>8}{:>8}{:>17}{:>17}{:>9}{:>8}{:>14}{:>8}",
        "Gbit/s",
        "median",
        "min",
        "max",
        "client CPU-s/Gb",
        "server CPU-s/Gb",
        "lost",
        "loss",
        "packets/call",
        "packet"
    );
    for (tool, runs) in tools.iter().zip(series) {
        let of = |figure: &dyn Fn(&Run) -> f64| {
            median(&runs.iter().map(figure).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        let mtu = runs.iter().map(|run| run.figures.mtu).min().unwrap_or(0);
        let rates = runs.iter().map(Run::gbits);
        #[allow(clippy::cast_precision_loss, reason = "few are lost")]
        let lost = of(&|run| run.figures.packets_lost as f64);
        println!(
            "{:<10}{:>8.3}{:>8.3}{:>8.3}{:>17.4}{:>17.4}{lost:>9.0}{:>7.2}%{:>14.2}{mtu:>8}",
            tool.name,
            of(&Run::gbits),
            rates.clone().fold(f64::INFINITY, f64::min),
            rates.fold(0.0, f64::max),
            of(&Run::client_cost),
            of(&Run::server_cost),
            of(&|run| run.figures.loss * 100.0),
            of(&Run::packets_per_call),
        );
    }
}

const PAIRS: usize = 7;
const SECONDS: u64 = 3;
/// What the median of seven pairs of equals was seen to be off by.
const NOISE: f64 = 0.02;
