//! RUDP beside our KCP and our QUIC, in turns.
//!
//! ```text
//! cargo bench --bench rudp
//! cargo bench --bench rudp -- loopback --rounds 7 --time 3
//! cargo bench --bench rudp -- veth
//! ```
//!
//! One stream from a client process to a server process, as fast as it goes, at each transport's
//! defaults: RUDP and QUIC with CUBIC, KCP without congestion control. Goodput is what the receiver
//! counted, and processor time that of both whole processes, user and system. The line `rudp:none`
//! is RUDP without congestion control, and `rudp:bbr` with BBR.
//!
//! Loopback hands what segmentation offload joins through in one piece, so that its figures are
//! those of the code, and not of a network. `veth` joins two network namespaces, which it makes
//! itself and needs root for, by a device that has each datagram made (`ethtool` turns offload off).
//! Where root or ethtool is missing, the part says so and asserts nothing.
//!
//! Asserts of the medians. Loopback: at least 2 times QUIC's goodput, at less of its processor time
//! for each GB. Veth: at least KCP's goodput.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[path = "kcp/ours.rs"]
mod ours;
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;
#[path = "kcp/table.rs"]
mod table;
// There is no program here that is not polyperf.
#[allow(dead_code)]
#[path = "kcp/tool.rs"]
mod tool;
#[path = "kcp/veth.rs"]
mod veth;

use std::{net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    support::Result,
    table::{conclude, ratio, rounds},
    tool::{Run, Tool, Where},
    veth::Veth,
};

#[derive(Debug, Parser)]
#[command(about = "Measures RUDP")]
struct Args {
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    /// Rounds; each transport runs once in each.
    #[arg(long, default_value_t = 5, global = true)]
    rounds: usize,
    /// Seconds of each run.
    #[arg(long, short, default_value_t = 2, global = true)]
    time: u64,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Compare on loopback alone.
    Loopback,
    /// Compare over a pair of devices alone.
    Veth,
    /// Be polyperf's server (used by the program itself).
    Serve { at: SocketAddr },
    /// Be polyperf's client, and print what was measured (used by the program itself).
    Client { server: SocketAddr, transport: String },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.role {
        Some(Role::Loopback) => loopback(&args),
        Some(Role::Veth) => over_veth(&args),
        Some(Role::Serve { at }) => ours::serve(*at).map(|()| true),
        Some(Role::Client { server, transport }) => {
            ours::client(*server, transport, args.time).map(|()| true)
        }
        None => loopback(&args).and_then(|fast| Ok(over_veth(&args)? && fast)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rudp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn loopback(args: &Args) -> Result<bool> {
    let [rudp, _, quic, ..] = compare("loopback", args, &Where::Loopback)?;
    let (goodput, cost) = (ratio(&rudp, &quic, Run::gbits), ratio(&rudp, &quic, Run::cost));
    println!("{goodput:.2} times QUIC's goodput (at least 2)");
    println!("{cost:.3} times QUIC's processor time (less than 1)");
    let holds = goodput >= 2.0 && cost < 1.0;
    conclude(holds);
    Ok(holds)
}

fn over_veth(args: &Args) -> Result<bool> {
    let place = match Veth::new() {
        Ok(veth) => Where::Veth(veth),
        Err(error) => {
            println!("veth: not measured: {error}");
            return Ok(true);
        }
    };
    let [rudp, kcp, ..] = compare("veth, each datagram made", args, &place)?;
    let goodput = ratio(&rudp, &kcp, Run::gbits);
    println!("{goodput:.2} times KCP's goodput (at least 1)");
    let holds = goodput >= 1.0;
    conclude(holds);
    Ok(holds)
}

fn compare(name: &str, args: &Args, place: &Where) -> Result<[Vec<Run>; TRANSPORTS.len()]> {
    let mut tools = Vec::new();
    for transport in TRANSPORTS {
        tools.push(Tool::ours(transport, place)?);
    }
    let series = rounds(name, &mut tools, place, (args.rounds, args.time))?;
    series.try_into().map_err(|_| "a tool without its runs".into())
}

const TRANSPORTS: [&str; 5] = ["rudp", "kcp", "quic", "rudp:none", "rudp:bbr"];
