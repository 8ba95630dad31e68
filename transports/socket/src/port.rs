mod attendant;
mod counts;
mod dispatcher;
mod flow;
mod table;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use polyperf_transport::Sockets;
use tokio::{
    io::Interest,
    sync::{Notify, mpsc, oneshot},
};

use self::{counts::Counts, dispatcher::Dispatcher, table::Table};
pub use self::{counts::PortCounts, flow::Flow};
use crate::{DEFAULT_BUFFERS, DatagramSocket, canonical, sys, wait};

/// One UDP port for many flows, of several protocols.
///
/// A socket of its own takes what nobody else claims. A datagram from a source that has a flow goes
/// to that flow; any other is shown to the protocols in turn, and dropped, counted and unanswered
/// unless one of them wants it. A flow gets a socket of its own, on the same port and connected to
/// the peer, which the kernel prefers; so the shared socket carries the first datagrams alone.
/// Those that came too early or too late to be told apart by the kernel are passed on, both ways.
///
/// Dropping it ends the dispatcher. Open flows live on.
#[derive(Debug)]
pub struct UdpPort {
    local: SocketAddr,
    shared: Arc<Shared>,
    _open: oneshot::Sender<()>,
}

impl UdpPort {
    /// Binds `addr`, and has `protocols` judge what comes, on the current runtime.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::AddrInUse`] if anybody has the port, or any flow of
    /// it is still open.
    pub fn bind(
        sockets: &Arc<dyn Sockets>,
        addr: SocketAddr,
        options: PortOptions,
        protocols: Vec<Arc<dyn Protocol>>,
    ) -> io::Result<Self> {
        let socket = sockets.udp(addr)?;
        let local = socket.local_addr()?;
        let own_sockets = options.own_sockets && share(&socket, sockets, local).is_ok();
        let socket = Arc::new(DatagramSocket::new(socket)?);
        socket.force_buffers(options.buffers)?;
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(&options, Instant::now())),
            counts: Counts::default(),
            idle: Notify::new(),
        });
        let (open, closed) = oneshot::channel();
        let (strays, found) = mpsc::channel(STRAYS);
        let dispatcher = Dispatcher {
            watched: wait::watch(&socket, Interest::READABLE)?,
            socket,
            sockets: Arc::clone(sockets),
            local,
            options: PortOptions { own_sockets, ..options },
            protocols,
            shared: Arc::clone(&shared),
            strays,
        };
        tokio::spawn(dispatcher.run(found, closed));
        Ok(Self { local: canonical(local), shared, _open: open })
    }

    /// Returns the address that peers send to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Returns what has been opened and dropped so far.
    #[must_use]
    pub fn counts(&self) -> PortCounts {
        self.shared.counts.read(self.shared.table().len())
    }
}

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
}

impl Parcel {
    pub(crate) fn new(bytes: &[u8], stride: usize) -> Self {
        Self { bytes: bytes.into(), stride }
    }
}

/// Datagrams found in the socket of a flow that is not theirs.
#[derive(Debug)]
pub(crate) struct Stray {
    pub(crate) source: SocketAddr,
    pub(crate) destination: Option<IpAddr>,
    pub(crate) parcel: Parcel,
}

/// What the dispatcher shares with the flows and with whoever asks for figures.
#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    counts: Counts,
    /// Told when a flow has ended.
    idle: Notify,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flow's place in the table, which it leaves when it ends.
#[derive(Debug)]
pub(crate) struct Lease {
    shared: Arc<Shared>,
    source: SocketAddr,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.table().close(self.source, Instant::now());
        self.shared.idle.notify_one();
    }
}

/// Permits other sockets on the port of `socket`, which was bound without, so that it was nobody
/// else's, and keeps it the one that strangers' datagrams go to.
#[cfg(target_os = "linux")]
fn share(
    socket: &std::net::UdpSocket,
    sockets: &Arc<dyn Sockets>,
    local: SocketAddr,
) -> io::Result<()> {
    socket2::SockRef::from(socket).set_reuse_port(true)?;
    // The kernel takes the program once there is a group for it, which a second socket makes.
    let second = sockets.udp_beside(local)?;
    // Without it a stranger's datagram may land in a flow's socket, which passes it on.
    let _ = sys::keep_strangers(socket);
    drop(second);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn share(_: &std::net::UdpSocket, _: &Arc<dyn Sockets>, _: SocketAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many strays may wait for the dispatcher.
const STRAYS: usize = 256;
