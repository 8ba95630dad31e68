//! KCP three times, in turns: our engine, the crate tokio_kcp, and kcp-go.
//!
//! ```text
//! cargo bench --bench kcp
//! cargo bench --bench kcp -- loopback --rounds 7 --time 3
//! cargo bench --bench kcp -- veth
//! ```
//!
//! One stream from a client process to a server process, as fast as it goes: nodelay 1, interval 10,
//! resend 2, nc 1, MTU 1400, windows of 1024 segments. Goodput is what the receiver counted, and
//! processor time that of both whole processes, user and system.
//!
//! Loopback hands what segmentation offload joins through in one piece, so that its figures are
//! those of the code, and not of a network. `veth` joins two network namespaces, which it makes
//! itself and needs root for, by a device that has each datagram made (`ethtool` turns offload off).
//!
//! kcp-go is measured through a program that `.ci/run` builds (`KCP_PEER`, or
//! target/peers/kcp-peer). Where that, root or ethtool is missing, the part says so and asserts
//! nothing.
//!
//! Asserts of the medians. Loopback: at least 15 times kcp-go's goodput at no more than a fifth of
//! its processor time for each GB, and no more than a quarter of tokio_kcp's. Veth: at least 3 times
//! kcp-go's goodput at no more than a third of its processor time.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[path = "kcp/ours.rs"]
mod ours;
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;
#[path = "kcp/table.rs"]
mod table;
// Each benchmark uses a part of what they share.
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
#[command(about = "Measures KCP")]
struct Args {
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    /// Rounds; each tool runs once in each.
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

/// What is to hold of one place.
struct Bounds {
    goodput: f64,
    cost: f64,
    cost_of_tokio: Option<f64>,
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
            eprintln!("kcp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn loopback(args: &Args) -> Result<bool> {
    let bounds = Bounds { goodput: 15.0, cost: 0.2, cost_of_tokio: Some(0.25) };
    compare("loopback", args, &Where::Loopback, &bounds)
}

fn over_veth(args: &Args) -> Result<bool> {
    let veth = match Veth::new() {
        Ok(veth) => veth,
        Err(error) => {
            println!("veth: not measured: {error}");
            return Ok(true);
        }
    };
    let bounds = Bounds { goodput: 3.0, cost: 1.0 / 3.0, cost_of_tokio: None };
    compare("veth, each datagram made", args, &Where::Veth(veth), &bounds)
}

fn compare(name: &str, args: &Args, place: &Where, bounds: &Bounds) -> Result<bool> {
    let mut tools = vec![Tool::ours("kcp", place)?, Tool::ours("tokio-kcp", place)?];
    match Tool::kcp_go(place) {
        Ok(tool) => tools.push(tool),
        Err(error) => println!("kcp-go: not measured: {error}"),
    }
    let series = rounds(name, &mut tools, place, (args.rounds, args.time))?;
    let [own, tokio, rest @ ..] = &series[..] else { return Ok(true) };
    let mut holds = true;
    if let Some(bound) = bounds.cost_of_tokio {
        let cost = ratio(own, tokio, Run::cost);
        holds &= cost <= bound;
        println!("{cost:.3} times tokio_kcp's processor time (at most {bound:.3})");
    }
    if let [go] = rest {
        let (goodput, cost) = (ratio(own, go, Run::gbits), ratio(own, go, Run::cost));
        holds &= goodput >= bounds.goodput && cost <= bounds.cost;
        println!("{goodput:.1} times kcp-go's goodput (at least {:.1})", bounds.goodput);
        println!("{cost:.3} times kcp-go's processor time (at most {:.3})", bounds.cost);
    }
    conclude(holds);
    Ok(holds)
}
