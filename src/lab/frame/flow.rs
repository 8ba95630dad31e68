//! Whose a packet is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    bytes::word,
    layout::{Network, TCP, UDP},
};

/// What the packets of a flow have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::lab) struct FlowKey {
    /// As the IANA numbers them; 255 for what is not of the internet's protocols.
    pub(in crate::lab) protocol: u8,
    /// With port 0 where there is none.
    pub(in crate::lab) from: SocketAddr,
    pub(in crate::lab) to: SocketAddr,
}

impl FlowKey {
    pub(super) fn of(network: Network, packet: &[u8]) -> Self {
        let known = match network {
            Network::V4 => of_v4(packet),
            Network::V6 => of_v6(packet),
            Network::Unknown => None,
        };
        known.unwrap_or(Self::OTHER)
    }

    /// What is not understood.
    pub(in crate::lab) const OTHER: Self = Self { protocol: 255, from: NOWHERE, to: NOWHERE };
}

fn of_v4(packet: &[u8]) -> Option<FlowKey> {
    let address = |at: usize| {
        let octets: &[u8; 4] = packet.get(at..)?.first_chunk()?;
        Some(IpAddr::from(Ipv4Addr::from(*octets)))
    };
    let protocol = *packet.get(9)?;
    // Only the first part of a packet that was taken apart has ports; then none is shown.
    let whole = word(packet, 6)? & 0x3fff == 0;
    let header = usize::from(packet.first()? & 15) * 4;
    Some(with_ports(protocol, address(12)?, address(16)?, packet, whole.then_some(header)))
}

fn of_v6(packet: &[u8]) -> Option<FlowKey> {
    let address = |at: usize| {
        let octets: &[u8; 16] = packet.get(at..)?.first_chunk()?;
        Some(IpAddr::from(Ipv6Addr::from(*octets)))
    };
    Some(with_ports(*packet.get(6)?, address(8)?, address(24)?, packet, Some(40)))
}

fn with_ports(
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    packet: &[u8],
    header: Option<usize>,
) -> FlowKey {
    let header = header.filter(|_| protocol == TCP || protocol == UDP);
    let port = |at: usize| header.and_then(|header| word(packet, header + at)).unwrap_or(0);
    FlowKey { protocol, from: SocketAddr::new(from, port(0)), to: SocketAddr::new(to, port(2)) }
}

/// Returns whether a packet is what kernels say to their neighbours of their own accord: reports of
/// groups, and searches for routers. It is of no test, and would shift which packets are lost.
pub(in crate::lab) fn is_chatter(key: &FlowKey) -> bool {
    let to_neighbours = match key.to.ip() {
        IpAddr::V4(to) => to.is_multicast() && key.protocol == IGMP,
        IpAddr::V6(to) => to.octets().starts_with(&[0xff, 0x02]) && key.protocol != UDP,
    };
    to_neighbours && key.protocol != TCP
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
const IGMP: u8 = 2;
