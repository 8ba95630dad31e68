//! One server process, and a crowd of clients.
//!
//! ```text
//! cargo bench --bench scale
//! cargo bench --bench scale -- sessions --sessions 1000 --time 20
//! cargo bench --bench scale -- idle --idle 5000 --pairs 7
//! ```
//!
//! The server is the program itself, with room for as many tests as there are sessions and whatever
//! else it has by default; it starts with the limit of descriptors that shells usually set, 1024.
//! All clients are in the process of the benchmark, so that both share the machine.
//!
//! `sessions` runs `--sessions` tests at the same time, each of one stream at `--rate`, in blocks of
//! `--length`, over TCP, UDP, RUDP, KCP and QUIC in turns, every third of which has the server send.
//! Blocks of 8 KiB are 15 a second; with `--length 0`, the default of a test, they are 86, and 1,000
//! sessions take more than two cores for both of their ends. The two ends of a test do not begin at
//! quite the same time where processors are busy, which short tests feel. They start over
//! `--ramp` seconds and run for `--time` seconds, so that there is a moment at which all run.
//! Memory for each is the highest resident memory of the server less that before the first, over
//! their number.
//!
//! `idle` holds `--idle` control connections that have been welcomed and ask for nothing, from
//! several addresses, since a server lets one address have no more than 2048. Then it runs pairs of
//! TCP tests as fast as they go, the first without any and the second with `--beside` of them.
//!
//! Asserts, and exits with 1 if one does not hold:
//!
//! - sessions: every test is complete, and all ran at the same time; the goodput that its receiver
//!   counted is within 1 % of the rate; a session takes less than 1 MiB;
//! - idle: every connection is held until it is dropped; one takes less than 64 KiB; a test beside
//!   them is complete; the median of the pairs' ratios is at least 0.98, or 1 is in the interval
//!   that the pairs leave it in;
//! - both: the server's descriptors and threads are back to what they were.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[path = "scale/crowd.rs"]
mod crowd;
#[path = "scale/idle.rs"]
mod idle;
#[path = "scale/server.rs"]
mod server;
#[path = "scale/sessions.rs"]
mod sessions;
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    server::{Server, provide_descriptors},
    support::{Result, runtime},
};

#[derive(Debug, Parser)]
#[command(about = "Has one server carry a crowd")]
struct Args {
    /// Given by `cargo bench`.
    #[arg(long, hide = true, global = true)]
    bench: bool,
    /// Both parts, if none is named.
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Many tests at the same time.
    Sessions(sessions::Args),
    /// Many connections that ask for nothing.
    Idle(idle::Args),
}

fn main() -> ExitCode {
    match run(Args::parse().part) {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            broken.iter().for_each(|bound| println!("BROKEN: {bound}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for, and returns what did not hold.
fn run(part: Option<Part>) -> Result<Vec<String>> {
    let by_default = || {
        let named = |part| Args::parse_from(["scale", part]).part;
        ["sessions", "idle"].into_iter().filter_map(named).collect()
    };
    let parts = part.map_or_else(by_default, |part| vec![part]);
    let mut broken = Vec::new();
    for part in parts {
        let (sessions, descriptors) = match &part {
            Part::Sessions(args) => (args.sessions, args.sessions * DESCRIPTORS_OF_A_SESSION),
            Part::Idle(args) => (64, args.idle),
        };
        provide_descriptors(descriptors)?;
        // Each has a server of its own: the peak of a process's memory never falls.
        let server = Server::start(sessions)?;
        broken.extend(runtime()?.block_on(async {
            match &part {
                Part::Sessions(args) => sessions::run(args, &server).await,
                Part::Idle(args) => idle::run(args, &server).await,
            }
        })?);
    }
    Ok(broken)
}

/// Two connections, and what a thread waits with.
const DESCRIPTORS_OF_A_SESSION: usize = 8;
