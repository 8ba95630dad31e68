use std::time::Duration;

use polyperf_transport::{PathStats, Setting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DatagramSummary, FlowId, LatenessSummary, Role};
use crate::micros;

/// What one end counted over a whole test, without what it omits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideSummary {
    /// Each flow's totals, in the order of their numbers.
    pub flows: Vec<FlowSummary>,
    /// Processor time that the test cost this end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuUse>,
}

/// What one end counted on one flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowSummary {
    /// The flow.
    pub flow: FlowId,
    /// Whether this end sent or received on it.
    pub role: Role,
    /// Bytes handed to the transport, or received from it.
    pub bytes: u64,
    /// Bytes of the omitted time, which `bytes` does not contain.
    #[serde(default)]
    pub omitted_bytes: u64,
    /// From the end of the omitted time to the end of the flow, which for a receiver whose test a
    /// count ended is the last byte.
    #[serde(rename = "duration_us", with = "micros")]
    #[schemars(with = "u64")]
    pub duration: Duration,
    /// Retransmissions in that time; `None` where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmits: Option<u64>,
    /// Round-trip times as sampled at each interval, where this end sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt: Option<RttSummary>,
    /// Largest congestion window sampled, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cwnd: Option<u64>,
    /// Datagrams sent, where this end sends datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams_sent: Option<u64>,
    /// What became of datagrams, where this end receives datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<DatagramSummary>,
    /// How well this end kept its own schedule, where it sends at a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<LatenessSummary>,
    /// The path's figures at the end.
    #[serde(default)]
    pub path: PathStats,
    /// What was set on the stream at this end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// Why the flow ended before the test did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Round-trip times over a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RttSummary {
    /// The smallest.
    #[serde(rename = "min_us", with = "micros")]
    #[schemars(with = "u64")]
    pub min: Duration,
    /// The mean of the samples.
    #[serde(rename = "mean_us", with = "micros")]
    #[schemars(with = "u64")]
    pub mean: Duration,
    /// The largest.
    #[serde(rename = "max_us", with = "micros")]
    #[schemars(with = "u64")]
    pub max: Duration,
}

/// Processor time that one end spent on one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CpuUse {
    /// In the program.
    #[serde(rename = "user_us", with = "micros")]
    #[schemars(with = "u64")]
    pub user: Duration,
    /// In the kernel on its behalf.
    #[serde(rename = "system_us", with = "micros")]
    #[schemars(with = "u64")]
    pub system: Duration,
    /// The time over which it was spent.
    #[serde(rename = "wall_us", with = "micros")]
    #[schemars(with = "u64")]
    pub wall: Duration,
    /// What was counted.
    pub scope: CpuScope,
}

/// Whose processor time a [`CpuUse`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CpuScope {
    /// The threads that moved this test's bytes, and no other test's.
    DataThreads,
    /// The whole process, with whatever else it did.
    Process,
}

impl SideSummary {
    /// Returns the flows on which this end had `role`.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &FlowSummary> {
        self.flows.iter().filter(move |flow| flow.role == role)
    }

    /// Returns all bytes of the flows with `role`, and the longest of their durations; `None` if
    /// there is no such flow.
    #[must_use]
    pub fn total(&self, role: Role) -> Option<(u64, Duration)> {
        let duration = self.with_role(role).map(|flow| flow.duration).max()?;
        // The other end's figures may be anything; a sum beyond measure is no reason to panic.
        let bytes = self.with_role(role).map(|flow| flow.bytes).fold(0, u64::saturating_add);
        Some((bytes, duration))
    }

    /// Returns the retransmissions of all flows on which this end sends; `None` if one is unknown.
    #[must_use]
    pub fn retransmits(&self) -> Option<u64> {
        self.total(Role::Sender)?;
        self.with_role(Role::Sender)
            .try_fold(0, |sum: u64, flow| Some(sum.saturating_add(flow.retransmits?)))
    }
}

impl CpuUse {
    /// Returns the use in percent of one processor: user, system.
    #[must_use]
    pub fn percent(&self) -> (f64, f64) {
        let wall = self.wall.as_secs_f64();
        if wall <= 0.0 {
            return (0.0, 0.0);
        }
        (self.user.as_secs_f64() / wall * 100.0, self.system.as_secs_f64() / wall * 100.0)
    }
}

/// Returns bytes over time as bits per second; `None` over no time at all.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any test moves")]
pub fn bits_per_second(bytes: u64, duration: Duration) -> Option<f64> {
    (!duration.is_zero()).then(|| bytes as f64 * 8.0 / duration.as_secs_f64())
}
