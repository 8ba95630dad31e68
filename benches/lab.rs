//! How exact the lab's links are, and how fast they can be, on this machine.
//!
//! ```text
//! cargo bench --bench lab
//! cargo bench --bench lab -- --rounds 9 delay exact
//! ```
//!
//! Whoever is root runs it a second time as a user without any right. Both ends of a link share a
//! clock, so that one-way delays are exact. Each figure is the best of several rounds: whatever else
//! runs on the machine makes every one of them worse. A round that is good enough is the last.
//!
//! Asserts, and exits with 1 if it does not hold:
//!
//! - one TCP flow gets 6 Gbit/s where each packet meets its own fate, and 10 where links do nothing;
//! - 20 ms are 20.00 to 20.10 ms at p50, and less than 20.3 at p99, on an idle link;
//! - 50 Mbit/s give TCP 48.27 and UDP 49.02 Mbit/s (1448 and 1400 bytes of payload to a packet of
//!   1500 and 1428) within 0.3 %, and 1 Gbit/s gives TCP 965.3 within 1 %;
//! - CoDel holds the p95 of a loaded link with a buffer of 200 ms below 25 ms above the idle one;
//!   the same link with a plain buffer stands beside it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints a table")]

#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/lab/traffic.rs"]
mod traffic;
#[allow(dead_code, clippy::unwrap_used, reason = "shared with the tests")]
#[path = "../tests/lab/users.rs"]
mod users;

use std::{process::ExitCode, thread, time::Duration};

use clap::Parser;
use polyperf::lab::{
    self, Lab, Links,
    link::{Aqm, BitRate, CoDel, LinkConfig, Loss, Probability, QueueLimit},
};

use crate::{
    traffic::{flood, one_way, quantile, tcp},
    users::Program,
};

#[derive(Debug, Parser)]
#[command(about = "Measures the lab's links")]
struct Args {
    /// Rounds of each figure at most.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Run as this user alone.
    #[arg(long, hide = true)]
    here: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Take this tier in place of the best.
    #[arg(long)]
    tier: Option<lab::Tier>,
    /// Figures whose names contain one of these; all by default.
    figures: Vec<String>,
}

/// Something that is measured.
struct Figure {
    name: &'static str,
    unit: &'static str,
    least: f64,
    most: f64,
    measure: fn(&Lab) -> f64,
}

const FIGURES: [Figure; 11] = [
    figure("whole", "Gbit/s", 10.0, f64::INFINITY, |lab| rate(lab, &LinkConfig::perfect()) / 1e9),
    figure("exact", "Gbit/s", 6.0, f64::INFINITY, |lab| rate(lab, &judged()) / 1e9),
    figure("delay-p50", "ms", 20.0, 20.1, |lab| delay(lab, 0.5)),
    figure("delay-p99", "ms", 20.0, 20.3, |lab| delay(lab, 0.99)),
    figure("50M-cubic", "Mbit/s", 48.27 * 0.997, 48.27 * 1.003, |lab| limited(lab, 50, "cubic")),
    figure("50M-bbr", "Mbit/s", 48.27 * 0.997, 48.27 * 1.003, |lab| limited(lab, 50, "bbr")),
    figure("50M-udp", "Mbit/s", 49.02 * 0.997, 49.02 * 1.003, |lab| {
        lab.set(Links::both(&bounded(50))).expect("a link");
        flood(lab, 1400, 60e6, SECOND, 3 * SECOND) / 1e6
    }),
    figure("1G-cubic", "Mbit/s", 965.3 * 0.99, 965.3 * 1.01, |lab| limited(lab, 1000, "cubic")),
    figure("loaded-p95-droptail", "ms", 0.0, f64::INFINITY, |lab| loaded(lab, Aqm::Off)),
    figure("loaded-p95-codel", "ms", 0.0, 25.0, |lab| loaded(lab, Aqm::CoDel(CoDel::new()))),
    figure("loaded-p95-codel-ecn", "ms", 0.0, 25.0, |lab| {
        loaded(lab, Aqm::CoDel(CoDel::new().with_ecn()))
    }),
];

const fn figure(
    name: &'static str,
    unit: &'static str,
    least: f64,
    most: f64,
    measure: fn(&Lab) -> f64,
) -> Figure {
    Figure { name, unit, least, most, measure }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let program = Program::new();
    if args.here || program.users().len() == 1 {
        return if measure_all(&args) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut is_well = true;
    for user in program.users() {
        println!("as {user}");
        let arguments = std::env::args().skip(1).chain(["--here".to_owned()]);
        let status = program.command(user).args(arguments).status().expect("the program runs");
        is_well &= status.success();
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure_all(args: &Args) -> bool {
    let prepared = lab::prepare(args.tier).unwrap_or_else(|error| panic!("{error}"));
    println!("tier {}", prepared.tier());
    if !prepared.tier().carries_tcp() {
        for (tier, obstacle) in prepared.refused() {
            println!("not {tier}: {obstacle}");
        }
        return false;
    }
    let lab = Lab::open(prepared, lab::DEFAULT_MTU).unwrap_or_else(|error| panic!("{error}"));
    let wanted = |figure: &&Figure| {
        args.figures.is_empty() || args.figures.iter().any(|part| figure.name.contains(part))
    };
    let mut is_well = true;
    for figure in FIGURES.iter().filter(wanted) {
        is_well &= figure.show(&lab, args.rounds);
    }
    is_well
}

impl Figure {
    fn show(&self, lab: &Lab, rounds: u32) -> bool {
        let mut seen = Vec::new();
        while seen.len() < rounds as usize && !seen.iter().any(|value| self.holds(*value)) {
            seen.push((self.measure)(lab));
        }
        let is_well = seen.iter().any(|value| self.holds(*value));
        let shown: Vec<_> = seen.iter().map(|value| format!("{value:.3}")).collect();
        let verdict = if is_well { "ok" } else { "MISSED" };
        let (least, most) = (self.least, self.most);
        let limits = format!("{least:.2} to {most:.2} {}", self.unit);
        let truth = lab.truth().expect("a truth");
        println!("{:<22} {limits:<26} {verdict:<7} {}", self.name, shown.join(" "));
        for spoilt in truth.spoilt(None, None) {
            println!("{:<22} the last was spoilt: {spoilt}", "");
        }
        is_well
    }

    fn holds(&self, value: f64) -> bool {
        value >= self.least && value <= self.most
    }
}

fn rate(lab: &Lab, config: &LinkConfig) -> f64 {
    lab.set(Links::both(config)).expect("a link");
    tcp(lab, Some("cubic"), SECOND, 3 * SECOND).rate
}

/// Milliseconds that `part` of the packets do not exceed.
fn delay(lab: &Lab, part: f64) -> f64 {
    let config = LinkConfig::perfect().delay(Duration::from_millis(20));
    lab.set(Links::both(&config)).expect("a link");
    millis(lab, 2000, part)
}

fn millis(lab: &Lab, count: u32, part: f64) -> f64 {
    let arrived = one_way(lab, count, 64, Duration::from_millis(1));
    let mut times: Vec<_> = arrived.into_iter().map(|(_, time)| time).collect();
    quantile(&mut times, part).as_secs_f64() * 1e3
}

fn limited(lab: &Lab, megabits: u64, control: &str) -> f64 {
    lab.set(Links::both(&bounded(megabits))).expect("a link");
    tcp(lab, Some(control), 3 * SECOND, 5 * SECOND).rate / 1e6
}

/// Milliseconds above the idle link's that 95 of 100 packets do not exceed beside a TCP flow.
fn loaded(lab: &Lab, aqm: Aqm) -> f64 {
    let queue = QueueLimit::Bytes(1_250_000);
    let config = LinkConfig::perfect().rate(BitRate::mbps(50)).queue(queue).delay(HALF_OF_20_MS);
    let links = Links { to_far: config.clone().aqm(aqm), to_near: config };
    lab.set(links).expect("a link");
    let idle = millis(lab, 500, 0.5);
    thread::scope(|scope| {
        scope.spawn(|| tcp(lab, Some("cubic"), SECOND, 6 * SECOND));
        // Both run at the same time, or nothing would be loaded.
        thread::sleep(2 * SECOND);
        millis(lab, 3000, 0.95) - idle
    })
}

/// With a buffer of 50 ms.
fn bounded(megabits: u64) -> LinkConfig {
    let bytes = usize::try_from(megabits * 1_000_000 / 8 / 20).expect("a size");
    let rate = LinkConfig::perfect().rate(BitRate::mbps(megabits));
    rate.queue(QueueLimit::Bytes(bytes)).delay(HALF_OF_20_MS)
}

/// Loses next to nothing, but asks of each packet whether to.
fn judged() -> LinkConfig {
    LinkConfig::perfect().loss(Loss::Iid(Probability::new(1e-12)))
}

const SECOND: Duration = Duration::from_secs(1);
const HALF_OF_20_MS: Duration = Duration::from_millis(10);
