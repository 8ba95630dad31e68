//! What a test came to: who took part, what each end counted, and how it ended.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    lab::LinkReport,
    measure::{FlowId, Interval, Role, SideSummary},
    micros,
    spec::TestSpec,
};

/// An end of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The end that asked for the test.
    Client,
    /// The end that serves it.
    Server,
}

/// The control protocol that a test ran under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// polyperf's own.
    Native,
    /// iperf3's.
    Iperf3,
    /// None: each stream asks for itself, as in draft-banks-quic-performance-00.
    Perf,
}

/// What is known of a test once its streams are open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TestInfo {
    /// The session's name, unique on its server.
    pub session: String,
    /// Which end tells.
    pub side: Side,
    /// The control protocol.
    pub dialect: Dialect,
    /// The test, as both ends agreed on it.
    pub spec: TestSpec,
    /// What the server changed in the test that was asked for, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// When the test started, since the Unix epoch.
    #[serde(rename = "started_us", with = "micros")]
    #[schemars(with = "u64")]
    pub started: Duration,
    /// This end of the control connection.
    pub local: SocketAddr,
    /// The other end of the control connection.
    pub peer: SocketAddr,
    /// The host that the user named, at the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Who the client has proved to be, at a server that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// This end's program and machine.
    pub local_host: HostInfo,
    /// The other end's program and machine.
    pub peer_host: HostInfo,
    /// The streams, in the order of their numbers.
    pub flows: Vec<FlowInfo>,
}

/// A stream of a test, seen from one end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowInfo {
    /// Its number.
    pub flow: FlowId,
    /// What this end does on it.
    pub role: Role,
    /// Whether it carries datagrams, each of which is counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub datagrams: bool,
    /// This end's address.
    pub local: SocketAddr,
    /// The other end's address.
    pub peer: SocketAddr,
}

/// A program and the machine that it runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostInfo {
    /// Name and version of the program: `polyperf 0.1.0`.
    pub program: String,
    /// Operating system, host name, kernel and architecture, as `uname -a` has them.
    pub system: String,
    /// The processor's model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// How many processors the program may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<u16>,
}

/// A test that has something to show, whether or not it ran to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Who took part, and in what.
    pub info: Arc<TestInfo>,
    /// Each interval. A server keeps none unless it was asked for its output.
    pub intervals: Vec<Arc<Interval>>,
    /// What this end counted.
    pub local: SideSummary,
    /// What the other end counted; `None` if it was lost before it could say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SideSummary>,
    /// How the test ended.
    pub ended: Ended,
    /// The server's own report, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_output: Option<String>,
    /// The emulated link that the test crossed, if it was one, at the end that set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<LinkReport>>,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ended {
    /// It ran to its end, and both ends told their results.
    Complete,
    /// One end was told to stop; what was counted until then stands.
    Stopped {
        /// The end that was told.
        by: Side,
        /// Why, in words.
        reason: String,
    },
    /// Something failed; what was counted until then stands.
    Failed(Failure),
}

/// Why a test has nothing, or not everything, to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure, for programs.
    pub code: FailureCode,
    /// What was tried, with which value, why it failed and what to do, for people.
    pub message: String,
    /// When to try again, where that may help.
    #[serde(
        rename = "retry_after_us",
        default,
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub retry_after: Option<Duration>,
}

/// Kinds of failure, sorted by what the caller can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCode {
    /// The server, or a stream to it, could not be reached.
    Connect,
    /// The server has no room; try again later.
    Busy,
    /// The server is about to stop; try again later, or elsewhere.
    Draining,
    /// The server does not permit this test; ask for less.
    Denied,
    /// The test, or an option of it, is not possible here; ask for another.
    Unsupported,
    /// The other end did not follow the protocol.
    Protocol,
    /// The other end fell silent, or its connection broke.
    PeerLost,
    /// The other end is there, but did not do the next step in its time.
    Timeout,
    /// No data arrived for too long, though control works.
    Stalled,
    /// A stream failed in the middle of the test.
    Stream,
    /// A file of this end cannot be read or written.
    LocalIo,
    /// The caller gave up before there was anything to show.
    Cancelled,
    /// A defect of the program itself.
    Internal,
}

impl Failure {
    /// Returns a failure that no waiting will mend.
    #[must_use]
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }
}

impl Outcome {
    /// Returns the summary of the end that has `role` on this flow.
    #[must_use]
    pub fn flow(&self, flow: FlowId, role: Role) -> Option<&crate::measure::FlowSummary> {
        [Some(&self.local), self.remote.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|side| &side.flows)
            .find(|summary| summary.flow == flow && summary.role == role)
    }

    /// Returns the summary of `side`.
    #[must_use]
    pub fn side(&self, side: Side) -> Option<&SideSummary> {
        if side == self.info.side { Some(&self.local) } else { self.remote.as_ref() }
    }

    /// Returns the goodput towards `receiver` in bits per second: what that end counted over the
    /// time in which it counted. `None` if it received nothing in this test, or did not say.
    #[must_use]
    pub fn goodput(&self, receiver: Side) -> Option<f64> {
        let (bytes, duration) = self.side(receiver)?.total(Role::Receiver)?;
        crate::measure::bits_per_second(bytes, duration)
    }
}

impl Side {
    /// Returns the other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
