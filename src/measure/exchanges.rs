use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LatencySummary, OneWayMissing, OneWaySummary};

/// What became of the requests of one flow, as the end that asked counted them, without what the
/// test omits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExchangeSummary {
    /// Requests that were sent, and those that were due on a schedule and never went.
    pub requests: u64,
    /// Responses that came in time, whole.
    pub replies: u64,
    /// Requests whose response did not come in time.
    pub lost: u64,
    /// Connections that could not be made, where each exchange has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Connections that resumed an earlier session, where the transport has such a thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<u64>,
    /// Connections whose first request went before the handshake was over, and was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early: Option<u64>,
    /// From when a request was sent, or was due where there is a schedule, to the last byte of its
    /// response; where each exchange has a connection of its own, from the first packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySummary>,
    /// The same before the load began, where the requests probe a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<LatencySummary>,
    /// How long connections took to make, where each exchange has one of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<LatencySummary>,
    /// How long requests took to the server and responses from it, where the server tells of its
    /// clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_way: Option<OneWaySummary>,
    /// Why there is no `one_way`, though responses came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_way_missing: Option<OneWayMissing>,
}

impl ExchangeSummary {
    /// Leaves out the distributions, and keeps their quantiles.
    pub(crate) fn forget_distributions(&mut self) {
        let summaries = [&mut self.latency, &mut self.idle, &mut self.connect];
        let ways = self.one_way.as_mut().map(OneWaySummary::distributions);
        for summary in summaries.into_iter().chain(ways.into_iter().flatten()).flatten() {
            summary.histogram.clear();
        }
    }
}
