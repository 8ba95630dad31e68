//! What was done in an experiment, where, and with what.
//!
//! Strings of the other end are made safe for a terminal here; HTML has its own rules on top.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    Target,
    experiment::{Experiment, PartKind},
    words,
};
use crate::{
    measure::{FlowSummary, Role},
    outcome::{HostInfo, Outcome},
    report::{connection, figure::UNKNOWN, safe},
    units::Bytes,
};

/// Returns what was done, where, and with what, as names and values.
pub(super) fn lines(experiment: &Experiment) -> Vec<(&'static str, String)> {
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
    lines.extend(plan.link.iter().flat_map(|link| words::link_lines(link)));
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
        Target::InProcess if experiment.plan.link.is_some() => {
            "in the same process, on the far side of the link; both ends share this machine's cores"
                .to_owned()
        }
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

/// Beyond it dates have no four digits.
const YEAR_10_000: Duration = Duration::from_secs(253_402_300_800);

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn a_date_beyond_measure_is_unknown() {
        assert_eq!(date(Duration::ZERO), "1970-01-01T00:00:00Z");
        assert_eq!(date(Duration::from_secs(u64::MAX / 1_000_000)), UNKNOWN);
        assert_eq!(date(Duration::MAX), UNKNOWN);
    }

    #[test]
    fn conditions_tell_what_each_arm_used() {
        let conditions = lines(&samples::of(&["tcp", "udp", "quic"], 2, 1));
        let of = |name: &str| &conditions.iter().find(|(of, _)| *of == name).unwrap().1;
        assert_eq!(of("Congestion control"), "tcp, quic: cubic");
        assert!(of("Encryption").starts_with("tcp, udp: none; quic: TLS 1.3 with"));
        assert!(of("Order").starts_with("2 blocks of 3 transports in random order, seed 1"));
    }
}
