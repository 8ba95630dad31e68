//! The transport: two flavours over one network.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
};

use polyperf_transport::{
    AcceptError, Connection, Delivery, Error, Gate, Hello, Listener, Peer, Stream, Transport,
    Tuning, async_trait, send_all,
};
use tokio::sync::mpsc;

use crate::{
    Network,
    network::{Kind, StreamPlan},
};

/// The in-process transport.
#[derive(Debug, Clone)]
pub struct Memory {
    network: Network,
    delivery: Delivery,
    window: NonZeroUsize,
}

impl Memory {
    /// Returns a transport that carries bytes reliably and in order, named `memory`.
    ///
    /// Loss on the link shows as delay. A stream opens at once: its handshake takes no time.
    #[must_use]
    pub fn bytes(network: &Network) -> Self {
        Self { network: network.clone(), delivery: Delivery::Bytes, window: WINDOW }
    }

    /// Returns a transport that carries messages of up to `max` bytes as the link leaves them,
    /// named `memory-messages`.
    ///
    /// Finishing or dropping the sending half tells the peer nothing, as with datagrams.
    #[must_use]
    pub fn messages(network: &Network, max: NonZeroUsize) -> Self {
        let usual = max.min(USUAL_MESSAGE);
        let delivery = Delivery::Messages { max, usual, controlled: false };
        Self { network: network.clone(), delivery, window: WINDOW }
    }

    /// Bounds what a stream that is opened from here holds in each direction, under way or unread,
    /// in bytes.
    ///
    /// A link is filled only if this exceeds its rate times its delay.
    #[must_use]
    pub fn window(mut self, bytes: NonZeroUsize) -> Self {
        self.window = bytes;
        self
    }
}

#[async_trait]
impl Transport for Memory {
    fn name(&self) -> &'static str {
        name_of(self.delivery)
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        tuning.without_repair(self.name())?;
        tuning.without_connections(self.name())
    }

    /// An address in here is who has it, so that `gate` has nothing to decide.
    async fn listen(
        &self,
        addr: SocketAddr,
        _gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        let kind = Kind::of(self.delivery);
        let (addr, streams) =
            self.network.listen(kind, addr).map_err(|source| Error::Listen { addr, source })?;
        Ok(Box::new(MemoryListener { network: self.network.clone(), kind, addr, streams }))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        let asked = peer.tuning.asked();
        if !asked.is_empty() {
            let options: Vec<_> = asked.into_iter().map(|(option, _)| option).collect();
            return Err(Error::Unsupported {
                transport: self.name(),
                option: options.join(", "),
                reason: "it has no socket to set it on; leave it out".to_owned(),
            });
        }
        let addr = peer.addr;
        let reached = self.network.reach(Kind::of(self.delivery), addr).await;
        reached.map_err(|source| Error::Connect { addr, source })?;
        Ok(Box::new(MemoryConnection {
            transport: self.clone(),
            peer: addr,
            // There is one host, and it has the address that was asked for.
            local: peer.local.unwrap_or_else(|| SocketAddr::new(addr.ip(), 0)),
            opened: AtomicU16::new(0),
            closed: AtomicBool::new(false),
        }))
    }
}

#[derive(Debug)]
struct MemoryListener {
    network: Network,
    kind: Kind,
    addr: SocketAddr,
    streams: mpsc::Receiver<Stream>,
}

#[async_trait]
impl Listener for MemoryListener {
    fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    fn identity(&self) -> Option<String> {
        None
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        let stream = self.streams.recv().await;
        stream.ok_or_else(|| AcceptError::Closed(io::ErrorKind::NotConnected.into()))
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.network.stop_listening(self.kind, self.addr);
    }
}

#[derive(Debug)]
struct MemoryConnection {
    transport: Memory,
    peer: SocketAddr,
    local: SocketAddr,
    opened: AtomicU16,
    closed: AtomicBool,
}

impl MemoryConnection {
    /// Returns the address of the next stream: each has a port of its own.
    fn next_local(&self) -> io::Result<SocketAddr> {
        let mut local = self.local;
        if local.port() != 0 {
            let port = local.port().checked_add(self.opened.fetch_add(1, Ordering::Relaxed));
            local.set_port(port.ok_or(io::ErrorKind::AddrNotAvailable)?);
        }
        Ok(local)
    }

    async fn try_open(&self, hello: Hello<'_>) -> io::Result<Stream> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let Memory { network, delivery, window } = &self.transport;
        let (delivery, window) = (*delivery, *window);
        let plan = StreamPlan { local: self.next_local()?, peer: self.peer, delivery, window };
        let ahead = match delivery {
            Delivery::Bytes => &[],
            // Whatever else may be lost on the way, this is repeated until it is there.
            Delivery::Messages { .. } => hello.bytes(),
        };
        let mut stream = network.open(&plan, ahead).await?;
        send_all(stream.send.as_mut(), &hello.bytes()[ahead.len()..]).await?;
        Ok(stream)
    }
}

#[async_trait]
impl Connection for MemoryConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        self.try_open(hello).await.map_err(|source| Error::Connect { addr: self.peer, source })
    }

    /// Opens no more streams; those that are open share nothing, and stay.
    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn name_of(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Bytes => "memory",
        Delivery::Messages { .. } => "memory-messages",
    }
}

/// What fits into an Ethernet frame.
const USUAL_MESSAGE: NonZeroUsize = NonZeroUsize::new(1448).expect("more than none");

/// A gigabit per second over eight milliseconds.
const WINDOW: NonZeroUsize = NonZeroUsize::new(1 << 20).expect("more than none");
