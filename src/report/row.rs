//! What a report shows of each flow, put together from what both ends counted.

use std::time::Duration;

use crate::{
    measure::{
        DatagramSummary, FlowId, FlowSample, Interval, Role, Sample, bits_per_second, sum_once,
    },
    outcome::{FlowInfo, Outcome, Side, TestInfo},
};

/// One flow in one interval or over the whole test, or all flows of a direction together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The flow; `None` for the sum over all of its direction.
    pub(super) flow: Option<FlowId>,
    /// The end that sends on it.
    pub(super) sender: Side,
    /// What the receiver counted.
    pub(super) received: Option<Counted>,
    /// What the sender counted.
    pub(super) sent: Option<Counted>,
    /// What the sender had to send again.
    pub(super) retransmits: Option<u64>,
    /// What it gave up as lost, where it knows that.
    pub(super) packets_lost: Option<u64>,
    /// The connection, by the sender's number, that losses, window and round-trip time are of,
    /// where streams share one.
    pub(super) connection: Option<u64>,
    /// The sender's congestion window: at the end of an interval, or the largest of a test.
    pub(super) cwnd: Option<u64>,
    /// The sender's round-trip time: at the end of an interval, or the mean of a test.
    pub(super) rtt: Option<Duration>,
    /// How many datagrams the sender sent.
    pub(super) datagrams_sent: Option<u64>,
    /// What became of them, as the receiver counted.
    pub(super) datagrams: Option<DatagramSummary>,
}

/// Bytes, and the time over which the same end counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) bytes: u64,
    pub(super) time: Duration,
}

impl Counted {
    /// Returns bits per second; `None` over no time at all.
    pub(super) fn rate(self) -> Option<f64> {
        bits_per_second(self.bytes, self.time)
    }
}

/// Returns each flow of an interval, and the sum of each direction that has several.
pub(super) fn of_interval(info: &TestInfo, interval: &Interval) -> Vec<Row> {
    let flows = info.flows.iter().map(|flow| {
        let counted =
            |(sample, time): (&FlowSample, Duration)| Counted { bytes: sample.bytes, time };
        let sender = interval.seen_by(Role::Sender, flow.flow);
        let receiver = interval.seen_by(Role::Receiver, flow.flow);
        let path = sender.and_then(|(sample, _)| sample.path.as_ref());
        Row {
            flow: Some(flow.flow),
            sender: sender_of(info, flow),
            received: receiver.map(counted),
            sent: sender.map(counted),
            retransmits: sender.and_then(|(sample, _)| sample.retransmits),
            packets_lost: sender.and_then(|(sample, _)| sample.packets_lost),
            connection: path.and_then(|path| path.connection),
            cwnd: path.and_then(|path| path.cwnd),
            rtt: path.and_then(|path| path.rtt),
            datagrams_sent: sender.and_then(|(sample, _)| sample.datagrams_sent),
            datagrams: receiver.and_then(|(sample, _)| sample.datagrams),
        }
    });
    with_sums(flows.collect())
}

/// Returns each flow of a test, and the sum of each direction that has several.
pub(super) fn of_test(outcome: &Outcome) -> Vec<Row> {
    let info = &outcome.info;
    let flows = info.flows.iter().map(|flow| {
        let counted = |role| {
            let summary = outcome.flow(flow.flow, role)?;
            Some(Counted { bytes: summary.bytes, time: summary.duration })
        };
        let sender = outcome.flow(flow.flow, Role::Sender);
        Row {
            flow: Some(flow.flow),
            sender: sender_of(info, flow),
            received: counted(Role::Receiver),
            sent: counted(Role::Sender),
            retransmits: sender.and_then(|summary| summary.retransmits),
            packets_lost: sender.and_then(|summary| summary.packets_lost),
            connection: sender.and_then(|summary| summary.path.connection),
            cwnd: sender.and_then(|summary| summary.max_cwnd),
            rtt: sender.and_then(|summary| summary.rtt).map(|rtt| rtt.mean),
            datagrams_sent: sender.and_then(|summary| summary.datagrams_sent),
            datagrams: outcome
                .flow(flow.flow, Role::Receiver)
                .and_then(|summary| summary.datagrams),
        }
    });
    with_sums(flows.collect())
}

/// Returns the row of all flows on which `sender` sends: the sum, or the only one.
pub(super) fn of_direction(rows: &[Row], sender: Side) -> Option<&Row> {
    rows.iter().rfind(|row| row.sender == sender)
}

/// Returns whether a test is of datagrams.
pub(super) fn is_of_datagrams(info: &TestInfo) -> bool {
    info.flows.iter().any(|flow| flow.datagrams)
}

/// Returns which end sends on a flow.
pub(super) fn sender_of(info: &TestInfo, flow: &FlowInfo) -> Side {
    match flow.role {
        Role::Sender | Role::Prober => info.side,
        Role::Receiver | Role::Probed => info.side.other(),
    }
}

/// Returns an interval's begin and end as reports show them: the clock starts anew after the time
/// that the totals leave out, as it does in iperf3.
pub(super) fn span(info: &TestInfo, sample: &Sample) -> (Duration, Duration) {
    let shift = if sample.omitted { Duration::ZERO } else { info.spec.omitted() };
    (sample.start.saturating_sub(shift), sample.end.saturating_sub(shift))
}

/// Returns `values` added up; `None` if one of them is unknown.
pub(super) fn sum(mut values: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    values.try_fold(0u64, |sum, value| Some(sum.saturating_add(value?)))
}

fn with_sums(mut rows: Vec<Row>) -> Vec<Row> {
    for side in [Side::Client, Side::Server] {
        let group: Vec<&Row> = rows.iter().filter(|row| row.sender == side).collect();
        if group.len() > 1 {
            let total = Row {
                flow: None,
                sender: side,
                received: together(group.iter().map(|row| row.received)),
                sent: together(group.iter().map(|row| row.sent)),
                retransmits: sum_once(group.iter().map(|row| (row.connection, row.retransmits))),
                packets_lost: sum_once(group.iter().map(|row| (row.connection, row.packets_lost))),
                connection: None,
                cwnd: None,
                rtt: None,
                datagrams_sent: sum(group.iter().map(|row| row.datagrams_sent)),
                datagrams: DatagramSummary::together(group.iter().map(|row| row.datagrams)),
            };
            rows.push(total);
        }
    }
    rows
}

/// A sum that lacks a part would be too small, and nobody could see it: it is unknown.
fn together(mut parts: impl Iterator<Item = Option<Counted>>) -> Option<Counted> {
    parts.try_fold(Counted { bytes: 0, time: Duration::ZERO }, |sum, part| {
        let part = part?;
        Some(Counted { bytes: sum.bytes.saturating_add(part.bytes), time: sum.time.max(part.time) })
    })
}
