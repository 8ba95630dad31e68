//! Tests whose streams share encrypted connections, as those of QUIC do.

use std::{sync::Arc, time::Duration};

use polyperf_transport::{EarlyData, PathStats, Security};

use super::{changed, flows, outcome};
use crate::{
    measure::{FlowId, FlowSummary, Role, SideSummary},
    outcome::{Outcome, Side},
    spec::Direction,
};

/// Returns a test whose streams are dealt out over so many connections.
pub(crate) fn over(connections: u16, direction: Direction, streams: u16) -> Outcome {
    let mut outcome = outcome(direction, streams);
    let info = Arc::make_mut(&mut outcome.info);
    *info = changed(info.clone(), |fields| fields.transport = "quic".to_owned());
    let of = |flow: FlowId| (flow.0 - 1) % connections;
    for interval in &mut outcome.intervals {
        let interval = Arc::make_mut(interval);
        let index = interval.local.index;
        let samples = std::iter::once(&mut interval.local).chain(&mut interval.remote);
        for flow in samples.flat_map(|sample| &mut sample.flows) {
            flow.retransmits = None;
            let sends = flow.role == Role::Sender;
            flow.packets_lost = sends.then(|| u64::from(5 * index + u32::from(of(flow.flow))));
            if let Some(path) = &mut flow.path {
                path.connection = Some(u64::from(of(flow.flow)));
                path.packets_lost = Some(1000);
            }
        }
    }
    let wire = |side: &SideSummary, connection: u16| {
        let received = side.with_role(Role::Receiver).filter(|flow| of(flow.flow) == connection);
        received.map(|flow| flow.bytes).sum::<u64>() / 100 * 104
    };
    let remote = outcome.remote.as_mut().unwrap();
    for connection in 0..connections {
        let arrived = [wire(&outcome.local, connection), wire(remote, connection)];
        let ends = [(Side::Client, &mut outcome.local), (Side::Server, &mut *remote)];
        for ((side, end), arrived) in ends.into_iter().zip(arrived.into_iter().rev()) {
            let own = flows(end).iter_mut().filter(|flow| of(flow.flow) == connection);
            own.for_each(|flow| set(flow, side, connection, arrived));
        }
    }
    outcome
}

/// Changes the path of each stream at `side`.
pub(crate) fn with_paths(
    mut outcome: Outcome,
    side: Side,
    change: impl Fn(&mut PathStats),
) -> Outcome {
    let end =
        if side == outcome.info.side { Some(&mut outcome.local) } else { outcome.remote.as_mut() };
    for flow in flows(end.unwrap()) {
        change(&mut flow.path);
    }
    outcome
}

/// Changes what the client says of what protects each connection.
pub(crate) fn with_security(outcome: Outcome, change: impl Fn(&mut Security)) -> Outcome {
    with_paths(outcome, Side::Client, |path| change(path.security.as_mut().unwrap()))
}

/// Returns a test whose every sender was held back by its receiver's window so often.
pub(crate) fn held_back(mut outcome: Outcome, times: u64) -> Outcome {
    for flow in std::iter::once(&mut outcome.local).chain(&mut outcome.remote).flat_map(flows) {
        flow.window_blocked = flow.window_blocked.map(|_| times);
    }
    outcome
}

/// Each end numbers connections in its own way.
fn set(flow: &mut FlowSummary, side: Side, connection: u16, wire: u64) {
    let client = side == Side::Client;
    let sends = flow.role == Role::Sender;
    flow.retransmits = None;
    flow.packets_lost = sends.then(|| 5 + 2 * u64::from(connection));
    flow.congestion_events = sends.then_some(2);
    flow.window_blocked = sends.then_some(0);
    let packets = wire / 1400;
    flow.path = PathStats {
        mtu: Some(1452),
        connection: Some(u64::from(connection) + if client { 0 } else { 70 }),
        packets_lost: Some(1005),
        congestion_events: Some(9),
        window_blocked: Some(0),
        packets_sent: Some(packets),
        packets_received: Some(100_000),
        wire_bytes_sent: Some(wire),
        send_calls: Some(packets / 10 + 1),
        recv_calls: Some(16_000),
        acks_received: Some(packets / 20),
        gso_segments: Some(10),
        gro_segments: Some(64),
        handshake: Some(Duration::from_micros(if client { 1234 } else { 987 })),
        first_reply: client.then(|| Duration::from_micros(2345)),
        security: Some(Security {
            protocol: "TLS 1.3".to_owned(),
            provider: "ring".to_owned(),
            cipher: Some("TLS13_AES_128_GCM_SHA256".to_owned()),
            key_exchange: Some("X25519".to_owned()),
            verified: client.then(|| "fingerprint".to_owned()),
            peer: client.then(|| FINGERPRINT.to_owned()),
            resumed: client.then_some(false),
            early_data: client.then_some(EarlyData::NotAttempted),
        }),
        ..flow.path.clone()
    };
}

pub(crate) const FINGERPRINT: &str =
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
