//! Where things are in a packet.

use super::{
    HEADER,
    bytes::{sum, word},
    flow::FlowKey,
};

/// A packet as the kernel handed it over, with the headers before it.
#[derive(Debug, Default)]
pub(in crate::lab) struct Frame {
    room: Vec<u8>,
    layout: Layout,
}

/// Where things are in a frame, counted from its first byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lab) struct Layout {
    /// Where the packet itself starts.
    pub(in crate::lab) packet: usize,
    /// Bytes of the frame.
    pub(in crate::lab) len: usize,
    pub(in crate::lab) network: Network,
    /// How it is to be cut; `None` if it is one packet, or is not understood.
    pub(in crate::lab) cut: Option<Cut>,
}

/// Which protocol carries the packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::lab) enum Network {
    V4,
    V6,
    #[default]
    Unknown,
}

/// How a frame is to be cut into packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) struct Cut {
    pub(in crate::lab) transport: Transport,
    /// Where the header of the transport starts.
    pub(super) head: usize,
    /// Where the payload starts.
    pub(super) payload: usize,
    /// Bytes of payload in each packet but the last.
    pub(super) segment: usize,
    /// Sum of the numbers that the transport's checksum covers besides its own bytes, without the
    /// length.
    pub(super) pseudo: u16,
}

/// What is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) enum Transport {
    Tcp,
    Udp,
}

impl Frame {
    /// Returns an empty frame, with room for so many bytes.
    pub(in crate::lab) fn with_room(room: usize) -> Self {
        Self { room: vec![0; room], layout: Layout::default() }
    }

    /// Takes the frame of which the first `len` bytes of the room have been filled in;
    /// `link_header` bytes of it precede the packet.
    pub(in crate::lab) fn fill(&mut self, len: usize, link_header: usize) {
        let len = len.min(self.room.len());
        self.layout = Layout::of(&self.room[..len], link_header);
    }

    pub(in crate::lab) fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    /// Takes over another frame, for which there has to be room.
    pub(in crate::lab) fn copy(&mut self, other: &Self) {
        self.layout = other.layout;
        self.room[..other.layout.len].copy_from_slice(other.bytes());
    }

    pub(in crate::lab) fn bytes(&self) -> &[u8] {
        &self.room[..self.layout.len]
    }

    pub(in crate::lab) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns how many packets the frame is.
    pub(in crate::lab) fn packets(&self) -> usize {
        self.layout.packets()
    }

    pub(in crate::lab) fn flow(&self) -> FlowKey {
        FlowKey::of(self.layout.network, self.packet())
    }

    /// Returns the packet, without what precedes it.
    pub(in crate::lab) fn packet(&self) -> &[u8] {
        self.bytes().get(self.layout.packet..).unwrap_or_default()
    }

    /// Returns whether the sender takes marks of congestion in place of losses (RFC 3168).
    pub(in crate::lab) fn takes_marks(&self) -> bool {
        let packet = self.packet();
        let field = match self.layout.network {
            Network::V4 => packet.get(1).copied(),
            Network::V6 => packet.get(1).map(|byte| byte >> 4),
            Network::Unknown => None,
        };
        field.is_some_and(|field| field & 3 != 0)
    }
}

impl Layout {
    pub(in crate::lab) fn of(frame: &[u8], link_header: usize) -> Self {
        let packet = HEADER + link_header;
        let network = frame.get(packet).map_or(Network::Unknown, |first| match first >> 4 {
            4 => Network::V4,
            6 => Network::V6,
            _ => Network::Unknown,
        });
        let cut = Cut::of(frame, packet, network);
        Self { packet, len: frame.len(), network, cut }
    }

    pub(in crate::lab) fn packets(&self) -> usize {
        let Some(cut) = self.cut else { return 1 };
        (self.len - cut.payload).div_ceil(cut.segment).max(1)
    }

    /// Returns the bytes that packet `index`, counted from 0, takes on a link, and all up to `count`
    /// packets from there.
    pub(in crate::lab) fn wire_len(&self, index: usize, count: usize) -> usize {
        let Some(cut) = self.cut else { return self.len.saturating_sub(self.packet) };
        let start = cut.payload + index * cut.segment;
        let end = (start + count * cut.segment).min(self.len);
        count * (cut.payload - self.packet) + end.saturating_sub(start)
    }
}

impl Cut {
    fn of(frame: &[u8], packet: usize, network: Network) -> Option<Self> {
        let header: &[u8; HEADER] = frame.first_chunk()?;
        let transport = match (header[1] & !GSO_ECN, network) {
            (GSO_TCP_V4, Network::V4) | (GSO_TCP_V6, Network::V6) => Transport::Tcp,
            (GSO_UDP, Network::V4 | Network::V6) => Transport::Udp,
            _ => return None,
        };
        let segment = usize::from(u16::from_ne_bytes([header[4], header[5]]));
        let (ip, protocol) = match network {
            Network::V4 => {
                let len = usize::from(frame.get(packet)? & 15) * 4;
                let fragment = word(frame, packet + 6)? & 0x3fff;
                (len, (len >= 20 && fragment == 0).then(|| frame.get(packet + 9))??)
            }
            // Others may stand between the two headers; such packets are rare, and stay whole.
            Network::V6 => (40, frame.get(packet + 6)?),
            Network::Unknown => return None,
        };
        let head = packet + ip;
        let len = match transport {
            Transport::Tcp => usize::from(frame.get(head + 12)? >> 4) * 4,
            Transport::Udp => UDP_HEADER,
        };
        let well_formed = match transport {
            Transport::Tcp => *protocol == TCP && len >= 20,
            Transport::Udp => *protocol == UDP,
        };
        let payload = head + len;
        let counted = segment > 0 && payload < frame.len() && payload - packet <= LONGEST_HEADERS;
        let short = frame.len() - packet.min(frame.len()) <= usize::from(u16::MAX);
        if !well_formed || !counted || !short || header[0] & NEEDS_CHECKSUM == 0 {
            return None;
        }
        let addresses = match network {
            Network::V4 => frame.get(packet + 12..packet + 20)?,
            _ => frame.get(packet + 8..packet + 40)?,
        };
        let pseudo = super::bytes::fold(sum(addresses) + u32::from(*protocol));
        Some(Self { transport, head, payload, segment, pseudo })
    }
}

/// Flag of the header: the transport's checksum is yet to be completed.
pub(super) const NEEDS_CHECKSUM: u8 = 1;
pub(super) const GSO_TCP_V4: u8 = 1;
pub(super) const GSO_TCP_V6: u8 = 4;
pub(super) const GSO_UDP: u8 = 5;
/// Beside one of the others: only the first packet says that the sender has slowed down.
pub(super) const GSO_ECN: u8 = 0x80;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// IPv4 and TCP with all options: 60 bytes each.
pub(super) const LONGEST_HEADERS: usize = 120;
