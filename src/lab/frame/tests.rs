use std::net::{Ipv4Addr, Ipv6Addr};

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{
    bytes::{fold, sum, word},
    *,
};

const ETHERNET: usize = 14;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const UDP: u8 = 5;
const ECN: u8 = 0x80;

/// A frame as the kernel makes it, with everything that a test may want to be different.
#[derive(Debug, Clone)]
struct Made {
    kind: u8,
    v6: bool,
    link_header: usize,
    segment: usize,
    payload: usize,
    flags: u8,
    service: u8,
}

impl Made {
    fn tcp() -> Self {
        let flags = 0x10;
        Self {
            kind: TCP_V4,
            v6: false,
            link_header: 0,
            segment: 1448,
            payload: 60_000,
            flags,
            service: 0,
        }
    }

    fn udp() -> Self {
        Self { kind: UDP, segment: 1200, payload: 12_500, ..Self::tcp() }
    }

    fn over_v6(self) -> Self {
        let kind = if self.kind == UDP { UDP } else { TCP_V6 };
        Self { v6: true, kind, ..self }
    }

    fn is_tcp(&self) -> bool {
        self.kind != UDP
    }

    fn bytes(&self) -> Vec<u8> {
        let payload: Vec<u8> =
            (0..self.payload).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
        let transport = if self.is_tcp() { self.tcp_header() } else { udp_header(self.payload) };
        let ip = self.ip_header(transport.len() + self.payload);
        let head = self.link_header + ip.len();
        let (kind, checksum) = if self.is_tcp() { (self.kind, 16_u16) } else { (UDP, 6) };
        let slowed = if self.is_tcp() && self.flags & 0x80 != 0 { ECN } else { 0 };
        let mut frame = vec![1, kind | slowed];
        for number in [head + transport.len(), self.segment, head, usize::from(checksum)] {
            frame.extend_from_slice(&u16::try_from(number).unwrap().to_ne_bytes());
        }
        frame.extend(vec![0xee; self.link_header]);
        frame.extend(ip);
        frame.extend(transport);
        let start = HEADER + head;
        let pseudo =
            pseudo(&frame[HEADER + self.link_header..], frame.len() - start + payload.len());
        frame[start + usize::from(checksum)..][..2].copy_from_slice(&pseudo.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn frame(&self) -> Frame {
        frame(&self.bytes(), self.link_header)
    }

    fn tcp_header(&self) -> Vec<u8> {
        let mut header = vec![0x27, 0x10, 0x14, 0x51];
        header.extend_from_slice(&0xffff_f000_u32.to_be_bytes());
        header.extend_from_slice(&77_u32.to_be_bytes());
        header.extend_from_slice(&[0x80, self.flags, 1, 2, 0, 0, 0, 0]);
        header.extend_from_slice(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
        header
    }

    fn ip_header(&self, len: usize) -> Vec<u8> {
        let protocol = if self.is_tcp() { 6 } else { 17 };
        if self.v6 {
            let mut header = vec![0x60, self.service << 4, 0, 9];
            header.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            header.extend_from_slice(&[protocol, 64]);
            header.extend_from_slice(&"fd00:99::1".parse::<Ipv6Addr>().unwrap().octets());
            header.extend_from_slice(&"fd00:99::2".parse::<Ipv6Addr>().unwrap().octets());
            return header;
        }
        let mut header = vec![0x45, self.service];
        header.extend_from_slice(&u16::try_from(20 + len).unwrap().to_be_bytes());
        header.extend_from_slice(&[0xff, 0xf0, 0x40, 0, 64, protocol, 0, 0]);
        header.extend_from_slice(&Ipv4Addr::new(10, 99, 0, 1).octets());
        header.extend_from_slice(&Ipv4Addr::new(10, 99, 0, 2).octets());
        let checksum = !fold(sum(&header));
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

fn udp_header(payload: usize) -> Vec<u8> {
    let mut header = vec![0x27, 0x10, 0x14, 0x51];
    header.extend_from_slice(&u16::try_from(8 + payload).unwrap().to_be_bytes());
    header.extend_from_slice(&[0, 0]);
    header
}

/// What a transport's checksum covers of an IP header.
fn pseudo(ip: &[u8], len: usize) -> u16 {
    let (addresses, protocol) =
        if ip[0] >> 4 == 6 { (&ip[8..40], ip[6]) } else { (&ip[12..20], ip[9]) };
    fold(sum(addresses) + u32::from(protocol) + u32::try_from(len).unwrap())
}

fn frame(bytes: &[u8], link_header: usize) -> Frame {
    let mut frame = Frame::with_room(bytes.len());
    frame.room().copy_from_slice(bytes);
    frame.fill(bytes.len(), link_header);
    frame
}

/// Returns a piece of a frame as it is handed to the kernel.
fn written(frame: &Frame, first: usize, count: usize, marked: bool) -> Vec<u8> {
    let mut head = Head::new();
    let rest = write_head(frame, Piece { first, count, marked }, &mut head);
    [head.bytes(), &frame.bytes()[rest]].concat()
}

/// Returns all packets of a frame, each by itself.
fn packets(frame: &Frame) -> Vec<Vec<u8>> {
    (0..frame.packets()).map(|index| written(frame, index, 1, false)).collect()
}

fn all_kinds() -> Vec<Made> {
    let plain = [Made::tcp(), Made::tcp().over_v6(), Made::udp(), Made::udp().over_v6()];
    let on_ethernet = plain.clone().map(|made| Made { link_header: ETHERNET, ..made });
    plain.into_iter().chain(on_ethernet).collect()
}

/// Finishes the transport's checksum as a network card would, and checks all of a packet.
fn check(packet: &[u8], made: &Made) {
    let start = HEADER + made.link_header;
    let ip = &packet[start..];
    let header = if made.v6 { 40 } else { 20 };
    if made.v6 {
        assert_eq!(usize::from(word(ip, 4).unwrap()), ip.len() - 40);
    } else {
        assert_eq!(usize::from(word(ip, 2).unwrap()), ip.len());
        assert_eq!(fold(sum(&ip[..20])), 0xffff, "the header's checksum");
    }
    assert_eq!((packet[0], packet[1]), (1, 0), "one packet, whose checksum is to be completed");
    let from = HEADER + usize::from(u16::from_ne_bytes([packet[6], packet[7]]));
    let place = from + usize::from(u16::from_ne_bytes([packet[8], packet[9]]));
    assert_eq!(from, start + header);
    let mut complete = packet.to_vec();
    let checksum = !fold(sum(&packet[from..]));
    complete[place..place + 2].copy_from_slice(&checksum.to_be_bytes());
    let covered = u32::from(pseudo(ip, packet.len() - from)) + sum(&complete[from..]);
    assert_eq!(fold(covered), 0xffff, "the transport's checksum");
    if !made.is_tcp() {
        assert_eq!(usize::from(word(&packet[from..], 4).unwrap()), packet.len() - from);
    }
}

#[test]
fn every_packet_of_a_frame_is_right_by_itself() {
    for made in all_kinds() {
        let frame = made.frame();
        let packets = packets(&frame);
        assert_eq!(packets.len(), made.payload.div_ceil(made.segment), "{made:?}");
        let mut payload = Vec::new();
        for packet in &packets {
            check(packet, &made);
            let headers = frame.bytes().len() - made.payload;
            payload.extend_from_slice(&packet[headers..]);
        }
        assert!(payload == frame.bytes()[frame.bytes().len() - made.payload..], "{made:?}");
    }
}

#[test]
fn sequence_numbers_and_identifications_count_on() {
    let packets = packets(&Made::tcp().frame());
    for (index, packet) in packets.iter().enumerate() {
        let index = u32::try_from(index).unwrap();
        let sequence = u32::from_be_bytes(packet[HEADER + 24..][..4].try_into().unwrap());
        assert_eq!(sequence, 0xffff_f000_u32.wrapping_add(index * 1448));
        let identification = word(packet, HEADER + 4).unwrap();
        assert_eq!(identification, 0xfff0_u16.wrapping_add(u16::try_from(index).unwrap()));
    }
}

#[test]
fn the_end_stands_in_the_last_packet_and_slowing_down_in_the_first() {
    let (fin, push, ack, slowed) = (0x01, 0x08, 0x10, 0x80);
    for made in [Made::tcp(), Made::tcp().over_v6()] {
        let made = Made { flags: fin | push | ack | slowed, ..made };
        let at = HEADER + if made.v6 { 40 } else { 20 } + 13;
        let flags: Vec<_> = packets(&made.frame()).iter().map(|packet| packet[at]).collect();
        let (first, last) = (flags[0], flags[flags.len() - 1]);
        assert_eq!((first, last), (ack | slowed, fin | push | ack));
        assert!(flags[1..flags.len() - 1].iter().all(|flags| *flags == ack), "{flags:?}");
    }
}

#[test]
fn joining_what_was_cut_gives_the_frame_back() {
    let mut dice = Pcg64Mcg::seed_from_u64(3);
    for made in all_kinds() {
        let made = Made { flags: 0x99, ..made };
        let frame = made.frame();
        let count = frame.packets();
        assert!(written(&frame, 0, count, false) == made.bytes(), "{made:?}");
        for _ in 0..200 {
            // Cut at some places, joined again, and cut by whoever receives it.
            let mut received = Vec::new();
            let mut first = 0;
            while first < count {
                let together = dice.random_range(1..=count - first);
                let joined =
                    self::frame(&written(&frame, first, together, false), made.link_header);
                assert_eq!(joined.packets(), together, "{made:?} {first}");
                received.extend(packets(&joined));
                first += together;
            }
            assert!(received == packets(&frame), "{made:?}");
        }
    }
}

#[test]
fn the_bytes_on_the_wire_are_those_of_the_packets() {
    for made in all_kinds() {
        let frame = made.frame();
        let lens: Vec<_> =
            packets(&frame).iter().map(|packet| packet.len() - HEADER - made.link_header).collect();
        for (index, len) in lens.iter().enumerate() {
            assert_eq!(frame.layout().wire_len(index, 1), *len);
        }
        assert_eq!(frame.layout().wire_len(0, lens.len()), lens.iter().sum::<usize>());
    }
}

#[test]
fn a_mark_is_set_and_the_headers_checksum_stays_right() {
    for made in all_kinds() {
        let made = Made { service: 0xb9 & 0xfe | 2, ..made };
        let frame = made.frame();
        assert!(frame.takes_marks());
        let count = frame.packets();
        for (first, together) in [(0, 1), (1, 2), (0, count), (count - 1, 1)] {
            let plain = written(&frame, first, together, false);
            let marked = written(&frame, first, together, true);
            let ip = HEADER + made.link_header;
            let checksum = if made.v6 { 0..0 } else { ip + 10..ip + 12 };
            let differs = |at: &usize| plain[*at] != marked[*at] && !checksum.contains(at);
            let differing: Vec<_> = (0..plain.len()).filter(differs).collect();
            assert_eq!(differing, [ip + 1], "{made:?}");
            let field = if made.v6 { marked[ip + 1] >> 4 } else { marked[ip + 1] };
            assert_eq!(field & 3, 3);
            if !made.v6 {
                assert_eq!(fold(sum(&marked[ip..ip + 20])), 0xffff, "{made:?}");
            }
        }
    }
}

#[test]
fn who_does_not_say_so_takes_no_marks() {
    assert!(!Made { service: 0xb8, ..Made::tcp() }.frame().takes_marks());
    assert!(Made { service: 0x01, ..Made::tcp() }.frame().takes_marks());
    assert!(!frame(&[0; 40], 0).takes_marks());
}

#[test]
fn a_packet_knows_its_flow() {
    for made in all_kinds() {
        let flow = made.frame().flow();
        let (near, far) =
            if made.v6 { ("[fd00:99::1]", "[fd00:99::2]") } else { ("10.99.0.1", "10.99.0.2") };
        assert_eq!(flow.from.to_string(), format!("{near}:10000"));
        assert_eq!(flow.to.to_string(), format!("{far}:5201"));
        assert_eq!(flow.protocol, if made.is_tcp() { 6 } else { 17 });
        assert!(!is_chatter(&flow));
    }
    assert_eq!(frame(&[9; 64], 0).flow(), FlowKey::OTHER);
}

#[test]
fn what_neighbours_say_to_each_other_is_told_from_tests() {
    let to_all = |mut bytes: Vec<u8>, protocol: u8| {
        bytes[HEADER + 6] = protocol;
        bytes[HEADER + 24..][..16]
            .copy_from_slice(&"ff02::16".parse::<Ipv6Addr>().unwrap().octets());
        is_chatter(&frame(&bytes, 0).flow())
    };
    let bytes = Made::udp().over_v6().bytes();
    assert!(to_all(bytes.clone(), 58) && to_all(bytes.clone(), 0));
    assert!(!to_all(bytes, 17), "a program may speak to all of its neighbours");
}

/// Whatever a frame is, it is cut into pieces of it, or left whole.
#[test]
fn nothing_that_can_be_read_makes_anything_panic() {
    let mut dice = Pcg64Mcg::seed_from_u64(7);
    let kinds: Vec<_> =
        all_kinds().into_iter().map(|made| (made.bytes(), made.link_header)).collect();
    for round in 0..60_000 {
        let (mut bytes, link_header) = kinds[round % kinds.len()].clone();
        // Mostly within the headers, where it matters.
        for _ in 0..dice.random_range(0..6) {
            let at = dice.random_range(0..bytes.len().min(90));
            bytes[at] = dice.random();
        }
        if dice.random_bool(0.5) {
            bytes.truncate(dice.random_range(0..bytes.len().min(200)));
        }
        if dice.random_bool(0.05) {
            dice.fill_bytes(&mut bytes);
        }
        check_any(&frame(&bytes, link_header));
    }
}

fn check_any(frame: &Frame) {
    let (count, len) = (frame.packets(), frame.bytes().len());
    assert!(count >= 1 && count <= len.max(1));
    let _ = (frame.flow(), frame.takes_marks(), is_chatter(&frame.flow()));
    let mut head = Head::new();
    let ends = [0, 1, count / 2, count - 1].map(|first| first.min(count - 1));
    for first in ends {
        for together in [1, count - first] {
            let piece = Piece { first, count: together, marked: first % 2 == 0 };
            let rest = write_head(frame, piece, &mut head);
            assert!(rest.start <= rest.end && rest.end <= len);
            assert!(frame.layout().wire_len(first, together) <= len * count.max(1));
        }
    }
    if frame.layout().cut.is_none() {
        assert!(written(frame, 0, 1, false) == frame.bytes(), "left as it was");
    }
}
