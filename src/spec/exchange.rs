use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::micros;

/// What the streams of a test do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Workload {
    /// They carry as much as they can, or as they may, in the test's direction.
    #[default]
    Bulk,
    /// The client asks and the server answers, again and again on the same streams.
    Rr(Exchange),
    /// The client connects, asks once, is answered and closes, again and again; each stream of the
    /// test stands for one connection at a time.
    Churn(Exchange),
}

/// Requests and responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Bytes of a request.
    pub request: u32,
    /// Bytes of its response.
    pub response: u32,
    /// Requests under way at once on each stream; of connections that are closed after each, 1.
    pub in_flight: u16,
    /// Requests a second on each stream, on a schedule that does not wait for responses: latency is
    /// counted from when a request was due. `None`: the next one goes when a response has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
}

/// Requests on a flow of their own, to tell how long one takes while others are busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// From one request to the next.
    #[serde(rename = "every_us", with = "micros")]
    #[schemars(with = "u64")]
    pub every: Duration,
    /// How long it probes before the load begins; the test omits that time.
    #[serde(rename = "idle_us", with = "micros")]
    #[schemars(with = "u64")]
    pub idle: Duration,
    /// Bytes of a request, and of its response.
    pub size: u32,
}

impl Workload {
    /// Returns whether the streams carry bulk.
    #[must_use]
    pub fn is_bulk(&self) -> bool {
        *self == Self::Bulk
    }

    /// Returns what is exchanged, if requests and responses are.
    #[must_use]
    pub fn exchange(&self) -> Option<Exchange> {
        match self {
            Self::Bulk => None,
            Self::Rr(exchange) | Self::Churn(exchange) => Some(*exchange),
        }
    }
}

impl Default for Exchange {
    /// A request of 64 bytes and a response of 64, one at a time.
    fn default() -> Self {
        Self { request: 64, response: 64, in_flight: 1, per_second: None }
    }
}

impl Default for Probe {
    /// A hundred probes of 64 bytes a second, for a second before the load begins.
    fn default() -> Self {
        Self { every: Duration::from_millis(10), idle: Duration::from_secs(1), size: 64 }
    }
}
