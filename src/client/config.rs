use std::{net::IpAddr, path::PathBuf, time::Duration};

use polyperf_transport::KeepAlive;

use super::ControlTls;
use crate::{
    auth::{ClientProof, Credentials},
    engine::Drive,
    lab::Passage,
    protocol::native::Deadlines,
    registry::Registry,
    spec::TestSpec,
};

/// The port that everything listens on, as iperf3's users know it.
pub const DEFAULT_PORT: u16 = 5201;

/// Which test to run, and against whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// A host name or an address; IPv6 without brackets, with a zone where it needs one.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The test.
    pub spec: TestSpec,
    /// The only address family to use; `None` tries every address that the name has.
    pub family: Option<Family>,
    /// The local address of every connection.
    pub bind: Option<IpAddr>,
    /// The local port of the first data stream; the n-th takes this plus n.
    pub client_port: Option<u16>,
    /// How long resolving, connecting and the server's first word may take together.
    pub connect_timeout: Duration,
    /// How long to wait in a full server's queue; zero gives up at once.
    pub queue_timeout: Duration,
    /// The transports to choose from.
    pub transports: Registry,
    /// The transport of the control connection; `None` leaves it to the one that is measured.
    pub control: Option<String>,
    /// Speak the protocol `perf` (draft-banks-quic-performance-00) to servers that need not be
    /// polyperf's, over transports that know it. There is no control connection then.
    pub perf: bool,
    /// Who the client is, for servers that ask.
    pub auth: Option<Credentials>,
    /// What the client proves itself with, and of a key that both know, the server, too.
    pub proof: Option<ClientProof>,
    /// Runs the control connection inside TLS, where its transport does not protect it already.
    pub tls: Option<ControlTls>,
    /// When a silent server's control connection is asked whether it is there.
    pub keep_alive: Option<KeepAlive>,
    /// The processor that the data threads keep to.
    pub affinity: Option<u16>,
    /// The file whose bytes are sent, or that what is received is written to.
    pub file: Option<PathBuf>,
    /// Where the tasks that move bytes run.
    pub drive: Drive,
    /// How long each step of the control protocol may take.
    pub deadlines: Deadlines,
    /// The emulated link that the test crosses, which begins anew with it.
    pub passage: Option<Passage>,
    /// Whether to keep each interval for [`Outcome::intervals`](crate::outcome::Outcome).
    pub keep_intervals: bool,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Config {
    /// Returns the configuration for `spec` against `host`, with every default.
    #[must_use]
    pub fn new(host: impl Into<String>, spec: TestSpec) -> Self {
        Self {
            host: host.into(),
            port: DEFAULT_PORT,
            spec,
            family: None,
            bind: None,
            client_port: None,
            connect_timeout: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(600),
            transports: Registry::standard(),
            control: None,
            perf: false,
            auth: None,
            proof: None,
            tls: None,
            keep_alive: None,
            affinity: None,
            file: None,
            drive: Drive::Threads,
            deadlines: Deadlines::default(),
            passage: None,
            keep_intervals: true,
        }
    }
}
