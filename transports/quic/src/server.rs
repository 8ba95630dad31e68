//! The end that listens.

mod arrival;
mod host;
mod limits;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, Weak},
};

use polyperf_socket::UdpPorts;
use polyperf_transport::{AcceptError, Gate, Listener, Stream, async_trait};
use tokio::sync::mpsc;

use self::host::{Door, Host};
use crate::{Kind, Shared, tls::lock};

/// Where this process listens. One endpoint serves both transports of a port.
#[derive(Debug)]
pub(crate) struct Ports {
    ports: Arc<UdpPorts>,
    open: Mutex<Vec<Weak<Host>>>,
}

impl Ports {
    pub(crate) fn new(ports: Arc<UdpPorts>) -> Self {
        Self { ports, open: Mutex::default() }
    }
}

/// A port on which one of the transports listens.
#[derive(Debug)]
pub(crate) struct QuicListener {
    kind: Kind,
    host: Arc<Host>,
    accepted: mpsc::Receiver<Result<Stream, AcceptError>>,
}

/// Listens for one of the transports on `addr`, where the other may be listening already.
pub(crate) fn listen(
    shared: &Arc<Shared>,
    kind: Kind,
    addr: SocketAddr,
    gate: Arc<dyn Gate>,
) -> io::Result<QuicListener> {
    let Ports { ports, open } = &shared.ports;
    let mut open = lock(open);
    open.retain(|host| host.strong_count() > 0);
    let (accepts, accepted) = mpsc::channel(BACKLOG);
    let door = Door { gate, accepts };
    let joined = open.iter().filter_map(Weak::upgrade).find(|host| host.is_at(addr));
    let host = match joined {
        Some(host) => host,
        None => {
            let host = Host::start(shared, ports, addr)?;
            open.push(Arc::downgrade(&host));
            host
        }
    };
    host.open(kind, door)?;
    Ok(QuicListener { kind, host, accepted })
}

#[async_trait]
impl Listener for QuicListener {
    fn local_addr(&self) -> SocketAddr {
        self.host.local_addr()
    }

    fn identity(&self) -> Option<String> {
        Some(self.host.fingerprint().to_string())
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        let closed = || AcceptError::Closed(io::ErrorKind::BrokenPipe.into());
        self.accepted.recv().await.ok_or_else(closed)?
    }
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        self.host.close(self.kind);
    }
}

/// Streams that may wait to be accepted.
const BACKLOG: usize = 1024;
