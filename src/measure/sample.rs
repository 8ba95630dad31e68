use std::time::Duration;

use polyperf_transport::PathStats;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DatagramSummary, FlowId, Role};
use crate::micros;

/// What one end counted in one interval.
///
/// Times are since the test's start on that end's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Number of the interval, from 0.
    pub index: u32,
    /// When it began.
    #[serde(rename = "start_us", with = "micros")]
    #[schemars(with = "u64")]
    pub start: Duration,
    /// When it ended.
    #[serde(rename = "end_us", with = "micros")]
    #[schemars(with = "u64")]
    pub end: Duration,
    /// Whether it lies in the time that the totals leave out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub omitted: bool,
    /// Each flow's counts.
    pub flows: Vec<FlowSample>,
}

impl Sample {
    /// Returns the interval's length.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// Returns the counts of `flow`.
    #[must_use]
    pub fn flow(&self, flow: FlowId) -> Option<&FlowSample> {
        self.flows.iter().find(|sample| sample.flow == flow)
    }
}

/// What one end counted on one flow in one interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowSample {
    /// The flow.
    pub flow: FlowId,
    /// Whether this end sent or received on it.
    pub role: Role,
    /// Bytes sent or received in the interval.
    pub bytes: u64,
    /// Retransmissions in the interval; `None` where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Packets that were given up as lost in the interval, where this end sends and knows them:
    /// those of the connection, where streams share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets_lost: Option<u64>,
    /// The path's figures at the end of the interval, where this end sends; without what protects
    /// it, which does not change and is told with the totals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathStats>,
    /// Datagrams sent in the interval, where this end sends datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams_sent: Option<u64>,
    /// What became of datagrams in the interval, where this end receives datagrams. A loss that is
    /// taken back later lowers a later interval, so the totals alone are exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<DatagramSummary>,
}

/// One interval as both ends saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// What this end counted.
    pub local: Sample,
    /// What the other end counted; `None` if it did not say in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<Sample>,
}

impl Interval {
    /// Returns what the end that has this role on `flow` counted, and over how long.
    #[must_use]
    pub fn seen_by(&self, role: Role, flow: FlowId) -> Option<(&FlowSample, Duration)> {
        [Some(&self.local), self.remote.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|sample| Some((sample.flow(flow)?, sample.duration())))
            .find(|(counted, _)| counted.role == role)
    }
}
