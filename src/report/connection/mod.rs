//! The connections that carried a test's streams, as both ends saw them.
//!
//! Streams may share one. Its figures are then told once, whatever the number of its streams.

mod cells;
mod lines;

use std::time::Duration;

use polyperf_transport::{PathStats, Security};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::lines::{is_unverified, protection};
pub(super) use self::{
    cells::PathCells,
    lines::{lines, name},
};
use crate::{
    measure::{FlowId, FlowSummary, Role},
    micros,
    outcome::{Outcome, Side, TestInfo},
    report::row,
};

/// A connection that carried streams of a test.
///
/// What is unknown is left out; it is never null, and never zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ConnectionSummary {
    /// Its streams.
    pub flows: Vec<FlowId>,
    /// From the first packet to the end of the handshake: at the client, or else at the server.
    #[serde(
        rename = "handshake_us",
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub handshake: Option<Duration>,
    /// From the client's first packet to the server's first byte on a stream.
    #[serde(
        rename = "first_reply_us",
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub first_reply: Option<Duration>,
    /// What it carried from the client to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<Carried>,
    /// What it carried from the server to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse: Option<Carried>,
}

/// What a connection carried in one direction, and what it took.
///
/// Losses, congestion and windows are the test's alone. The other figures are of the connection from
/// its beginning, and shares and batches are made from those.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Carried {
    /// Packets that the sender gave up as lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_lost: Option<u64>,
    /// How often the sender's congestion control has answered to loss or marks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion_events: Option<u64>,
    /// How often the receiver's window held the sender back: more than 0 is a test that flow control
    /// has limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_blocked: Option<u64>,
    /// Bytes that the receiver's streams received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u64>,
    /// Bytes that the sender put on the wire, as far down as the transport sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_bytes_sent: Option<u64>,
    /// How much more that is than what was received, as a share of what was received. It holds
    /// whatever was sent again, and acknowledgements of the other direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_overhead: Option<f64>,
    /// Packets that the sender put on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_sent: Option<u64>,
    /// Packets with acknowledgements that the sender received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acks_received: Option<u64>,
    /// How many packets the sender's system calls sent, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_per_send_call: Option<f64>,
    /// How many packets the receiver's system calls received, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_per_recv_call: Option<f64>,
}

/// Streams that share a connection, or one that has its own.
#[derive(Debug)]
pub(crate) struct Connection<'a> {
    outcome: &'a Outcome,
    /// Which connection it is.
    key: Key,
    flows: Vec<FlowId>,
}

/// What tells connections apart. Each end numbers them for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Local(u64),
    Remote(u64),
    /// Of a stream that says nothing of sharing.
    Own(FlowId),
}

/// Returns the connections of a test, in the order of their first streams.
pub(crate) fn of_test(outcome: &Outcome) -> Vec<Connection<'_>> {
    let mut connections: Vec<Connection<'_>> = Vec::new();
    for flow in outcome.info.flows.iter().map(|flow| flow.flow) {
        let key = key(outcome, flow);
        match connections.iter_mut().find(|known| known.key == key) {
            Some(known) => known.flows.push(flow),
            None => connections.push(Connection { outcome, key, flows: vec![flow] }),
        }
    }
    connections
}

/// Returns how much more `sender` put on the wire than arrived, over all connections and as a share
/// of what arrived.
pub(crate) fn wire_overhead(connections: &[Connection<'_>], sender: Side) -> Option<f64> {
    let sum = |figure: fn(&Carried) -> Option<u64>| {
        let carry = connections.iter().filter(|one| one.flows_from(sender).next().is_some());
        row::sum(carry.map(|one| figure(&one.carried(sender)?)))
    };
    overhead(sum(|carried| carried.wire_bytes_sent), sum(|carried| carried.received_bytes))
}

/// Returns the connections that know of more than their streams do.
pub(super) fn told(outcome: &Outcome) -> Vec<ConnectionSummary> {
    of_test(outcome).iter().filter(|one| one.is_told()).map(Connection::summary).collect()
}

/// Returns the streams that share a connection, by this end's word or else by the other's.
fn key(outcome: &Outcome, flow: FlowId) -> Key {
    let number = |side: Side| {
        let flows = &outcome.side(side)?.flows;
        flows.iter().find(|summary| summary.flow == flow)?.path.connection
    };
    let here = outcome.info.side;
    let local = number(here).map(Key::Local);
    local.or_else(|| number(here.other()).map(Key::Remote)).unwrap_or(Key::Own(flow))
}

impl Connection<'_> {
    pub(crate) fn summary(&self) -> ConnectionSummary {
        let ends = || [Side::Client, Side::Server].map(|side| self.path(side));
        let first = |figure: fn(&PathStats) -> Option<Duration>| {
            ends().into_iter().flatten().find_map(figure)
        };
        ConnectionSummary {
            flows: self.flows.clone(),
            handshake: first(|path| path.handshake),
            first_reply: first(|path| path.first_reply),
            forward: self.carried(Side::Client),
            reverse: self.carried(Side::Server),
        }
    }

    /// Returns what it carried from `sender`; `None` if that is not known, or was nothing.
    pub(crate) fn carried(&self, sender: Side) -> Option<Carried> {
        self.flows_from(sender).next()?;
        let path = self.path(sender);
        let receiver = self.path(sender.other());
        let sent = |figure: fn(&FlowSummary) -> Option<u64>| {
            self.summaries(sender, Role::Sender).find_map(figure)
        };
        let received_bytes = self.received(sender.other());
        let wire_bytes_sent = path.and_then(|path| path.wire_bytes_sent);
        let packets_sent = path.and_then(|path| path.packets_sent);
        let carried = Carried {
            packets_lost: sent(|flow| flow.packets_lost),
            congestion_events: sent(|flow| flow.congestion_events),
            window_blocked: sent(|flow| flow.window_blocked),
            received_bytes,
            wire_bytes_sent,
            wire_overhead: overhead(wire_bytes_sent, received_bytes),
            packets_sent,
            acks_received: path.and_then(|path| path.acks_received),
            packets_per_send_call: ratio(packets_sent, path.and_then(|path| path.send_calls)),
            packets_per_recv_call: ratio(
                receiver.and_then(|path| path.packets_received),
                receiver.and_then(|path| path.recv_calls),
            ),
        };
        (carried != Carried::default()).then_some(carried)
    }

    /// Returns what protects it, as `side` says.
    pub(crate) fn security(&self, side: Side) -> Option<&Security> {
        self.path(side)?.security.as_ref()
    }

    /// Returns what protects it, by this end's word or else by the other's. How the server was
    /// verified is in the client's alone.
    pub(crate) fn protection(&self) -> Option<&Security> {
        let here = self.outcome.info.side;
        self.security(here).or_else(|| self.security(here.other()))
    }

    /// Returns its figures at `side`: those of each of its streams are the same, but for the moment
    /// at which they were taken.
    fn path(&self, side: Side) -> Option<&PathStats> {
        let flows = &self.outcome.side(side)?.flows;
        flows.iter().find(|summary| self.flows.contains(&summary.flow)).map(|flow| &flow.path)
    }

    /// Returns whether either end knows it as a connection: with a handshake, losses or repetitions
    /// of its own, or a protocol whose settings are this process's.
    fn is_told(&self) -> bool {
        let knows = |path: &PathStats| {
            path.connection.is_some()
                || path.handshake.is_some()
                || path.security.is_some()
                || path.arq.is_some()
                || !path.parameters.is_empty()
        };
        [Side::Client, Side::Server].into_iter().filter_map(|side| self.path(side)).any(knows)
    }

    /// Returns its streams on which `sender` sends.
    fn flows_from(&self, sender: Side) -> impl Iterator<Item = FlowId> {
        let info: &TestInfo = &self.outcome.info;
        let sent = info.flows.iter().filter(move |flow| row::sender_of(info, flow) == sender);
        sent.map(|flow| flow.flow).filter(|flow| self.flows.contains(flow))
    }

    fn summaries(&self, side: Side, role: Role) -> impl Iterator<Item = &FlowSummary> {
        let flows = self.outcome.side(side).into_iter().flat_map(move |end| end.with_role(role));
        flows.filter(|summary| self.flows.contains(&summary.flow))
    }

    /// Returns what arrived on all its streams at `receiver`, omitted bytes included, as the wire's
    /// bytes are; `None` if that end did not say it of each.
    fn received(&self, receiver: Side) -> Option<u64> {
        let bytes = |flow: &FlowSummary| flow.bytes.saturating_add(flow.omitted_bytes);
        let known = self.summaries(receiver, Role::Receiver);
        let (count, sum) = known
            .fold((0, 0u64), |(count, sum), flow| (count + 1, sum.saturating_add(bytes(flow))));
        (count == self.flows_from(receiver.other()).count()).then_some(sum)
    }
}

/// Less on the wire than what arrived is a transport that sees too little to tell.
#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any test moves")]
fn overhead(wire: Option<u64>, received: Option<u64>) -> Option<f64> {
    let received = received.filter(|&received| received > 0)?;
    Some(wire?.checked_sub(received)? as f64 / received as f64)
}

#[allow(clippy::cast_precision_loss, reason = "2^53 packets are more than any test sends")]
fn ratio(packets: Option<u64>, calls: Option<u64>) -> Option<f64> {
    let calls = calls.filter(|&calls| calls > 0)?;
    Some(packets? as f64 / calls as f64)
}
