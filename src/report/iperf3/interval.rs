use std::time::Duration;

use polyperf_transport::PathStats;
use serde::Serialize;

use super::{
    datagrams::{DatagramInterval, Losses},
    local_role, main_sender, reverse_sender,
};
use crate::{
    measure::{
        DatagramSummary, FlowId, FlowSample, Interval, Role, Sample, bits_per_second, sum_once,
    },
    outcome::{Side, TestInfo},
    report::row,
};

/// An element of `intervals`: what the end that reports counted, as in iperf3.
#[derive(Debug, Serialize)]
pub(in crate::report) struct IntervalPart {
    streams: Vec<StreamInterval>,
    sum: SumInterval,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum_bidir_reverse: Option<SumInterval>,
}

#[derive(Debug, Serialize)]
struct StreamInterval {
    socket: FlowId,
    #[serde(flatten)]
    counted: Counted,
    #[serde(flatten)]
    path: Option<SenderPath>,
    #[serde(flatten)]
    datagrams: Option<DatagramInterval>,
    omitted: bool,
    sender: bool,
}

#[derive(Debug, Serialize)]
struct SumInterval {
    #[serde(flatten)]
    counted: Counted,
    /// A sender's, and null if one stream's are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<Option<u64>>,
    #[serde(flatten)]
    datagrams: Option<DatagramInterval>,
    omitted: bool,
    sender: bool,
}

#[derive(Debug, Serialize)]
struct Counted {
    start: f64,
    end: f64,
    seconds: f64,
    bytes: u64,
    bits_per_second: Option<f64>,
}

#[derive(Debug, Serialize)]
struct SenderPath {
    retransmits: Option<u64>,
    snd_cwnd: Option<u64>,
    snd_wnd: Option<u64>,
    rtt: Option<u64>,
    rttvar: Option<u64>,
    pmtu: Option<u32>,
    reorder: Option<u32>,
}

impl IntervalPart {
    pub(in crate::report) fn new(info: &TestInfo, interval: &Interval) -> Self {
        let sample = &interval.local;
        let streams = sample.flows.iter().map(|flow| StreamInterval::new(info, sample, flow));
        Self {
            streams: streams.collect(),
            sum: SumInterval::new(info, sample, main_sender(info)),
            sum_bidir_reverse: reverse_sender(info)
                .map(|side| SumInterval::new(info, sample, side)),
        }
    }
}

impl StreamInterval {
    fn new(info: &TestInfo, sample: &Sample, flow: &FlowSample) -> Self {
        let sender = flow.role == Role::Sender;
        let datagrams = row::is_of_datagrams(info);
        Self {
            socket: flow.flow,
            counted: Counted::new(info, sample, flow.bytes),
            path: (sender && !datagrams).then(|| SenderPath::new(flow)),
            datagrams: datagrams.then(|| of_flows(flow.role, &[flow])),
            omitted: sample.omitted,
            sender,
        }
    }
}

impl SumInterval {
    fn new(info: &TestInfo, sample: &Sample, sender: Side) -> Self {
        let role = local_role(info, sender);
        let flows: Vec<_> = sample.flows.iter().filter(|flow| flow.role == role).collect();
        let bytes = flows.iter().fold(0u64, |sum, flow| sum.saturating_add(flow.bytes));
        let datagrams = row::is_of_datagrams(info);
        Self {
            counted: Counted::new(info, sample, bytes),
            retransmits: (role == Role::Sender && !datagrams)
                .then(|| sum_once(flows.iter().map(|flow| (connection(flow), flow.retransmits)))),
            datagrams: datagrams.then(|| of_flows(role, &flows)),
            omitted: sample.omitted,
            sender: role == Role::Sender,
        }
    }
}

fn connection(flow: &FlowSample) -> Option<u64> {
    flow.path.as_ref()?.connection
}

fn of_flows(role: Role, flows: &[&FlowSample]) -> DatagramInterval {
    match role {
        Role::Sender | Role::Prober => DatagramInterval::Sent {
            packets: row::sum(flows.iter().map(|flow| flow.datagrams_sent)),
        },
        Role::Receiver | Role::Probed => {
            let counts = DatagramSummary::together(flows.iter().map(|flow| flow.datagrams));
            DatagramInterval::Received(Losses::new(None, counts.as_ref()))
        }
    }
}

impl Counted {
    fn new(info: &TestInfo, sample: &Sample, bytes: u64) -> Self {
        let (start, end) = row::span(info, sample);
        Self {
            start: start.as_secs_f64(),
            end: end.as_secs_f64(),
            seconds: sample.duration().as_secs_f64(),
            bytes,
            bits_per_second: bits_per_second(bytes, sample.duration()),
        }
    }
}

impl SenderPath {
    fn new(flow: &FlowSample) -> Self {
        let unknown = PathStats::default();
        let path = flow.path.as_ref().unwrap_or(&unknown);
        Self {
            retransmits: flow.retransmits,
            snd_cwnd: path.cwnd,
            snd_wnd: path.peer_window,
            rtt: path.rtt.map(micros),
            rttvar: path.rttvar.map(micros),
            pmtu: path.mtu,
            reorder: path.reordering,
        }
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
