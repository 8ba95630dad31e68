//! KCP keeps the contract, over IPv4 and IPv6, with a socket for each flow and with one for all, and
//! with forward error correction.

use std::{num::NonZeroU8, sync::Arc};

use polyperf_kcp::Kcp;
use polyperf_socket::PortOptions;
use polyperf_transport::{Fec, HostSockets, Tuning};

fn kcp() -> Kcp {
    Kcp::new(Arc::new(HostSockets::new()))
}

fn on_one_socket() -> Kcp {
    kcp().with_options(PortOptions { own_sockets: false, ..PortOptions::default() })
}

fn with(tuning: &Tuning) -> Kcp {
    kcp().with_defaults(tuning).expect("it is possible")
}

fn with_fec() -> Kcp {
    let fec =
        Fec { data: NonZeroU8::new(10).expect("ten"), parity: NonZeroU8::new(3).expect("three") };
    with(&Tuning { fec: Some(fec), ..Tuning::default() })
}

fn by_interval() -> Kcp {
    with(&Tuning { kcp_flush: Some("interval".to_owned()), ..Tuning::default() })
}

polyperf_transport::conformance!(ipv4, Arc::new(kcp()), "127.0.0.1:0");
polyperf_transport::conformance!(ipv6, Arc::new(kcp()), "[::1]:0");
polyperf_transport::conformance!(on_one_socket_ipv4, Arc::new(on_one_socket()), "127.0.0.1:0");
polyperf_transport::conformance!(on_one_socket_ipv6, Arc::new(on_one_socket()), "[::1]:0");
polyperf_transport::conformance!(with_error_correction, Arc::new(with_fec()), "127.0.0.1:0");
polyperf_transport::conformance!(by_the_interval, Arc::new(by_interval()), "127.0.0.1:0");
