//! The end of a text report: what the table of totals has no column for.

use super::{
    connection, exchange,
    figure::{self, UNKNOWN},
    link, repair,
    row::{self, Row},
    safe,
    table::Table,
};
use crate::{
    measure::{CpuScope, CpuUse, PacingSummary, Role, SideSummary, SizeSummary},
    outcome::{Ended, Failure, Outcome, Side},
};

pub(super) fn lines(outcome: &Outcome, table: &Table, rows: &[Row]) -> Vec<String> {
    let mut lines = exchange::lines(outcome);
    lines.extend(paths(outcome, table, rows));
    lines.extend(repair::lines(outcome, table, rows));
    lines.extend(rows.iter().filter_map(|row| arrivals(table, row)));
    lines.extend(rows.iter().filter_map(|row| lateness(outcome, table, row)));
    lines.extend(rows.iter().filter_map(|row| pacing(outcome, table, row)));
    lines.extend(rows.iter().filter_map(|row| offload(outcome, table, row)));
    lines.extend(connection::lines(outcome, table));
    lines.push(format!(
        "CPU: local {}, remote {}",
        cpu(outcome.local.cpu.as_ref()),
        cpu(outcome.remote.as_ref().and_then(|remote| remote.cpu.as_ref()))
    ));
    lines.extend(settings(outcome));
    let changes = outcome.info.changes.iter();
    lines.extend(changes.map(|change| format!("Changed by the server: {}", safe::line(change))));
    lines.extend(flow_errors(outcome));
    lines.extend(outcome.link.iter().flat_map(|report| link::lines(report)));
    lines.extend(ended(&outcome.ended));
    if let Some(output) = &outcome.server_output {
        lines.push("Server output:".to_owned());
        lines.extend(safe::lines(output));
    }
    lines
}

/// Returns a failure with its kind, and when to try again.
pub(super) fn failure(failure: &Failure) -> String {
    let retry = failure
        .retry_after
        .map_or(String::new(), |after| format!("; try again in {} s", after.as_secs_f64().ceil()));
    format!("{}{retry}", safe::line(&failure.message))
}

/// Returns what the senders saw of their paths, once for all flows that share one.
fn paths(outcome: &Outcome, table: &Table, rows: &[Row]) -> Vec<String> {
    let shares = |row: &Row, other: &Row| {
        other.sender == row.sender && other.connection == row.connection && other.flow.is_some()
    };
    let mut lines = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let own = row.connection.is_none();
        if !own && rows[..index].iter().any(|other| shares(row, other)) {
            continue;
        }
        let sharing = rows.iter().filter(|other| !own && shares(row, other));
        let flows: Vec<_> = sharing.filter_map(|other| other.flow).collect();
        let name = match &flows[..] {
            [] => table.name(row),
            flows => format!("{}{}", connection::name(flows), table.role(row.sender)),
        };
        lines.extend(path(outcome, &name, row));
    }
    lines
}

/// Returns what the sender of one flow saw of its path.
fn path(outcome: &Outcome, name: &str, row: &Row) -> Option<String> {
    let summary = outcome.flow(row.flow?, Role::Sender);
    // A transport of datagrams alone knows nothing of its path.
    if row::is_of_datagrams(&outcome.info) && row.rtt.is_none() && row.cwnd.is_none() {
        return None;
    }
    let rtt = summary.and_then(|summary| summary.rtt).map_or(UNKNOWN.to_owned(), |rtt| {
        let [min, mean, max] = [rtt.min, rtt.mean, rtt.max].map(figure::millis);
        format!("{min}/{mean}/{max} ms")
    });
    let again = match (row.retransmits, row.packets_lost) {
        (None, Some(lost)) => format!("packets lost {lost}"),
        (again, _) => {
            format!("retransmits {}", again.map_or(UNKNOWN.to_owned(), |n| n.to_string()))
        }
    };
    let events = summary.and_then(|summary| summary.congestion_events);
    let events = events.map_or(String::new(), |events| format!(", congestion events {events}"));
    let congestion = summary.and_then(|summary| summary.path.congestion.as_deref());
    Some(format!(
        "{name} RTT min/mean/max {rtt}, {again}{events}, max Cwnd {}, congestion control {}",
        figure::bytes(row.cwnd),
        safe::line(congestion.unwrap_or(UNKNOWN)),
    ))
}

/// Returns what became of one flow's datagrams, beyond their losses.
fn arrivals(table: &Table, row: &Row) -> Option<String> {
    let counts = row.datagrams.filter(|_| row.flow.is_some())?;
    let shown = |count: Option<u64>| count.map_or(UNKNOWN.to_owned(), |count| count.to_string());
    let variation = counts.delay_variation.map_or(UNKNOWN.to_owned(), |variation| {
        format!("{}/{} ms", figure::millis(variation.p50), figure::millis(variation.p99))
    });
    Some(format!(
        "{} datagrams reordered {}, duplicated {}, late {}, loss runs {} (longest {}); \
         delay variation p50/p99 {variation}",
        table.name(row),
        shown(counts.reordered),
        shown(counts.duplicated),
        shown(counts.late),
        shown(counts.loss_runs),
        shown(counts.longest_loss_run),
    ))
}

/// Returns how many datagrams of one flow went at once, if they did: of a path of its own, as what
/// a connection's packets hold is the connection's affair.
fn offload(outcome: &Outcome, table: &Table, row: &Row) -> Option<String> {
    if row.connection.is_some() || !row::is_of_datagrams(&outcome.info) {
        return None;
    }
    let at_once = |role| outcome.flow(row.flow?, role);
    let sent = at_once(Role::Sender)?.path.gso_segments?;
    let received = at_once(Role::Receiver).and_then(|flow| flow.path.gro_segments);
    // One call carries no more bytes than one datagram may have.
    let fitting = (LONGEST_CALL / outcome.info.spec.block.max(1)).max(1);
    let [sent, received] = [Some(sent), received].map(|most| most.map(|most| most.min(fitting)));
    let (sent, received) = (many(sent, "GSO"), many(received, "GRO"));
    Some(format!("{} datagrams sent {sent}, received {received}", table.name(row)))
}

fn many(segments: Option<u32>, how: &str) -> String {
    match segments {
        None => UNKNOWN.to_owned(),
        Some(1) => "one by one".to_owned(),
        Some(segments) => format!("up to {segments} at once ({how})"),
    }
}

/// Returns how well the sender of one flow kept its own schedule, if it had one.
fn lateness(outcome: &Outcome, table: &Table, row: &Row) -> Option<String> {
    let late = outcome.flow(row.flow?, Role::Sender)?.lateness?;
    let [p50, p99] = [late.p50, late.p99].map(figure::millis);
    Some(format!("{} pacing lateness p50/p99 {p50}/{p99} ms", table.name(row)))
}

/// Returns how closely the sender of one flow kept to its rate, if it had one.
fn pacing(outcome: &Outcome, table: &Table, row: &Row) -> Option<String> {
    let flow = outcome.flow(row.flow?, Role::Sender)?;
    let PacingSummary { token_error, max_token_error, burst_blocks, slips, slipped, .. } =
        flow.pacing?;
    let SizeSummary { p50, p99, max } = burst_blocks;
    let blocks = if flow.datagrams_sent.is_some() { "datagrams" } else { "blocks" };
    Some(format!(
        "{} pacing token error {token_error:+} bytes (largest {max_token_error}), bursts p50/p99/max \
         {p50}/{p99}/{max} {blocks}, slips {slips} ({} ms)",
        table.name(row),
        figure::millis(slipped)
    ))
}

fn cpu(cpu: Option<&CpuUse>) -> String {
    // A share of no time is unknown.
    let Some(cpu) = cpu.filter(|cpu| !cpu.wall.is_zero()) else { return UNKNOWN.to_owned() };
    let (user, system) = cpu.percent();
    let scope = match cpu.scope {
        CpuScope::DataThreads => "data threads",
        CpuScope::Process => "process",
    };
    format!("{:.1}% ({user:.1}% user, {system:.1}% system; {scope})", user + system)
}

/// Returns each setting that is not as it was asked for, once for all flows to which it happened.
fn settings(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for (side, summary) in sides(outcome) {
        for setting in summary.flows.iter().flat_map(|flow| &flow.settings) {
            let otherwise =
                setting.granted.as_ref().is_some_and(|granted| *granted != setting.asked);
            if setting.refused.is_none() && !otherwise {
                continue;
            }
            let reason =
                setting.refused.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
            let line = format!(
                "Setting {} at the {}: asked {} -> granted {}{reason}",
                setting.option,
                name(side),
                setting.asked,
                setting.granted.as_deref().unwrap_or(UNKNOWN),
            );
            let line = safe::line(&line).into_owned();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

fn flow_errors(outcome: &Outcome) -> Vec<String> {
    let errors = sides(outcome).into_iter().flat_map(|(side, summary)| {
        summary.flows.iter().filter_map(move |flow| Some((side, flow.flow, flow.error.as_deref()?)))
    });
    errors
        .map(|(side, flow, error)| {
            format!("[{:>3}] ended early at the {}: {}", flow.0, name(side), safe::line(error))
        })
        .collect()
}

fn ended(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Complete => None,
        Ended::Stopped { by, reason } => {
            Some(format!("Stopped by the {}: {}", name(*by), safe::line(reason)))
        }
        Ended::Failed(problem) => Some(format!("Failed before its end: {}", failure(problem))),
    }
}

fn sides(outcome: &Outcome) -> Vec<(Side, &SideSummary)> {
    let side = outcome.info.side;
    let remote = outcome.remote.as_ref().map(|remote| (side.other(), remote));
    std::iter::once((side, &outcome.local)).chain(remote).collect()
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// The longest payload of UDP over IPv4.
const LONGEST_CALL: u32 = 65_507;
