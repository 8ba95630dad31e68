//! What there is to say of an experiment beside its figures.
//!
//! Strings of the other end are made safe for a terminal here; HTML has its own rules on top.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    Against, Decision, Metric, Target, Thresholds, Verdict,
    experiment::{Experiment, LimitedBy, PartKind, PartResult, Run},
    shown::{figure, percent, ratio},
};
use crate::{
    measure::{FlowSummary, Role},
    outcome::{Ended, HostInfo, Outcome},
    report::{connection, figure::UNKNOWN, safe},
    units::Bytes,
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

/// Returns what a part of a run is called.
pub(super) fn part(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Churn => "connections",
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

/// Returns what was done, where, and with what, as names and values.
pub(super) fn conditions(experiment: &Experiment) -> Vec<(&'static str, String)> {
    let plan = &experiment.plan;
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    let mut lines = vec![
        ("Order", order(experiment)),
        (
            "Bulk",
            format!(
                "{} each way after {} of warm-up, {} {}",
                seconds(plan.time),
                seconds(plan.warm_up),
                plan.streams,
                if plan.streams == 1 { "stream" } else { "streams" }
            ),
        ),
        ("Client", host(&experiment.host)),
        ("Server", server(experiment)),
        ("Started", format!("{}, took {}", date(experiment.started), took(experiment.took))),
    ];
    let told = [
        ("Congestion control", of_arms(experiment, congestion)),
        ("Socket buffers", of_arms(experiment, buffers)),
        ("Encryption", of_arms(experiment, encryption)),
    ];
    lines.extend(told.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines
}

fn order(experiment: &Experiment) -> String {
    let plan = &experiment.plan;
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    format!(
        "{} of {} in random order, seed {}, {} s between runs",
        count(plan.blocks as usize, "block"),
        count(plan.arms.len(), "transport"),
        plan.seed,
        plan.gap.as_secs_f64()
    )
}

fn server(experiment: &Experiment) -> String {
    match &experiment.target {
        Target::InProcess => {
            "in the same process, over loopback; both ends share this machine's cores".to_owned()
        }
        Target::Host { host: name, port } => {
            let told = outcomes(experiment).map(|outcome| host(&outcome.info.peer_host)).next();
            let told = told.unwrap_or(UNKNOWN.to_owned());
            format!("{} port {port}, {told}", safe::short(name))
        }
    }
}

/// Returns the program, the system and the processors of an end.
fn host(info: &HostInfo) -> String {
    let cores = info.cores.map_or(UNKNOWN.to_owned(), |cores| cores.to_string());
    let known = |text: &str| if text.is_empty() { UNKNOWN.to_owned() } else { safe::short(text) };
    format!(
        "{}; {}; CPU {}, {cores} cores",
        known(&info.program),
        known(&info.system),
        known(info.cpu.as_deref().unwrap_or_default()),
    )
}

pub(super) fn date(since_epoch: Duration) -> String {
    let known = UNIX_EPOCH.checked_add(since_epoch).filter(|_| since_epoch < YEAR_10_000);
    known.map_or(UNKNOWN.to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

fn took(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

/// Returns what is known of each arm, those of which the same is known together.
fn of_arms(
    experiment: &Experiment,
    known: impl Fn(&Experiment, &str) -> Option<String>,
) -> Option<String> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for arm in &experiment.plan.arms {
        let Some(value) = known(experiment, &arm.name) else { continue };
        let name = safe::short(&arm.name);
        match groups.iter_mut().find(|(of, _)| *of == value) {
            Some((_, names)) => names.push(name),
            None => groups.push((value, vec![name])),
        }
    }
    let shown = groups.iter().map(|(value, names)| format!("{}: {value}", names.join(", ")));
    (!groups.is_empty()).then(|| shown.collect::<Vec<_>>().join("; "))
}

fn congestion(experiment: &Experiment, arm: &str) -> Option<String> {
    let find = |kind, role| {
        first(experiment, arm, kind, role, |flow| flow.path.congestion.as_deref().map(safe::short))
    };
    let up = find(PartKind::Up, Role::Sender);
    let down = find(PartKind::Down, Role::Sender);
    match (up, down) {
        (Some(up), Some(down)) if up != down => Some(format!("{up} up, {down} down")),
        (up, down) => up.or(down),
    }
}

fn buffers(experiment: &Experiment, arm: &str) -> Option<String> {
    let show = |bytes: u64| Bytes(bytes).to_string();
    let send =
        first(experiment, arm, PartKind::Up, Role::Sender, |flow| flow.path.send_buffer.map(show));
    let receive = first(experiment, arm, PartKind::Up, Role::Receiver, |flow| {
        flow.path.recv_buffer.map(show)
    });
    match (send, receive) {
        (None, None) => None,
        (send, receive) => {
            let [send, receive] = [send, receive].map(|one| one.unwrap_or(UNKNOWN.to_owned()));
            Some(format!("{send} to send, {receive} to receive"))
        }
    }
}

/// Returns what encrypts an arm; `None` where nothing was measured.
fn encryption(experiment: &Experiment, arm: &str) -> Option<String> {
    let measured = || {
        let runs = experiment.runs_of(arm);
        runs.flat_map(|run| &run.parts).filter_map(|part| part.result.outcome())
    };
    measured().next()?;
    let security = measured().find_map(|outcome| {
        let connections = connection::of_test(outcome);
        connections.iter().find_map(|one| one.protection()).cloned()
    });
    let Some(security) = security else { return Some("none".to_owned()) };
    let unverified = connection::is_unverified(&security);
    let mark = if unverified { ", server NOT VERIFIED" } else { "" };
    Some(format!("{}{mark}", connection::protection(&security)))
}

/// Returns the first figure that a flow of this part with this role tells.
fn first(
    experiment: &Experiment,
    arm: &str,
    kind: PartKind,
    role: Role,
    figure: impl Fn(&FlowSummary) -> Option<String>,
) -> Option<String> {
    experiment.runs_of(arm).filter_map(|run| run.outcome(kind)).find_map(|outcome| {
        let sides = std::iter::once(&outcome.local).chain(&outcome.remote);
        let flows = sides.flat_map(|side| side.with_role(role));
        flows.filter(|flow| flow.exchanges.is_none()).find_map(&figure)
    })
}

fn outcomes(experiment: &Experiment) -> impl Iterator<Item = &Outcome> {
    let parts = experiment.runs.iter().flat_map(|run| &run.parts);
    parts.filter_map(|part| part.result.outcome())
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
/// Beyond it dates have no four digits.
const YEAR_10_000: Duration = Duration::from_secs(253_402_300_800);

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

    #[test]
    fn a_date_beyond_measure_is_unknown() {
        assert_eq!(date(Duration::ZERO), "1970-01-01T00:00:00Z");
        assert_eq!(date(Duration::from_secs(u64::MAX / 1_000_000)), UNKNOWN);
        assert_eq!(date(Duration::MAX), UNKNOWN);
    }

    #[test]
    fn conditions_tell_what_each_arm_used() {
        let conditions = conditions(&samples::of(&["tcp", "udp", "quic"], 2, 1));
        let of = |name: &str| &conditions.iter().find(|(of, _)| *of == name).unwrap().1;
        assert_eq!(of("Congestion control"), "tcp, quic: cubic");
        assert!(of("Encryption").starts_with("tcp, udp: none; quic: TLS 1.3 with"));
        assert!(of("Order").starts_with("2 blocks of 3 transports in random order, seed 1"));
    }
}
