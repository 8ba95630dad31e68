//! Which transports there are, by name. The only file that names concrete ones.

use std::{path::PathBuf, sync::Arc};

use polyperf_certs::{CurrentIdentity, KnownServers, Provider, Trust};
use polyperf_kcp::Kcp;
use polyperf_quic::{Quic, Settings};
use polyperf_rudp::Rudp;
use polyperf_socket::UdpPorts;
use polyperf_tcp::Tcp;
use polyperf_tokio_kcp::TokioKcp;
use polyperf_transport::{HostSockets, Sockets, Transport};
use polyperf_udp::Udp;

/// Transports by name, in the order in which they are shown and compared.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    transports: Vec<Arc<dyn Transport>>,
}

/// What the transports are set up with whose connections are encrypted, and whose servers have an
/// identity.
#[derive(Debug, Clone)]
pub struct Security {
    /// Who this end's servers are.
    pub identity: IdentitySource,
    /// How this end's clients know a server.
    pub trust: Trust,
    /// Whose cryptography TLS is done with.
    pub provider: Provider,
    /// The folder, which exists, that a log of each connection is written to (qlog); `None` writes
    /// none.
    pub qlog: Option<PathBuf>,
}

/// Where a server has its identity from.
#[derive(Debug, Clone, Default)]
pub enum IdentitySource {
    /// Made when it is needed, and gone with the server.
    #[default]
    InMemory,
    /// There already; it may be replaced while servers show it.
    Loaded(CurrentIdentity),
}

impl Registry {
    /// Returns a registry without transports, to be filled by [`with`](Self::with).
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns every transport that polyperf comes with, over this host's sockets.
    #[must_use]
    pub fn standard() -> Self {
        Self::over(&(Arc::new(HostSockets::new()) as Arc<dyn Sockets>))
    }

    /// Returns every transport that polyperf comes with, over `sockets`.
    #[must_use]
    pub fn over(sockets: &Arc<dyn Sockets>) -> Self {
        Self::secured(sockets, Security::default())
    }

    /// Returns every transport that polyperf comes with, over `sockets`; such as encrypt are set up
    /// with `security`. Those over UDP listen on one port.
    #[must_use]
    pub fn secured(sockets: &Arc<dyn Sockets>, security: Security) -> Self {
        let sockets = || Arc::clone(sockets);
        let ports = Arc::new(UdpPorts::new(sockets()));
        let quic = Quic::new(sockets(), Arc::clone(&ports), settings(security));
        Self::empty()
            .with(Arc::new(Tcp::new(sockets())))
            .with(Arc::new(Udp::sharing(Arc::clone(&ports))))
            .with(Arc::new(Rudp::sharing(Arc::clone(&ports))))
            .with(Arc::new(Kcp::sharing(Arc::clone(&ports))))
            .with(Arc::new(TokioKcp::sharing(ports)))
            .with(Arc::new(quic.streams()))
            .with(Arc::new(quic.datagrams()))
    }

    /// Leaves out what is a variant of another one, unless somebody asks for it by name.
    #[must_use]
    pub fn usual(mut self) -> Self {
        self.transports.retain(|transport| transport.name() != "quic-datagram");
        self
    }

    /// Adds a transport; one of the same name gives way to it.
    #[must_use]
    pub fn with(mut self, transport: Arc<dyn Transport>) -> Self {
        match self.transports.iter_mut().find(|known| known.name() == transport.name()) {
            Some(known) => *known = transport,
            None => self.transports.push(transport),
        }
        self
    }

    /// Returns the transport of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Transport>> {
        self.transports.iter().find(|transport| transport.name() == name)
    }

    /// Returns the name of the transport that carries the control connection of a test with
    /// `transport`, unless the user chooses: what a network lets through for the one should do for
    /// the other.
    #[must_use]
    pub fn control_of(&self, transport: &str) -> &'static str {
        match transport {
            "quic" | "quic-datagram" => "quic",
            _ => "tcp",
        }
    }

    /// Returns the name of the transport whose guests speak this protocol.
    pub(crate) fn of_guests(protocol: &str) -> &str {
        match protocol {
            "perf" => "quic",
            other => other,
        }
    }

    /// Returns every transport.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Transport>> {
        self.transports.iter()
    }

    /// Returns the names of all transports.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.iter().map(|transport| transport.name()).collect()
    }
}

impl Default for Security {
    /// An identity in memory, and trust on first use that is kept there; ring, and no logs.
    fn default() -> Self {
        Self {
            identity: IdentitySource::default(),
            trust: Trust::Known(KnownServers::in_memory()),
            provider: Provider::default(),
            qlog: None,
        }
    }
}

fn settings(security: Security) -> Settings {
    let Security { identity, trust, provider, qlog } = security;
    let identity = match identity {
        IdentitySource::InMemory => None,
        IdentitySource::Loaded(identity) => Some(identity),
    };
    Settings { identity, trust, provider, qlog }
}
