//! What each end counted, as it tells the other.

mod read;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use serde_json::value::RawValue;

use super::{
    ErrorCode,
    wire::{self, ResultsText, StreamText},
};
use crate::{
    measure::{CpuScope, CpuUse, DatagramSummary, FlowId, FlowSummary, Role, SideSummary},
    outcome::Side,
    spec::TestSpec,
};

/// What one end counted in all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    /// Processor time of the whole program.
    pub cpu: CpuPercent,
    /// Whether this end, as a sender, can tell retransmissions; `None` if it only receives.
    pub sender_has_retransmits: Option<bool>,
    /// The congestion control in use.
    pub congestion: Option<String>,
    /// Each stream's figures.
    pub streams: Vec<StreamResult>,
    /// The server's own report, if it was asked for.
    pub output: Option<Output>,
}

/// Percent of one processor.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuPercent {
    /// In all.
    pub total: f64,
    /// In the program.
    pub user: f64,
    /// In the kernel on its behalf.
    pub system: f64,
}

/// What one end counted on one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamResult {
    /// The stream.
    pub flow: FlowId,
    /// Bytes sent or received, without those of the omitted time.
    pub bytes: u64,
    /// Retransmissions, where this end sends and knows them.
    pub retransmits: Option<u64>,
    /// UDP's figures; zeros for others.
    pub datagrams: Datagrams,
    /// Since the end of the omitted time; zero if it was not told.
    pub duration: Duration,
}

/// What one end of a UDP stream counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Datagrams {
    /// Datagrams sent; or, at the receiver, the highest number that arrived.
    pub packets: u64,
    /// How many of them did not arrive, as the receiver sees it.
    pub lost: u64,
    /// How many arrived late or twice; `None` where it was not told, which is so for the other end.
    pub out_of_order: Option<u64>,
    /// The receiver's jitter.
    pub jitter: Duration,
    /// The omitted time's part, which is not in the figures above; `None` if the other end did not
    /// tell it (before 3.14), and the figures contain it.
    pub omitted: Option<Omitted>,
}

impl StreamResult {
    /// Returns how many datagrams the end with this role has sent, or what it has received, as every
    /// dialect has it. What iperf3 counts as out of order is not told, and would be copies as well.
    ///
    /// Iperf3 before 3.14 tells datagrams with those of the omitted time, and bytes without. How many
    /// there were is in the bytes then, since all are of one length; how many were lost is not.
    fn datagrams_of(&self, role: Role, spec: &TestSpec) -> (Option<u64>, Option<DatagramSummary>) {
        let Datagrams { packets, lost, jitter, omitted, .. } = self.datagrams;
        let with_omitted = omitted.is_none() && !spec.omit.is_zero();
        let of_bytes = self.bytes.checked_div(spec.block.into()).filter(|_| with_omitted);
        match role {
            Role::Sender | Role::Prober => (Some(of_bytes.unwrap_or(packets)), None),
            Role::Receiver | Role::Probed => {
                let received = of_bytes.unwrap_or(packets.saturating_sub(lost));
                let lost = Some(lost).filter(|lost| !with_omitted || *lost == 0);
                let jitter = Some(jitter);
                (None, Some(DatagramSummary { received, lost, jitter, ..Default::default() }))
            }
        }
    }
}

/// Datagrams of the omitted time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Omitted {
    /// Datagrams.
    pub packets: u64,
    /// How many of them did not arrive.
    pub lost: u64,
}

/// A server's own report.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// As it would print it.
    Text(String),
    /// As the text of a JSON document.
    Json(String),
}

impl Output {
    /// Returns the report as text, of either kind.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Json(text) => text,
        }
    }
}

/// Why results are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadResults {
    /// A text that is no JSON object of the right shape.
    #[error("the results cannot be read: {0}")]
    Text(String),
    /// A figure that must be there.
    #[error("the results have no {0}")]
    Missing(&'static str),
    /// A stream that the test does not have.
    #[error("the results are of a stream {0}, which the test does not have")]
    Stream(i64),
}

impl Results {
    /// Returns what this end tells of its figures, with those of UDP from elsewhere.
    #[must_use]
    pub fn new(summary: &SideSummary, datagrams: &BTreeMap<FlowId, Datagrams>) -> Self {
        let stream = |flow: &FlowSummary| StreamResult {
            flow: flow.flow,
            bytes: flow.bytes,
            retransmits: flow.retransmits.filter(|_| flow.role == Role::Sender),
            datagrams: datagrams.get(&flow.flow).copied().unwrap_or_default(),
            duration: flow.duration,
        };
        let (user, system) = summary.cpu.map_or((0.0, 0.0), |cpu| cpu.percent());
        Self {
            cpu: CpuPercent { total: user + system, user, system },
            sender_has_retransmits: summary
                .total(Role::Sender)
                .map(|_| summary.retransmits().is_some()),
            congestion: summary.flows.iter().find_map(|flow| flow.path.congestion.clone()),
            streams: summary.flows.iter().map(stream).collect(),
            output: None,
        }
    }

    /// Reads the text that the other end has sent.
    ///
    /// # Errors
    ///
    /// [`BadResults`] if something that iperf3 requires is not there.
    pub fn parse(text: &[u8]) -> Result<Self, BadResults> {
        read::read(text)
    }

    /// Returns the text to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (text, json) = match &self.output {
            None => (None, None),
            Some(Output::Text(text)) => (Some(text.as_str()), None),
            Some(Output::Json(text)) => (None, RawValue::from_string(text.clone()).ok()),
        };
        wire::text(&ResultsText {
            cpu_util_total: finite(self.cpu.total),
            cpu_util_user: finite(self.cpu.user),
            cpu_util_system: finite(self.cpu.system),
            sender_has_retransmits: self.sender_has_retransmits.map_or(-1, i8::from),
            congestion_used: self.congestion.as_deref(),
            server_output_json: json,
            server_output_text: text,
            streams: self.streams.iter().map(StreamResult::text).collect(),
        })
    }

    /// Checks that all streams are of this test.
    ///
    /// # Errors
    ///
    /// [`BadResults::Stream`] with the number on the wire of one that is not.
    pub fn check(&self, spec: &TestSpec) -> Result<(), BadResults> {
        let known = 1..=spec.flows();
        match self.streams.iter().find(|stream| !known.contains(&stream.flow.0)) {
            Some(stranger) => Err(BadResults::Stream(i64::from(id_of(stranger.flow)))),
            None => Ok(()),
        }
    }

    /// Returns the figures of `side`, which has sent them, as every dialect has them. Streams that
    /// the test does not have are left out; of several figures of one stream, the last count.
    #[must_use]
    pub fn summary(&self, spec: &TestSpec, side: Side) -> SideSummary {
        let flow = |stream: &StreamResult| {
            let role = spec.role(side, stream.flow)?;
            let mut summary = stream.summary(role, spec);
            summary.path.congestion.clone_from(&self.congestion);
            Some((stream.flow, summary))
        };
        let flows: BTreeMap<_, _> = self.streams.iter().filter_map(flow).collect();
        let wall = flows.values().map(|flow| flow.duration).max().filter(|wall| !wall.is_zero());
        SideSummary {
            flows: flows.into_values().collect(),
            cpu: wall.map(|wall| self.cpu.over(wall)),
        }
    }
}

impl CpuPercent {
    fn over(self, wall: Duration) -> CpuUse {
        let part = |percent: f64| {
            let seconds = wall.as_secs_f64() * finite(percent) / 100.0;
            Duration::try_from_secs_f64(seconds).unwrap_or_default()
        };
        CpuUse { user: part(self.user), system: part(self.system), wall, scope: CpuScope::Process }
    }
}

impl StreamResult {
    fn summary(&self, role: Role, spec: &TestSpec) -> FlowSummary {
        let udp = spec.transport == UDP;
        let (sent, received) = self.datagrams_of(role, spec);
        FlowSummary {
            flow: self.flow,
            role,
            bytes: self.bytes,
            omitted_bytes: 0,
            duration: self.duration,
            retransmits: self.retransmits.filter(|_| role == Role::Sender),
            packets_lost: None,
            congestion_events: None,
            window_blocked: None,
            rtt: None,
            max_cwnd: None,
            datagrams_sent: sent.filter(|_| udp),
            datagrams: received.filter(|_| udp),
            lateness: None,
            pacing: None,
            exchanges: None,
            path: polyperf_transport::PathStats::default(),
            settings: Vec::new(),
            error: None,
        }
    }

    fn text(&self) -> StreamText {
        let Datagrams { packets, lost, jitter, omitted, .. } = self.datagrams;
        let omitted = omitted.unwrap_or_default();
        StreamText {
            id: id_of(self.flow),
            bytes: self.bytes,
            retransmits: self.retransmits.and_then(|n| n.try_into().ok()).unwrap_or(-1),
            jitter: jitter.as_secs_f64(),
            errors: lost.saturating_add(omitted.lost),
            omitted_errors: omitted.lost,
            packets: packets.saturating_add(omitted.packets),
            omitted_packets: omitted.packets,
            start_time: 0,
            end_time: self.duration.as_secs_f64(),
        }
    }
}

impl BadResults {
    /// Returns the code to tell the client.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Stream(_) => ErrorCode::StreamId,
            Self::Text(_) | Self::Missing(_) => ErrorCode::ReceiveResults,
        }
    }
}

/// Returns iperf3's number of a stream: it never uses 2.
fn id_of(FlowId(flow): FlowId) -> u32 {
    u32::from(flow) + u32::from(flow >= 2)
}

fn finite(percent: f64) -> f64 {
    if percent.is_finite() { percent.clamp(0.0, MAX_PERCENT) } else { 0.0 }
}

/// As parameters call the transport.
const UDP: &str = "udp";
/// More than any machine has processors.
const MAX_PERCENT: f64 = 1e6;
