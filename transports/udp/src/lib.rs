//! UDP: the kernel's, through plain sockets.
//!
//! Each stream is a flow of datagrams that carry the caller's bytes and nothing else. Before the
//! first of them, [`Hello::Own`](polyperf_transport::Hello::Own) has the client show that it
//! receives what is sent to its address; `docs/udp.md` has the packets. A flow begun with
//! [`Hello::Bare`](polyperf_transport::Hello::Bare) has no handshake at all.
//!
//! Datagrams are sent and received many at a time, where the platform can. A receiver should bring
//! a buffer of at least 64 KiB; a shorter one costs a copy.
//!
//! ```
//! use std::sync::Arc;
//! use polyperf_transport::{Anyone, Hello, HostSockets, Peer, Transport};
//! use polyperf_udp::Udp;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let udp = Udp::new(Arc::new(HostSockets::new()));
//! let mut listener = udp.listen("127.0.0.1:0".parse()?, Arc::new(Anyone)).await?;
//! let connection = udp.connect(&Peer::at(listener.local_addr())).await?;
//! let (opened, accepted) = tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
//! assert_eq!(opened?.local, accepted?.peer);
//! # Ok(())
//! # }
//! ```

mod client;
mod path;
mod server;
mod stream;

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Instant};

use polyperf_socket::{FlowListener, MAX_DATAGRAM, PortOptions, Prefix, UdpPorts};
use polyperf_transport::{
    Connection, Delivery, Error, Gate, Listener, Peer, Sockets, Transport, Tuning, async_trait,
};

use crate::{client::UdpConnection, server::Doorkeeper};

/// The UDP transport.
#[derive(Debug, Clone)]
pub struct Udp {
    ports: Arc<UdpPorts>,
}

impl Udp {
    /// Returns UDP over sockets that `sockets` makes, whose ports no other transport shares.
    #[must_use]
    pub fn new(sockets: Arc<dyn Sockets>) -> Self {
        Self::sharing(Arc::new(UdpPorts::new(sockets)))
    }

    /// Returns UDP that shares its ports with whichever transports use `ports` too.
    #[must_use]
    pub fn sharing(ports: Arc<UdpPorts>) -> Self {
        Self { ports }
    }

    /// Has listeners' ports work as `options` say, those that are opened from here on.
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
            Arc::new(Doorkeeper::new(gate, accepted, Instant::now()))
        })
        .map_err(|source| Error::Listen { addr, source })
    }
}

#[async_trait]
impl Transport for Udp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn delivery(&self) -> Delivery {
        Delivery::Messages { max: LONGEST_MESSAGE, usual: USUAL_MESSAGE, controlled: false }
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        tuning.without_repair(self.name())?;
        tuning.without_connections(self.name())
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        Ok(Box::new(self.bind(addr, gate)?))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(UdpConnection::new(Arc::clone(self.ports.sockets()), peer.clone())))
    }
}

const NAME: &str = "udp";

const PREFIX: Prefix = Prefix::of_messages(b'u', 1);

const LONGEST_MESSAGE: NonZeroUsize = NonZeroUsize::new(MAX_DATAGRAM).expect("not zero");

/// What fits into an Ethernet frame below IPv6 and UDP.
const USUAL_MESSAGE: NonZeroUsize = NonZeroUsize::new(1448).expect("not zero");
