//! The relay that tests and benchmarks emulate links with.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]
#![cfg(target_os = "linux")]

#[path = "support/relay.rs"]
mod relay;

use std::{
    collections::HashSet,
    fs,
    io::IoSliceMut,
    iter,
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use polyperf_memory::link::{
    BitRate, Link, LinkConfig, LinkStats, Loss, Probability, QueueLimit, Script,
};
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};

use crate::relay::{MAX_CLIENTS, Relay, RelayStats};

#[test]
fn datagrams_come_through_both_ways_and_keep_their_content() {
    let path = Path::perfect();
    let mut client = Socket::new();
    for len in [0, 1, 1452, 9000, 65_507_usize] {
        let content: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        client.send(path.addr(), &content);
        let from = path.server.expect(&content);
        path.server.send(from, &content);
        assert_eq!(client.expect(&content), path.addr());
    }
    let stats = path.stats();
    assert_eq!((stats.up.link.delivered, stats.down.link.delivered), (5, 5));
    client = Socket::new();
    client.send(path.addr(), b"another");
    path.server.expect(b"another");
    assert_eq!(path.stats().clients, 2);
    assert_is_clean(&path.stats());
}

#[test]
fn ipv6_is_relayed_over_ipv6() {
    let path = Path::between(Socket::at("[::1]:0"), LinkConfig::perfect(), LinkConfig::perfect());
    assert_eq!(path.addr().ip().to_string(), "::1");
    let client = Socket::at("[::1]:0");
    client.send(path.addr(), b"question");
    let from = path.server.expect(b"question");
    assert_eq!(from.ip().to_string(), "::1");
    path.server.send(from, b"answer");
    client.expect(b"answer");
    assert_eq!(path.stats().up.wire_bytes, 8 + 48);
}

#[test]
fn each_client_has_an_upstream_address_of_its_own() {
    let path = Path::perfect();
    let clients: Vec<_> = (0..8).map(|_| Socket::new()).collect();
    let mut upstreams = Vec::new();
    for (number, client) in (0..).zip(&clients) {
        for _ in 0..2 {
            client.send(path.addr(), &[number]);
            upstreams.push(path.server.expect(&[number]));
        }
    }
    assert!(upstreams.chunks(2).all(|pair| pair[0] == pair[1]), "{upstreams:?}");
    assert_eq!(upstreams.iter().collect::<HashSet<_>>().len(), 8);
    for (number, upstream) in (0..8).zip(upstreams.iter().step_by(2)).rev() {
        path.server.send(*upstream, &[number]);
    }
    for (number, client) in (0..).zip(&clients) {
        client.expect(&[number]);
    }
}

#[test]
fn exactly_those_are_lost_that_the_link_loses() {
    let lossy = LinkConfig::perfect().loss(Loss::iid(Probability::new(0.1))).seed(7);
    let expected = survivors(&lossy, 1000);
    let path = Path::over(lossy);
    let client = Socket::new();
    let mut received = Vec::new();
    // A hundred at a time are sure to find room in the server's socket.
    for hundred in (0..1000_u16).collect::<Vec<_>>().chunks(100) {
        hundred.iter().for_each(|number| client.send(path.addr(), &number.to_be_bytes()));
        for _ in expected.iter().filter(|number| hundred.contains(number)) {
            let (bytes, _) = path.server.receive();
            received.push(u16::from_be_bytes([bytes[0], bytes[1]]));
        }
    }
    assert_eq!(received, expected);
    let link = path.await_link(|link| link.pushed == 1000);
    assert_eq!(link.pushed - link.lost, received.len() as u64);
    assert_eq!(link.delivered, received.len() as u64);
    assert_is_clean(&path.stats());
}

#[test]
fn each_datagram_of_a_train_meets_its_own_fate() {
    let path = Path::over(LinkConfig::perfect().script(Script::new().drop([1, 3]).duplicate([4])));
    let client = Socket::new();
    client.send_train(path.addr(), &numbered(5, 100));
    for number in [0, 2, 4, 4] {
        path.server.expect(&[number; 100]);
    }
    assert_eq!(path.stats().up.link.lost_by_script, 2);
}

#[test]
fn the_rate_is_that_of_whole_ip_packets() {
    let path = Path::over(LinkConfig::perfect().rate(BitRate::mbps(8)));
    let client = Socket::new();
    // With 28 bytes of headers 1000 bytes, so a millisecond each; a train comes all at once.
    client.send_train(path.addr(), &numbered(40, 972));
    for number in 0..40 {
        path.server.expect(&[number; 972]);
    }
    let stats = path.stats();
    let (first, last) = stats.up.due.unwrap();
    assert_eq!(last - first, Duration::from_millis(39));
    assert_eq!(stats.up.wire_bytes, 40_000);
    let lateness = stats.up.lateness;
    assert!(lateness.datagrams == 40 && lateness.mean() <= Some(lateness.max), "{lateness:?}");
    assert!(stats.busy > Duration::ZERO);
    assert_is_clean(&stats);
}

#[test]
fn a_full_queue_drops_the_rest() {
    let slow = LinkConfig::perfect().rate(BitRate::mbps(1)).queue(QueueLimit::Packets(2));
    let path = Path::over(slow);
    Socket::new().send_train(path.addr(), &numbered(5, 50));
    // One is on the serializer, and two wait.
    for number in 0..3 {
        path.server.expect(&[number; 50]);
    }
    assert_eq!(path.stats().up.link.dropped_by_queue, 2);
}

#[test]
fn ecn_is_carried_over() {
    let path = Path::perfect();
    let client = Socket::new();
    for ecn in [Some(EcnCodepoint::Ect0), Some(EcnCodepoint::Ce), None] {
        client.send_marked(path.addr(), b"marked", ecn);
        assert_eq!(path.server.receive_mark(), ecn);
    }
}

#[test]
fn a_cut_passes_nothing_and_a_restored_cable_does() {
    let path = Path::perfect();
    let client = Socket::new();
    client.send(path.addr(), b"before");
    let upstream = path.server.expect(b"before");
    path.relay.cut(true).unwrap();
    client.send(path.addr(), b"lost");
    path.server.send(upstream, b"lost");
    path.await_stats(|stats| (stats.up.blackholed, stats.down.blackholed) == (1, 1));
    path.relay.cut(false).unwrap();
    client.send(path.addr(), b"after");
    path.server.expect(b"after");
    path.server.send(upstream, b"answer");
    client.expect(b"answer");
}

#[test]
fn a_cut_loses_what_is_under_way() {
    let path = Path::over(LinkConfig::perfect().delay(Duration::from_secs(3600)));
    Socket::new().send(path.addr(), b"an hour too early");
    path.await_link(|link| link.pushed == 1);
    path.relay.cut(true).unwrap();
    assert_eq!(path.stats().up.link.cut, 1);
}

#[test]
fn a_rebind_changes_the_port_and_replies_still_find_the_client() {
    let path = Path::perfect();
    let client = Socket::new();
    client.send(path.addr(), b"one");
    let before = path.server.expect(b"one");
    path.relay.rebind().unwrap();
    client.send(path.addr(), b"two");
    let after = path.server.expect(b"two");
    assert_ne!(before, after);
    path.server.send(before, b"to nobody");
    path.server.send(after, b"to the client");
    client.expect(b"to the client");
    assert_eq!(path.stats().clients, 1);
}

#[test]
fn a_server_that_refuses_for_a_while_is_reached_again() {
    let path = Path::perfect();
    let (client, other) = (Socket::new(), Socket::new());
    client.send(path.addr(), b"before");
    let upstream = path.server.expect(b"before");
    // Connected to another, the server's socket has the kernel refuse what the relay sends.
    path.server.0.connect(other.addr()).unwrap();
    client.send(path.addr(), b"refused");
    path.await_link(|link| link.delivered == 2);
    path.server.0.connect(upstream).unwrap();
    client.send(path.addr(), b"after");
    path.server.expect(b"after");
    assert_is_clean(&path.stats());
}

#[test]
fn clients_beyond_the_limit_are_refused_and_counted() {
    with_descriptors_of_its_own(|| {
        let path = Path::perfect();
        for number in 0..=MAX_CLIENTS {
            let [.., third, fourth] = number.to_be_bytes();
            Socket::at(&format!("127.1.{third}.{fourth}:0")).send(path.addr(), b"hello");
        }
        // Where the process may not have so many descriptors, the limit is lower.
        path.await_stats(|stats| stats.clients as u64 + stats.refused == 1 + MAX_CLIENTS as u64);
        assert!(path.stats().clients <= MAX_CLIENTS);
    });
}

#[test]
fn a_relay_that_is_dropped_leaves_neither_descriptor_nor_thread() {
    with_descriptors_of_its_own(|| {
        let before = descriptors();
        let path = Path::over(LinkConfig::perfect().delay(Duration::from_secs(3600)));
        let clients: Vec<_> = (0..4).map(|_| Socket::new()).collect();
        clients.iter().for_each(|client| client.send(path.addr(), b"under way"));
        path.await_link(|link| link.pushed == 4);
        path.relay.rebind().unwrap();
        let (name, held) = (format!("relay-{}", path.addr().port()), descriptors());
        assert!(has_thread(&name) && held > before, "{held} descriptors, and {before} before");
        drop((path, clients));
        assert_eq!(descriptors(), before);
        // The kernel lists a thread for a moment after it has been joined.
        while has_thread(&name) {
            thread::yield_now();
        }
    });
}

/// A relay towards a server.
struct Path {
    server: Socket,
    relay: Relay,
}

impl Path {
    fn perfect() -> Self {
        Self::over(LinkConfig::perfect())
    }

    fn over(up: LinkConfig) -> Self {
        Self::between(Socket::new(), up, LinkConfig::perfect())
    }

    fn between(server: Socket, up: LinkConfig, down: LinkConfig) -> Self {
        let relay = Relay::start(server.addr(), up, down).unwrap();
        Self { server, relay }
    }

    fn addr(&self) -> SocketAddr {
        self.relay.addr()
    }

    fn stats(&self) -> RelayStats {
        self.relay.stats().unwrap()
    }

    fn await_stats(&self, is: impl Fn(&RelayStats) -> bool) {
        while !is(&self.stats()) {
            thread::yield_now();
        }
    }

    fn await_link(&self, is: impl Fn(&LinkStats) -> bool) -> LinkStats {
        self.await_stats(|stats| is(&stats.up.link));
        self.stats().up.link
    }
}

/// A client's or a server's.
struct Socket(UdpSocket);

impl Socket {
    fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    fn at(addr: &str) -> Self {
        let socket = UdpSocket::bind(addr).unwrap();
        // A test that waits for what never comes is to fail.
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket)
    }

    fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn send(&self, to: SocketAddr, bytes: &[u8]) {
        assert_eq!(self.0.send_to(bytes, to).unwrap(), bytes.len());
    }

    /// Sends datagrams, all but the last as long as the first, that arrive at once.
    fn send_train(&self, to: SocketAddr, datagrams: &[Vec<u8>]) {
        let segment = datagrams.first().map(Vec::len);
        self.transmit(to, &datagrams.concat(), segment, None);
    }

    fn send_marked(&self, to: SocketAddr, bytes: &[u8], ecn: Option<EcnCodepoint>) {
        self.transmit(to, bytes, None, ecn);
    }

    fn transmit(
        &self,
        destination: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
        ecn: Option<EcnCodepoint>,
    ) {
        let transmit = Transmit { destination, ecn, contents, segment_size, src_ip: None };
        let state = UdpSocketState::new((&self.0).into()).unwrap();
        state.try_send((&self.0).into(), &transmit).unwrap();
    }

    /// Returns the next datagram, and whom it is from.
    fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut bytes = vec![0; 1 << 16];
        let (len, from) = self.0.recv_from(&mut bytes).unwrap();
        bytes.truncate(len);
        (bytes, from)
    }

    /// Returns how the next datagram is marked.
    fn receive_mark(&self) -> Option<EcnCodepoint> {
        let state = UdpSocketState::new((&self.0).into()).unwrap();
        self.0.set_nonblocking(false).unwrap();
        let (mut bytes, mut meta) = (vec![0; 1 << 16], [RecvMeta::default()]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        state.recv((&self.0).into(), &mut slices, &mut meta).unwrap();
        meta[0].ecn
    }

    /// Waits for exactly this datagram, and returns whom it is from.
    fn expect(&self, content: &[u8]) -> SocketAddr {
        let (bytes, from) = self.receive();
        assert!(bytes == content, "{} bytes, where {} were due", bytes.len(), content.len());
        from
    }
}

/// Returns so many datagrams of `len` bytes, each full of its number.
fn numbered(count: u8, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![number; len]).collect()
}

/// Returns the numbers of those of `count` datagrams that come through such a link.
fn survivors(config: &LinkConfig, count: u16) -> Vec<u16> {
    let mut link = Link::new(config.clone());
    for number in 0..count {
        link.push(Duration::ZERO, number.to_be_bytes().to_vec());
    }
    let received = iter::from_fn(|| link.pop_due(Duration::MAX));
    received.map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]])).collect()
}

/// Asserts that nothing was lost that the link did not lose.
fn assert_is_clean(stats: &RelayStats) {
    for lane in [&stats.up, &stats.down] {
        assert_eq!((lane.socket_drops, lane.send_errors, stats.refused), (0, 0, 0), "{stats:?}");
    }
}

/// Runs `test` in a thread with a table of descriptors of its own, which threads that it starts
/// share, and the other tests do not.
fn with_descriptors_of_its_own(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        // SAFETY: it changes this thread alone.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
        test();
    });
    thread.join().unwrap();
}

/// Returns how many descriptors this thread sees.
fn descriptors() -> usize {
    fs::read_dir("/proc/thread-self/fd").unwrap().count()
}

fn has_thread(name: &str) -> bool {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    // One that ends meanwhile has no name any more.
    threads
        .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")).ok())
        .any(|found| found.trim_end() == name)
}
