//! QUIC (RFC 9000), over quinn and rustls.
//!
//! A connection carries the streams of a test. [`Quic::streams`] is a transport of bytes, each of
//! whose streams is one of QUIC's; [`Quic::datagrams`] one of messages, each of which is a DATAGRAM
//! frame (RFC 9221). Both listen on one UDP port, which they share with other protocols; so does
//! `perf`, the protocol with which other implementations measure
//! (draft-banks-quic-performance-00). `docs/quic.md` has what is on the wire.
//!
//! The protocol runs in this process, on a thread for each connection of a client, and on a few
//! for those of a listener. A client's connection that is made on such a thread stays there, and
//! takes over the socket of one that is closed. Streams are best driven there: see
//! [`Stream::home`](polyperf_transport::Stream::home).
//!
//! ```
//! use std::sync::Arc;
//! use polyperf_quic::{Quic, Settings};
//! use polyperf_socket::UdpPorts;
//! use polyperf_transport::{Anyone, Hello, HostSockets, Peer, Sockets, Transport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sockets: Arc<dyn Sockets> = Arc::new(HostSockets::new());
//! let ports = Arc::new(UdpPorts::new(Arc::clone(&sockets)));
//! // Nobody is known yet: trust on first use, kept in memory.
//! let quic = Quic::new(sockets, ports, Settings::default()).streams();
//! let mut listener = quic.listen("127.0.0.1:0".parse()?, Arc::new(Anyone)).await?;
//! let connection = quic.connect(&Peer::at(listener.local_addr())).await?;
//! let (opened, accepted) = tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
//! assert_eq!(opened?.local.port(), accepted?.peer.port());
//! # Ok(())
//! # }
//! ```

mod backlog;
mod carrier;
mod client;
mod datagram;
mod error;
mod home;
mod leg;
mod linger;
mod options;
mod path;
mod perf;
mod qlog;
mod server;
mod sessions;
mod socket;
mod stream;
mod tls;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use polyperf_certs::{CurrentIdentity, KnownServers, Provider, Trust};
use polyperf_socket::UdpPorts;
use polyperf_transport::{
    Connection, Delivery, Error, Gate, Listener, Peer, Sockets, Transport, Tuning, async_trait,
};

use crate::{client::QuicConnection, home::Homes, options::Options, server::Ports, tls::Tls};

/// QUIC: what its two transports share.
#[derive(Debug, Clone)]
pub struct Quic(Arc<Shared>);

/// Who this end is, and whom it trusts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who listeners say they are; `None` makes an identity when there is a first one, and keeps it
    /// in memory.
    pub identity: Option<CurrentIdentity>,
    /// How clients know whom they talk to.
    pub trust: Trust,
    /// Whose cryptography is used.
    pub provider: Provider,
    /// Where a log of each connection is written, in qlog's form; `None` writes none.
    pub qlog: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            identity: None,
            trust: Trust::Known(KnownServers::in_memory()),
            provider: Provider::default(),
            qlog: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    sockets: Arc<dyn Sockets>,
    ports: Ports,
    homes: Homes,
    tls: Tls,
    qlog: Option<PathBuf>,
    patience: Patience,
}

/// How long listeners bear with clients. No user has a reason to change it; tests have.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long a stream may take to say how it begins.
    pub opening: Duration,
    /// How long a connection may have no stream.
    pub idle: Duration,
    /// How long a guest may ask for nothing.
    pub guest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            opening: Duration::from_secs(10),
            idle: Duration::from_secs(10),
            guest: Duration::from_secs(30),
        }
    }
}

impl Quic {
    /// Returns QUIC over sockets that `sockets` makes; listeners are on ports of `ports`.
    #[must_use]
    pub fn new(sockets: Arc<dyn Sockets>, ports: Arc<UdpPorts>, settings: Settings) -> Self {
        Self::patient(sockets, ports, settings, Patience::default())
    }

    /// Returns the same, whose listeners bear with clients for so long.
    #[doc(hidden)]
    #[must_use]
    pub fn patient(
        sockets: Arc<dyn Sockets>,
        ports: Arc<UdpPorts>,
        settings: Settings,
        patience: Patience,
    ) -> Self {
        let Settings { identity, trust, provider, qlog } = settings;
        let tls = Tls::new(identity, trust, provider);
        let (ports, homes) = (Ports::new(ports), Homes::default());
        Self(Arc::new(Shared { sockets, ports, homes, tls, qlog, patience }))
    }

    /// Returns the transport whose streams are QUIC's.
    #[must_use]
    pub fn streams(&self) -> QuicTransport {
        QuicTransport { shared: Arc::clone(&self.0), kind: Kind::Streams }
    }

    /// Returns the transport whose messages are DATAGRAM frames.
    #[must_use]
    pub fn datagrams(&self) -> QuicTransport {
        QuicTransport { shared: Arc::clone(&self.0), kind: Kind::Datagrams }
    }
}

/// One of QUIC's transports.
#[derive(Debug, Clone)]
pub struct QuicTransport {
    shared: Arc<Shared>,
    kind: Kind,
}

/// What a stream of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A stream of QUIC's.
    Streams,
    /// DATAGRAM frames.
    Datagrams,
}

impl Kind {
    pub(crate) fn transport(self) -> &'static str {
        match self {
            Self::Streams => STREAMS,
            Self::Datagrams => DATAGRAMS,
        }
    }

    /// Returns the application protocol (ALPN).
    pub(crate) fn protocol(self) -> &'static [u8] {
        match self {
            Self::Streams => b"polyperf/1",
            Self::Datagrams => b"polyperf-datagram/1",
        }
    }
}

#[async_trait]
impl Transport for QuicTransport {
    fn name(&self) -> &'static str {
        self.kind.transport()
    }

    fn delivery(&self) -> Delivery {
        match self.kind {
            Kind::Streams => Delivery::Bytes,
            Kind::Datagrams => Delivery::Messages {
                max: datagram::LONGEST,
                usual: datagram::USUAL,
                controlled: true,
            },
        }
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        Options::new(tuning, self.name()).map(drop)
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        let listener = server::listen(&self.shared, self.kind, addr, gate);
        Ok(Box::new(listener.map_err(|source| Error::Listen { addr, source })?))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(QuicConnection::establish(Arc::clone(&self.shared), self.kind, peer).await?))
    }
}

/// The names by which users choose.
pub(crate) const STREAMS: &str = "quic";
pub(crate) const DATAGRAMS: &str = "quic-datagram";

/// The protocol of draft-banks-quic-performance-00.
pub(crate) const PERF: &str = "perf";

/// What sockets are asked to keep for each direction: all connections of a listener share one.
pub(crate) const BUFFERS: NonZeroU32 = NonZeroU32::new(8 << 20).expect("not zero");
