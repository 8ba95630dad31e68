//! How often the verdict on an experiment is right, over many experiments.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use polyperf::{
    Client, Registry, Server,
    compare::{
        Decision, Metric, Thresholds, Verdict,
        experiment::{Arm, PartKind, Plan, Run},
        verdicts,
    },
    engine::Drive,
    outcome::{Ended, Side},
    transport::Transport,
};
use polyperf_memory::{
    Memory, Network,
    link::{BitRate, LinkConfig, Loss, Probability},
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use statrs::distribution::{ContinuousCDF, Normal};

#[test]
fn of_two_hundred_comparisons_of_the_same_with_itself_hardly_any_finds_a_difference() {
    let mut random = StdRng::seed_from_u64(5201);
    let decisions: Vec<Decision> =
        (0..200).map(|_| decision(&blocks(&mut random, 7, 1.0))).collect();
    let better = count(&decisions, Decision::Better);
    let worse = count(&decisions, Decision::Worse);
    assert!(better <= 4 && worse <= 4, "{better} better and {worse} worse");
}

/// With 7 blocks one pair that points the other way is enough to show nothing; with 14 it takes more.
#[test]
fn the_same_noise_hides_less_of_a_difference_the_more_blocks_there_are() {
    let mut random = StdRng::seed_from_u64(5202);
    let [seven, fourteen] = [7, 14].map(|count| {
        let runs = |_| decision(&blocks(&mut random, count, 1.2));
        let decisions: Vec<Decision> = (0..100).map(runs).collect();
        assert_eq!(self::count(&decisions, Decision::Worse), 0);
        self::count(&decisions, Decision::Better)
    });
    assert!(seven >= 60 && fourteen >= 80 && fourteen > seven, "{seven} and {fourteen} of 100");
}

#[test]
fn a_link_that_is_a_tenth_faster_is_found_to_be_in_ninety_five_of_a_hundred_experiments() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (mut decisions, mut spread) = (Vec::new(), 0.0_f64);
    for seed in 0..100 {
        let runs = runtime.block_on(experiment(seed));
        let verdicts = judged(&runs);
        let median = verdicts[0].median.unwrap();
        spread = spread.max((median.high - median.low) / median.value);
        decisions.push(against(&verdicts));
    }
    let better = count(&decisions, Decision::Better);
    assert!(better >= 95 && count(&decisions, Decision::Worse) == 0, "{better} of 100");
    assert!(spread > 0.01, "links that do not vary prove nothing: {spread}");
}

/// Returns the runs of an experiment that never was: each rate with a noise of 3 %, a drift of the
/// machine by a tenth, and one run in twenty that something else has slowed down by a third.
fn blocks(random: &mut StdRng, count: u32, ratio: f64) -> Vec<Run> {
    let normal = Normal::standard();
    let drift = random.random_range(-0.1..0.1);
    let mut runs = Vec::new();
    for block in 1..=count {
        let mut arms = [(BASELINE, 1.0), (OTHER, ratio)];
        arms.shuffle(random);
        for (arm, times) in arms {
            let done = f64::from(u32::try_from(runs.len()).unwrap()) / f64::from(2 * count);
            let noise = 0.03 * normal.inverse_cdf(random.random_range(1e-9..1.0 - 1e-9));
            let outlier = if random.random_bool(0.05) { 2.0 / 3.0 } else { 1.0 };
            let rate = 1e9 * times * outlier * (noise + drift * done).exp();
            runs.push(run(block, arm, rate));
        }
    }
    runs
}

/// Measures two links, 50 and 55 Mbit/s, by turns in random order. What else there is to them is the
/// same, but for the dice.
async fn experiment(seed: u64) -> Vec<Run> {
    let slow = Measured::start(BitRate::mbps(50), 2 * seed).await;
    let fast = Measured::start(BitRate::mbps(55), 2 * seed + 1).await;
    let mut random = StdRng::seed_from_u64(seed);
    let mut runs = Vec::new();
    for block in 1..=BLOCKS {
        let mut arms = [(BASELINE, &slow), (OTHER, &fast)];
        arms.shuffle(&mut random);
        for (arm, link) in arms {
            runs.push(run(block, arm, link.goodput().await));
        }
    }
    runs
}

/// A server at the other end of a link.
struct Measured {
    memory: Arc<dyn Transport>,
    addr: SocketAddr,
}

impl Measured {
    async fn start(rate: BitRate, seed: u64) -> Self {
        let link = LinkConfig::perfect()
            .rate(rate)
            .delay(Duration::from_millis(5))
            .jitter(Duration::from_millis(1))
            .loss(Loss::bursts(Probability::new(0.002), 2.0))
            .seed(seed);
        let memory: Arc<dyn Transport> = Arc::new(Memory::bytes(&Network::new(link)));
        let server = Server::builder()
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .transports(Registry::empty().with(Arc::clone(&memory)))
            .drive(Drive::Inline)
            .bind()
            .await
            .unwrap();
        let addr = server.local_addrs()[0].1;
        tokio::spawn(server.run(std::future::pending()));
        Self { memory, addr }
    }

    /// Returns what the server received in four tenths of a second.
    async fn goodput(&self) -> f64 {
        let client = Client::builder("127.0.0.1")
            .port(self.addr.port())
            .over(Arc::clone(&self.memory))
            .control(self.memory.name())
            .drive(Drive::Inline)
            .interval(None)
            .time(TIME)
            .build()
            .unwrap();
        let outcome = client.run().await.unwrap();
        assert_eq!(outcome.ended, Ended::Complete);
        outcome.goodput(Side::Server).unwrap()
    }
}

fn decision(runs: &[Run]) -> Decision {
    against(&judged(runs))
}

fn judged(runs: &[Run]) -> Vec<Verdict> {
    let arm = |name: &str| Arm::of(name);
    let plan = Plan {
        arms: vec![arm(BASELINE), arm(OTHER)],
        baseline: BASELINE.to_owned(),
        blocks: BLOCKS,
        seed: 0,
        gap: Duration::ZERO,
        time: TIME,
        warm_up: Duration::ZERO,
        streams: 1,
        parts: vec![PartKind::Up],
        thresholds: Thresholds::default(),
        link: None,
    };
    verdicts(&plan, runs)
}

fn against(verdicts: &[Verdict]) -> Decision {
    verdicts[1].against_baseline.as_ref().unwrap().decision
}

fn run(block: u32, arm: &str, goodput: f64) -> Run {
    Run {
        block,
        arm: arm.to_owned(),
        at: Duration::ZERO,
        values: [(Metric::GoodputUp, goodput)].into(),
        limited_by: None,
        parts: Vec::new(),
    }
}

fn count(decisions: &[Decision], which: Decision) -> usize {
    decisions.iter().filter(|decision| **decision == which).count()
}

const BASELINE: &str = "baseline";
const OTHER: &str = "other";
const BLOCKS: u32 = 7;
const TIME: Duration = Duration::from_millis(400);
