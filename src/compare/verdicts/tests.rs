use std::time::Duration;

use super::*;
use crate::{
    compare::{
        Estimate, Thresholds,
        experiment::{Arm, Part},
    },
    outcome::{Failure, FailureCode},
};

fn plan(arms: &[&str], blocks: u32) -> Plan {
    let arm = |name: &&str| Arm::of(name);
    Plan {
        arms: arms.iter().map(arm).collect(),
        baseline: arms[0].to_owned(),
        blocks,
        seed: 1,
        gap: Duration::ZERO,
        time: Duration::from_secs(1),
        warm_up: Duration::ZERO,
        streams: 1,
        parts: vec![PartKind::Up],
        thresholds: Thresholds::default(),
        link: None,
    }
}

fn run(block: u32, arm: &str, values: &[(Metric, f64)]) -> Run {
    Run {
        block,
        arm: arm.to_owned(),
        at: Duration::ZERO,
        values: values.iter().copied().collect(),
        limited_by: None,
        parts: Vec::new(),
    }
}

fn failed_run(block: u32, arm: &str, part: PartKind) -> Run {
    let failure = Failure::new(FailureCode::Connect, "nobody is there");
    let part = Part::once(part, PartResult::Failed { failure });
    Run { parts: vec![part], ..run(block, arm, &[]) }
}

/// Runs in which each arm has a rate of its own, and a little more in each block.
fn rates(blocks: u32, arms: &[(&str, f64)]) -> Vec<Run> {
    let one = |block: u32, (arm, rate): &(&str, f64)| {
        run(block, arm, &[(Metric::GoodputUp, rate * (1.0 + f64::from(block) / 1000.0))])
    };
    (1..=blocks).flat_map(|block| arms.iter().map(move |arm| one(block, arm))).collect()
}

fn against(verdicts: &[Verdict], arm: &str) -> Against {
    let verdict = verdicts.iter().find(|verdict| verdict.arm == arm).unwrap();
    verdict.against_baseline.clone().unwrap()
}

#[test]
fn each_arm_has_a_verdict_by_each_metric_that_has_values() {
    let mut runs = rates(9, &[("tcp", 100.0), ("quic", 80.0), ("rudp", 120.0), ("kcp", 100.0)]);
    runs[0].values.insert(Metric::IdleP50, 0.001);
    let verdicts = verdicts(&plan(&["tcp", "quic", "rudp", "kcp"], 9), &runs);
    let of: Vec<_> = verdicts.iter().map(|verdict| (verdict.metric, &*verdict.arm)).collect();
    let both = [Metric::GoodputUp, Metric::IdleP50];
    let all = both.map(|metric| ["tcp", "quic", "rudp", "kcp"].map(|arm| (metric, arm)));
    assert_eq!(of, all.concat());
    assert_eq!(verdicts[0].against_baseline, None, "the baseline is not compared with itself");
    let decisions = ["quic", "rudp", "kcp"].map(|arm| against(&verdicts, arm).decision);
    assert_eq!(decisions, [Decision::Worse, Decision::Better, Decision::NoDifferenceShown]);
}

#[test]
fn a_verdict_has_every_figure_that_it_follows_from() {
    let runs = rates(7, &[("tcp", 100.0), ("rudp", 120.0)]);
    let verdicts = verdicts(&plan(&["tcp", "rudp"], 7), &runs);
    let median = verdicts[1].median.unwrap();
    assert_eq!(verdicts[1].runs, Runs { measured: 7, failed: 0 });
    assert!((median.value - 120.48).abs() < 1e-9, "{median:?}");
    assert!((median.low - 120.24).abs() < 1e-9 && (median.high - 120.72).abs() < 1e-9);
    let against = against(&verdicts, "rudp");
    let Estimate { value, low, high } = against.ratio.unwrap();
    assert!([value, low, high].iter().all(|one| (one - 1.2).abs() < 1e-9), "{against:?}");
    assert_eq!((against.pairs, against.difference), (7, None));
    assert_eq!((against.p, against.p_corrected), (Some(1.0 / 128.0), Some(1.0 / 128.0)));
    assert_eq!(against.cliffs_delta, Some(1.0));
    assert_eq!((against.could_show, against.blocks_needed), (None, None), "it has shown one");
}

#[test]
fn p_is_corrected_for_the_arms_that_are_compared_by_the_metric() {
    let arms = [("tcp", 100.0), ("quic", 80.0), ("rudp", 120.0)];
    let names = ["tcp", "quic", "rudp", "absent"];
    let seven = verdicts(&plan(&names, 7), &rates(7, &arms));
    let quic = against(&seven, "quic");
    assert_eq!((quic.p, quic.p_corrected), (Some(1.0 / 128.0), Some(2.0 / 128.0)));
    assert_eq!((quic.decision, quic.blocks_needed), (Decision::NoDifferenceShown, Some(8)));
    assert_eq!(quic.could_show, None, "7 blocks of 2 comparisons can show nothing");
    let eight = verdicts(&plan(&names, 8), &rates(8, &arms));
    assert_eq!(against(&eight, "quic").decision, Decision::Worse);
    let absent = against(&eight, "absent");
    assert_eq!((absent.pairs, absent.p, absent.ratio), (0, None, None));
}

#[test]
fn a_run_that_failed_is_counted_as_that_and_never_as_zero() {
    let mut runs = rates(8, &[("tcp", 100.0), ("rudp", 120.0)]);
    runs[3] = failed_run(2, "rudp", PartKind::Up);
    runs[4] = failed_run(3, "tcp", PartKind::Churn);
    let verdicts = verdicts(&plan(&["tcp", "rudp"], 8), &runs);
    assert_eq!(verdicts[0].runs, Runs { measured: 7, failed: 1 });
    assert_eq!(verdicts[1].runs, Runs { measured: 7, failed: 1 });
    assert!(verdicts[1].median.unwrap().low > 119.0);
    let against = against(&verdicts, "rudp");
    assert_eq!((against.pairs, against.blocks_needed), (6, Some(7)));
    assert_eq!(against.decision, Decision::NoDifferenceShown);
}

#[test]
fn what_a_transport_does_not_tell_is_no_failure() {
    let mut runs = rates(7, &[("tcp", 100.0), ("udp", 50.0)]);
    for run in runs.iter_mut().filter(|run| run.arm == "udp") {
        run.values.insert(Metric::Loss, 0.0);
    }
    let verdicts = verdicts(&plan(&["tcp", "udp"], 7), &runs);
    let of_loss = |arm: &str| {
        let of = |verdict: &&Verdict| verdict.metric == Metric::Loss && verdict.arm == arm;
        verdicts.iter().find(of).unwrap()
    };
    assert_eq!(of_loss("tcp").runs, Runs::default());
    assert_eq!(of_loss("udp").runs, Runs { measured: 7, failed: 0 });
    assert_eq!(of_loss("udp").against_baseline.as_ref().unwrap().pairs, 0);
}

#[test]
fn no_difference_shown_says_what_could_have_been() {
    let noise = [0.02, -0.05, 0.04, 0.0, -0.03, 0.06, 0.01];
    let runs: Vec<Run> = (1..)
        .zip(noise)
        .flat_map(|(block, noise)| {
            let rate = |rate| [(Metric::GoodputUp, rate)];
            [run(block, "tcp", &rate(100.0)), run(block, "rudp", &rate(100.0 + 100.0 * noise))]
        })
        .collect();
    let against = against(&verdicts(&plan(&["tcp", "rudp"], 7), &runs), "rudp");
    assert_eq!(against.decision, Decision::NoDifferenceShown);
    let could = against.could_show.unwrap();
    assert!((0.05..0.08).contains(&could), "{could}");
}

#[test]
fn whatever_the_runs_are_nothing_panics_and_every_figure_is_finite() {
    let extremes = [0.0, -1.0, 1e308, -1e308, 5e-324, f64::NAN, f64::INFINITY, 1.0];
    let mut runs = Vec::new();
    for (index, value) in (0_u32..).zip(extremes.iter().cycle().take(64)) {
        let values = Metric::ALL.map(|metric| (metric, *value));
        runs.push(run(index / 5, ["a", "b", "c"][index as usize % 3], &values));
    }
    let mut plan = plan(&["a", "b", "b", "d"], u32::MAX);
    for (alpha, threshold) in [(0.0, -1.0), (f64::NAN, f64::NAN), (2.0, 1e308), (5e-324, 0.0)] {
        plan.thresholds = Thresholds { latency: threshold, goodput: threshold, alpha };
        let json = serde_json::to_string(&verdicts(&plan, &runs)).unwrap();
        assert!(!json.contains("null"), "{json}");
    }
    plan.baseline = "nobody".to_owned();
    assert!(verdicts(&plan, &runs).iter().all(|verdict| verdict.against_baseline.is_none()));
    assert!(verdicts(&plan, &[]).is_empty());
}

#[test]
fn so_many_blocks_are_just_enough_for_runs_that_all_point_one_way() {
    for arms in 1..20 {
        for alpha in [0.05, 0.01, 0.001] {
            let blocks = blocks_needed(arms, alpha);
            let shows = |blocks: u32| {
                let names: Vec<String> = (0..=arms).map(|arm| arm.to_string()).collect();
                let p = vec![0.5_f64.powi(i32::try_from(blocks).unwrap()); names.len() - 1];
                holm(&p).iter().all(|p| *p < alpha)
            };
            assert!(shows(blocks) && !shows(blocks - 1), "{arms} arms, {alpha}: {blocks}");
        }
    }
    assert_eq!(blocks_needed(0, 0.01), 7);
    assert_eq!(blocks_needed(1, 0.0), u32::MAX);
    assert_eq!(blocks_needed(1, f64::NAN), u32::MAX);
    assert_eq!(blocks_needed(usize::MAX, 0.01), 39);
}
