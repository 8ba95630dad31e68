//! RUDP keeps the contract, over IPv4 and IPv6, with a socket for each flow and with one for all, with
//! each congestion control, and with forward error correction.

use std::{num::NonZeroU8, sync::Arc};

use polyperf_rudp::Rudp;
use polyperf_socket::PortOptions;
use polyperf_transport::{Fec, HostSockets, Tuning};

fn rudp() -> Rudp {
    Rudp::new(Arc::new(HostSockets::new()))
}

fn on_one_socket() -> Rudp {
    rudp().with_options(PortOptions { own_sockets: false, ..PortOptions::default() })
}

fn by(congestion: &str) -> Rudp {
    let congestion = Some(congestion.to_owned());
    rudp().with_defaults(&Tuning { congestion, ..Tuning::default() }).expect("it is possible")
}

fn with_fec() -> Rudp {
    let fec =
        Fec { data: NonZeroU8::new(10).expect("ten"), parity: NonZeroU8::new(3).expect("three") };
    let tuning = Tuning { fec: Some(fec), ..Tuning::default() };
    rudp().with_defaults(&tuning).expect("it is possible")
}

polyperf_transport::conformance!(ipv4, Arc::new(rudp()), "127.0.0.1:0");
polyperf_transport::conformance!(ipv6, Arc::new(rudp()), "[::1]:0");
polyperf_transport::conformance!(on_one_socket_ipv4, Arc::new(on_one_socket()), "127.0.0.1:0");
polyperf_transport::conformance!(on_one_socket_ipv6, Arc::new(on_one_socket()), "[::1]:0");
polyperf_transport::conformance!(bbr, Arc::new(by("bbr")), "127.0.0.1:0");
polyperf_transport::conformance!(without_control, Arc::new(by("none")), "127.0.0.1:0");
polyperf_transport::conformance!(with_error_correction, Arc::new(with_fec()), "127.0.0.1:0");
