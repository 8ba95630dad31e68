//! KCP by the crate tokio_kcp, as it is, to compare implementations of one protocol.
//!
//! What the crate lacks is its own affair, and shows in comparisons. Its version 0.9.8
//!
//! - makes a system call for each datagram, and copies each three times on its way in. So that it is
//!   measured as it is, receive offload is turned off;
//! - acknowledges at its clock's ticks alone, so that a window takes an interval at least, whatever
//!   `--kcp-flush` says of data;
//! - keeps a conversation behind a lock on which threads spin, so that here each has one thread: the
//!   crate's tasks, and whoever drives the stream, run on the same [`Worker`](polyperf_socket::Worker);
//! - has no end, no close and no way to see that the peer is gone. A silent peer is waited for until
//!   whoever uses the stream drops it, and 3 seconds more for what was sent. Meanwhile its timer may
//!   take a whole processor, once something is due again;
//! - tells no figures: neither round trips nor what was sent again. What [`Path::stats`] has is what
//!   the socket knows;
//! - takes the conversation of whatever datagram comes, so that one from a stranger would end it.
//!   Here sockets are connected, the kernel drops all of another one (Linux), and what came before it
//!   was told to is sorted out before the crate begins;
//! - measures time in 32 bits of milliseconds, and panics where these change their sign, each 24.8
//!   days, if it was built with overflow checks.
//!
//! What is added is what a stream needs: flows are opened as those of udp are (`docs/udp.md`), so
//! that its listener, which has one task for all peers, is not used; and bytes are carried in
//! records, since that is the only way to say that a stream has ended. A record is its length, four
//! bytes little-endian, and so many bytes; 0 is the end, and `FFFFFFFF` says nothing, with which a
//! client begins. The crate reads its socket by itself, so each flow needs one of its own, which
//! ports give to flows on Linux alone; elsewhere, a listener's flows end with an error that says so.
//!
//! [`Path::stats`]: polyperf_transport::Path::stats

mod client;
mod flow;
mod half;
mod hand_over;
mod path;
mod record;
mod server;
mod settings;

use std::{net::SocketAddr, sync::Arc};

use polyperf_socket::{Crew, FlowListener, PortOptions, Prefix, UdpPorts};
use polyperf_transport::{
    Connection, Delivery, Error, Gate, Listener, Peer, Sockets, Transport, Tuning, async_trait,
};

use crate::{client::TokioKcpConnection, server::Doorkeeper, settings::Settings};

/// The transport.
#[derive(Debug, Clone)]
pub struct TokioKcp {
    ports: Arc<UdpPorts>,
}

impl TokioKcp {
    /// Returns the transport over sockets that `sockets` makes, whose ports no other shares.
    #[must_use]
    pub fn new(sockets: Arc<dyn Sockets>) -> Self {
        Self::sharing(Arc::new(UdpPorts::new(sockets)))
    }

    /// Returns the transport that shares its ports with whichever use `ports` too.
    #[must_use]
    pub fn sharing(ports: Arc<UdpPorts>) -> Self {
        Self { ports }
    }

    /// Has listeners' ports work as `options` say, those that are opened from here on. Flows need
    /// sockets of their own.
    #[must_use]
    pub fn with_options(self, options: PortOptions) -> Self {
        Self::sharing(Arc::new(UdpPorts::clone(&self.ports).with_options(options)))
    }

    /// Listens on `addr`, as [`Transport::listen`] does, and can say what it dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the address cannot be had.
    pub fn bind(&self, addr: SocketAddr, gate: Arc<dyn Gate>) -> Result<FlowListener, Error> {
        FlowListener::join(&self.ports, addr, |accepted| {
            Arc::new(Doorkeeper::new(gate, crew(self.ports.sockets()), accepted))
        })
        .map_err(|source| Error::Listen { addr, source })
    }
}

#[async_trait]
impl Transport for TokioKcp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn delivery(&self) -> Delivery {
        Delivery::Bytes
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        tuning.without_connections(NAME)?;
        Settings::new(tuning).map(|_| ())
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        Ok(Box::new(self.bind(addr, gate)?))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        self.check(&peer.tuning)?;
        let settings = Settings::new(&peer.tuning)?;
        let sockets = Arc::clone(self.ports.sockets());
        let crew = crew(&sockets);
        Ok(Box::new(TokioKcpConnection::new(sockets, peer.clone(), settings, crew)))
    }
}

/// Returns the threads of a listener or a connection.
fn crew(sockets: &Arc<dyn Sockets>) -> Arc<Crew> {
    Arc::new(Crew::new(NAME, Arc::clone(sockets)))
}

const NAME: &str = "tokio-kcp";

/// What the packets that open a flow begin with.
const PREFIX: Prefix = Prefix::of_bytes(b't', 1);
