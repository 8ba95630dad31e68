//! What the transports over UDP share.
//!
//! A [`DatagramSocket`] sends and receives many datagrams with one call. An [`Endpoint`] is one
//! flow over such a socket, whose two halves, [`DatagramSend`] and [`DatagramRecv`], transports wrap
//! into theirs. [`UdpPorts`] are the listeners' side: one port for the flows of all peers and of
//! several protocols, and a [`QuicPort`] for QUIC beside them. A [`Door`] and [`open`](fn@open) are
//! the two ends of how a flow is opened, and a [`Worker`] carries flows whose protocol runs in this
//! process: a [`Machine`], which is [`Driven`].

mod driven;
mod endpoint;
mod figures;
mod flood;
mod held;
mod message;
mod opening;
mod output;
mod port;
mod recv;
mod refusals;
mod rooms;
mod send;
mod settings;
mod socket;
mod sys;
mod traffic;
mod wait;
mod worker;

use std::{io, net::SocketAddr, num::NonZeroU32};

pub use crate::{
    driven::{Driven, Machine, Parts},
    endpoint::{Endpoint, PATIENCE},
    held::Train,
    opening::{
        Accepted, Cookie, Door, FlowListener, Id, Packet, Prefix, Sieve, dial, open, open_with,
    },
    output::{Flushed, Output, Trains},
    port::{
        Arrival, Flow, Judgement, PortCounts, PortOptions, PortShare, Protocol, QuicPort, Tag,
        UdpPorts,
    },
    recv::DatagramRecv,
    rooms::Rooms,
    send::DatagramSend,
    settings::{Buffers, set_pacing_rate, set_tos, setting},
    socket::DatagramSocket,
    traffic::Traffic,
    worker::{Crew, Seat, Worker},
};

/// The longest datagram, in bytes: what IPv4 takes, less its header and UDP's.
pub const MAX_DATAGRAM: usize = 65_507;

/// The most bytes that one receive brings.
pub const MAX_TRAIN: usize = 65_535;

/// The buffers that sockets ask for, unless told otherwise.
pub const DEFAULT_BUFFERS: NonZeroU32 = NonZeroU32::new(4 << 20).expect("not zero");

/// Returns the IPv4 address that an IPv6 socket shows as `::ffff:a.b.c.d`.
#[must_use]
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip == addr.ip() => addr,
        ip => SocketAddr::new(ip, addr.port()),
    }
}

/// Returns the address that the `nth` socket of a connection is bound to, if the first one's is
/// `local`.
///
/// # Errors
///
/// Fails if there is no such port.
pub fn nth_port(local: SocketAddr, nth: u16) -> io::Result<SocketAddr> {
    let port = match local.port() {
        0 => 0,
        first => first.checked_add(nth).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("local port {first} plus {nth} streams is beyond 65535"),
            )
        })?,
    };
    Ok(SocketAddr::new(local.ip(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_ports_count_up_and_never_wrap() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(nth_port(at(0), 7).unwrap(), at(0));
        assert_eq!(nth_port(at(5000), 7).unwrap(), at(5007));
        assert!(nth_port(at(65_535), 1).is_err());
    }

    #[test]
    fn mapped_addresses_are_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
        assert_eq!(canonical(mapped), "192.0.2.1:7".parse().unwrap());
        let zoned: SocketAddr = "[fe80::1%3]:7".parse().unwrap();
        assert_eq!(canonical(zoned), zoned);
    }
}
