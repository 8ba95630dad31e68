//! polyperf beside its peers on loopback, in turns.
//!
//! ```text
//! cargo bench --bench versus
//! cargo bench --bench versus -- tcp udp
//! cargo bench --bench versus -- --pairs 11 --time 3 --json tcp-1
//! cargo bench --bench versus -- --tool polyperf --tool floor --congestion cubic tcp
//! ```
//!
//! Each tool runs its client and its server as separate processes, once per round and in turns (A B C,
//! C B A, A B C), so that whatever else the machine does meets all of them alike. The peers are
//! Debian's iperf3 and, from the Rust registry, riperf3 and xfr, for TCP and UDP; quinn by itself for
//! QUIC; kcp-go for KCP. They are installed where they are missing, and the ones that could not be
//! are named. `floor` is the system calls alone, with the same block: what this machine can do.
//!
//! Goodput is what the receiver counted. Processor time is that of the client's process from its
//! start to its end, and of the server's meanwhile; memory is the most that was resident. The interval
//! of a median is that between two of the runs, by the binomial distribution, at a confidence of 95 %
//! or more. A ratio is the median over the rounds of polyperf's figure over the other's in that
//! round.
//!
//! Asserts what each comparison says that it does ([`scenario`]), and exits with 1 if it does not hold.
//! A peer that is missing is not asserted against.
//!
//! Another peer is one more [`Tool`](tool::Tool), another comparison one more
//! [`Scenario`](scenario::Scenario).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[path = "quic/bare.rs"]
mod bare;
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
#[path = "quic/case.rs"]
mod case;
#[path = "versus/child.rs"]
mod child;
#[path = "versus/floor.rs"]
mod floor;
#[path = "versus/iperf.rs"]
mod iperf;
#[allow(dead_code)]
#[path = "kcp/tool.rs"]
mod kcp_tool;
#[path = "versus/others.rs"]
mod others;
#[path = "versus/peers.rs"]
mod peers;
#[path = "versus/scenario.rs"]
mod scenario;
#[path = "versus/series.rs"]
mod series;
#[allow(dead_code)]
mod support;
#[path = "versus/sustained.rs"]
mod sustained;
#[path = "versus/table.rs"]
mod table;
#[path = "versus/tool.rs"]
mod tool;
#[allow(dead_code)]
#[path = "kcp/veth.rs"]
mod veth;

use std::{net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::{
    case::load,
    floor::Order,
    peers::Peers,
    scenario::{SCENARIOS, Scenario},
    series::{Series, Verdict},
    support::Result,
    sustained::Sustained,
    tool::Settings,
};

#[derive(Debug, Parser)]
#[command(about = "Measures polyperf beside its peers on loopback")]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    /// What to compare, by name or by the beginning of it up to a hyphen: tcp, tcp-1, udp. All of it
    /// unless given.
    names: Vec<String>,
    /// Rounds; each tool runs once in each.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Seconds of each run.
    #[arg(long, short, default_value_t = 2)]
    time: u64,
    /// Congestion control of TCP.
    #[arg(long, short = 'C')]
    congestion: Option<String>,
    /// Run these tools alone. Repeatable.
    #[arg(long = "tool")]
    tools: Vec<String>,
    /// Install nothing.
    #[arg(long)]
    no_install: bool,
    /// Print JSON, and the table to standard error.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the program is when it runs itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// Be the floor's server.
    #[command(hide = true)]
    ServeFloor,
    /// Be the floor's client, and print what was measured.
    #[command(hide = true)]
    ClientFloor {
        server: SocketAddr,
        #[command(flatten)]
        order: Order,
    },
    /// Be quinn's server.
    #[command(hide = true)]
    ServeBare {
        #[command(flatten)]
        case: case::Case,
    },
    /// Be quinn's client, and print what was measured.
    #[command(hide = true)]
    ClientBare {
        server: SocketAddr,
        #[command(flatten)]
        case: case::Case,
    },
}

/// What one comparison came to.
#[derive(Debug, Serialize)]
struct Comparison<'a> {
    scenario: &'a Scenario,
    /// Tasks that ran or waited to, over a minute, before and after.
    load: [String; 2],
    series: Vec<Series>,
    verdicts: Vec<Verdict>,
    sustained: Option<Sustained>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.role {
        Some(Role::ServeFloor) => floor::serve().map(|()| true),
        Some(Role::ClientFloor { server, order }) => floor::client(*server, order).map(|()| true),
        Some(Role::ServeBare { case }) => bare::serve(case).map(|()| true),
        Some(Role::ClientBare { server, case }) => bare::client(*server, case).map(|()| true),
        None => compare_all(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare_all(args: &Args) -> Result<bool> {
    let wanted: Vec<_> = SCENARIOS.iter().filter(|scenario| is_wanted(scenario, args)).collect();
    if wanted.is_empty() {
        let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        let asked = args.names.join(", ");
        return Err(format!("nothing is called {asked}; there is {}", names.join(", ")).into());
    }
    let peers = Peers::find(&wanted, &args.tools, !args.no_install);
    let mut comparisons = Vec::new();
    for scenario in wanted {
        let comparison = compare(args, scenario, &peers)?;
        let text = table::of(&comparison);
        if args.json {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
        comparisons.push(comparison);
    }
    if args.json {
        let report = serde_json::json!({
            "pairs": args.pairs,
            "seconds": args.time,
            "congestion": args.congestion,
            "missing": peers.missing(),
            "comparisons": comparisons,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    for missing in peers.missing() {
        eprintln!("not compared with {missing}");
    }
    let holds = |comparison: &Comparison| {
        comparison.verdicts.iter().all(|verdict| verdict.holds)
            && comparison.sustained.as_ref().is_none_or(|sustained| sustained.holds)
    };
    Ok(comparisons.iter().all(holds))
}

fn is_wanted(scenario: &Scenario, args: &Args) -> bool {
    args.names.is_empty()
        || args.names.iter().any(|name| {
            let rest = scenario.name.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
}

fn compare<'a>(args: &Args, scenario: &'a Scenario, peers: &Peers) -> Result<Comparison<'a>> {
    let settings = Settings { time: args.time, congestion: args.congestion.clone(), rate: None };
    let before = load();
    let mut tools = tool::start(scenario, peers, &args.tools)?;
    let mut series: Vec<_> = tools.iter().map(|tool| Series::new(tool.name())).collect();
    for round in 0..args.pairs {
        let mut order: Vec<_> = tools.iter_mut().zip(&mut series).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (tool, series) in order {
            series.runs.push(tool::run(tool.as_mut(), scenario, &settings)?);
        }
    }
    let sustained = match (scenario.sustained, series.first().map(|ours| ours.tool.as_str())) {
        (true, Some(tool::OURS)) => {
            Some(sustained::search(tools[0].as_mut(), scenario, &settings, &series)?)
        }
        _ => None,
    };
    let verdicts = series::verdicts(scenario, &series);
    Ok(Comparison { scenario, load: [before, load()], series, verdicts, sustained })
}
