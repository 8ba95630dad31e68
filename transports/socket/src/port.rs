mod attendant;
mod counts;
mod dispatcher;
mod flow;
mod ports;
mod quic;
mod receiving;
mod shared;
mod table;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use quinn_udp::{EcnCodepoint, RecvMeta};

pub(crate) use self::shared::Lease;
pub use self::{
    counts::PortCounts,
    flow::Flow,
    ports::{PortShare, UdpPorts},
    quic::QuicPort,
};
use crate::DEFAULT_BUFFERS;

/// What a port allows.
#[derive(Debug, Clone)]
pub struct PortOptions {
    /// Gives each flow a connected socket of its own. Where the platform has no such thing, or this
    /// is off, all flows share the port's socket, and are told apart here.
    pub own_sockets: bool,
    /// The most flows at a time.
    pub max_flows: usize,
    /// The most flows that are opened in a second.
    pub max_flows_per_second: u32,
    /// For how long the datagrams of a flow that has ended are still known as such.
    pub linger: Duration,
    /// The buffers to ask for, for the port's socket and each flow's.
    pub buffers: NonZeroU32,
}

impl Default for PortOptions {
    fn default() -> Self {
        Self {
            own_sockets: cfg!(target_os = "linux"),
            max_flows: 1024,
            max_flows_per_second: 2000,
            linger: Duration::from_secs(3),
            buffers: DEFAULT_BUFFERS,
        }
    }
}

/// One that knows its own datagrams among those that no flow claims.
pub trait Protocol: std::fmt::Debug + Send + Sync + 'static {
    /// Returns its name, of which there is one on a port.
    fn name(&self) -> &'static str;

    /// Says what to do about a datagram. It must be quick, and it must not wait.
    fn judge(&self, arrival: &Arrival<'_>) -> Judgement;

    /// Takes a flow that it has wanted [open](Judgement::Open), and what came first.
    fn opened(&self, flow: Flow, arrival: &Arrival<'_>);

    /// Hears that a flow could not be opened.
    fn failed(&self, error: io::Error);
}

/// A datagram from a source that has no flow.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Where it claims to come from.
    pub peer: SocketAddr,
    /// The address that it was sent to, where the platform says.
    pub destination: Option<IpAddr>,
    /// Its bytes, of which there is at least one.
    pub bytes: &'a [u8],
    /// The flow that this source had until a moment ago.
    pub ended: Option<Tag>,
}

/// What a protocol calls a flow, by which a repeated opening can be told from a new one.
pub type Tag = [u8; 16];

/// What to do about an [`Arrival`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is another protocol's, or nobody's.
    Foreign,
    /// The protocol has taken what it needs, and looks after the rest itself.
    Taken,
    /// It is this protocol's, and unwanted.
    Drop,
    /// This is sent back, unless it is longer than what came.
    Answer(Vec<u8>),
    /// A flow is opened.
    Open(Tag),
}

/// Datagrams that came together, on their way to a flow.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) stride: usize,
    /// Whether the network has marked them.
    pub(crate) marked: bool,
}

impl Parcel {
    pub(crate) fn new(bytes: &[u8], stride: usize) -> Self {
        Self { bytes: bytes.into(), stride, marked: false }
    }

    /// Says what the network has done to them.
    pub(crate) fn with(self, ecn: Option<EcnCodepoint>) -> Self {
        Self { marked: ecn == Some(EcnCodepoint::Ce), ..self }
    }
}

/// Where datagrams that came together came from, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// As the kernel writes it.
    pub(crate) source: SocketAddr,
    pub(crate) destination: Option<IpAddr>,
    pub(crate) ecn: Option<EcnCodepoint>,
}

impl From<&RecvMeta> for Origin {
    fn from(meta: &RecvMeta) -> Self {
        Self { source: meta.addr, destination: meta.dst_ip, ecn: meta.ecn }
    }
}

/// Datagrams that were read by somebody whom they do not concern.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) origin: Origin,
    pub(crate) parcel: Parcel,
    /// Whether everything from this source waits for what is found about this.
    pub(crate) asked: bool,
}

/// Returns whether a datagram that begins with `first` is QUIC's, if no flow claims it (RFC 9443;
/// RFC 9000 §17.2, §17.3).
fn is_quic(first: u8) -> bool {
    first & 0x40 != 0
}

/// Returns an address without its flow label, which may change while the peer stays the same.
fn plain(mut addr: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(addr) = &mut addr {
        addr.set_flowinfo(0);
    }
    addr
}

/// Long enough that an error that stays does not take a processor.
const AFTER_ERROR: Duration = Duration::from_millis(1);
