use std::{net::SocketAddr, sync::Arc};

use polyperf_socket::{Crew, FlowListener, PortOptions, UdpPorts};
use polyperf_transport::{
    Connection, Delivery, Error, Gate, Listener, Peer, Sockets, Transport, Tuning, async_trait,
};

use crate::{NAME, client::KcpConnection, server::Doorkeeper, settings::Settings};

/// The KCP transport.
#[derive(Debug, Clone)]
pub struct Kcp {
    ports: Arc<UdpPorts>,
    /// Of flows that nobody asks anything for.
    settings: Settings,
}

impl Kcp {
    /// Returns KCP over sockets that `sockets` makes, whose ports no other transport shares.
    #[must_use]
    pub fn new(sockets: Arc<dyn Sockets>) -> Self {
        Self::sharing(Arc::new(UdpPorts::new(sockets)))
    }

    /// Returns KCP that shares its ports with whichever transports use `ports` too.
    #[must_use]
    pub fn sharing(ports: Arc<UdpPorts>) -> Self {
        Self { ports, settings: Settings::unasked() }
    }

    /// Has listeners' ports work as `options` say, those that are opened from here on.
    #[must_use]
    pub fn with_options(mut self, options: PortOptions) -> Self {
        self.ports = Arc::new(UdpPorts::clone(&self.ports).with_options(options));
        self
    }

    /// Has flows work as `tuning` asks that nobody else has asked anything for: those of peers of
    /// other projects, who cannot.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] for the first thing that KCP does not have, or not so.
    pub fn with_defaults(mut self, tuning: &Tuning) -> Result<Self, Error> {
        self.settings = Settings::new(tuning)?;
        Ok(self)
    }

    /// Listens on `addr`, as [`Transport::listen`] does, and can say what it dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] if the address cannot be had.
    pub fn bind(&self, addr: SocketAddr, gate: Arc<dyn Gate>) -> Result<FlowListener, Error> {
        FlowListener::join(&self.ports, addr, |accepted| {
            Arc::new(Doorkeeper::new(gate, self.settings, crew(self.ports.sockets()), accepted))
        })
        .map_err(|source| Error::Listen { addr, source })
    }
}

#[async_trait]
impl Transport for Kcp {
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
        let settings =
            if peer.tuning.is_default() { self.settings } else { Settings::new(&peer.tuning)? };
        let sockets = Arc::clone(self.ports.sockets());
        let crew = crew(&sockets);
        Ok(Box::new(KcpConnection::new(sockets, peer.clone(), settings, crew)))
    }
}

/// Returns the threads of a listener or a connection.
fn crew(sockets: &Arc<dyn Sockets>) -> Arc<Crew> {
    Arc::new(Crew::new(NAME, Arc::clone(sockets)))
}
