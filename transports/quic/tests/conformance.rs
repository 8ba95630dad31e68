//! The written contract, over loopback.

use std::sync::Arc;

use polyperf_quic::{Quic, Settings};
use polyperf_socket::UdpPorts;
use polyperf_transport::{HostSockets, Sockets};

fn quic() -> Quic {
    let sockets: Arc<dyn Sockets> = Arc::new(HostSockets::new());
    let ports = Arc::new(UdpPorts::new(Arc::clone(&sockets)));
    Quic::new(sockets, ports, Settings::default())
}

polyperf_transport::conformance!(streams, Arc::new(quic().streams()));
polyperf_transport::conformance!(streams_over_ipv6, Arc::new(quic().streams()), "[::1]:0");
polyperf_transport::conformance!(datagrams, Arc::new(quic().datagrams()));
polyperf_transport::conformance!(datagrams_over_ipv6, Arc::new(quic().datagrams()), "[::1]:0");
