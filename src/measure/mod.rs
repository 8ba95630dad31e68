//! What is counted, and how counts become figures. Pure: no input or output, no clock.
//!
//! Goodput is what the *receiver* counted. What the sender counted stands beside it and is never
//! called throughput. Both ends' figures are kept, and neither is taken for the other.

mod clocks;
mod datagram;
mod exchanges;
mod histogram;
mod jitter;
mod latency;
mod lateness;
mod one_way;
mod pacing;
mod pairing;
mod quality;
mod sample;
mod sequence;
mod stamp;
mod summary;

pub use self::{
    clocks::{Clocks, Drift, RoundTrip, Tie},
    datagram::DatagramHeader,
    exchanges::ExchangeSummary,
    jitter::Delays,
    latency::{Latencies, LatencySummary},
    lateness::Lateness,
    one_way::{OneWay, OneWayMissing, OneWaySummary, Part, TiedBy},
    pacing::{Pacing, Slips},
    pairing::Pairing,
    quality::{DatagramSummary, LatenessSummary, PacingSummary, SizeSummary, VariationSummary},
    sample::{FlowSample, Interval, Sample},
    sequence::{Arrival, DatagramCounts, LossRuns, Sequence, Window},
    stamp::Stamp,
    summary::{CpuScope, CpuUse, FlowSummary, RttSummary, SideSummary, bits_per_second},
};

pub(crate) use self::summary::sum_once;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stream of a test, numbered from 1 in the order of opening.
///
/// Where both ends send, the client's streams come first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct FlowId(pub u16);

/// What one end does on a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It sends.
    Sender,
    /// It receives.
    Receiver,
    /// It asks, beside the load, and so is no part of it.
    Prober,
    /// It answers who asks beside the load.
    Probed,
}

impl Role {
    /// Returns whether a flow with this role is a part of the load, which totals are of.
    #[must_use]
    pub fn is_of_load(self) -> bool {
        matches!(self, Self::Sender | Self::Receiver)
    }

    /// Returns whether what this end sends on the flow is what is counted.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::Sender | Self::Prober)
    }
}
