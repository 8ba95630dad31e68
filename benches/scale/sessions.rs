//! Many tests at the same time.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use polyperf::{
    Client, Registry,
    engine::Drive,
    outcome::{Ended, Outcome, Side},
    spec::Direction,
    units::{parse_rate, parse_size},
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    server::{Server, kept},
    support::{Holdings, Result, cpu_of},
};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Tests at the same time.
    #[arg(long, default_value_t = 1000)]
    pub(crate) sessions: usize,
    /// The rate of each.
    #[arg(long, default_value = "1M", value_parser = parse_rate)]
    rate: u64,
    /// Bytes of each block, and datagram.
    #[arg(long, default_value = "8K", value_parser = parse_size)]
    length: u64,
    /// Seconds of each test.
    #[arg(long, default_value_t = 20)]
    time: u64,
    /// Seconds over which they start.
    #[arg(long, default_value_t = 8)]
    ramp: u64,
    /// The transports.
    #[arg(long, value_delimiter = ',', default_value = "tcp,udp,rudp,kcp,quic")]
    transports: Vec<String>,
}

/// A test that has ended.
#[derive(Debug)]
struct Run {
    transport: String,
    began: Duration,
    goodput: f64,
}

/// What the server held at most while the tests ran.
#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    threads: u64,
    descriptors: usize,
}

/// Runs all tests, prints what they came to, and returns what did not hold.
pub(crate) async fn run(args: &Args, server: &Server) -> Result<Vec<String>> {
    let transports = Registry::standard();
    // What the first tests of a transport leave for good, its threads for one, is not the crowd's.
    let few = Args { sessions: WARM_UP * args.transports.len(), time: 2, ramp: 1, ..args.clone() };
    crowd(&few, server, &transports, &mut Peak::default()).await?;
    let at_start = server.rested().await?;
    let mut peak = Peak::default();
    let used = processor_time(server)?;
    let ended = crowd(args, server, &transports, &mut peak).await?;
    print_cost(args, used, processor_time(server)?);
    let at_end = server.settled(at_start).await?;
    let mut broken = kept(at_start, at_end);
    let failed: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
    let runs: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().ok()).collect();
    for error in failed.iter().take(10) {
        println!("error: {error}");
    }
    if !failed.is_empty() {
        broken.push(format!("{} of {} tests failed", failed.len(), ended.len()));
    }
    broken.extend(check_rates(args, &runs));
    broken.extend(check_overlap(args, &runs));
    broken.extend(check_memory(args, at_start, peak, at_end));
    Ok(broken)
}

/// Starts all tests one after another, and waits until they are over.
async fn crowd(
    args: &Args,
    server: &Server,
    transports: &Registry,
    peak: &mut Peak,
) -> Result<Vec<std::result::Result<Run, String>>> {
    let apart = Duration::from_secs(args.ramp) / u32::try_from(args.sessions.max(1))?;
    let mut running = JoinSet::new();
    for number in 0..args.sessions {
        let transport = &args.transports[number % args.transports.len()];
        let turn = number / args.transports.len();
        let client = client(args, server.addr, transports, transport, turn)?;
        let start = apart * u32::try_from(number)?;
        let name = format!("test {number}, {transport}");
        running.spawn(async move {
            sleep(start).await;
            test(client).await.map_err(|error| format!("{name}: {error}"))
        });
    }
    let mut ended = Vec::new();
    while !running.is_empty() {
        tokio::select! {
            Some(result) = running.join_next() => ended.push(result?),
            () = sleep(LOOK) => {
                let now = server.holdings()?;
                peak.threads = peak.threads.max(now.threads);
                peak.descriptors = peak.descriptors.max(now.descriptors);
            }
        }
    }
    Ok(ended)
}

/// Returns the client of the `turn`-th test of a transport.
fn client(
    args: &Args,
    addr: SocketAddr,
    transports: &Registry,
    transport: &str,
    turn: usize,
) -> Result<Client> {
    let block = u32::try_from(args.length)?;
    let client = Client::builder(addr.ip().to_string())
        .port(addr.port())
        .transports(transports.clone())
        .transport(transport)
        .rate(args.rate)
        .spec(|spec| spec.block = block)
        .drive(Drive::Inline)
        .time(Duration::from_secs(args.time));
    Ok(if turn % 3 == 2 { client.reverse() } else { client }.build()?)
}

async fn test(client: Client) -> Result<Run> {
    let outcome = client.run().await?;
    let Outcome { info, ended, .. } = &*outcome;
    let sides = [Some(&outcome.local), outcome.remote.as_ref()].into_iter().flatten();
    if let Some(error) = sides.flat_map(|side| &side.flows).find_map(|flow| flow.error.clone()) {
        return Err(error.into());
    }
    if *ended != Ended::Complete {
        return Err(format!("{ended:?}").into());
    }
    let receiver = match info.spec.direction {
        Direction::Reverse => Side::Client,
        _ => Side::Server,
    };
    let goodput = outcome.goodput(receiver).ok_or("nothing was received")?;
    Ok(Run { transport: info.spec.transport.clone(), began: info.started, goodput })
}

/// Returns the processor time of this process, and of the server.
fn processor_time(server: &Server) -> Result<[Duration; 2]> {
    Ok([cpu_of(std::process::id())?.0, server.processor_time()?])
}

/// Prints what a second of a session took of a processor.
fn print_cost(args: &Args, before: [Duration; 2], after: [Duration; 2]) {
    #[allow(clippy::cast_precision_loss, reason = "neither is large")]
    let seconds = (args.sessions.max(1) as f64) * (args.time.max(1) as f64);
    let [client, server] = [0, 1].map(|end| (after[end] - before[end]).as_secs_f64());
    let each = |used: f64| used * 1e3 / seconds;
    println!(
        "processor time: client {client:.1} s, server {server:.1} s; {:.2} and {:.2} ms for each second of a session",
        each(client),
        each(server)
    );
}

/// Prints each transport's goodput, and says which are too far from the rate.
fn check_rates(args: &Args, runs: &[&Run]) -> Vec<String> {
    #[allow(clippy::cast_precision_loss, reason = "rates are small")]
    let rate = args.rate as f64;
    let mut by_transport = BTreeMap::<_, Vec<f64>>::new();
    for run in runs {
        by_transport.entry(&run.transport).or_default().push(run.goodput / rate * 100.0 - 100.0);
    }
    println!("{:<12}{:>8}{:>12}{:>12}{:>12}", "goodput", "tests", "least", "most", "too far");
    let mut broken = Vec::new();
    for (transport, off) in by_transport {
        let (least, most) = (
            off.iter().copied().fold(f64::INFINITY, f64::min),
            off.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        );
        let too_far = off.iter().filter(|off| off.abs() > MAX_OFF_PERCENT).count();
        println!("{transport:<12}{:>8}{least:>+11.2}%{most:>+11.2}%{too_far:>12}", off.len());
        if too_far > 0 {
            broken.push(format!("{too_far} tests of {transport} are over {MAX_OFF_PERCENT} % off"));
        }
    }
    broken
}

/// Says if there was no moment at which all ran.
fn check_overlap(args: &Args, runs: &[&Run]) -> Option<String> {
    let first = runs.iter().map(|run| run.began).min()?;
    let last = runs.iter().map(|run| run.began).max()?;
    let (ramp, time) = (last - first, Duration::from_secs(args.time));
    println!("the last test began {:.2} s after the first", ramp.as_secs_f64());
    (ramp >= time).then(|| format!("they began over {ramp:.2?}, and ran for {time:?} each"))
}

/// Prints what the server held, and says if that was too much.
fn check_memory(args: &Args, start: Holdings, peak: Peak, end: Holdings) -> Option<String> {
    let rows = [
        ("at rest", start.rss_kb, start.threads, start.descriptors),
        ("at most", end.peak_kb, peak.threads, peak.descriptors),
        ("at the end", end.rss_kb, end.threads, end.descriptors),
    ];
    println!("{:<12}{:>14}{:>12}{:>14}", "server", "resident kB", "threads", "descriptors");
    for (when, kb, threads, descriptors) in rows {
        println!("{when:<12}{kb:>14}{threads:>12}{descriptors:>14}");
    }
    let each = end.peak_kb.saturating_sub(start.rss_kb) / u64::try_from(args.sessions).ok()?.max(1);
    println!("{each} kB for each of {} sessions", args.sessions);
    (each >= MAX_EACH_KB).then(|| format!("a session takes {each} kB, not below {MAX_EACH_KB}"))
}

/// Tests of each transport before the crowd comes.
const WARM_UP: usize = 12;
/// How often it is looked at what the server holds.
const LOOK: Duration = Duration::from_millis(250);
const MAX_OFF_PERCENT: f64 = 1.0;
const MAX_EACH_KB: u64 = 1 << 10;
