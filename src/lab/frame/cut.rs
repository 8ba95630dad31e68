//! Cutting a frame into packets, and joining packets that follow each other: only headers are
//! written, and the payload stays where it is.

use std::ops::Range;

use super::{
    HEADER,
    bytes::{changed, double_word, fold, put_double_word, put_word, sum, word},
    layout::{
        Cut, Frame, GSO_ECN, GSO_TCP_V4, GSO_TCP_V6, GSO_UDP, LONGEST_HEADERS, NEEDS_CHECKSUM,
        Network, Transport,
    },
};

/// One or more packets of a frame that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lab) struct Piece {
    /// The first of them, counted from 0.
    pub(in crate::lab) first: usize,
    /// How many there are.
    pub(in crate::lab) count: usize,
    /// Whether they met congestion.
    pub(in crate::lab) marked: bool,
}

/// The headers of a piece.
#[derive(Debug)]
pub(in crate::lab) struct Head {
    bytes: [u8; LONGEST_HEAD],
    len: usize,
}

impl Head {
    pub(in crate::lab) fn new() -> Self {
        Self { bytes: [0; LONGEST_HEAD], len: 0 }
    }

    pub(in crate::lab) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn start(&mut self, of: &[u8]) -> &mut [u8] {
        self.len = of.len().min(LONGEST_HEAD);
        let head = &mut self.bytes[..self.len];
        head.copy_from_slice(&of[..self.len]);
        head
    }
}

/// Writes the headers of a piece of a frame, and returns which bytes of the frame follow them.
pub(in crate::lab) fn write_head(frame: &Frame, piece: Piece, head: &mut Head) -> Range<usize> {
    let layout = frame.layout();
    let whole = piece.first == 0 && piece.count >= layout.packets();
    match layout.cut {
        Some(cut) if !whole => write_cut(frame, &cut, piece, head),
        _ => write_whole(frame, piece, head),
    }
}

/// Nothing changes but perhaps the mark.
fn write_whole(frame: &Frame, piece: Piece, head: &mut Head) -> Range<usize> {
    let packet = frame.layout().packet;
    // As much as a mark needs.
    let end = frame.bytes().len().min(packet + MARKED);
    let bytes = head.start(&frame.bytes()[..end]);
    if let Some(packet) = bytes.get_mut(packet..).filter(|_| piece.marked) {
        mark(packet, frame.layout().network);
    }
    end..frame.bytes().len()
}

fn write_cut(frame: &Frame, cut: &Cut, piece: Piece, head: &mut Head) -> Range<usize> {
    let packet = frame.layout().packet;
    let start = cut.payload + piece.first * cut.segment;
    let end = (start + piece.count * cut.segment).min(frame.bytes().len());
    let is_last = end == frame.bytes().len();
    let bytes = head.start(&frame.bytes()[..cut.payload]);
    let payload = start.min(end)..end;
    write_network(&mut bytes[packet..], frame.layout().network, piece, cut, payload.len());
    let slowed = match cut.transport {
        Transport::Tcp => write_tcp(&mut bytes[cut.head..], cut, piece, is_last),
        Transport::Udp => false,
    };
    let len = cut.payload - cut.head + payload.len();
    if cut.transport == Transport::Udp {
        put_word(&mut bytes[cut.head..], 4, u16::try_from(len).unwrap_or(u16::MAX));
    }
    let pseudo = fold(u32::from(cut.pseudo) + u32::try_from(len).unwrap_or(0));
    let checksum = match cut.transport {
        Transport::Tcp => 16,
        Transport::Udp => 6,
    };
    put_word(&mut bytes[cut.head..], checksum, pseudo);
    let joined = payload.len() > cut.segment;
    write_offload(bytes, frame.layout().network, cut, (joined, slowed), checksum);
    payload
}

fn write_network(ip: &mut [u8], network: Network, piece: Piece, cut: &Cut, payload: usize) {
    if network == Network::V6 {
        let len = cut.payload - cut.head + payload;
        put_word(ip, 4, u16::try_from(len).unwrap_or(u16::MAX));
        if piece.marked {
            mark(ip, network);
        }
        return;
    }
    let transport = cut.payload - cut.head;
    let header = ip.len() - transport;
    put_word(ip, 2, u16::try_from(ip.len() + payload).unwrap_or(u16::MAX));
    let identification = word(ip, 4).unwrap_or(0);
    let index = u16::try_from(piece.first).unwrap_or(0);
    put_word(ip, 4, identification.wrapping_add(index));
    if piece.marked
        && let Some(service) = ip.get_mut(1)
    {
        *service |= CONGESTION;
    }
    put_word(ip, 10, 0);
    let checksum = !fold(sum(&ip[..header]));
    put_word(ip, 10, checksum);
}

/// Returns whether the piece says that the sender has slowed down.
fn write_tcp(tcp: &mut [u8], cut: &Cut, piece: Piece, is_last: bool) -> bool {
    let offset = u32::try_from(piece.first * cut.segment).unwrap_or(0);
    let sequence = double_word(tcp, 4).unwrap_or(0);
    put_double_word(tcp, 4, sequence.wrapping_add(offset));
    let Some(flags) = tcp.get_mut(13) else { return false };
    if !is_last {
        *flags &= !(FIN | PUSH);
    }
    if piece.first > 0 {
        *flags &= !SLOWED_DOWN;
    }
    *flags & SLOWED_DOWN != 0
}

/// Tells the kernel what is left to do: the checksum, and the cutting of several packets.
fn write_offload(
    bytes: &mut [u8],
    network: Network,
    cut: &Cut,
    (joined, slowed): (bool, bool),
    checksum: usize,
) {
    let offload = match (cut.transport, network) {
        _ if !joined => 0,
        (Transport::Udp, _) => GSO_UDP,
        (Transport::Tcp, Network::V6) => GSO_TCP_V6,
        (Transport::Tcp, _) => GSO_TCP_V4,
    };
    let number = |value: usize| u16::try_from(value).unwrap_or(0).to_ne_bytes();
    let joined_only = |value: usize| if joined { number(value) } else { [0; 2] };
    bytes[0] = NEEDS_CHECKSUM;
    bytes[1] = if joined && slowed { offload | GSO_ECN } else { offload };
    bytes[2..4].copy_from_slice(&joined_only(cut.payload - HEADER));
    bytes[4..6].copy_from_slice(&joined_only(cut.segment));
    bytes[6..8].copy_from_slice(&number(cut.head - HEADER));
    bytes[8..10].copy_from_slice(&number(checksum));
}

/// Marks that a packet met congestion.
fn mark(ip: &mut [u8], network: Network) {
    match network {
        Network::V4 => {
            let (Some(before), Some(checksum)) = (word(ip, 0), word(ip, 10)) else { return };
            let after = before | u16::from(CONGESTION);
            put_word(ip, 0, after);
            put_word(ip, 10, changed(checksum, before, after));
        }
        Network::V6 => {
            if let Some(class) = ip.get_mut(1) {
                *class |= CONGESTION << 4;
            }
        }
        Network::Unknown => {}
    }
}

/// Both bits of the field (RFC 3168).
const CONGESTION: u8 = 3;

const FIN: u8 = 0x01;
const PUSH: u8 = 0x08;
const SLOWED_DOWN: u8 = 0x80;

/// Bytes of a packet among which all are that a mark changes.
const MARKED: usize = 20;

/// The header of the kernel, an Ethernet header, and those of the packet.
const LONGEST_HEAD: usize = HEADER + 14 + LONGEST_HEADERS;
