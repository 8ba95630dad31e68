//! Latency under load over an emulated bottleneck: 50 Mbit/s, 5 ms each way, and a buffer that holds
//! 200 ms. A flow with CUBIC fills it, and whoever asks beside it waits for the whole of it.
//!
//! Control and data go over the link, in UDP alone: a relay in this process is the bottleneck, with
//! the clock of this machine. Asserts that the 95th percentile under load lies 180 to 220 ms above
//! the idle median where the probe has a flow of its own (rudp). Beside it stands quic, whose probe
//! is a stream of the loaded connection. A run in which the relay itself dropped anything is an
//! error.
//!
//! ```text
//! cargo bench --bench loaded -- [--time SECONDS]
//! ```

#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../tests/support/relay.rs"]
mod relay;
#[path = "../tests/support/via.rs"]
mod via;

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use polyperf::{
    Client, Registry, Server,
    measure::LatencySummary,
    outcome::{Outcome, Side},
    spec::Probe,
};
use polyperf_memory::link::{BitRate, LinkConfig, QueueLimit};

use crate::{relay::Relay, via::Via};

#[derive(Debug, Parser)]
struct Args {
    /// Seconds that count; 4 s before them fill the buffer.
    #[arg(long, short, default_value_t = 6)]
    time: u64,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    println!(
        "{:<8}{:>14}{:>12}{:>12}{:>12}{:>12}{:>16}",
        "", "goodput, Mb/s", "idle p50", "loaded p50", "p95", "p99", "p95 above idle"
    );
    let mut holds = true;
    for transport in ["rudp", "quic"] {
        match measure(transport, args.time).await {
            Ok(_) if transport == "quic" => {}
            Ok(added) => {
                let within = (LEAST..=MOST).contains(&added);
                holds &= within;
                let word = if within { "holds" } else { "BROKEN" };
                println!("{word}: {added:.1} ms above idle, {LEAST} to {MOST} ms required");
            }
            Err(error) => {
                eprintln!("{transport}: {error}");
                holds = false;
            }
        }
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns how far the 95th percentile under load is above the idle median, in milliseconds.
async fn measure(transport: &str, time: u64) -> Result<f64, Box<dyn Error>> {
    let server = Server::builder().listen("127.0.0.1:0".parse()?).bind().await?;
    let addrs = server.local_addrs();
    let (_, addr) = addrs.iter().find(|(name, _)| *name == "quic").ok_or("there is no quic")?;
    let addr = *addr;
    let serving = tokio::spawn(server.run(std::future::pending()));
    let link = LinkConfig::perfect().rate(BitRate::mbps(MBITS)).delay(Duration::from_millis(5));
    let up = link.clone().queue(QueueLimit::Bytes(BUFFER));
    let relay = Relay::start(addr, up, link)?;
    let client = Client::builder("127.0.0.1")
        .port(relay.addr().port())
        .transport(transport)
        .control("quic")
        .time(Duration::from_secs(time))
        .spec(|fields| {
            fields.omit = Duration::from_secs(4);
            fields.tuning.congestion = Some("cubic".to_owned());
            fields.probe = Some(Probe::default());
        })
        .transports(through(relay.addr()))
        .build()?;
    let outcome = client.run().await?;
    serving.abort();
    let stats = relay.stats()?;
    for lane in [stats.up, stats.down] {
        if lane.socket_drops + lane.send_errors > 0 {
            return Err("the relay itself dropped datagrams; run it on an idle machine".into());
        }
    }
    let bytes = outcome.side(Side::Server).and_then(|side| side.flows.first()).map(|f| f.bytes);
    if stats.up.wire_bytes < bytes.unwrap_or_default() {
        return Err(format!("only {} bytes went over the link", stats.up.wire_bytes).into());
    }
    let (idle, loaded) = latencies(&outcome).ok_or("the probe was not answered")?;
    let ms = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e3;
    println!(
        "{transport:<8}{:>14.2}{:>12.1}{:>12.1}{:>12.1}{:>12.1}{:>16.1}",
        outcome.goodput(Side::Server).unwrap_or_default() / 1e6,
        ms(idle.p50_ns),
        ms(loaded.p50_ns),
        ms(loaded.p95_ns),
        ms(loaded.p99_ns),
        ms(loaded.p95_ns) - ms(idle.p50_ns),
    );
    Ok(ms(loaded.p95_ns) - ms(idle.p50_ns))
}

/// Returns every transport, over UDP those that reach their servers through the relay.
fn through(relay: std::net::SocketAddr) -> Registry {
    let standard = Registry::standard();
    let over_udp = standard.iter().filter(|transport| transport.name() != "tcp");
    let via = |inner: &Arc<_>| Arc::new(Via { inner: Arc::clone(inner), via: relay });
    over_udp.map(via).fold(Registry::empty(), |all, transport| all.with(transport))
}

fn latencies(outcome: &Outcome) -> Option<(LatencySummary, LatencySummary)> {
    let probe = outcome.local.flows.iter().find_map(|flow| flow.exchanges.as_deref())?;
    Some((probe.idle.clone()?, probe.latency.clone()?))
}

const MBITS: u64 = 50;
/// 200 ms at 50 Mbit/s.
const BUFFER: usize = 1_250_000;
/// In milliseconds.
const LEAST: f64 = 180.0;
const MOST: f64 = 220.0;
