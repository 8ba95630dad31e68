//! What there is to say of an experiment beside its figures.
//!
//! Strings of the other end are made safe for a terminal here; HTML has its own rules on top.

use std::collections::BTreeMap;

use super::{
    Against, Decision, Metric, Thresholds, Verdict,
    experiment::{Experiment, LimitedBy, LinkPlan, PartKind, PartResult, Run},
    shown::{figure, percent, ratio},
};
use crate::{
    outcome::Ended,
    report::{figure, safe},
    units::BitRate,
};

/// Something that went wrong in the same way in these blocks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The arm.
    pub(super) arm: String,
    /// The part of its run.
    pub(super) part: &'static str,
    /// The blocks, in words.
    pub(super) blocks: String,
    /// What went wrong.
    pub(super) message: String,
}

/// Returns what failed, and what ended early but has figures, in the order of arms and parts.
pub(super) fn troubles(experiment: &Experiment) -> Vec<Trouble> {
    let mut found: Vec<(Trouble, Vec<u32>)> = Vec::new();
    for arm in &experiment.plan.arms {
        for run in experiment.runs_of(&arm.name) {
            for (part, message) in troubles_of(run) {
                let known = found.iter_mut().find(|(known, _)| {
                    known.part == part && known.message == message && known.arm == arm.name
                });
                match known {
                    Some((_, blocks)) => blocks.push(run.block),
                    None => {
                        let (arm, blocks) = (arm.name.clone(), String::new());
                        found.push((Trouble { arm, part, blocks, message }, vec![run.block]));
                    }
                }
            }
        }
    }
    let finished = found.into_iter().map(|(trouble, blocks)| Trouble {
        arm: safe::short(&trouble.arm),
        blocks: in_blocks(&blocks),
        ..trouble
    });
    finished.collect()
}

fn troubles_of(run: &Run) -> impl Iterator<Item = (&'static str, String)> {
    run.parts.iter().filter_map(|one| {
        let message = match &one.result {
            PartResult::Measured { outcome } if one.is_spoilt() => {
                let spoilt = outcome.link.iter().flat_map(|link| &link.spoilt);
                let spoilt: Vec<_> = spoilt.map(ToString::to_string).collect();
                format!("spoilt by this machine {} times: {}", one.repeated + 1, spoilt.join("; "))
            }
            PartResult::Failed { failure } => safe::line(&failure.message).into_owned(),
            PartResult::Measured { outcome } => match &outcome.ended {
                Ended::Complete => return None,
                Ended::Stopped { reason, .. } => format!("cut short: {}", safe::line(reason)),
                Ended::Failed(failure) => format!("cut short: {}", safe::line(&failure.message)),
            },
            PartResult::Skipped => return None,
        };
        Some((part(one.part), message))
    })
}

/// Returns numbers of blocks as words: `block 3`, `blocks 1 to 4, 7`.
fn in_blocks(blocks: &[u32]) -> String {
    let mut ranges: Vec<[u32; 2]> = Vec::new();
    for &block in blocks {
        match ranges.last_mut() {
            Some([_, last]) if last.checked_add(1) == Some(block) => *last = block,
            _ => ranges.push([block, block]),
        }
    }
    let range = |[first, last]: &[u32; 2]| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} to {last}"),
    };
    let ranges: Vec<_> = ranges.iter().map(range).collect();
    let name = if blocks.len() == 1 { "block" } else { "blocks" };
    format!("{name} {}", ranges.join(", "))
}

/// Returns what a link is like, in a line.
pub(super) fn link(link: &LinkPlan) -> String {
    let LinkPlan { about, tier, seed, .. } = link;
    let dice = format!("dice of block 1 from seed {seed}");
    let made = tier.about();
    format!("{}; {dice}; {made}", safe::line(about))
}

/// Returns the conditions that a link adds, as names and values.
pub(super) fn link_lines(link: &LinkPlan) -> Vec<(&'static str, String)> {
    let mut lines = vec![("Link", format!("{}, {}", safe::line(&link.name), self::link(link)))];
    if let Some(calibration) = &link.calibration {
        let floor = figure::millis(calibration.round_trip.p50);
        let late = figure::millis(calibration.lateness.p99);
        lines.push((
            "Emulator",
            format!(
                "round trip of its own {floor} ms, late by {late} ms at p99, up to {} packet by \
                 packet",
                BitRate(calibrated(calibration.exact))
            ),
        ));
    }
    if let Some(latest) = link.latest {
        let latest = figure::millis(latest);
        lines.push(("Tolerated", format!("packets late by up to {latest} ms at p99")));
    }
    let competitors: Vec<_> = link
        .cross
        .iter()
        .map(|cross| format!("{} × {}", cross.streams, safe::short(&cross.arm.name)))
        .collect();
    if !competitors.is_empty() {
        lines.push(("Beside bulk", competitors.join(", ")));
    }
    lines
}

#[allow(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
fn calibrated(bits_per_second: u64) -> f64 {
    bits_per_second as f64
}

/// Returns what a part of a run is called.
pub(super) fn part(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Churn => "connections",
        PartKind::Resumed => "resumed connections",
        PartKind::ZeroRtt => "connections with 0-RTT",
        PartKind::Idle => "idle latency",
        PartKind::Up => "bulk up",
        PartKind::Down => "bulk down",
        PartKind::Transfer10k => "10 kB",
        PartKind::Transfer1m => "1 MB",
        PartKind::Transfer10m => "10 MB",
    }
}

/// Returns what held an arm back on the way up in most of its runs, and in how many where it was
/// not all.
pub(super) fn limit(experiment: &Experiment, arm: &str) -> Option<String> {
    let mut counts: BTreeMap<LimitedBy, u32> = BTreeMap::new();
    let mut runs = 0;
    for run in experiment.runs_of(arm).filter(|run| run.outcome(PartKind::Up).is_some()) {
        runs += 1;
        if let Some(limit) = run.limited_by {
            *counts.entry(limit).or_default() += 1;
        }
    }
    let (limit, count) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    let name = match limit {
        LimitedBy::FlowControl => "flow control",
        LimitedBy::Congestion => "congestion",
        LimitedBy::Cpu => "processor",
        LimitedBy::Pacing => "own rate",
    };
    Some(if count == runs { name.to_owned() } else { format!("{name} {count}/{runs}") })
}

/// Returns one word for what follows.
pub(super) fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Better => "better",
        Decision::Worse => "worse",
        Decision::NoDifferenceShown => "no difference shown",
    }
}

/// Returns how an arm's value stands to the baseline's: `0.63 of tcp (0.60 to 0.66)`, or where
/// there are no ratios `+1.20 ms beside tcp (+0.90 ms to +1.50 ms)`.
pub(super) fn times(metric: Metric, against: &Against, baseline: &str) -> Option<String> {
    let (estimate, word) = match (against.ratio, against.difference) {
        (Some(ratio), _) => (ratio, "of"),
        (None, Some(difference)) => (difference, "beside"),
        (None, None) => return None,
    };
    let figure = |value| match against.ratio {
        Some(_) => ratio(value),
        None => signed(metric, value),
    };
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(figure);
    let interval =
        if estimate.low < estimate.high { format!(" ({low} to {high})") } else { String::new() };
    Some(format!("{value} {word} {}{interval}", safe::short(baseline)))
}

/// Returns a difference with its sign and its unit.
pub(super) fn signed(metric: Metric, value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "+" };
    format!("{sign}{}", figure(metric, value.abs()))
}

/// Returns what a verdict that shows nothing could have shown, or what it takes.
pub(super) fn reservation(metric: Metric, against: &Against) -> Option<String> {
    if against.decision != Decision::NoDifferenceShown {
        return None;
    }
    let least = |value| match against.difference {
        Some(_) => figure(metric, value),
        None => percent(value),
    };
    match (against.blocks_needed, against.could_show) {
        (Some(needed), _) => Some(format!("needs {needed} blocks")),
        (None, Some(value)) => Some(format!("could have shown {}", least(value))),
        (None, None) => None,
    }
}

/// Returns the verdicts on an arm by metrics that both it and the baseline have values of.
pub(super) fn verdicts<'a>(
    experiment: &'a Experiment,
    arm: &'a str,
) -> impl Iterator<Item = (&'a Verdict, &'a Against)> {
    let of_arm = experiment.verdicts.iter().filter(move |verdict| verdict.arm == arm);
    let compared = of_arm.filter_map(|verdict| Some((verdict, verdict.against_baseline.as_ref()?)));
    compared.filter(|(_, against)| against.pairs > 0)
}

/// Returns what a difference must exceed to be called one.
pub(super) fn thresholds(thresholds: &Thresholds) -> String {
    format!(
        "a difference is one beyond {} of times, {} of the rest, with p < {}",
        percent(thresholds.latency),
        percent(thresholds.goodput),
        thresholds.alpha
    )
}

/// Returns in how many blocks an arm was compared by most metrics, in words; `None` if in all.
pub(super) fn compared(experiment: &Experiment, arm: &str) -> Option<String> {
    let most = most_pairs(experiment, arm)?;
    (most < experiment.plan.blocks).then(|| of_blocks(experiment, most))
}

/// Returns in how many blocks a verdict was found, in words; `None` if in as many as most.
pub(super) fn fewer(experiment: &Experiment, arm: &str, against: &Against) -> Option<String> {
    let most = most_pairs(experiment, arm)?;
    (against.pairs < most).then(|| of_blocks(experiment, against.pairs))
}

fn most_pairs(experiment: &Experiment, arm: &str) -> Option<u32> {
    verdicts(experiment, arm).map(|(_, against)| against.pairs).max()
}

fn of_blocks(experiment: &Experiment, pairs: u32) -> String {
    format!("{pairs} of {} blocks", experiment.plan.blocks)
}

/// What each figure is, for those that need telling.
pub(super) const EXPLAINED: [&str; 6] = [
    "Goodput is what the receiver counted; up is towards the server.",
    "First reply is from the first packet of a new connection to the last byte of its first answer.",
    "Idle latency is of requests on an idle path; loaded, of requests while the client sends bulk.",
    "Wire is bytes that the sender put on the wire over bytes received.",
    "CPU s/GB is the processor time of both ends per 10^9 bytes received.",
    "RPM-like is 60 over the mean latency under load.",
];
pub(super) const LOOPBACK: &str = "Loopback compares what each transport costs per byte. It says \
    nothing of how they behave on a network with delay, loss and competitors.";

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn blocks_that_follow_each_other_are_told_as_one_range() {
        assert_eq!(in_blocks(&[3]), "block 3");
        assert_eq!(in_blocks(&[1, 2, 3, 5, 7, 8]), "blocks 1 to 3, 5, 7, 8");
    }

    #[test]
    fn what_failed_alike_is_told_once() {
        let troubles = troubles(&samples::in_vain());
        let shown: Vec<_> =
            troubles.iter().map(|one| (one.arm.as_str(), one.blocks.as_str())).collect();
        assert_eq!(shown, [("tcp", "blocks 1, 2"), ("quic", "blocks 1, 2")]);
    }

    #[test]
    fn what_limited_some_runs_alone_is_told_with_their_number() {
        let mut experiment = samples::of(&["tcp"], 3, 1);
        assert_eq!(limit(&experiment, "tcp").as_deref(), Some("congestion"));
        experiment.runs[0].limited_by = None;
        assert_eq!(limit(&experiment, "tcp").as_deref(), Some("congestion 2/3"));
        assert_eq!(limit(&experiment, "nobody"), None);
    }
}
