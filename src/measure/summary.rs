use std::time::Duration;

use polyperf_transport::{PathStats, Setting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DatagramSummary, ExchangeSummary, FlowId, LatenessSummary, PacingSummary, Role};
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
    /// Packets that were given up as lost in that time, where this end sends.
    ///
    /// This and what follows is the connection's where streams share one
    /// ([`PathStats::connection`]): it must not be added up over them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packets_lost: Option<u64>,
    /// How often congestion control has answered to loss or marks in that time, where this end
    /// sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion_events: Option<u64>,
    /// How often the receiver's window held this end back in that time, where this end sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_blocked: Option<u64>,
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
    /// How closely this end kept to its rate, where it sends at one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pacing: Option<PacingSummary>,
    /// What became of requests, where this end asked on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanges: Option<Box<ExchangeSummary>>,
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
    /// Those of a connection that flows share are counted once.
    #[must_use]
    pub fn retransmits(&self) -> Option<u64> {
        self.of_senders(|flow| flow.retransmits)
    }

    /// Returns the lost packets of all flows on which this end sends, as
    /// [`retransmits`](Self::retransmits).
    #[must_use]
    pub fn packets_lost(&self) -> Option<u64> {
        self.of_senders(|flow| flow.packets_lost)
    }

    fn of_senders(&self, figure: fn(&FlowSummary) -> Option<u64>) -> Option<u64> {
        self.total(Role::Sender)?;
        let flows = self.with_role(Role::Sender);
        sum_once(flows.map(|flow| (flow.path.connection, figure(flow))))
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

/// Returns figures added up, those of each connection once; `None` if one is unknown.
///
/// Flows of one connection were looked at one after another, so that their figures may differ a
/// little. The first that is known stands for all, over every interval and the whole test alike.
pub(crate) fn sum_once(figures: impl Iterator<Item = (Option<u64>, Option<u64>)>) -> Option<u64> {
    let mut shared: Vec<(u64, Option<u64>)> = Vec::new();
    let mut sum = Some(0u64);
    let mut add = |figure: Option<u64>| {
        sum = sum.zip(figure).map(|(sum, figure)| sum.saturating_add(figure));
    };
    for (connection, figure) in figures {
        let Some(connection) = connection else {
            add(figure);
            continue;
        };
        match shared.iter_mut().find(|(known, _)| *known == connection) {
            Some((_, first)) => *first = first.or(figure),
            None => shared.push((connection, figure)),
        }
    }
    shared.into_iter().for_each(|(_, figure)| add(figure));
    sum
}

/// Returns bytes over time as bits per second; `None` over no time at all.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "2^53 bytes are more than any test moves")]
pub fn bits_per_second(bytes: u64, duration: Duration) -> Option<f64> {
    (!duration.is_zero()).then(|| bytes as f64 * 8.0 / duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(figures: &[(Option<u64>, Option<u64>)]) -> Option<u64> {
        sum_once(figures.iter().copied())
    }

    #[test]
    fn a_connection_that_flows_share_is_counted_once() {
        assert_eq!(sum(&[(Some(7), Some(3)), (Some(7), Some(4)), (Some(8), Some(5))]), Some(8));
        assert_eq!(sum(&[(None, Some(3)), (None, Some(3))]), Some(6), "each has its own path");
        assert_eq!(sum(&[(Some(7), None), (Some(7), Some(4))]), Some(4), "it is the same figure");
    }

    #[test]
    fn a_sum_that_lacks_a_part_is_unknown_and_one_beyond_measure_is_the_largest() {
        assert_eq!(sum(&[(Some(7), Some(3)), (Some(8), None)]), None);
        assert_eq!(sum(&[(None, None), (None, Some(1))]), None);
        assert_eq!(sum(&[(None, Some(u64::MAX)), (Some(0), Some(1))]), Some(u64::MAX));
    }
}
