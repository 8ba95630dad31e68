//! tokio-kcp keeps the contract, over IPv4 and IPv6.

use std::sync::Arc;

use polyperf_tokio_kcp::TokioKcp;
use polyperf_transport::HostSockets;

fn tokio_kcp() -> TokioKcp {
    TokioKcp::new(Arc::new(HostSockets::new()))
}

polyperf_transport::conformance!(ipv4, Arc::new(tokio_kcp()), "127.0.0.1:0");
polyperf_transport::conformance!(ipv6, Arc::new(tokio_kcp()), "[::1]:0");
