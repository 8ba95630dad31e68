//! Clients that are killed at random moments: what does the server keep of them?
//!
//! ```text
//! cargo bench --bench vanish
//! cargo bench --bench vanish -- --clients 1000 --seed 7 --json
//! ```
//!
//! Each client is a process of its own that asks for an endless test, some of several streams, in
//! any direction. It is killed (`SIGKILL`) between 0.2 and 300 ms after its start, short times as
//! likely as long ones, so that every state is hit: connecting, greeting, waiting in the queue,
//! opening streams, running. The server runs few tests at a time, so that many clients die waiting.
//!
//! Asserts, and exits with 1 if one does not hold:
//!
//! - the server's descriptors and threads are back to what they were, within the time after which
//!   a silent client counts as lost;
//! - it then serves a test that is complete.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;

use std::{
    net::SocketAddr,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use polyperf::{
    Client,
    outcome::Ended,
    protocol::native::Deadlines,
    spec::{Direction, Limit, Rate},
};
use rand::{RngExt as _, SeedableRng, rngs::SmallRng};
use serde::Serialize;

use crate::support::{Holdings, Result, runtime, serve, start_server};

#[derive(Debug, Clone, Parser)]
#[command(about = "Kills clients at random moments, and looks at what the server keeps of them")]
struct Args {
    /// Clients to kill.
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// Clients at the same time.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Chooses the tests and the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Clone, Subcommand)]
enum Role {
    /// Be the server (used by the program itself).
    Serve,
    /// Be a client (used by the program itself).
    Client { addr: SocketAddr, seed: u64 },
}

#[derive(Debug, Serialize)]
struct Report {
    clients: usize,
    at_start: Holdings,
    after_the_last_kill: Holdings,
    at_end: Holdings,
    seconds_to_reclaim: f64,
    served_on: bool,
    broken: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.role {
        Some(Role::Serve) => serve(4).map(|()| true),
        Some(Role::Client { addr, seed }) => run_client(addr, seed).map(|()| true),
        None => run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vanish: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let (server, addr) = start_server()?;
    // Whatever the first test leaves allocated for good is not a client's leftover.
    complete(addr)?;
    let at_start = Holdings::of(server.id())?;
    kill_all(args, addr)?;
    let after_the_last_kill = Holdings::of(server.id())?;
    let limit = Deadlines::default().silence + Deadlines::default().answer;
    let (at_end, took) = reclaimed(server.id(), at_start, limit)?;
    let served_on = complete(addr).is_ok();
    let mut broken = Vec::new();
    if at_end.descriptors > at_start.descriptors || at_end.threads > at_start.threads {
        broken.push(format!("not everything was reclaimed within {limit:?}"));
    }
    if !served_on {
        broken.push("the server did not serve on".to_owned());
    }
    let seconds_to_reclaim = took.as_secs_f64();
    let clients = args.clients;
    let report = Report {
        clients,
        at_start,
        after_the_last_kill,
        at_end,
        seconds_to_reclaim,
        served_on,
        broken,
    };
    print(args, &report)?;
    Ok(report.broken.is_empty())
}

/// Keeps so many clients alive at a time, and kills each at its moment.
fn kill_all(args: &Args, addr: SocketAddr) -> Result<()> {
    let mut rng = SmallRng::seed_from_u64(args.seed);
    let mut doomed: Vec<(Instant, Child)> = Vec::new();
    let mut started = 0;
    while started < args.clients || !doomed.is_empty() {
        if started < args.clients && doomed.len() < args.concurrency {
            // As many clients live for 0.2 to 2 ms as for 2 to 20 and for 20 to 200.
            let lifetime =
                Duration::from_secs_f64(2e-4 * 1500_f64.powf(rng.random_range(0.0..1.0)));
            doomed.push((Instant::now() + lifetime, start_client(addr, rng.random())?));
            started += 1;
        }
        let now = Instant::now();
        for (_, child) in doomed.iter_mut().filter(|(moment, _)| *moment <= now) {
            child.kill()?;
            child.wait()?;
        }
        doomed.retain(|(moment, _)| *moment > now);
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

fn start_client(addr: SocketAddr, seed: u64) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["client", &addr.to_string(), &seed.to_string()]);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

fn run_client(addr: SocketAddr, seed: u64) -> Result<()> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let directions = [Direction::Forward, Direction::Reverse, Direction::Bidirectional];
    let client = Client::builder(addr.ip().to_string())
        .port(addr.port())
        .streams(rng.random_range(1..=4))
        .spec(|spec| {
            spec.direction = directions[rng.random_range(0..3)];
            spec.limit = Limit::Endless;
            spec.rate = Some(Rate { bits_per_second: 20_000_000, burst: None });
        })
        .build()?;
    runtime()?.block_on(client.run())?;
    Ok(())
}

fn complete(addr: SocketAddr) -> Result<()> {
    let client = Client::builder(addr.ip().to_string()).port(addr.port()).bytes(1 << 20).build()?;
    let outcome = runtime()?.block_on(client.run())?;
    if outcome.ended == Ended::Complete {
        Ok(())
    } else {
        Err(format!("{:?}", outcome.ended).into())
    }
}

/// Waits until the process holds no more than `base`, or `limit` has passed.
fn reclaimed(pid: u32, base: Holdings, limit: Duration) -> Result<(Holdings, Duration)> {
    let started = Instant::now();
    loop {
        let now = Holdings::of(pid)?;
        let back = now.descriptors <= base.descriptors && now.threads <= base.threads;
        if back || started.elapsed() >= limit {
            return Ok((now, started.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn print(args: &Args, report: &Report) -> Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    println!("{:<16}{:>12}{:>12}{:>12}", "server", "start", "last kill", "end");
    let row = |name: &str, figure: fn(&Holdings) -> u64| {
        let [start, kill, end] =
            [report.at_start, report.after_the_last_kill, report.at_end].map(|h| figure(&h));
        println!("{name:<16}{start:>12}{kill:>12}{end:>12}");
    };
    row("resident kB", |h| h.rss_kb);
    row("descriptors", |h| u64::try_from(h.descriptors).unwrap_or(u64::MAX));
    row("threads", |h| h.threads);
    println!(
        "{} clients killed; reclaimed {:.3} s after the last; served on: {}",
        report.clients, report.seconds_to_reclaim, report.served_on
    );
    for bound in &report.broken {
        println!("BROKEN: {bound}");
    }
    Ok(())
}
