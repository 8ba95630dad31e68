//! Which transports there are, by name. The only file that names concrete ones.

use std::sync::Arc;

use polyperf_tcp::Tcp;
use polyperf_transport::{HostSockets, Sockets, Transport};
use polyperf_udp::Udp;

/// Transports by name, in the order in which they are shown and compared.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    transports: Vec<Arc<dyn Transport>>,
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
        let sockets = || Arc::clone(sockets);
        Self::empty().with(Arc::new(Tcp::new(sockets()))).with(Arc::new(Udp::new(sockets())))
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
