//! What it took to bring everything across, by protocols that see to that in this process.

use std::{collections::BTreeMap, time::Duration};

use polyperf_transport::{Arq, PathStats};

use super::{connection, figure, row::Row, safe, table::Table};
use crate::{
    measure::{FlowId, FlowSummary, Role},
    outcome::{Outcome, Side},
};

/// Returns how the flows worked, once for all that worked alike, and what each flow met with.
pub(super) fn lines(outcome: &Outcome, table: &Table, rows: &[Row]) -> Vec<String> {
    let mut lines = parameters(outcome);
    lines.extend(rows.iter().filter_map(|row| flow(outcome, &table.name(row), row)));
    lines
}

/// Returns what was in force, of both ends at once where that is the same.
fn parameters(outcome: &Outcome) -> Vec<String> {
    let mut alike: Vec<(String, Vec<FlowId>)> = Vec::new();
    for flow in outcome.info.flows.iter().map(|flow| flow.flow) {
        let ends = [Side::Client, Side::Server].map(|side| path(outcome, side, flow));
        let Some(told) = told(ends) else { continue };
        match alike.iter_mut().find(|(known, _)| *known == told) {
            Some((_, flows)) => flows.push(flow),
            None => alike.push((told, vec![flow])),
        }
    }
    let transport = safe::line(&outcome.info.spec.transport);
    let line = |(told, flows): (String, Vec<FlowId>)| {
        format!("{} {transport}: {told}", connection::name(&flows))
    };
    alike.into_iter().map(line).collect()
}

fn told([client, server]: [Option<&PathStats>; 2]) -> Option<String> {
    let of = |path: Option<&PathStats>| path.map(|path| list(&path.parameters));
    let [client, server] =
        [of(client), of(server)].map(|told| told.filter(|told| !told.is_empty()));
    match (client, server) {
        (Some(client), Some(server)) if client != server => {
            Some(format!("client {client}; server {server}"))
        }
        (client, server) => client.or(server),
    }
}

fn list(parameters: &BTreeMap<String, String>) -> String {
    let pairs = parameters.iter().take(MOST_PARAMETERS);
    let pair =
        |(name, value): (&String, &String)| format!("{} {}", safe::short(name), safe::short(value));
    pairs.map(pair).collect::<Vec<_>>().join(", ")
}

/// Returns what the sender of a flow sent again, what the receiver got too often, and what error
/// correction did about it; what was dropped also where nothing else is told.
fn flow(outcome: &Outcome, name: &str, row: &Row) -> Option<String> {
    let id = row.flow?;
    let [sender, receiver] = [Role::Sender, Role::Receiver].map(|role| outcome.flow(id, role));
    let told = |flow: &FlowSummary| flow.path.arq.is_some() || !flow.path.parameters.is_empty();
    if ![sender, receiver].into_iter().flatten().any(told) {
        return None;
    }
    let arq = |flow: Option<&FlowSummary>| flow.and_then(|flow| flow.path.arq.clone());
    let (sent, received) = (arq(sender).unwrap_or_default(), arq(receiver).unwrap_or_default());
    let drops = [sender, receiver].map(|flow| flow.and_then(|flow| flow.path.local_drops));
    let rtt = sender.and_then(|flow| flow.rtt).map(|rtt| rtt.mean);
    let limited = sent.window_limited.map(|time| millis("limited by windows for", time));
    let facts = [
        again(&sent, &received),
        sender.and_then(|flow| control(&flow.path)),
        limited,
        clocks(&sent, rtt),
        correction(&sent, &received),
        refused(&sent, &received, drops),
    ];
    Some(format!("{name} {}", joined(facts, "; ")?))
}

fn again(sent: &Arq, received: &Arq) -> Option<String> {
    let causes = [
        sent.timeout_retransmits.map(|times| count("timeout", times)),
        sent.fast_retransmits.map(|times| count("fast", times)),
        sent.early_retransmits.map(|times| count("early", times)),
    ];
    let causes = joined(causes, ", ").map(|causes| format!("again by {causes}"));
    let spurious = sent.spurious_retransmits.map(|times| count("spurious", times));
    let again = match (causes, spurious) {
        (Some(causes), Some(spurious)) => Some(format!("{causes} ({spurious})")),
        (causes, spurious) => causes.or(spurious),
    };
    let parts = [
        sent.segments_sent.map(|segments| count("segments sent", segments)),
        again,
        received.duplicates.map(|segments| count("duplicates received", segments)),
    ];
    joined(parts, ", ")
}

/// Returns what congestion control in this process made of the path.
fn control(path: &PathStats) -> Option<String> {
    let state = path.congestion_state.as_deref().map(safe::short)?;
    #[allow(clippy::cast_precision_loss, reason = "figures have three digits")]
    let rate = |what: &str, rate: Option<u64>| {
        rate.map(|rate| format!("{what} {}", figure::rate(Some(rate as f64), None)))
    };
    let lost = match (path.packets_lost, path.spurious_losses) {
        (Some(lost), Some(spurious)) => Some(format!("lost {lost} ({spurious} spurious)")),
        _ => None,
    };
    let marks = path.ce_marks.filter(|&marks| marks > 0).map(|marks| count("marked", marks));
    let parts = [
        lost,
        marks,
        rate("paced at", path.pacing_rate),
        rate("delivered at", path.delivery_rate),
        Some(format!("at last in {state}")),
    ];
    joined(parts, ", ")
}

/// `rtt` is what was measured, beside what the protocol takes it for.
fn clocks(sent: &Arq, rtt: Option<Duration>) -> Option<String> {
    let own =
        [sent.srtt.map(|time| millis("srtt", time)), sent.rto.map(|time| millis("rto", time))];
    let own = format!("protocol's own {}", joined(own, ", ")?);
    let rtt = rtt.filter(|_| sent.srtt.is_some());
    joined([Some(own), rtt.map(|time| millis("beside a mean RTT of", time))], " ")
}

fn correction(sent: &Arq, received: &Arq) -> Option<String> {
    let parity = sent.parity_sent.map(|datagrams| {
        let bytes = figure::bytes(sent.parity_bytes_sent);
        format!("parity sent {datagrams} datagrams, {bytes}")
    });
    let parts = [
        parity,
        received.recovered.map(|datagrams| count("recovered", datagrams)),
        received.unrecoverable.map(|datagrams| count("unrecoverable", datagrams)),
    ];
    joined(parts, ", ").map(|parts| format!("error correction: {parts}"))
}

/// Returns what arrived in vain, if anything did. What a sender rejects, or its host drops, are
/// acknowledgements; they cost repetitions as well.
fn refused(sent: &Arq, received: &Arq, drops: [Option<u64>; 2]) -> Option<String> {
    let some = |what: &str, datagrams: Option<u64>| {
        datagrams.filter(|&datagrams| datagrams > 0).map(|datagrams| count(what, datagrams))
    };
    let [sender_drops, receiver_drops] = drops;
    let parts = [
        some("rejected by the receiver", received.rejected),
        some("rejected by the sender", sent.rejected),
        some("dropped by the receiver's host", receiver_drops),
        some("dropped by the sender's host", sender_drops),
    ];
    joined(parts, ", ")
}

fn count(what: &str, count: u64) -> String {
    format!("{what} {count}")
}

fn millis(what: &str, time: Duration) -> String {
    format!("{what} {} ms", figure::millis(time))
}

fn joined<const N: usize>(parts: [Option<String>; N], separator: &str) -> Option<String> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(separator))
}

fn path(outcome: &Outcome, side: Side, flow: FlowId) -> Option<&PathStats> {
    let flows = &outcome.side(side)?.flows;
    flows.iter().find(|summary| summary.flow == flow).map(|summary| &summary.path)
}

/// What the other end says may be anything.
const MOST_PARAMETERS: usize = 24;
