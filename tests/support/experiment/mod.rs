//! Experiments that never ran, for reports to show: seeded, and like those of a network of 20 ms.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the figures are made up"
)]
#![allow(dead_code, reason = "not every user looks at every experiment")]

mod character;
mod conclusions;
mod outcomes;
mod random;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use polyperf::{
    compare::{
        Metric, Target, Thresholds,
        experiment::{Arm, Experiment, Part, PartKind, PartResult, Plan, Run, SCHEMA},
    },
    measure::{Latencies, LatencySummary},
    outcome::{Ended, Failure, FailureCode, HostInfo},
    spec::Direction,
    transport::Security,
};

use self::{
    character::{Character, character},
    conclusions::conclude,
    outcomes::{bulk, exchanges, host},
    random::Random,
};

/// A formula, an escape sequence, a line of its own, text that runs backwards, and what would be
/// markup and the end of a script in HTML.
pub(crate) const HOSTILE: &str = "=cmd()\u{1b}[2J\u{9b}0m\r\nfake line\u{202e}evil\
    </script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">\
    <!--<script>{{ 7*7 }}'\"&\u{2028}";

/// Returns an experiment of these transports, in which everything was measured.
pub(crate) fn of(transports: &[&str], blocks: u32, seed: u64) -> Experiment {
    let mut random = Random(seed);
    let arms: Vec<Arm> = transports.iter().map(|name| Arm::of(name)).collect();
    let plan = Plan {
        baseline: arms.first().map_or_else(String::new, |arm| arm.name.clone()),
        arms,
        blocks,
        seed,
        gap: Duration::from_millis(500),
        time: Duration::from_secs(3),
        warm_up: Duration::from_secs(1),
        streams: 1,
        parts: PARTS.to_vec(),
        thresholds: Thresholds::default(),
        link: None,
    };
    let mut runs = Vec::new();
    for block in 1..=blocks {
        let mut order: Vec<usize> = (0..transports.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last + 1));
        }
        for nth in order {
            let at = Duration::from_secs(14 * runs.len() as u64);
            runs.push(run(&plan.arms[nth], block, at, &mut random));
        }
    }
    let mut experiment = Experiment {
        schema: SCHEMA,
        target: Target::Host { host: "server.example".to_owned(), port: 5201 },
        started: Duration::from_micros(1_795_407_119_250_000),
        took: Duration::from_secs(14 * runs.len() as u64),
        host: host("client"),
        command: Some(format!(
            "polyperf compare server.example --transport {} --blocks {blocks} --seed {seed}",
            transports.join(",")
        )),
        plan,
        runs,
        verdicts: Vec::new(),
        notes: vec!["kcp has no congestion control that answers to loss".to_owned()],
        stopped: None,
    };
    conclude(&mut experiment);
    experiment
}

/// Returns what most look at: six transports and ten blocks, in one of which one run failed.
pub(crate) fn full() -> Experiment {
    let mut experiment = of(&["tcp", "udp", "rudp", "kcp", "tokio-kcp", "quic"], 10, 42);
    fail(&mut experiment, "kcp", 3, "the server has sent nothing for 10 s: look at its log");
    experiment
}

/// Returns an experiment with a baseline, and nothing to compare with it.
pub(crate) fn of_one_arm() -> Experiment {
    of(&["tcp"], 3, 1)
}

/// Returns an experiment that was stopped in its second block, so that nothing can be concluded.
pub(crate) fn stopped_early() -> Experiment {
    let mut experiment = of(&["tcp", "quic"], 9, 2);
    experiment.runs.truncate(3);
    experiment.stopped = Some("the user sent SIGINT".to_owned());
    conclude(&mut experiment);
    experiment
}

/// Returns an experiment in which nothing could be measured.
pub(crate) fn in_vain() -> Experiment {
    let mut experiment = of(&["tcp", "quic"], 2, 3);
    for (arm, block) in [("tcp", 1), ("tcp", 2), ("quic", 1), ("quic", 2)] {
        fail(&mut experiment, arm, block, "cannot reach server.example: connection refused");
    }
    experiment
}

/// Returns an experiment with only these parts: the metrics of the others are unknown.
pub(crate) fn with_parts(parts: &[PartKind]) -> Experiment {
    let mut experiment = of(&["tcp", "quic"], 6, 4);
    experiment.plan.parts = parts.to_vec();
    for run in &mut experiment.runs {
        run.parts.retain(|part| parts.contains(&part.part));
        run.values.retain(|metric, _| parts.contains(&part_of(*metric)));
        run.limited_by = None;
    }
    conclude(&mut experiment);
    experiment
}

/// Returns an experiment in whose every string there is what harms a reader.
pub(crate) fn hostile() -> Experiment {
    let evil = || HOSTILE.to_owned();
    let mut experiment = of(&["tcp", "quic"], 7, 5);
    fail(&mut experiment, "quic", 2, HOSTILE);
    let names = experiment.plan.arms.iter_mut().flat_map(|arm| [&mut arm.name, &mut arm.transport]);
    let names = names.chain(experiment.runs.iter_mut().map(|run| &mut run.arm));
    names.filter(|name| *name == "quic").for_each(|name| *name = evil());
    conclude(&mut experiment);
    for run in &mut experiment.runs {
        for part in &mut run.parts {
            let PartResult::Measured { outcome } = &mut part.result else { continue };
            let outcome = Arc::make_mut(outcome);
            let info = Arc::make_mut(&mut outcome.info);
            info.peer_host =
                HostInfo { program: evil(), system: evil(), cpu: Some(evil()), cores: None };
            info.session = evil();
            info.changes = vec![evil()];
            outcome.ended = Ended::Failed(Failure::new(FailureCode::PeerLost, HOSTILE));
            for flow in &mut outcome.local.flows {
                flow.path.congestion = Some(evil());
                flow.path.security = Some(Security {
                    protocol: evil(),
                    provider: evil(),
                    cipher: Some(evil()),
                    verified: Some("not verified".to_owned()),
                    ..Security::default()
                });
                let latency = flow.exchanges.as_mut().and_then(|asked| asked.latency.as_mut());
                if let Some(latency) = latency {
                    latency.histogram = evil();
                }
            }
        }
    }
    experiment.target = Target::Host { host: evil(), port: 5201 };
    experiment.command = Some(evil());
    experiment.notes = vec![evil()];
    experiment.stopped = Some(evil());
    experiment.host = HostInfo { program: evil(), system: evil(), cpu: None, cores: None };
    experiment
}

/// Makes the run of an arm in a block one that has failed at its second part.
pub(crate) fn fail(experiment: &mut Experiment, arm: &str, block: u32, message: &str) {
    let runs = experiment.runs.iter_mut();
    for run in runs.filter(|run| run.block == block && run.arm == arm) {
        run.values.clear();
        run.limited_by = None;
        for part in &mut run.parts {
            part.result = PartResult::Skipped;
        }
        let failure = Failure::new(FailureCode::Timeout, message);
        run.parts[0].result = PartResult::Failed { failure };
    }
    conclude(experiment);
}

fn run(arm: &Arm, block: u32, at: Duration, random: &mut Random) -> Run {
    let character = character(&arm.transport);
    let idle = latencies(character.idle, 0.03, 400, random);
    let loaded = latencies(character.idle + character.queue, 0.25, 400, random);
    let rates = [character.up, character.down].map(|rate| rate * random.about(0.03));
    let mut parts = Vec::new();
    for kind in PARTS {
        let outcome = match kind {
            PartKind::Up => bulk(arm, Direction::Forward, rates[0], &character, &loaded, random),
            PartKind::Down => bulk(arm, Direction::Reverse, rates[1], &character, &loaded, random),
            _ => exchanges(arm, kind, &idle),
        };
        parts.push(Part::once(kind, PartResult::Measured { outcome: Arc::new(outcome) }));
    }
    Run {
        block,
        arm: arm.name.clone(),
        at,
        values: values(&character, rates, &idle, &loaded, random),
        limited_by: character.limited,
        parts,
    }
}

fn values(
    character: &Character,
    [up, down]: [f64; 2],
    idle: &LatencySummary,
    loaded: &LatencySummary,
    random: &mut Random,
) -> BTreeMap<Metric, f64> {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let ms = |value: f64, random: &mut Random| value / 1e3 * random.about(0.02);
    let transfer = |bits: f64| character.idle / 1e3 * 2.0 + bits / character.up;
    let mut values = BTreeMap::from([
        (Metric::GoodputUp, up),
        (Metric::GoodputDown, down),
        (Metric::FirstReply, ms(character.first_reply, random)),
        (Metric::Transactions, 1e9 / idle.mean_ns as f64),
        (Metric::Connections, 1e3 / character.first_reply * random.about(0.02)),
        (Metric::IdleP50, seconds(idle.p50_ns)),
        (Metric::IdleP95, seconds(idle.p95_ns)),
        (Metric::IdleP99, seconds(idle.p99_ns)),
        (Metric::LoadedP50, seconds(loaded.p50_ns)),
        (Metric::LoadedP95, seconds(loaded.p95_ns)),
        (Metric::LoadedP99, seconds(loaded.p99_ns)),
        (Metric::LatencyIncrease, seconds(loaded.p50_ns - idle.p50_ns)),
        (Metric::Responsiveness, 60e9 / loaded.mean_ns as f64),
        (Metric::CpuPerGb, character.cpu * random.about(0.05)),
        (Metric::ToHalf, character.ramp * 0.7 * random.about(0.1)),
        (Metric::ToNineTenths, character.ramp * 2.3 * random.about(0.1)),
        (Metric::Complete10k, transfer(80e3) * random.about(0.02)),
        (Metric::Complete1m, (transfer(8e6) + character.ramp * 0.3) * random.about(0.05)),
        (Metric::Complete10m, (transfer(80e6) + character.ramp * 0.8) * random.about(0.05)),
    ]);
    let some = [
        (Metric::Retransmits, character.resent),
        (Metric::Loss, character.loss),
        (Metric::WireOverhead, character.overhead),
    ];
    for (metric, value) in some {
        let spread = if metric == Metric::WireOverhead { 0.002 } else { 0.15 };
        values.extend(value.map(|value| (metric, value * random.about(spread))));
    }
    values
}

fn part_of(metric: Metric) -> PartKind {
    match metric {
        Metric::FirstReply | Metric::Connections => PartKind::Churn,
        Metric::FirstReplyResumed => PartKind::Resumed,
        Metric::FirstReplyZeroRtt => PartKind::ZeroRtt,
        Metric::Transactions | Metric::IdleP50 | Metric::IdleP95 | Metric::IdleP99 => {
            PartKind::Idle
        }
        Metric::GoodputDown => PartKind::Down,
        Metric::Complete10k => PartKind::Transfer10k,
        Metric::Complete1m => PartKind::Transfer1m,
        Metric::Complete10m => PartKind::Transfer10m,
        _ => PartKind::Up,
    }
}

fn latencies(centre_ms: f64, spread: f64, count: usize, random: &mut Random) -> LatencySummary {
    let centre_ms = centre_ms * random.about(0.02);
    let mut latencies = Latencies::new();
    for _ in 0..count {
        let tail = if random.below(100) < 3 { 1.0 + 2.0 * random.part() } else { 1.0 };
        let ms = centre_ms * random.about(spread) * tail;
        latencies.record(Duration::from_secs_f64(ms / 1e3));
    }
    latencies.summary().expect("there are some")
}

const PARTS: [PartKind; 7] = [
    PartKind::Churn,
    PartKind::Idle,
    PartKind::Up,
    PartKind::Down,
    PartKind::Transfer10k,
    PartKind::Transfer1m,
    PartKind::Transfer10m,
];
