//! Ten thousand tests against one server process: does it stay as small as it was, and how long
//! does the shortest test take?
//!
//! ```text
//! cargo bench --bench soak
//! cargo bench --bench soak -- --tests 1000 --concurrency 8 --json
//! ```
//!
//! The first part runs `--tests` tests of `--bytes` over TCP, in turns forward, reverse and in both
//! directions, `--concurrency` at a time, and looks at what the server process holds: at its start,
//! after the first `--warm-up` tests, and at the end. The second part takes the time of
//! `--latency-tests` tests of one KiB, one after another, from the call of `Client::run` to its
//! return.
//!
//! Asserts, and exits with 1 if one does not hold:
//!
//! - no test fails;
//! - the server's resident memory grows by no more than 5 MB after the warm-up;
//! - its descriptors and threads are back to what they were before the first test;
//! - the median of the short tests is below 5 ms.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use polyperf::{
    Client,
    outcome::Ended,
    spec::{Direction, Limit},
    units::parse_size,
};
use serde::Serialize;

use crate::support::{Holdings, Process, Result, median, percentile, runtime, serve, start_server};

#[derive(Debug, Clone, Parser)]
#[command(about = "Runs many tests against one server process, and looks at what it keeps")]
struct Args {
    /// Tests in all.
    #[arg(long, default_value_t = 10_000)]
    tests: usize,
    /// Tests before the memory is looked at for the first time.
    #[arg(long, default_value_t = 500)]
    warm_up: usize,
    /// Bytes of each test.
    #[arg(long, default_value = "64K", value_parser = parse_size)]
    bytes: u64,
    /// Tests at the same time.
    #[arg(long, default_value_t = 4)]
    concurrency: usize,
    /// Short tests whose time is taken.
    #[arg(long, default_value_t = 1000)]
    latency_tests: usize,
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
}

#[derive(Debug, Serialize)]
struct Report {
    soak: Soak,
    latency: Latency,
    broken: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Soak {
    tests: usize,
    errors: Vec<String>,
    seconds: f64,
    tests_per_second: f64,
    at_start: Holdings,
    warmed_up: Holdings,
    at_end: Holdings,
}

#[derive(Debug, Serialize)]
struct Latency {
    tests: usize,
    errors: Vec<String>,
    median_ms: Option<f64>,
    p99_ms: Option<f64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.role {
        Some(Role::Serve) => serve(64).map(|()| true),
        None => run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let (server, addr) = start_server()?;
    let (soak, latency) = runtime()?.block_on(async {
        let soak = soak(args, &server, addr).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((soak, latency(args, addr).await))
    })?;
    let broken = broken(&soak, &latency);
    let report = Report { soak, latency, broken };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(report.broken.is_empty())
}

async fn soak(args: &Args, server: &Process, addr: SocketAddr) -> Result<Soak> {
    let at_start = Holdings::of(server.id())?;
    let started = Instant::now();
    let warm_up = args.warm_up.min(args.tests);
    let mut errors = repeat(args, addr, warm_up).await;
    let warmed_up = Holdings::of(server.id())?;
    errors.extend(repeat(args, addr, args.tests - warm_up).await);
    let seconds = started.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a count of tests is small")]
    let tests_per_second = args.tests as f64 / seconds;
    let at_end = Holdings::settled(server, at_start).await?;
    Ok(Soak { tests: args.tests, errors, seconds, tests_per_second, at_start, warmed_up, at_end })
}

/// Runs so many tests, and returns what went wrong.
async fn repeat(args: &Args, addr: SocketAddr, tests: usize) -> Vec<String> {
    let next = Arc::new(AtomicUsize::new(0));
    let errors = Arc::new(Mutex::new(Vec::new()));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..args.concurrency {
        let (next, errors, bytes) = (Arc::clone(&next), Arc::clone(&errors), args.bytes);
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= tests {
                    return;
                }
                if let Err(error) = test(addr, bytes, DIRECTIONS[number % 3]).await {
                    let error = format!("test {number}: {error}");
                    errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                }
            }
        });
    }
    workers.join_all().await;
    let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *errors)
}

async fn test(addr: SocketAddr, bytes: u64, direction: Direction) -> Result<Duration> {
    let client = Client::builder(addr.ip().to_string())
        .port(addr.port())
        .spec(|spec| {
            spec.direction = direction;
            spec.limit = Limit::Bytes(bytes);
        })
        .build()?;
    let started = Instant::now();
    let outcome = client.run().await?;
    let took = started.elapsed();
    let sides = [Some(&outcome.local), outcome.remote.as_ref()].into_iter().flatten();
    let flow_error = sides.flat_map(|side| &side.flows).find_map(|flow| flow.error.clone());
    match (&outcome.ended, flow_error) {
        (Ended::Complete, None) => Ok(took),
        (_, Some(error)) => Err(error.into()),
        (ended, None) => Err(format!("{ended:?}").into()),
    }
}

async fn latency(args: &Args, addr: SocketAddr) -> Latency {
    let (mut errors, mut times) = (Vec::new(), Vec::new());
    for _ in 0..args.latency_tests {
        match test(addr, 1024, Direction::Forward).await {
            Ok(took) => times.push(took.as_secs_f64() * 1e3),
            Err(error) => errors.push(error.to_string()),
        }
    }
    let (median_ms, p99_ms) = (median(&times), percentile(&times, 99));
    Latency { tests: args.latency_tests, errors, median_ms, p99_ms }
}

fn broken(soak: &Soak, latency: &Latency) -> Vec<String> {
    let mut broken = Vec::new();
    let mut bound = |holds: bool, text: String| {
        if !holds {
            broken.push(text);
        }
    };
    let errors = soak.errors.len() + latency.errors.len();
    bound(errors == 0, format!("{errors} tests failed"));
    let growth = soak.at_end.rss_kb.saturating_sub(soak.warmed_up.rss_kb);
    bound(growth <= MAX_GROWTH_KB, format!("memory grew by {growth} kB after the warm-up"));
    let (start, end) = (soak.at_start, soak.at_end);
    let (was, is) = (start.descriptors, end.descriptors);
    bound(is <= was, format!("{is} descriptors are open, and {was} were at the start"));
    let (was, is) = (start.threads, end.threads);
    bound(is <= was, format!("{is} threads run, and {was} did at the start"));
    if let Some(median) = latency.median_ms {
        let text =
            format!("the median of a 1 KiB test is {median:.2} ms, not below {MAX_MEDIAN_MS}");
        bound(median < MAX_MEDIAN_MS, text);
    }
    broken
}

fn print(report: &Report) {
    let Report { soak, latency, broken } = report;
    println!("{:<16}{:>12}{:>12}{:>12}", "server", "start", "warmed up", "end");
    let holdings = [soak.at_start, soak.warmed_up, soak.at_end];
    let row = |name: &str, figure: &dyn Fn(&Holdings) -> String| {
        let [start, warm, end] = holdings.each_ref().map(figure);
        println!("{name:<16}{start:>12}{warm:>12}{end:>12}");
    };
    row("resident kB", &|h| h.rss_kb.to_string());
    row("descriptors", &|h| h.descriptors.to_string());
    row("threads", &|h| h.threads.to_string());
    println!(
        "{} tests in {:.1} s, {:.0} per second, {} errors",
        soak.tests,
        soak.seconds,
        soak.tests_per_second,
        soak.errors.len()
    );
    if let (Some(median), Some(p99)) = (latency.median_ms, latency.p99_ms) {
        println!("{} tests of 1 KiB: median {median:.2} ms, p99 {p99:.2} ms", latency.tests);
    }
    for error in soak.errors.iter().chain(&latency.errors).take(10) {
        println!("error: {error}");
    }
    for bound in broken {
        println!("BROKEN: {bound}");
    }
}

const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::Reverse, Direction::Bidirectional];
const MAX_GROWTH_KB: u64 = 5 << 10;
const MAX_MEDIAN_MS: f64 = 5.0;
