//! Connections as cells of a table for programs.

use polyperf_transport::{Arq, EarlyData, Security};
use serde::Serialize;

use super::{Carried, Connection};
use crate::{
    measure::{FlowId, Role},
    outcome::{Outcome, Side},
    report::{
        row::{self, Row},
        safe,
    },
};

/// What is known of a flow's connection. Of what is the connection's, each flow that shares it has
/// the same, and a sum has each connection's once.
#[derive(Debug, Default, Serialize)]
pub(in crate::report) struct PathCells {
    /// The sender's number of the connection, where flows may share one.
    connection: Option<u64>,
    packets_lost: Option<u64>,
    congestion_events: Option<u64>,
    /// How often the receiver's window held the sender back.
    window_blocked: Option<u64>,
    handshake_us: Option<u128>,
    first_reply_us: Option<u128>,
    wire_bytes_sent: Option<u64>,
    /// A share of what was received.
    wire_overhead: String,
    packets_per_send_call: String,
    packets_per_recv_call: String,
    mtu_bytes: Option<u32>,
    /// `TLS 1.3`.
    security: String,
    cipher: String,
    key_exchange: String,
    /// How the client verified the server.
    verified: String,
    resumed: Option<bool>,
    /// `not_attempted`, `accepted` or `rejected`.
    early_data: Option<EarlyData>,
    timeout_retransmits: Option<u64>,
    fast_retransmits: Option<u64>,
    early_retransmits: Option<u64>,
    spurious_retransmits: Option<u64>,
    /// As the receiver counted.
    duplicates: Option<u64>,
    parity_bytes_sent: Option<u64>,
    recovered: Option<u64>,
    unrecoverable: Option<u64>,
}

impl PathCells {
    /// The names of the cells.
    pub(in crate::report) const COLUMNS: [&str; 25] = [
        "connection",
        "packets_lost",
        "congestion_events",
        "window_blocked",
        "handshake_us",
        "first_reply_us",
        "wire_bytes_sent",
        "wire_overhead",
        "packets_per_send_call",
        "packets_per_recv_call",
        "mtu_bytes",
        "security",
        "cipher",
        "key_exchange",
        "verified",
        "resumed",
        "early_data",
        "timeout_retransmits",
        "fast_retransmits",
        "early_retransmits",
        "spurious_retransmits",
        "duplicates",
        "parity_bytes_sent",
        "recovered",
        "unrecoverable",
    ];

    /// Returns what is known of an interval's row.
    pub(in crate::report) fn of_row(row: &Row) -> Self {
        Self { connection: row.connection, packets_lost: row.packets_lost, ..Self::default() }
    }

    /// Returns what was known at a flow's end; of a direction what can be added up.
    pub(in crate::report) fn of_total(
        outcome: &Outcome,
        connections: &[Connection<'_>],
        row: &Row,
    ) -> Self {
        let Some(flow) = row.flow else { return Self::of_direction(connections, row) };
        let connection = connections.iter().find(|one| one.flows.contains(&flow));
        connection.map_or_else(|| Self::of_row(row), |one| Self::of_flow(outcome, one, row, flow))
    }

    fn of_direction(connections: &[Connection<'_>], row: &Row) -> Self {
        let sum = |figure: fn(&Carried) -> Option<u64>| {
            let carry =
                connections.iter().filter(|one| one.flows_from(row.sender).next().is_some());
            row::sum(carry.map(|one| figure(&one.carried(row.sender)?)))
        };
        Self {
            congestion_events: sum(|carried| carried.congestion_events),
            window_blocked: sum(|carried| carried.window_blocked),
            wire_bytes_sent: sum(|carried| carried.wire_bytes_sent),
            ..Self::of_row(row)
        }
    }

    fn of_flow(outcome: &Outcome, connection: &Connection<'_>, row: &Row, flow: FlowId) -> Self {
        let summary = connection.summary();
        let carried = connection.carried(row.sender).unwrap_or_default();
        let [client, server] = [Side::Client, Side::Server].map(|side| connection.security(side));
        let ends = || [client, server].into_iter().flatten();
        let arq = |role| outcome.flow(flow, role)?.path.arq.as_ref();
        let (sent, received) = (arq(Role::Sender), arq(Role::Receiver));
        let sent = |figure: fn(&Arq) -> Option<u64>| sent.and_then(figure);
        let received = |figure: fn(&Arq) -> Option<u64>| received.and_then(figure);
        let told = |word: fn(&Security) -> Option<&str>| cell(ends().find_map(word));
        Self {
            congestion_events: carried.congestion_events,
            window_blocked: carried.window_blocked,
            handshake_us: summary.handshake.map(|time| time.as_micros()),
            first_reply_us: summary.first_reply.map(|time| time.as_micros()),
            wire_bytes_sent: carried.wire_bytes_sent,
            wire_overhead: decimals(carried.wire_overhead, 4),
            packets_per_send_call: decimals(carried.packets_per_send_call, 1),
            packets_per_recv_call: decimals(carried.packets_per_recv_call, 1),
            mtu_bytes: outcome.flow(flow, Role::Sender).and_then(|sender| sender.path.mtu),
            security: told(|end| Some(&end.protocol)),
            cipher: told(|end| end.cipher.as_deref()),
            key_exchange: told(|end| end.key_exchange.as_deref()),
            verified: cell(client.and_then(|client| client.verified.as_deref())),
            resumed: ends().find_map(|end| end.resumed),
            early_data: ends().find_map(|end| end.early_data),
            timeout_retransmits: sent(|arq| arq.timeout_retransmits),
            fast_retransmits: sent(|arq| arq.fast_retransmits),
            early_retransmits: sent(|arq| arq.early_retransmits),
            spurious_retransmits: sent(|arq| arq.spurious_retransmits),
            duplicates: received(|arq| arq.duplicates),
            parity_bytes_sent: sent(|arq| arq.parity_bytes_sent),
            recovered: received(|arq| arq.recovered),
            unrecoverable: received(|arq| arq.unrecoverable),
            ..Self::of_row(row)
        }
    }
}

fn cell(word: Option<&str>) -> String {
    word.map_or(String::new(), |word| safe::cell(&safe::short(word)))
}

fn decimals(value: Option<f64>, digits: usize) -> String {
    value.map_or(String::new(), |value| format!("{value:.digits$}"))
}
