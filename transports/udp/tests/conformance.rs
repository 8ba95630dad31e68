//! UDP keeps the contract, over IPv4 and IPv6, with a socket for each flow and with one for all.

use std::sync::Arc;

use polyperf_socket::PortOptions;
use polyperf_transport::HostSockets;
use polyperf_udp::Udp;

fn udp() -> Udp {
    Udp::new(Arc::new(HostSockets::new()))
}

fn on_one_socket() -> Udp {
    udp().with_options(PortOptions { own_sockets: false, ..PortOptions::default() })
}

polyperf_transport::conformance!(ipv4, Arc::new(udp()), "127.0.0.1:0");
polyperf_transport::conformance!(ipv6, Arc::new(udp()), "[::1]:0");
polyperf_transport::conformance!(on_one_socket_ipv4, Arc::new(on_one_socket()), "127.0.0.1:0");
polyperf_transport::conformance!(on_one_socket_ipv6, Arc::new(on_one_socket()), "[::1]:0");
