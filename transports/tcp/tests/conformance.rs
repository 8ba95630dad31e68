//! TCP keeps the contract, over IPv4 and IPv6, bare and behind a wrapper.

use std::sync::Arc;

use polyperf_tcp::Tcp;
use polyperf_transport::HostSockets;

polyperf_transport::conformance!(
    ipv4,
    Arc::new(Tcp::new(Arc::new(HostSockets::new()))),
    "127.0.0.1:0"
);
polyperf_transport::conformance!(ipv6, Arc::new(Tcp::new(Arc::new(HostSockets::new()))), "[::1]:0");
