//! Requests and responses on loopback, as polyperf times them and as a plain program does.
//!
//! ```text
//! cargo bench --bench exchanges
//! cargo bench --bench exchanges -- tcp-churn quic-churn
//! cargo bench --bench exchanges -- --rounds 11 --time 3 tcp-rr
//! ```
//!
//! The plain programs have no code of polyperf's: blocking sockets of the standard library for TCP
//! ([`plain`]), quinn with one endpoint and one thread for QUIC ([`bare`]). Each end is a process of
//! its own that keeps to a processor (taskset), and the two programs take turns (A B, B A, A B), so that whatever else the machine does
//! meets both alike.
//!
//! - **rr**: 64 bytes and 64 bytes back on one stream, one at a time; the median of all.
//! - **churn**: connect, 64 bytes, 64 bytes back, close; the median from before the connect to the last
//!   byte, and connections a second.
//!
//! A ratio is the median over the rounds of polyperf's figure over the other's in that round. Asserts
//! that none is worse than 1 by more than [`TOLERANCE`], and exits with 1 if one is.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[path = "exchanges/bare.rs"]
mod bare;
#[path = "exchanges/ours.rs"]
mod ours;
#[path = "exchanges/plain.rs"]
mod plain;
#[allow(dead_code)]
mod support;

use std::{
    net::SocketAddr,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

use self::support::{Process, Result, median, percentile};

#[derive(Debug, Parser)]
struct Args {
    /// What to compare: tcp-rr, tcp-churn, quic-rr, quic-churn [default: all].
    cases: Vec<Case>,
    /// Runs of each program.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 2)]
    time: u64,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<PlainRole>,
}

/// One end of a plain program, in a process of its own.
#[derive(Debug, Clone, Subcommand)]
enum PlainRole {
    #[command(hide = true)]
    PlainServer { case: Case },
    #[command(hide = true)]
    PlainClient { case: Case, addr: SocketAddr, seconds: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    TcpRr,
    TcpChurn,
    QuicRr,
    QuicChurn,
}

/// What one run came to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Figures {
    /// The median, in microseconds.
    p50_us: f64,
    per_second: f64,
}

impl Case {
    const ALL: [Self; 4] = [Self::TcpRr, Self::TcpChurn, Self::QuicRr, Self::QuicChurn];

    fn name(self) -> &'static str {
        match self {
            Self::TcpRr => "tcp-rr",
            Self::TcpChurn => "tcp-churn",
            Self::QuicRr => "quic-rr",
            Self::QuicChurn => "quic-churn",
        }
    }

    fn transport(self) -> &'static str {
        match self {
            Self::TcpRr | Self::TcpChurn => "tcp",
            Self::QuicRr | Self::QuicChurn => "quic",
        }
    }

    fn workload(self) -> &'static str {
        match self {
            Self::TcpRr | Self::QuicRr => "rr",
            Self::TcpChurn | Self::QuicChurn => "churn",
        }
    }
}

impl Figures {
    /// Returns what so many round trips came to, which took this long together.
    fn of(times: &[Duration], took: Duration) -> Result<Self> {
        let micros: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
        let p50_us = percentile(&micros, 50).ok_or("nothing was measured")?;
        #[allow(clippy::cast_precision_loss, reason = "a count of round trips is small")]
        let per_second = times.len() as f64 / took.as_secs_f64();
        Ok(Self { p50_us, per_second })
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.role {
        Some(PlainRole::PlainServer { case }) => serve(case).map(|()| true),
        Some(PlainRole::PlainClient { case, addr, seconds }) => ask(case, addr, seconds),
        None => compare(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("exchanges: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<bool> {
    let cases = if args.cases.is_empty() { &Case::ALL[..] } else { &args.cases };
    println!("{} rounds of {} s", args.rounds, args.time);
    println!(
        "{:<12}{:>14}{:>14}{:>8}{:>14}{:>14}{:>8}",
        "", "polyperf µs", "plain µs", "ratio", "polyperf/s", "plain/s", "ratio"
    );
    let mut holds = true;
    for &case in cases {
        holds &= compare_case(case, args)?;
    }
    Ok(holds)
}

/// Runs both programs in turns, and prints what came of it.
fn compare_case(case: Case, args: &Args) -> Result<bool> {
    let ours = ours::Server::start()?;
    let (_plain, plain) = start_plain(case)?;
    let mut rounds = Vec::new();
    for round in 0..args.rounds.max(1) {
        let run_ours = || ours.run(case, args.time);
        let run_plain = || run_plain(case, &plain, args.time);
        rounds.push(if round % 2 == 0 {
            let ours = run_ours()?;
            (ours, run_plain()?)
        } else {
            let plain = run_plain()?;
            (run_ours()?, plain)
        });
    }
    let of = |figure: fn(&(Figures, Figures)) -> f64| {
        median(&rounds.iter().map(figure).collect::<Vec<_>>()).ok_or("no round was run")
    };
    let time = of(|(ours, plain)| ours.p50_us / plain.p50_us)?;
    let rate = of(|(ours, plain)| ours.per_second / plain.per_second)?;
    println!(
        "{:<12}{:>14.1}{:>14.1}{time:>8.2}{:>14.0}{:>14.0}{rate:>8.2}",
        case.name(),
        of(|(ours, _)| ours.p50_us)?,
        of(|(_, plain)| plain.p50_us)?,
        of(|(ours, _)| ours.per_second)?,
        of(|(_, plain)| plain.per_second)?,
    );
    let holds = time <= 1.0 + TOLERANCE && rate >= 1.0 - TOLERANCE;
    if !holds {
        println!("BROKEN: {} is slower than the plain program by over {TOLERANCE}", case.name());
    }
    Ok(holds)
}

/// Returns a command that keeps to a processor: where ends meet on one by chance, an exchange takes
/// a third of what it takes between two, and the chance is not what is compared.
fn on_processor(processor: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &processor.to_string()]).arg(program);
    command
}

fn start_plain(case: Case) -> Result<(Process, String)> {
    let mut command = on_processor(SERVERS, std::env::current_exe()?);
    Process::start(command.args(["plain-server", case.name()]), |line| Some(line.to_owned()))
}

fn run_plain(case: Case, server: &str, seconds: u64) -> Result<Figures> {
    let (addr, certificate) = server.split_once(' ').unwrap_or((server, ""));
    let mut command = on_processor(CLIENTS, std::env::current_exe()?);
    command.args(["plain-client", case.name(), addr, &seconds.to_string()]);
    let output = command.env(bare::CERTIFICATE, certificate).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the plain client of {} failed", case.name()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn serve(case: Case) -> Result<()> {
    match case {
        Case::TcpRr | Case::TcpChurn => plain::serve(),
        Case::QuicRr | Case::QuicChurn => bare::serve(),
    }
}

fn ask(case: Case, addr: SocketAddr, seconds: u64) -> Result<bool> {
    let time = Duration::from_secs(seconds);
    let figures = match case {
        Case::TcpRr => plain::rr(addr, time),
        Case::TcpChurn => plain::churn(addr, time),
        Case::QuicRr => bare::rr(addr, time),
        Case::QuicChurn => bare::churn(addr, time),
    }?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(true)
}

/// The processors that clients and servers keep to.
const CLIENTS: usize = 0;
const SERVERS: usize = 1;
/// Bytes of a request, and of a response.
const SIZE: usize = 64;
/// How much worse polyperf may be than a plain program.
const TOLERANCE: f64 = 0.1;
