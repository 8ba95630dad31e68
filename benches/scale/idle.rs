//! Many connections that ask for nothing.

use std::{net::SocketAddr, time::Duration};

use polyperf::{
    Client,
    outcome::{Ended, Side},
};

use crate::{
    crowd::Crowd,
    server::{Server, kept},
    support::{Holdings, Result, median},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connections to hold.
    #[arg(long, default_value_t = 5000)]
    pub(crate) idle: usize,
    /// Connections beside which goodput is measured.
    #[arg(long, default_value_t = 500)]
    beside: usize,
    /// Pairs of tests, without and with connections beside them.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Seconds of each test.
    #[arg(long, default_value_t = 1)]
    time: u64,
}

/// Holds the connections, prints what they cost, and returns what did not hold.
pub(crate) async fn run(args: &Args, server: &Server) -> Result<Vec<String>> {
    // Whatever the first test leaves for good is not the crowd's.
    goodput(server.addr, args.time).await?;
    let at_start = server.rested().await?;
    let mut broken = hold(args, server, at_start).await?;
    let ratios = pairs(args, server, at_start).await?;
    broken.extend(check_ratios(args, ratios));
    broken.extend(kept(at_start, server.settled(at_start).await?));
    Ok(broken)
}

/// Holds all connections, and has a test run beside them.
async fn hold(args: &Args, server: &Server, at_start: Holdings) -> Result<Vec<String>> {
    let crowd = Crowd::gather(server.addr, args.idle).await?;
    let held = server.holdings()?;
    let beside = goodput(server.addr, args.time).await?;
    let disturbed = crowd.disturbed();
    drop(crowd);
    let at_end = server.settled(at_start).await?;
    println!("{:<12}{:>14}{:>12}{:>14}", "server", "resident kB", "threads", "descriptors");
    for (when, now) in [("at rest", at_start), ("held", held), ("dropped", at_end)] {
        println!("{when:<12}{:>14}{:>12}{:>14}", now.rss_kb, now.threads, now.descriptors);
    }
    #[allow(clippy::cast_precision_loss, reason = "no server is that large")]
    let each = held.rss_kb.saturating_sub(at_start.rss_kb) as f64 / args.idle.max(1) as f64;
    println!("{each:.1} kB for each of {} idle connections", args.idle);
    println!("a test beside them: {:.2} Gbit/s", beside / 1e9);
    let mut broken = kept(at_start, at_end);
    if disturbed > 0 {
        broken.push(format!("{disturbed} connections were not held"));
    }
    if each >= MAX_EACH_KB {
        broken.push(format!("an idle connection takes {each:.1} kB, not below {MAX_EACH_KB}"));
    }
    Ok(broken)
}

/// Returns each pair's goodput with connections beside it over that without.
async fn pairs(args: &Args, server: &Server, at_start: Holdings) -> Result<Vec<f64>> {
    let mut ratios = Vec::new();
    for _ in 0..args.pairs {
        let alone = goodput(server.addr, args.time).await?;
        let crowd = Crowd::gather(server.addr, args.beside).await?;
        let beside = goodput(server.addr, args.time).await?;
        drop(crowd);
        server.settled(at_start).await?;
        println!("alone {:.2} Gbit/s, beside them {:.2}", alone / 1e9, beside / 1e9);
        ratios.push(beside / alone);
    }
    Ok(ratios)
}

/// Prints the ratio, and says if it is too small to be noise.
fn check_ratios(args: &Args, mut ratios: Vec<f64>) -> Option<String> {
    let median = median(&ratios)?;
    ratios.sort_by(f64::total_cmp);
    // One pair at each end may be anything.
    let inner = ratios.get(1..ratios.len() - 1).filter(|inner| !inner.is_empty());
    let inner = inner.unwrap_or(&ratios);
    let (least, most) = (*inner.first()?, *inner.last()?);
    println!(
        "with {} idle connections {median:.3} times the goodput without, {least:.3} to {most:.3}",
        args.beside
    );
    let noise = (least..=most).contains(&1.0);
    (median < MIN_RATIO && !noise)
        .then(|| format!("goodput is {median:.3} times that without idle connections"))
}

/// Runs a TCP test as fast as it goes, and returns its goodput.
async fn goodput(addr: SocketAddr, seconds: u64) -> Result<f64> {
    let client = Client::builder(addr.ip().to_string())
        .port(addr.port())
        .time(Duration::from_secs(seconds))
        .build()?;
    let outcome = client.run().await?;
    if outcome.ended != Ended::Complete {
        return Err(format!("{:?}", outcome.ended).into());
    }
    Ok(outcome.goodput(Side::Server).ok_or("nothing was received")?)
}

const MAX_EACH_KB: f64 = 64.0;
const MIN_RATIO: f64 = 0.98;
