use std::time::Duration;

use serde::Serialize;

use super::{datagrams::Losses, interval::micros, local_role, main_sender, reverse_sender};
use crate::{
    measure::{CpuUse, FlowId, FlowSummary, Role},
    outcome::{FlowInfo, Outcome, Side},
    report::row::{self, Counted, Row},
};

/// `end`.
#[derive(Debug, Serialize)]
pub(in crate::report) struct End {
    streams: Vec<StreamEnd>,
    /// Of datagrams: what was sent, and what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<Total>,
    sum_sent: Total,
    sum_received: Total,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_bidir_reverse: Option<Total>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_sent_bidir_reverse: Option<Total>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_received_bidir_reverse: Option<Total>,
    cpu_utilization_percent: Cpu,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_tcp_congestion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver_tcp_congestion: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum StreamEnd {
    Bytes { sender: Box<StreamTotal>, receiver: Box<StreamTotal> },
    Datagrams { udp: DatagramTotal },
}

/// What was sent on a stream of datagrams, and what became of it.
#[derive(Debug, Serialize)]
struct DatagramTotal {
    socket: FlowId,
    #[serde(flatten)]
    counted: CountedTotal,
    #[serde(flatten)]
    losses: Losses,
    out_of_order: Option<u64>,
    sender: bool,
}

#[derive(Debug, Serialize)]
struct StreamTotal {
    socket: FlowId,
    #[serde(flatten)]
    counted: CountedTotal,
    #[serde(flatten)]
    path: Option<SenderPath>,
    sender: bool,
}

#[derive(Debug, Serialize)]
struct Total {
    #[serde(flatten)]
    counted: CountedTotal,
    /// The sender's, and null if one stream's are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<Option<u64>>,
    #[serde(flatten)]
    losses: Option<Losses>,
    sender: bool,
}

/// What an end counted: all null if it did not say.
#[derive(Debug, Serialize)]
struct CountedTotal {
    start: f64,
    end: Option<f64>,
    seconds: Option<f64>,
    bytes: Option<u64>,
    bits_per_second: Option<f64>,
}

#[derive(Debug, Default, Serialize)]
struct SenderPath {
    retransmits: Option<u64>,
    max_snd_cwnd: Option<u64>,
    max_snd_wnd: Option<u64>,
    max_rtt: Option<u64>,
    min_rtt: Option<u64>,
    mean_rtt: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Cpu {
    host_total: Option<f64>,
    host_user: Option<f64>,
    host_system: Option<f64>,
    remote_total: Option<f64>,
    remote_user: Option<f64>,
    remote_system: Option<f64>,
}

impl End {
    pub(in crate::report) fn new(outcome: &Outcome) -> Self {
        let info = &outcome.info;
        let main = main_sender(info);
        let reverse = reverse_sender(info);
        if row::is_of_datagrams(info) {
            return Self::of_datagrams(outcome);
        }
        Self {
            streams: info.flows.iter().map(|flow| StreamEnd::new(outcome, flow)).collect(),
            sum: None,
            sum_bidir_reverse: None,
            sum_sent: Total::new(outcome, main, Role::Sender),
            sum_received: Total::new(outcome, main, Role::Receiver),
            sum_sent_bidir_reverse: reverse.map(|side| Total::new(outcome, side, Role::Sender)),
            sum_received_bidir_reverse: reverse
                .map(|side| Total::new(outcome, side, Role::Receiver)),
            cpu_utilization_percent: Cpu::new(outcome),
            sender_tcp_congestion: congestion(outcome, main, Role::Sender),
            receiver_tcp_congestion: congestion(outcome, main.other(), Role::Receiver),
        }
    }
}

impl End {
    fn of_datagrams(outcome: &Outcome) -> Self {
        let info = &outcome.info;
        let rows = row::of_test(outcome);
        let (main, reverse) = (main_sender(info), reverse_sender(info));
        let total = |side, of: fn(Option<&Row>, bool) -> Total| {
            of(row::of_direction(&rows, side), local_role(info, side) == Role::Sender)
        };
        let flows = rows.iter().filter_map(|row| DatagramTotal::new(info.side, row));
        Self {
            streams: flows.map(|udp| StreamEnd::Datagrams { udp }).collect(),
            sum: Some(total(main, Total::of_datagrams)),
            sum_bidir_reverse: reverse.map(|side| total(side, Total::of_datagrams)),
            sum_sent: total(main, Total::of_datagrams_sent),
            sum_received: total(main, Total::of_datagrams_received),
            sum_sent_bidir_reverse: reverse.map(|side| total(side, Total::of_datagrams_sent)),
            sum_received_bidir_reverse: reverse
                .map(|side| total(side, Total::of_datagrams_received)),
            cpu_utilization_percent: Cpu::new(outcome),
            sender_tcp_congestion: None,
            receiver_tcp_congestion: None,
        }
    }
}

impl DatagramTotal {
    /// Returns the total of one flow as `reporter` tells it; `None` of a sum.
    fn new(reporter: Side, row: &Row) -> Option<Self> {
        Some(Self {
            socket: row.flow?,
            counted: CountedTotal::new(row.sent.or(row.received)),
            losses: Losses::new(row.datagrams_sent, row.datagrams.as_ref()),
            out_of_order: row.datagrams.and_then(|counts| counts.reordered),
            sender: row.sender == reporter,
        })
    }
}

impl StreamEnd {
    fn new(outcome: &Outcome, flow: &FlowInfo) -> Self {
        let total = |role| {
            let summary = outcome.flow(flow.flow, role);
            let path = || SenderPath::new(outcome, flow.flow, summary);
            Box::new(StreamTotal {
                socket: flow.flow,
                counted: CountedTotal::new(summary.map(counted)),
                path: (role == Role::Sender).then(path),
                sender: flow.role == Role::Sender,
            })
        };
        Self::Bytes { sender: total(Role::Sender), receiver: total(Role::Receiver) }
    }
}

impl Total {
    /// Returns what the end that has `role` counted in the direction in which `sender` sends.
    fn new(outcome: &Outcome, sender: Side, role: Role) -> Self {
        let side = if role == Role::Sender { sender } else { sender.other() };
        let summary = outcome.side(side);
        let total = summary.and_then(|summary| summary.total(role));
        let retransmits = || summary.and_then(crate::measure::SideSummary::retransmits);
        Self {
            counted: CountedTotal::new(total.map(|(bytes, time)| Counted { bytes, time })),
            retransmits: (role == Role::Sender).then(retransmits),
            losses: None,
            sender: local_role(&outcome.info, sender) == Role::Sender,
        }
    }

    /// Returns what was sent in a direction, and what became of it.
    fn of_datagrams(row: Option<&Row>, sender: bool) -> Self {
        let (sent, received) = (row.and_then(|row| row.sent), row.and_then(|row| row.received));
        let datagrams = row.and_then(|row| row.datagrams.as_ref());
        let losses = Losses::new(row.and_then(|row| row.datagrams_sent), datagrams);
        Self::counted(sent.or(received), losses, sender)
    }

    fn of_datagrams_sent(row: Option<&Row>, _: bool) -> Self {
        let losses = Losses::at_sender(row.and_then(|row| row.datagrams_sent));
        Self::counted(row.and_then(|row| row.sent), losses, true)
    }

    fn of_datagrams_received(row: Option<&Row>, _: bool) -> Self {
        let losses = Losses::new(None, row.and_then(|row| row.datagrams.as_ref()));
        Self::counted(row.and_then(|row| row.received), losses, false)
    }

    fn counted(counted: Option<Counted>, losses: Losses, sender: bool) -> Self {
        let counted = CountedTotal::new(counted);
        Self { counted, retransmits: None, losses: Some(losses), sender }
    }
}

impl CountedTotal {
    fn new(counted: Option<Counted>) -> Self {
        let seconds = counted.map(|counted| counted.time.as_secs_f64());
        Self {
            start: 0.0,
            end: seconds,
            seconds,
            bytes: counted.map(|counted| counted.bytes),
            bits_per_second: counted.and_then(Counted::rate),
        }
    }
}

impl SenderPath {
    fn new(outcome: &Outcome, flow: FlowId, summary: Option<&FlowSummary>) -> Self {
        let Some(summary) = summary else { return Self::default() };
        let rtt = |pick: fn(&crate::measure::RttSummary) -> Duration| {
            summary.rtt.as_ref().map(|rtt| micros(pick(rtt)))
        };
        Self {
            retransmits: summary.retransmits,
            max_snd_cwnd: summary.max_cwnd,
            max_snd_wnd: max_window(outcome, flow).max(summary.path.peer_window),
            max_rtt: rtt(|rtt| rtt.max),
            min_rtt: rtt(|rtt| rtt.min),
            mean_rtt: rtt(|rtt| rtt.mean),
        }
    }
}

impl Cpu {
    fn new(outcome: &Outcome) -> Self {
        // A share of no time is unknown.
        let percent =
            |cpu: Option<&CpuUse>| cpu.filter(|cpu| !cpu.wall.is_zero()).map(CpuUse::percent);
        let host = percent(outcome.local.cpu.as_ref());
        let remote = percent(outcome.remote.as_ref().and_then(|remote| remote.cpu.as_ref()));
        Self {
            host_total: host.map(|(user, system)| user + system),
            host_user: host.map(|(user, _)| user),
            host_system: host.map(|(_, system)| system),
            remote_total: remote.map(|(user, system)| user + system),
            remote_user: remote.map(|(user, _)| user),
            remote_system: remote.map(|(_, system)| system),
        }
    }
}

fn counted(summary: &FlowSummary) -> Counted {
    Counted { bytes: summary.bytes, time: summary.duration }
}

/// Returns the largest window that the receiver offered, as sampled at each interval that counts.
fn max_window(outcome: &Outcome, flow: FlowId) -> Option<u64> {
    let samples = outcome.intervals.iter().filter(|interval| !interval.local.omitted);
    samples
        .filter_map(|interval| interval.seen_by(Role::Sender, flow)?.0.path.as_ref()?.peer_window)
        .max()
}

/// Returns the congestion control of the first stream on which `side` has `role`.
fn congestion(outcome: &Outcome, side: Side, role: Role) -> Option<String> {
    outcome.side(side)?.with_role(role).find_map(|flow| flow.path.congestion.clone())
}
