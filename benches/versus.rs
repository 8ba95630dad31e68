//! TCP throughput on loopback beside other tools, in turns: A B A B.
//!
//! ```text
//! cargo bench --bench versus
//! cargo bench --bench versus -- --streams 4 --length 128K --pairs 5 --time 2
//! cargo bench --bench versus -- --reverse --congestion cubic --json
//! ```
//!
//! Each tool runs its client and its server as separate processes, once per round and in turns, so
//! that whatever else the machine does meets all of them alike. Goodput is what the receiver
//! counted; the processor time is that of both whole processes, as the kernel accounts for it.
//!
//! Asserts, and exits with 1 if it does not hold: with one stream and the default direction, the
//! median of polyperf's goodput is at least 0.9 of that of each peer, at every length. A peer that
//! is not on PATH is left out with a note; without any there is nothing to assert.
//!
//! Another peer is one more [`Tool`].

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]
// Each benchmark uses a part of what they share.
#[allow(dead_code)]
mod support;

use std::{
    net::{SocketAddr, TcpListener},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand};
use polyperf::{
    Client,
    measure::Role as FlowRole,
    outcome::{Ended, Side},
    units::parse_size,
};
use serde::{Deserialize, Serialize};

use crate::support::{Process, Result, cpu_of, median, runtime, serve, start_server};

#[derive(Debug, Clone, Parser)]
#[command(about = "Measures TCP throughput on loopback beside other tools")]
struct Args {
    /// Rounds; each tool runs once in each.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    #[command(flatten)]
    case: Case,
    /// Lengths of a write to compare at; `default` leaves it to each tool. Repeatable.
    #[arg(long = "length", short = 'l', default_values = ["128K", "default"])]
    lengths: Vec<String>,
    /// Run polyperf alone.
    #[arg(long)]
    alone: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What is measured.
#[derive(Debug, Clone, ClapArgs, Serialize)]
struct Case {
    /// Seconds of each run.
    #[arg(long, short, default_value_t = 2)]
    time: u64,
    /// Streams in each direction.
    #[arg(long, short = 'P', default_value_t = 1)]
    streams: u16,
    /// The server sends.
    #[arg(long, short = 'R')]
    reverse: bool,
    /// Both send.
    #[arg(long, conflicts_with = "reverse")]
    bidir: bool,
    /// Congestion control.
    #[arg(long, short = 'C')]
    congestion: Option<String>,
    /// Length of a write in bytes; set from `--length`.
    #[arg(long, hide = true)]
    block: Option<u64>,
}

#[derive(Debug, Clone, Subcommand)]
enum Role {
    /// Be the server (used by the program itself).
    Serve,
    /// Be a client, and print what was measured (used by the program itself).
    Client {
        server: SocketAddr,
        #[command(flatten)]
        case: Case,
    },
}

/// A program that measures throughput; its server runs as long as the value lives.
trait Tool {
    fn name(&self) -> String;
    /// Runs a client to its end, and returns what the receivers counted.
    fn run(&self, case: &Case) -> Result<Goodput>;
    fn server(&self) -> &Process;
}

/// What the receivers counted, all streams and directions together.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Goodput {
    bytes: f64,
    bits_per_second: f64,
}

/// What one run of a tool came to.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    gbit_per_second: f64,
    client_cpu_s_per_gb: f64,
    server_cpu_s_per_gb: f64,
}

#[derive(Debug, Serialize)]
struct Series {
    tool: String,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Comparison {
    length: String,
    series: Vec<Series>,
    broken: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.role {
        Some(Role::Serve) => serve(64).map(|()| true),
        Some(Role::Client { server, case }) => client(*server, case).map(|()| true),
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
    let tools = tools(args.alone)?;
    let mut comparisons = Vec::new();
    for length in &args.lengths {
        let comparison = compare(args, length, &tools)?;
        if !args.json {
            print(&comparison, &args.case);
        }
        comparisons.push(comparison);
    }
    if args.json {
        let report = serde_json::json!({ "case": args.case, "comparisons": comparisons });
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(comparisons.iter().all(|comparison| comparison.broken.is_empty()))
}

/// Returns polyperf, and every peer that is there.
fn tools(alone: bool) -> Result<Vec<Box<dyn Tool>>> {
    let mut tools: Vec<Box<dyn Tool>> = vec![Box::new(Polyperf::start()?)];
    match Iperf3::start() {
        _ if alone => {}
        Ok(iperf3) => tools.push(Box::new(iperf3)),
        Err(error) => eprintln!("note: iperf3 is left out: {error}"),
    }
    Ok(tools)
}

fn compare(args: &Args, length: &str, tools: &[Box<dyn Tool>]) -> Result<Comparison> {
    let block = if length == "default" { None } else { Some(parse_size(length)?) };
    let case = Case { block, ..args.case.clone() };
    let mut series: Vec<_> =
        tools.iter().map(|tool| Series { tool: tool.name(), runs: Vec::new() }).collect();
    for _ in 0..args.pairs {
        for (tool, series) in tools.iter().zip(&mut series) {
            series.runs.push(measure(tool.as_ref(), &case)?);
        }
    }
    let asserted = case.streams == 1 && !case.reverse && !case.bidir;
    let broken = series[1..].iter().filter_map(|peer| {
        let ratio = series[0].median(gbits)? / peer.median(gbits)?;
        (asserted && ratio < MIN_RATIO)
            .then(|| format!("{ratio:.2} of {}'s goodput, not {MIN_RATIO}", peer.tool))
    });
    let broken = broken.collect();
    Ok(Comparison { length: length.to_owned(), series, broken })
}

fn measure(tool: &dyn Tool, case: &Case) -> Result<Run> {
    let cpu = || {
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
            cpu_of(std::process::id())?.1,
            cpu_of(tool.server().id())?.0,
        ))
    };
    let before = cpu()?;
    let goodput = tool.run(case).map_err(|error| format!("{}: {error}", tool.name()))?;
    // The server's last threads may end a little later than its client.
    std::thread::sleep(Duration::from_millis(100));
    let after = cpu()?;
    let per_gb = |before: Duration, after: Duration| {
        (after.saturating_sub(before)).as_secs_f64() / (goodput.bytes / 1e9)
    };
    Ok(Run {
        gbit_per_second: goodput.bits_per_second / 1e9,
        client_cpu_s_per_gb: per_gb(before.0, after.0),
        server_cpu_s_per_gb: per_gb(before.1, after.1),
    })
}

struct Polyperf {
    process: Process,
    addr: SocketAddr,
}

impl Polyperf {
    fn start() -> Result<Self> {
        let (process, addr) = start_server()?;
        Ok(Self { process, addr })
    }
}

impl Tool for Polyperf {
    fn name(&self) -> String {
        format!("polyperf {}", env!("CARGO_PKG_VERSION"))
    }

    fn run(&self, case: &Case) -> Result<Goodput> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["client", &self.addr.to_string()]).args(options(case));
        if let Some(block) = case.block {
            command.args(["--block", &block.to_string()]);
        }
        Ok(serde_json::from_slice(&output(&mut command)?)?)
    }

    fn server(&self) -> &Process {
        &self.process
    }
}

struct Iperf3 {
    process: Process,
    port: u16,
    version: String,
}

impl Iperf3 {
    fn start() -> Result<Self> {
        let version = String::from_utf8(output(Command::new("iperf3").arg("--version"))?)?;
        let version = version.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        // It cannot pick a port itself; this one was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("iperf3");
        command.args(["-s", "--forceflush", "-B", "127.0.0.1", "-p", &port.to_string()]);
        let ready = |line: &str| line.starts_with("Server listening").then_some(());
        let (process, ()) = Process::start(&mut command, ready)?;
        Ok(Self { process, port, version })
    }
}

impl Tool for Iperf3 {
    fn name(&self) -> String {
        self.version.clone()
    }

    fn run(&self, case: &Case) -> Result<Goodput> {
        let mut command = Command::new("iperf3");
        command.args(["-c", "127.0.0.1", "-J", "-p", &self.port.to_string()]).args(options(case));
        if let Some(block) = case.block {
            command.args(["-l", &block.to_string()]);
        }
        let report: serde_json::Value = serde_json::from_slice(&output(&mut command)?)?;
        let sum = |key: &str| {
            ["sum_received", "sum_received_bidir_reverse"]
                .iter()
                .filter_map(|sum| report["end"][sum][key].as_f64())
                .reduce(|a, b| a + b)
                .ok_or_else(|| format!("no {key} in its report"))
        };
        Ok(Goodput { bytes: sum("bytes")?, bits_per_second: sum("bits_per_second")? })
    }

    fn server(&self) -> &Process {
        &self.process
    }
}

/// Returns the options of `case` that every tool, this program included, spells alike.
fn options(case: &Case) -> Vec<String> {
    let mut options =
        vec!["-t".to_owned(), case.time.to_string(), "-P".to_owned(), case.streams.to_string()];
    options.extend(case.reverse.then(|| "-R".to_owned()));
    options.extend(case.bidir.then(|| "--bidir".to_owned()));
    options.extend(case.congestion.iter().flat_map(|name| ["-C".to_owned(), name.clone()]));
    options
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&said).trim()).into())
}

/// Runs one test, and prints what the receivers counted.
fn client(server: SocketAddr, case: &Case) -> Result<()> {
    let mut builder = Client::builder(server.ip().to_string())
        .port(server.port())
        .streams(case.streams)
        .time(Duration::from_secs(case.time))
        .spec(|spec| spec.tuning.congestion.clone_from(&case.congestion));
    if case.reverse {
        builder = builder.reverse();
    }
    if case.bidir {
        builder = builder.bidirectional();
    }
    if let Some(block) = case.block {
        let block = u32::try_from(block)?;
        builder = builder.spec(|spec| spec.block = block);
    }
    let outcome = runtime()?.block_on(builder.build()?.run())?;
    if outcome.ended != Ended::Complete {
        return Err(format!("{:?}", outcome.ended).into());
    }
    let mut goodput = Goodput { bytes: 0.0, bits_per_second: 0.0 };
    for side in [Side::Client, Side::Server] {
        let received = outcome.side(side).and_then(|summary| summary.total(FlowRole::Receiver));
        #[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any test moves")]
        if let (Some((bytes, _)), Some(rate)) = (received, outcome.goodput(side)) {
            goodput.bytes += bytes as f64;
            goodput.bits_per_second += rate;
        }
    }
    println!("{}", serde_json::to_string(&goodput)?);
    Ok(())
}

impl Series {
    fn values(&self, figure: fn(&Run) -> f64) -> Vec<f64> {
        self.runs.iter().map(figure).collect()
    }

    fn median(&self, figure: fn(&Run) -> f64) -> Option<f64> {
        median(&self.values(figure))
    }

    /// Returns the median over the rounds of how much more `self` moved than `peer`.
    fn ratio(&self, peer: &Self) -> Option<f64> {
        let pairs = self.runs.iter().zip(&peer.runs);
        median(&pairs.map(|(a, b)| a.gbit_per_second / b.gbit_per_second).collect::<Vec<_>>())
    }
}

fn gbits(run: &Run) -> f64 {
    run.gbit_per_second
}

fn print(comparison: &Comparison, case: &Case) {
    let direction = match (case.reverse, case.bidir) {
        (true, _) => "reverse",
        (_, true) => "both directions",
        _ => "forward",
    };
    println!(
        "-l {}, -P {}, {direction}, {} s, congestion control {}",
        comparison.length,
        case.streams,
        case.time,
        case.congestion.as_deref().unwrap_or("of the system")
    );
    println!(
        "{:<18}{:>9}{:>8}{:>8}{:>9}{:>16}{:>16}",
        "Gbit/s", "median", "min", "max", "ratio", "client CPU-s/GB", "server CPU-s/GB"
    );
    for series in &comparison.series {
        let rates = series.values(gbits);
        let figures = [
            median(&rates),
            rates.iter().copied().reduce(f64::min),
            rates.iter().copied().reduce(f64::max),
            comparison.series[0].ratio(series),
            series.median(|run| run.client_cpu_s_per_gb),
            series.median(|run| run.server_cpu_s_per_gb),
        ];
        let [median, min, max, ratio, client, server] = figures.map(Option::unwrap_or_default);
        println!(
            "{:<18}{median:>9.1}{min:>8.1}{max:>8.1}{ratio:>9.2}{client:>16.3}{server:>16.3}",
            series.tool
        );
    }
    for bound in &comparison.broken {
        println!("BROKEN: {bound}");
    }
    println!();
}

/// The least part of a peer's goodput that polyperf must reach.
const MIN_RATIO: f64 = 0.9;
