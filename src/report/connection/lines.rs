//! Connections for people: a line for each thing that there is to say.

use std::fmt::Write as _;

use polyperf_transport::{EarlyData, PathStats, Security};

use super::{Carried, Connection, of_test};
use crate::{
    measure::FlowId,
    outcome::{Outcome, Side},
    report::{figure, row, safe, table::Table},
};

/// Returns what there is to say of each connection that knows of more than its streams do.
pub(in crate::report) fn lines(outcome: &Outcome, table: &Table) -> Vec<String> {
    let connections = of_test(outcome);
    let told = || connections.iter().filter(|one| one.is_told());
    let began = told().filter_map(|one| Some(format!("{} {}", name(&one.flows), handshake(one)?)));
    let mut lines: Vec<_> = began.collect();
    lines.extend(protected(told()));
    lines.extend(told().flat_map(|one| carried(one, table)));
    let shares = |one: &Connection<'_>| SIDES.iter().any(|&side| one.flows_from(side).count() > 1);
    if !row::is_of_datagrams(&outcome.info) && told().any(shares) {
        lines.push(SHARED.to_owned());
    }
    lines
}

/// Returns what names streams in front of a line: `[  1]`, `[1-4]`.
pub(in crate::report) fn name(flows: &[FlowId]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for &FlowId(flow) in flows {
        match runs.last_mut() {
            Some((_, last)) if flow.checked_sub(1) == Some(*last) => *last = flow,
            _ => runs.push((flow, flow)),
        }
    }
    let mut shown = runs.iter().take(MOST_RUNS).map(|&(first, last)| match last - first {
        0 => first.to_string(),
        _ => format!("{first}-{last}"),
    });
    let mut list: Vec<_> = shown.by_ref().collect();
    if runs.len() > MOST_RUNS {
        list.push("...".to_owned());
    }
    format!("[{:>3}]", list.join(","))
}

/// Returns what protects the connections, once for all of which the same is to be said.
fn protected<'a>(connections: impl Iterator<Item = &'a Connection<'a>>) -> Vec<String> {
    let mut alike: Vec<(String, Vec<FlowId>)> = Vec::new();
    for one in connections {
        let fact = security(one);
        match alike.iter_mut().find(|(known, _)| *known == fact) {
            Some((_, flows)) => flows.extend(&one.flows),
            None => alike.push((fact, one.flows.clone())),
        }
    }
    let line = |(fact, mut flows): (String, Vec<FlowId>)| {
        flows.sort_unstable();
        format!("{} {fact}", name(&flows))
    };
    alike.into_iter().map(line).collect()
}

/// Returns what a connection carried in each direction, and what held it back.
fn carried(connection: &Connection<'_>, table: &Table) -> Vec<String> {
    let mut lines = Vec::new();
    for sender in SIDES {
        let Some(carried) = connection.carried(sender) else { continue };
        let flows: Vec<_> = connection.flows_from(sender).collect();
        let sent = format!("{}{}", name(&flows), table.role(sender));
        let [path, receiver] = [sender, sender.other()].map(|side| connection.path(side));
        let facts = [batches(&carried, path, receiver), wire(&carried, path), verdict(&carried)];
        lines.extend(facts.into_iter().flatten().map(|fact| format!("{sent} {fact}")));
    }
    lines
}

/// Returns how the connection began, as the end that knows says.
fn handshake(connection: &Connection<'_>) -> Option<String> {
    let summary = connection.summary();
    let ends = || SIDES.into_iter().filter_map(|side| connection.security(side));
    let resumed = ends().find_map(|security| security.resumed);
    let early = ends().find_map(|security| security.early_data);
    let mut parts = Vec::new();
    let kind = match resumed {
        Some(true) => "resumed handshake",
        Some(false) => "full handshake",
        None => "handshake",
    };
    match summary.handshake {
        Some(time) => parts.push(format!("{kind} {} ms", figure::millis(time))),
        None if resumed.is_some() => parts.push(kind.to_owned()),
        None => {}
    }
    if let Some(time) = summary.first_reply {
        parts.push(format!("first reply after {} ms", figure::millis(time)));
    }
    parts.extend(early.map(|early| early_data(early).to_owned()));
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn early_data(early: EarlyData) -> &'static str {
    match early {
        EarlyData::NotAttempted => "0-RTT not attempted: there was nothing to resume",
        EarlyData::Accepted => "0-RTT accepted",
        EarlyData::Rejected => "0-RTT rejected, and sent again after the handshake",
    }
}

/// Returns what protects the connection, and how each end knows the other, by the word of the end
/// that verified it.
fn security(connection: &Connection<'_>) -> String {
    let Some(told) = connection.protection() else { return "not encrypted".to_owned() };
    let mut line = protection(told);
    for (side, other) in [(Side::Client, "server"), (Side::Server, "client")] {
        if let Some(verified) = connection.security(side).and_then(|end| verified(other, end)) {
            let _ = write!(line, ", {verified}");
        }
    }
    line
}

/// Returns the protocol, its cipher and its key exchange, and who does the arithmetic.
pub(crate) fn protection(security: &Security) -> String {
    let mut line = safe::short(&security.protocol);
    let with = [&security.cipher, &security.key_exchange].map(Option::as_deref);
    let with: Vec<_> = with.into_iter().flatten().map(safe::short).collect();
    if !with.is_empty() {
        let _ = write!(line, " with {}", with.join(" and "));
    }
    if !security.provider.is_empty() {
        let _ = write!(line, " ({})", safe::short(&security.provider));
    }
    line
}

/// Returns whether the other end may be anybody.
pub(crate) fn is_unverified(security: &Security) -> bool {
    security.verified.as_deref() == Some(NOT_VERIFIED)
}

/// Returns how `other` was verified. What was not verified is to catch the eye.
fn verified(other: &str, security: &Security) -> Option<String> {
    let how = security.verified.as_deref()?;
    let peer = security.peer.as_deref().map(safe::short);
    let with =
        |separator: &str| peer.as_ref().map_or(String::new(), |peer| format!("{separator}{peer}"));
    Some(match how {
        NOT_VERIFIED => format!("{other} NOT VERIFIED: it may be anybody{}", with(", ")),
        "known server" => format!("{other} verified as a known server{}", with(", ")),
        "fingerprint" => format!("{other} verified by fingerprint{}", with(" ")),
        _ if how.starts_with(FIRST_USE) => {
            format!("{other} accepted by {}{}", safe::short(how), with(", "))
        }
        _ => format!("{other} verified by {}{}", safe::short(how), with(", ")),
    })
}

/// Returns how many packets went, and how many of them at once.
fn batches(
    carried: &Carried,
    sender: Option<&PathStats>,
    receiver: Option<&PathStats>,
) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(carried.packets_sent.map(|sent| format!("packets sent {sent}")));
    if let Some(batch) = carried.packets_per_send_call {
        let alone = sender.and_then(|path| path.gso_segments) == Some(1);
        let how = if alone { " without segmentation offload" } else { "" };
        parts.push(format!("{batch:.1} per send call{how}"));
    }
    if let Some(batch) = carried.packets_per_recv_call {
        let alone = receiver.and_then(|path| path.gro_segments) == Some(1);
        let how = if alone { " without receive offload" } else { "" };
        parts.push(format!("{batch:.1} per receive call{how}"));
    }
    parts.extend(carried.acks_received.map(|acks| format!("acknowledgements received {acks}")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Returns what went over the wire for what arrived.
fn wire(carried: &Carried, sender: Option<&PathStats>) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(wire) = carried.wire_bytes_sent {
        let mut sent = format!("wire {} sent", figure::bytes(Some(wire)));
        if let Some(received) = carried.received_bytes {
            let _ = write!(sent, " for {} received", figure::bytes(Some(received)));
        }
        if let Some(overhead) = carried.wire_overhead {
            let _ = write!(sent, " (overhead {})", figure::percent(overhead));
        }
        parts.push(sent);
    }
    let mtu = sender.and_then(|path| path.mtu);
    parts.extend(mtu.map(|mtu| format!("path MTU {mtu} bytes")));
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn verdict(carried: &Carried) -> Option<String> {
    let times = carried.window_blocked.filter(|&times| times > 0)?;
    let plural = if times == 1 { "" } else { "s" };
    Some(format!(
        "limited by flow control: the receiver's window held the sender back {times} time{plural}"
    ))
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];
/// How many groups of streams a name lists.
const MOST_RUNS: usize = 4;
const NOT_VERIFIED: &str = "not verified";
const FIRST_USE: &str = "trust on first use";
const SHARED: &str =
    "Streams on one connection share its losses, window and round-trip time; sums count them once.";
