//! UDP keeps the contract also on a port of which QUIC has a share, and reads the socket.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{future::poll_fn, io::IoSliceMut, net::SocketAddr, sync::Arc};

use polyperf_socket::{MAX_TRAIN, PortOptions, QuicPort, UdpPorts};
use polyperf_transport::{
    AcceptError, Connection, Delivery, Error, Gate, HostSockets, Listener, Peer, Stream, Transport,
    Tuning, async_trait,
};
use polyperf_udp::Udp;
use quinn_udp::RecvMeta;
use tokio::task::JoinHandle;

#[derive(Debug)]
struct BesideQuic {
    udp: Udp,
    ports: Arc<UdpPorts>,
}

#[derive(Debug)]
struct Beside {
    udp: Box<dyn Listener>,
    quic: JoinHandle<()>,
}

fn beside_quic(own_sockets: bool) -> BesideQuic {
    let options = PortOptions { own_sockets, ..PortOptions::default() };
    let ports = UdpPorts::new(Arc::new(HostSockets::new())).with_options(options);
    let ports = Arc::new(ports);
    BesideQuic { udp: Udp::sharing(Arc::clone(&ports)), ports }
}

#[async_trait]
impl Transport for BesideQuic {
    fn name(&self) -> &'static str {
        self.udp.name()
    }

    fn delivery(&self) -> Delivery {
        self.udp.delivery()
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        self.udp.check(tuning)
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        let udp = self.udp.listen(addr, gate).await?;
        let quic = self.ports.quic(udp.local_addr()).unwrap();
        Ok(Box::new(Beside { udp, quic: tokio::spawn(receive(quic)) }))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        self.udp.connect(peer).await
    }
}

#[async_trait]
impl Listener for Beside {
    fn local_addr(&self) -> SocketAddr {
        self.udp.local_addr()
    }

    fn identity(&self) -> Option<String> {
        self.udp.identity()
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        self.udp.accept().await
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.quic.abort();
    }
}

/// Receives as QUIC does, and has use for nothing.
async fn receive(quic: QuicPort) {
    let mut room = vec![vec![0; MAX_TRAIN]; 4];
    let mut metas = [RecvMeta::default(); 4];
    loop {
        let mut bufs: Vec<_> = room.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
        poll_fn(|cx| quic.poll_recv(cx, &mut bufs, &mut metas)).await.unwrap();
    }
}

polyperf_transport::conformance!(ipv4, Arc::new(beside_quic(true)), "127.0.0.1:0");
polyperf_transport::conformance!(ipv6, Arc::new(beside_quic(true)), "[::1]:0");
polyperf_transport::conformance!(on_one_socket_ipv4, Arc::new(beside_quic(false)), "127.0.0.1:0");
