use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    measure::{FlowId, Sample, SideSummary},
    micros,
    outcome::{Ended, Failure, HostInfo},
    protocol::auth::SealedToken,
    protocol::native::{Challenge, Prove},
    spec::TestSpec,
};

/// A message of the control protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Message {
    /// Server: who I am and what I can do.
    Welcome(Welcome),
    /// Client: the test that I want.
    Propose(Box<Propose>),
    /// Client: the same, and who I am.
    Prove(Box<Prove>),
    /// Server: you are in the queue.
    Busy(Busy),
    /// Server: the test, as it will be run. Open its streams.
    Agree(Box<Agree>),
    /// Server: all streams are open, go.
    Start,
    /// Both: I am still here, and have received so many bytes.
    Ping {
        /// Bytes received since the start, over all flows.
        received: u64,
    },
    /// Both: what I counted in an interval.
    Progress(Sample),
    /// Both: I have sent everything on my flows.
    Sent(Vec<Sent>),
    /// Both: stop now; let us exchange what we have.
    Stop(Ended),
    /// Both, the client first: what I counted in all.
    Results(Box<Results>),
    /// Client: I have your results. The end.
    Bye,
    /// Both: I cannot go on. The end.
    Fail(Failure),
}

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The server's program and machine.
    pub host: HostInfo,
    /// The transports that it offers.
    pub transports: Vec<TransportInfo>,
    /// What it permits.
    pub limits: Limits,
    /// What it asks of clients that can prove who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
}

/// A transport that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportInfo {
    /// Its name.
    pub name: String,
    /// The port that it listens on.
    pub port: u16,
    /// What the client can know its listener by: the fingerprint of a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// What a server permits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The longest test.
    #[serde(
        rename = "max_duration_us",
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_duration: Option<Duration>,
    /// The rate of all tests together, in bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate: Option<u64>,
}

/// The test that a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propose {
    /// The client's program and machine.
    pub host: HostInfo,
    /// The test.
    pub spec: TestSpec,
    /// Whether the client would rather be refused than wait.
    #[serde(default)]
    pub no_queue: bool,
    /// Who the client is, where the server lets in only whom it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<SealedToken>,
}

/// A place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// 1 is next.
    pub position: u32,
    /// When the server expects to have room, if it can tell.
    #[serde(
        rename = "retry_after_us",
        default,
        with = "micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Duration>,
}

/// The test, as it will be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agree {
    /// The session's name, for people.
    pub session: String,
    /// What proves that a stream belongs to it: 24 characters of `a-z2-7`.
    pub token: String,
    /// The port to open the streams to.
    pub port: u16,
    /// The test, with every value that the server has filled in or lowered.
    pub spec: TestSpec,
    /// What the server changed, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The server's proof that it knows the key with which the client has proved itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// What was sent on a flow in all, with what the totals omit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The flow.
    pub flow: FlowId,
    /// Bytes that its sender handed to the transport.
    pub bytes: u64,
    /// Datagrams that it handed to the transport, where the transport carries datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datagrams: Option<u64>,
}

/// What one end counted in all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The figures.
    pub summary: SideSummary,
    /// The server's report as text, if the client asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}
