//! A port that accepts flows, for whichever transport.

use std::{io, net::SocketAddr, sync::Arc};

use polyperf_transport::{AcceptError, Listener, Stream, async_trait};
use tokio::sync::mpsc;

use crate::{PortCounts, PortShare, Protocol, UdpPorts};

/// A port whose flows one transport accepts.
#[derive(Debug)]
pub struct FlowListener {
    port: PortShare,
    accepted: mpsc::Receiver<Result<Stream, AcceptError>>,
}

/// Where a transport puts the flows that it has opened.
#[derive(Debug, Clone)]
pub struct Accepted(mpsc::Sender<Result<Stream, AcceptError>>);

impl FlowListener {
    /// Joins the port at `addr` with the protocol that `protocol` makes.
    ///
    /// # Errors
    ///
    /// Those of [`UdpPorts::join`].
    pub fn join(
        ports: &UdpPorts,
        addr: SocketAddr,
        protocol: impl FnOnce(Accepted) -> Arc<dyn Protocol>,
    ) -> io::Result<Self> {
        let (accepted, accepts) = mpsc::channel(ports.options().max_flows.max(1));
        let port = ports.join(addr, protocol(Accepted(accepted)))?;
        Ok(Self { port, accepted: accepts })
    }

    /// Returns what has been opened and dropped so far by all who share the port.
    #[must_use]
    pub fn counts(&self) -> PortCounts {
        self.port.counts()
    }
}

impl Accepted {
    /// Hands over a stream, or why it could not be opened. Where nobody accepts any more, the stream
    /// ends here; and if nobody has heard of the last failures yet, another says nothing new.
    pub fn put(&self, opened: Result<Stream, AcceptError>) {
        let _ = self.0.try_send(opened);
    }
}

#[async_trait]
impl Listener for FlowListener {
    fn local_addr(&self) -> SocketAddr {
        self.port.local_addr()
    }

    fn identity(&self) -> Option<String> {
        None
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        let closed = || AcceptError::Closed(io::ErrorKind::BrokenPipe.into());
        self.accepted.recv().await.ok_or_else(closed)?
    }
}
