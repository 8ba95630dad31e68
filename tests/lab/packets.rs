//! What crosses the link, byte for byte.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    thread,
};

use polyperf::lab::{
    Lab, Links,
    link::{LinkConfig, Loss, Probability},
};

use crate::{Cases, open, traffic::udp};

pub(crate) const CASES: Cases = &[
    ("datagrams_sent_at_once_arrive_one_by_one", datagrams_arrive_one_by_one),
    ("datagrams_sent_at_once_may_arrive_at_once", datagrams_may_arrive_at_once),
    ("a_stream_arrives_as_it_was_sent_over_both_families", a_stream_arrives),
    ("packets_are_no_longer_than_the_link_allows", packets_are_no_longer),
    ("nothing_but_tests_crosses_an_idle_link", nothing_crosses_an_idle_link),
];

fn datagrams_arrive_one_by_one() {
    let Some(lab) = open() else { return };
    for (links, address) in every_way(&lab) {
        lab.set(links).unwrap();
        let (near, far) = pair(&lab, address);
        let sent = send_at_once(&near);
        let mut buffer = vec![0; 1 << 16];
        for expected in sent.chunks(SEGMENT) {
            let len = far.recv(&mut buffer).unwrap();
            assert!(&buffer[..len] == expected, "{len} bytes of {}", expected.len());
        }
        let total = lab.truth().unwrap().to_far.total;
        assert_eq!((total.packets, total.delivered), (11, 11));
        let headers = if address.is_ipv6() { 48 } else { 28 };
        assert_eq!(total.bytes, (sent.len() + 11 * headers) as u64);
    }
}

fn datagrams_may_arrive_at_once() {
    let Some(lab) = open() else { return };
    for (links, address) in every_way(&lab) {
        lab.set(links).unwrap();
        let (near, far) = pair(&lab, address);
        set(&far, UDP_GRO, 1);
        let sent = send_at_once(&near);
        let (mut buffer, mut received) = (vec![0; 1 << 16], Vec::new());
        let mut calls = 0;
        while received.len() < sent.len() {
            let Ok(len) = far.recv(&mut buffer) else {
                panic!(
                    "{} of {} bytes over {address}: {:?}",
                    received.len(),
                    sent.len(),
                    lab.truth()
                );
            };
            received.extend_from_slice(&buffer[..len]);
            calls += 1;
        }
        assert!(received == sent);
        assert!(calls < 11, "packets that left the link together are handed over together");
    }
}

fn a_stream_arrives() {
    let Some(lab) = open() else { return };
    let bytes: Vec<u8> = (0..8_000_000_u32).flat_map(|number| number.to_be_bytes()).collect();
    for (links, address) in every_way(&lab) {
        lab.set(links).unwrap();
        let listener = lab.far().sockets().tcp_listener(SocketAddr::new(address, 0)).unwrap();
        listener.set_nonblocking(false).unwrap();
        let peer = listener.local_addr().unwrap();
        let receiver = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(false).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            received
        });
        let socket = lab.near().sockets().tcp_stream_socket(peer, None, false).unwrap();
        socket.set_nonblocking(false).unwrap();
        socket.connect(&peer.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.write_all(&bytes).unwrap();
        drop(stream);
        assert!(receiver.join().unwrap() == bytes, "over {address}");
        let truth = lab.truth().unwrap();
        let flow = &truth.to_far.flows[0];
        assert_eq!((flow.protocol, flow.to), (6, peer));
        assert!(flow.crossing.bytes > bytes.len() as u64);
    }
}

fn packets_are_no_longer() {
    let prepared = crate::prepare();
    if !prepared.tier().has_namespaces() {
        return println!("  tier {} has no MTU of its own", prepared.tier());
    }
    let lab = Lab::open(prepared, 1280).unwrap();
    lab.set(Links::both(&exact())).unwrap();
    let bulk = crate::traffic::tcp(&lab, None, MS, 50 * MS);
    assert!(bulk.rate > 0.0);
    let truth = lab.truth().unwrap();
    let flow = &truth.to_far.flows[0].crossing;
    assert!(flow.bytes / flow.packets <= 1280, "{flow:?}");
    assert!(flow.bytes / flow.packets > 1000, "{flow:?}");
}

fn nothing_crosses_an_idle_link() {
    let Some(lab) = open() else { return };
    lab.set(Links::both(&exact())).unwrap();
    // For as long as a kernel that looks for routers and groups does so often.
    let near = udp(lab.near(), lab.near().v4());
    let far = udp(lab.far(), lab.far().v6());
    for socket in [near, far] {
        socket.recv(&mut [0; 16]).unwrap_err();
    }
    let truth = lab.truth().unwrap();
    assert_eq!((truth.to_far.total.packets, truth.to_near.total.packets), (0, 0), "{truth:?}");
}

/// A link that does nothing, and one on which each packet meets a fate of its own, over IPv4 and
/// IPv6.
fn every_way(lab: &Lab) -> Vec<(Links, IpAddr)> {
    let addresses = [IpAddr::from(lab.far().v4()), IpAddr::from(lab.far().v6())];
    let links = [Links::perfect(), Links::both(&exact())];
    let pairs = links.iter().flat_map(|links| addresses.map(|address| (links.clone(), address)));
    pairs.collect()
}

/// Loses so few packets that none of a test is among them.
fn exact() -> LinkConfig {
    let config = LinkConfig::perfect().loss(Loss::Iid(Probability::new(1e-12)));
    assert!(config.is_per_packet());
    config
}

fn pair(lab: &Lab, address: IpAddr) -> (UdpSocket, UdpSocket) {
    let unspecified: IpAddr = if address.is_ipv6() { "::" } else { "0.0.0.0" }.parse().unwrap();
    let (near, far) = (udp(lab.near(), unspecified), udp(lab.far(), address));
    near.connect(far.local_addr().unwrap()).unwrap();
    (near, far)
}

/// Hands ten datagrams of 1200 bytes and one of 500 to the kernel in one call.
fn send_at_once(socket: &UdpSocket) -> Vec<u8> {
    set(socket, UDP_SEGMENT, SEGMENT.try_into().unwrap());
    let bytes: Vec<u8> =
        (0..10 * SEGMENT + 500).map(|at| u8::try_from(at * 7 % 253).unwrap()).collect();
    assert_eq!(socket.send(&bytes).unwrap(), bytes.len());
    bytes
}

fn set(socket: &UdpSocket, name: libc::c_int, value: libc::c_int) {
    let len = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap();
    // SAFETY: the kernel reads a number, and copies it.
    let result = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, name, value, len)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

const SEGMENT: usize = 1200;
const UDP_SEGMENT: libc::c_int = 103;
const UDP_GRO: libc::c_int = 104;
const MS: std::time::Duration = std::time::Duration::from_millis(1);
