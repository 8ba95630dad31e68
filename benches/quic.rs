//! QUIC: throughput on loopback beside quinn itself, a long fat link, and connections that come and
//! go.
//!
//! ```text
//! cargo bench --bench quic
//! cargo bench --bench quic -- throughput --pairs 7 --time 3
//! cargo bench --bench quic -- long-fat
//! cargo bench --bench quic -- churn --tests 1000
//! ```
//!
//! Clients and servers are processes of their own, in every part. Goodput is what the receiver
//! counted. Each part says what it asserts; the program exits with 1 if one of them does not hold.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[path = "quic/bare.rs"]
mod bare;
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
#[path = "quic/case.rs"]
mod case;
#[path = "quic/churn.rs"]
mod churn;
#[path = "quic/long_fat.rs"]
mod long_fat;
#[path = "quic/ours.rs"]
mod ours;
// Each program uses a part of what it is for.
#[allow(dead_code)]
#[path = "../tests/support/relay.rs"]
mod relay;
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;
#[path = "quic/throughput.rs"]
mod throughput;
#[path = "../tests/support/via.rs"]
mod via;

use std::{net::SocketAddr, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{case::Case, support::Result};

#[derive(Debug, Parser)]
#[command(about = "Measures QUIC")]
struct Args {
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Compare with quinn on loopback alone.
    Throughput(throughput::Args),
    /// Fill an emulated link of 400 Mbit/s and 100 ms alone.
    LongFat(long_fat::Args),
    /// Connect many times alone.
    Churn(churn::Args),
    /// Be polyperf's server (used by the program itself).
    Serve,
    /// Be polyperf's client, and print what was measured (used by the program itself).
    Client {
        server: SocketAddr,
        #[command(flatten)]
        case: Case,
    },
    /// Be quinn's server (used by the program itself).
    ServeBare {
        #[command(flatten)]
        case: Case,
    },
    /// Be quinn's client, and print what was measured (used by the program itself).
    ClientBare {
        server: SocketAddr,
        #[command(flatten)]
        case: Case,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.role {
        Some(Role::Throughput(args)) => throughput::run(&args),
        Some(Role::LongFat(args)) => long_fat::run(&args),
        Some(Role::Churn(args)) => churn::run(&args),
        Some(Role::Serve) => support::serve(64).map(|()| true),
        Some(Role::Client { server, case }) => ours::client(server, &case).map(|()| true),
        Some(Role::ServeBare { case }) => bare::serve(&case).map(|()| true),
        Some(Role::ClientBare { server, case }) => bare::client(server, &case).map(|()| true),
        None => all(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all() -> Result<bool> {
    let fast = throughput::run(&throughput::Args::default())?;
    let full = long_fat::run(&long_fat::Args::default())?;
    let small = churn::run(&churn::Args::default())?;
    Ok(fast && full && small)
}
