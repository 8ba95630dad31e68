//! A thousand tests in turn against one server process: does it stay as small as it was, and how
//! long does a handshake take?
//!
//! Each test has two connections of QUIC, for control and for data, and moves 64 KiB. The time of
//! handshakes is that of the data connection, as the client measures it; none resumes an earlier
//! one.
//!
//! Asserts: no test fails; after the last the server has as many descriptors and threads as after
//! the warm-up, and its resident memory has grown by no more than [`MOST_GROWTH_KB`] since.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use polyperf::{Client, Registry, outcome::Ended};

use crate::{
    case::load,
    support::{Holdings, Result, median, percentile, runtime, start_server},
};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Tests after the warm-up.
    #[arg(long, default_value_t = TESTS)]
    tests: usize,
    /// Tests before the server is looked at for the first time.
    #[arg(long, default_value_t = WARM_UP)]
    warm_up: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { tests: TESTS, warm_up: WARM_UP }
    }
}

/// How long each test took to get going, in milliseconds.
#[derive(Debug, Default)]
struct Times {
    handshake: Vec<f64>,
    first_reply: Vec<f64>,
}

pub(crate) fn run(args: &Args) -> Result<bool> {
    let (server, addr) = start_server()?;
    let at_start = Holdings::of(server.id())?;
    let mut times = Times::default();
    println!("churn, load {}", load());
    let (warmed_up, at_end, seconds) = runtime()?.block_on(async {
        let transports = Registry::standard();
        for _ in 0..args.warm_up {
            test(addr, &transports, &mut times).await?;
        }
        let warmed_up = Holdings::settled(&server, at_start).await?;
        let started = Instant::now();
        for number in 0..args.tests {
            let tested = test(addr, &transports, &mut times).await;
            tested.map_err(|error| format!("test {number}: {error}"))?;
        }
        let seconds = started.elapsed().as_secs_f64();
        let at_end = Holdings::settled(&server, warmed_up).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((warmed_up, at_end, seconds))
    })?;
    println!("{:<16}{:>12}{:>12}{:>12}", "server", "start", "warmed up", "end");
    let row = |name: &str, figure: fn(&Holdings) -> u64| {
        let [start, warm, end] = [at_start, warmed_up, at_end].each_ref().map(figure);
        println!("{name:<16}{start:>12}{warm:>12}{end:>12}");
    };
    row("resident kB", |holdings| holdings.rss_kb);
    row("descriptors", |holdings| holdings.descriptors as u64);
    row("threads", |holdings| holdings.threads);
    print_times(args.tests, seconds, &times);
    Ok(judge(warmed_up, at_end))
}

async fn test(addr: SocketAddr, transports: &Registry, times: &mut Times) -> Result<()> {
    let client = Client::builder(addr.ip().to_string())
        .port(addr.port())
        .transport("quic")
        .control("quic")
        .transports(transports.clone())
        .bytes(BYTES)
        .build()?;
    let outcome = client.run().await?;
    let flow = outcome.local.flows.first().ok_or("no summary")?;
    if let Some(error) = &flow.error {
        return Err(error.clone().into());
    }
    if outcome.ended != Ended::Complete {
        return Err(format!("{:?}", outcome.ended).into());
    }
    let millis = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    times.handshake.extend(millis(flow.path.handshake));
    times.first_reply.extend(millis(flow.path.first_reply));
    Ok(())
}

fn print_times(tests: usize, seconds: f64, times: &Times) {
    #[allow(clippy::cast_precision_loss, reason = "a count of tests is small")]
    let per_second = tests as f64 / seconds;
    println!(
        "{tests} tests in {seconds:.1} s: {per_second:.0} tests and {:.0} handshakes per second",
        per_second * CONNECTIONS
    );
    for (name, times) in [("handshake", &times.handshake), ("first reply", &times.first_reply)] {
        let figure = |percent| percentile(times, percent).unwrap_or(f64::NAN);
        let median = median(times).unwrap_or(f64::NAN);
        println!("{name}: median {median:.2} ms, p99 {:.2} ms, of {}", figure(99), times.len());
    }
}

fn judge(before: Holdings, after: Holdings) -> bool {
    let growth = after.rss_kb.saturating_sub(before.rss_kb);
    let mut holds = true;
    let mut bound = |held: bool, text: String| {
        println!("{}: {text}", if held { "holds" } else { "BROKEN" });
        holds &= held;
    };
    bound(growth <= MOST_GROWTH_KB, format!("memory grew by {growth} kB since the warm-up"));
    let (was, is) = (before.descriptors, after.descriptors);
    bound(is == was, format!("{is} descriptors are open, and {was} were after the warm-up"));
    let (was, is) = (before.threads, after.threads);
    bound(is == was, format!("{is} threads run, and {was} did after the warm-up"));
    println!("load {}", load());
    holds
}

const TESTS: usize = 1000;
/// Fills what the server keeps for clients that come back: 4096 sessions, four of each test.
const WARM_UP: usize = 1100;
/// Bytes of each test.
const BYTES: u64 = 64 << 10;
/// Connections of each test.
const CONNECTIONS: f64 = 2.0;
const MOST_GROWTH_KB: u64 = 512;
