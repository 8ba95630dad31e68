//! Carrying datagrams between sockets of this host: the link of those who may have no networks.
//!
//! The far end's sockets are at an address that nobody is told. At the one that everybody knows is a
//! socket of the relay, and for each client there is another, by which the far end knows it:
//!
//! ```text
//! client ─> [front] ─> link ─> [back, one per client] ─> hidden socket of the far end
//! ```
//!
//! TCP goes past it: what is measured over TCP is not measured over this link.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::AsRawFd,
    rc::Rc,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use polyperf_transport::{HostSockets, Processors, Sockets};
use socket2::{SockRef, Socket};

use super::{
    Links,
    carrier::{Order, Orders},
    frame::FlowKey,
    lane::{Lane, Load},
    sys::{
        socket,
        wait::{Bell, Waiting, processor_time},
    },
    truth::{Direction, Truth},
};

/// The far end's sockets: those of UDP are behind the relay.
#[derive(Debug)]
pub(super) struct RelayedSockets {
    sockets: HostSockets,
    /// The address that everybody knows.
    known: Ipv4Addr,
    /// Where the sockets are.
    hidden: Ipv4Addr,
    doors: Sender<Door>,
    bell: Arc<Bell>,
}

/// A port of the far end, for the relay to listen at.
#[derive(Debug)]
pub(super) struct Door {
    /// `None` if the port is taken: by the relay itself, for a socket that is gone, or by others.
    front: Option<UdpSocket>,
    hidden: SocketAddr,
    /// Gets to know whether the relay listens there now.
    done: Sender<bool>,
}

impl RelayedSockets {
    /// Returns the sockets, and what the relay gets to know of them.
    pub(super) fn new(
        known: Ipv4Addr,
        hidden: Ipv4Addr,
        bell: Arc<Bell>,
    ) -> (Self, Receiver<Door>) {
        let (doors, opened) = mpsc::channel();
        (Self { sockets: HostSockets::new(), known, hidden, doors, bell }, opened)
    }

    /// Returns the address at which a socket really is that is asked for here.
    fn behind(&self, addr: SocketAddr) -> io::Result<SocketAddr> {
        // Who asks a socket for its address, and opens another beside it, names the hidden one.
        let ours = [self.known, self.hidden].map(IpAddr::V4);
        let is_ours = addr.ip().is_unspecified() || ours.contains(&addr.ip());
        if !is_ours || addr.is_ipv6() {
            let known = self.known;
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{addr} cannot be listened at: the lab's relay is at {known} alone"),
            ));
        }
        Ok(SocketAddr::from((self.hidden, addr.port())))
    }

    /// Has the relay listen for a hidden socket; returns whether it does.
    fn open(&self, hidden: SocketAddr) -> io::Result<bool> {
        let front = match self.sockets.udp(SocketAddr::from((self.known, hidden.port()))) {
            Ok(front) => Some(front),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
            Err(error) => return Err(error),
        };
        let gone = || io::Error::other("the lab's relay has ended");
        let (done, is_done) = mpsc::channel();
        self.doors.send(Door { front, hidden, done }).map_err(|_| gone())?;
        self.bell.ring();
        is_done.recv().map_err(|_| gone())
    }
}

impl Sockets for RelayedSockets {
    fn tcp_listener(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        self.sockets.tcp_listener(addr)
    }

    fn tcp_stream_socket(
        &self,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        multipath: bool,
    ) -> io::Result<Socket> {
        self.sockets.tcp_stream_socket(peer, local, multipath)
    }

    fn udp(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let behind = self.behind(addr)?;
        let tries = if addr.port() == 0 { PORTS_TRIED } else { 1 };
        for _ in 0..tries {
            let socket = self.sockets.udp(behind)?;
            if self.open(socket.local_addr()?)? {
                return Ok(socket);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn udp_beside(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.sockets.udp_beside(self.behind(addr)?)
    }

    fn processors(&self) -> Option<&Processors> {
        None
    }
}

/// Asks for room for a burst; what is granted of it is the host's to say.
fn widen(socket: &UdpSocket) {
    let socket = SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(ROOM);
    let _ = socket.set_send_buffer_size(ROOM);
}

/// Carries datagrams until it is told to end. Those of more than `mtu` bytes, headers included, do
/// not pass, as over a link whose packets are not to be taken apart.
pub(super) fn carry(
    opened: Receiver<Door>,
    mtu: u16,
    links: Links,
    orders: Orders,
) -> io::Result<()> {
    let relay = Relay {
        opened,
        orders,
        longest: usize::from(mtu).saturating_sub(HEADERS),
        doors: HashMap::new(),
        routes: Vec::new(),
        has_changed: false,
        by_client: HashMap::new(),
        to_far: Lane::new(links.to_far),
        to_near: Lane::new(links.to_near),
        errors: [0; 2],
        lost_before: [0; 2],
        buffer: vec![0; LONGEST],
        epoch: Instant::now(),
        processor_time_before: processor_time(),
    };
    relay.run()
}

#[derive(Debug)]
struct Relay {
    opened: Receiver<Door>,
    orders: Orders,
    /// Bytes of a datagram at most.
    longest: usize,
    /// By port.
    doors: HashMap<u16, (Rc<UdpSocket>, SocketAddr)>,
    routes: Vec<Rc<Route>>,
    /// Whether there are others to wait for than before.
    has_changed: bool,
    by_client: HashMap<(u16, SocketAddr), Rc<Route>>,
    to_far: Lane<Datagram>,
    to_near: Lane<Datagram>,
    /// Datagrams that could not be sent on: to the far end, and to the near one.
    errors: [u64; 2],
    lost_before: [u64; 2],
    buffer: Vec<u8>,
    epoch: Instant,
    processor_time_before: Option<Duration>,
}

/// How a client's datagrams go.
#[derive(Debug)]
struct Route {
    port: u16,
    client: SocketAddr,
    front: Rc<UdpSocket>,
    /// Connected to the far end's socket.
    back: UdpSocket,
    to_far: FlowKey,
    to_near: FlowKey,
}

/// A datagram on the link.
#[derive(Debug, Clone)]
struct Datagram {
    bytes: Rc<[u8]>,
    route: Rc<Route>,
}

impl Load for Datagram {
    fn packets(&self) -> usize {
        1
    }

    fn wire_len(&self) -> usize {
        self.bytes.len() + HEADERS
    }

    /// The field of a datagram's header is not to be had here.
    fn mark(&mut self) -> bool {
        false
    }

    fn is_marked(&self) -> bool {
        false
    }
}

impl Relay {
    fn run(mut self) -> io::Result<()> {
        let mut waiting = Waiting::new([self.orders.bell.descriptor()]);
        let mut fronts: Vec<Rc<UdpSocket>> = Vec::new();
        loop {
            let limit = self.rest();
            waiting.wait(limit)?;
            let known = self.routes.len();
            for (place, front) in fronts.iter().enumerate() {
                if waiting.is_ready(1 + place) {
                    self.take_from_client(front);
                }
            }
            for place in 0..known.min(self.routes.len()) {
                if waiting.is_ready(1 + fronts.len() + place) {
                    self.take_from_far(place);
                }
            }
            self.hand_on();
            if waiting.is_ready(0) && !self.obey() {
                return Ok(());
            }
            if std::mem::take(&mut self.has_changed) {
                fronts = self.doors.values().map(|(front, _)| Rc::clone(front)).collect();
                let backs = self.routes.iter().map(|route| route.back.as_raw_fd());
                let bell = self.orders.bell.descriptor();
                let fronts = fronts.iter().map(|front| front.as_raw_fd());
                waiting = Waiting::new([bell].into_iter().chain(fronts).chain(backs));
            }
        }
    }

    fn rest(&self) -> Option<Duration> {
        let next = [self.to_far.deadline(), self.to_near.deadline()].into_iter().flatten().min();
        next.map(|next| next.saturating_sub(self.epoch.elapsed()))
    }

    fn take_from_client(&mut self, front: &Rc<UdpSocket>) {
        for _ in 0..BATCH {
            let Ok((len, client)) = front.recv_from(&mut self.buffer) else { return };
            if len > self.longest {
                continue;
            }
            // A client for whom no socket can be had is not heard, as if it were out of reach.
            let Some(route) = self.route(front, client) else { continue };
            let flow = self.to_far.flow(&route.to_far);
            let datagram = Datagram { bytes: self.buffer[..len].into(), route };
            let _ = self.to_far.put(self.epoch.elapsed(), flow, datagram);
            while self.to_far.next_lost().is_some() {}
        }
    }

    fn take_from_far(&mut self, place: usize) {
        let Some(route) = self.routes.get(place).map(Rc::clone) else { return };
        let flow = self.to_near.flow(&route.to_near);
        for _ in 0..BATCH {
            match route.back.recv(&mut self.buffer) {
                Ok(len) if len > self.longest => {}
                Ok(len) => {
                    let bytes = self.buffer[..len].into();
                    let datagram = Datagram { bytes, route: Rc::clone(&route) };
                    let _ = self.to_near.put(self.epoch.elapsed(), flow, datagram);
                    while self.to_near.next_lost().is_some() {}
                }
                // Nothing there, or nobody at the port any more.
                Err(_) => return,
            }
        }
    }

    fn hand_on(&mut self) {
        let now = self.epoch.elapsed();
        while let Some(Datagram { bytes, route }) = self.to_far.next(now) {
            let sent = route.back.send(&bytes);
            self.errors[0] += u64::from(is_failure(&sent));
        }
        while let Some(Datagram { bytes, route }) = self.to_near.next(now) {
            let sent = route.front.send_to(&bytes, route.client);
            self.errors[1] += u64::from(is_failure(&sent));
        }
        while self.to_far.next_lost().is_some() || self.to_near.next_lost().is_some() {}
    }

    /// Returns the way of a client's datagrams, and makes it for a new one.
    fn route(&mut self, front: &Rc<UdpSocket>, client: SocketAddr) -> Option<Rc<Route>> {
        let port = front.local_addr().ok()?.port();
        if let Some(route) = self.by_client.get(&(port, client)) {
            return Some(Rc::clone(route));
        }
        let hidden = self.doors.get(&port)?.1;
        let known = front.local_addr().ok()?;
        // From the client's own address, by which the far end may know it.
        let back = HostSockets::new().udp(SocketAddr::new(client.ip(), 0)).ok()?;
        widen(&back);
        back.connect(hidden).ok()?;
        let key = |from, to| FlowKey { protocol: UDP, from, to };
        let (to_far, to_near) = (key(client, known), key(known, client));
        let route = Route { port, client, front: Rc::clone(front), back, to_far, to_near };
        let route = Rc::new(route);
        if self.routes.len() >= MOST_ROUTES {
            // The oldest of all: whoever still uses it gets a new one.
            let oldest = self.routes.remove(0);
            self.by_client.remove(&(oldest.port, oldest.client));
        }
        self.has_changed = true;
        self.routes.push(Rc::clone(&route));
        self.by_client.insert((port, client), Rc::clone(&route));
        Some(route)
    }

    /// Does what has been asked for; returns whether to go on.
    fn obey(&mut self) -> bool {
        self.orders.bell.hush();
        while let Ok(Door { front, hidden, done }) = self.opened.try_recv() {
            let port = hidden.port();
            if let Some(front) = front {
                widen(&front);
                self.doors.insert(port, (Rc::new(front), hidden));
            }
            self.forget(|route| route.port == port);
            // Who asked may have gone.
            let _ = done.send(self.doors.contains_key(&port));
        }
        while let Ok(order) = self.orders.next() {
            match order {
                None => return true,
                Some(Order::Set(links, done)) => {
                    self.set(*links);
                    let _ = done.send(());
                }
                Some(Order::Tell(answer)) => drop(answer.send(self.truth())),
            }
        }
        false
    }

    fn set(&mut self, links: Links) {
        // What waits in a socket is on its way, too; not what is sent meanwhile.
        let fronts = self.doors.values().map(|(front, _)| &**front);
        for socket in fronts.chain(self.routes.iter().map(|route| &route.back)) {
            for _ in 0..MOST_WAITING {
                if socket.recv_from(&mut self.buffer).is_err() {
                    break;
                }
            }
        }
        self.epoch = Instant::now();
        (self.to_far, self.to_near) = (Lane::new(links.to_far), Lane::new(links.to_near));
        self.errors = [0; 2];
        self.lost_before = self.lost();
        self.processor_time_before = processor_time();
    }

    fn forget(&mut self, which: impl Fn(&Route) -> bool) {
        self.has_changed = true;
        self.routes.retain(|route| !which(route));
        self.by_client.retain(|_, route| !which(route));
    }

    /// Returns how many datagrams found no room in the relay's sockets, from either end.
    fn lost(&self) -> [u64; 2] {
        let of = |socket: &UdpSocket| socket::lost(socket).unwrap_or(0);
        let fronts = self.doors.values().map(|(front, _)| of(front)).sum();
        [fronts, self.routes.iter().map(|route| of(&route.back)).sum()]
    }

    fn truth(&self) -> Truth {
        let cpu = processor_time().zip(self.processor_time_before);
        let lost = self.lost();
        let direction = |lane: &Lane<Datagram>, place: usize| Direction {
            device_drops: Some(lost[place].saturating_sub(self.lost_before[place])),
            write_errors: self.errors[place],
            ..lane.truth()
        };
        Truth {
            lasted: self.epoch.elapsed(),
            cpu: cpu.map(|(now, before)| now.saturating_sub(before)),
            to_far: direction(&self.to_far, 0),
            to_near: direction(&self.to_near, 1),
        }
    }
}

/// Whether the kernel had no room; that nobody listens any more is for the ends to know.
fn is_failure(sent: &io::Result<usize>) -> bool {
    matches!(sent, Err(error) if error.kind() != io::ErrorKind::ConnectionRefused)
}

/// Bytes of the headers of IPv4 and UDP.
const HEADERS: usize = 28;
const LONGEST: usize = 1 << 16;
const UDP: u8 = 17;
/// Datagrams taken from a socket before others have their turn.
const BATCH: usize = 32;
/// Clients that are served at a time.
const MOST_ROUTES: usize = 256;
/// Of a port that is free at one address, and not at the other.
const PORTS_TRIED: usize = 16;
const ROOM: usize = 4 << 20;
/// Datagrams that have room in a socket.
const MOST_WAITING: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{DEFAULT_MTU, Lab, Prepared, Tier};

    fn lab() -> Lab {
        let prepared = Prepared { tier: Tier::Relay, processes: None, refused: Vec::new() };
        Lab::assemble(prepared, DEFAULT_MTU).map_err(|failure| failure.error).unwrap()
    }

    fn waiting(socket: UdpSocket) -> UdpSocket {
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    fn far(lab: &Lab, port: u16) -> UdpSocket {
        waiting(lab.far().sockets().udp(SocketAddr::from((lab.far().v4(), port))).unwrap())
    }

    fn near(lab: &Lab, server: &UdpSocket) -> UdpSocket {
        let client = lab.near().sockets().udp(SocketAddr::from((lab.near().v4(), 0))).unwrap();
        client.connect((lab.far().v4(), server.local_addr().unwrap().port())).unwrap();
        waiting(client)
    }

    fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; LONGEST];
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        buffer.truncate(len);
        (buffer, from)
    }

    #[test]
    fn both_ends_see_each_other_where_they_are_known_to_be() {
        let lab = lab();
        let server = far(&lab, 0);
        let client = near(&lab, &server);
        client.send(b"there").unwrap();
        let (datagram, from) = receive(&server);
        assert_eq!((datagram.as_slice(), from.ip()), (&b"there"[..], lab.near().v4().into()));
        assert_ne!(server.local_addr().unwrap().ip(), IpAddr::from(lab.far().v4()), "hidden");
        server.send_to(b"and back", from).unwrap();
        // Connected, it takes datagrams from the known address alone.
        assert_eq!(receive(&client).0, b"and back");
        let truth = lab.truth().unwrap();
        let flow = &truth.to_far.flows[0];
        assert_eq!(
            (flow.from, flow.to),
            (client.local_addr().unwrap(), client.peer_addr().unwrap())
        );
        assert_eq!((flow.crossing.packets, flow.crossing.bytes), (1, 5 + 28));
        assert_eq!(truth.to_near.total.delivered, 1);
    }

    #[test]
    fn what_is_longer_than_the_link_allows_does_not_pass() {
        let lab = lab();
        let server = far(&lab, 0);
        let client = near(&lab, &server);
        for len in [1473, 1472] {
            client.send(&vec![1; len]).unwrap();
        }
        let (datagram, from) = receive(&server);
        assert_eq!(datagram.len(), 1472);
        for len in [1473, 1471] {
            server.send_to(&vec![1; len], from).unwrap();
        }
        assert_eq!(receive(&client).0.len(), 1471);
    }

    #[test]
    fn a_port_is_free_again_when_its_socket_is_gone_and_not_before() {
        let lab = lab();
        let server = far(&lab, 0);
        let client = near(&lab, &server);
        client.send(b"one").unwrap();
        receive(&server);
        let port = server.local_addr().unwrap().port();
        let taken = lab.far().sockets().udp(SocketAddr::from((lab.far().v4(), port)));
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(server);
        let server = far(&lab, port);
        client.send(b"two").unwrap();
        assert_eq!(receive(&server).0, b"two");
    }

    #[test]
    fn more_clients_than_there_is_room_for_are_served_all_the_same() {
        let lab = lab();
        let server = far(&lab, 0);
        let clients: Vec<_> = (0..MOST_ROUTES + 20).map(|_| near(&lab, &server)).collect();
        for client in &clients {
            client.send(b"first").unwrap();
            let (_, from) = receive(&server);
            server.send_to(b"heard", from).unwrap();
            assert_eq!(receive(client).0, b"heard");
        }
        clients[0].send(b"still here").unwrap();
        assert_eq!(receive(&server).0, b"still here");
    }

    #[test]
    fn addresses_that_are_not_the_relays_are_refused() {
        let lab = lab();
        for addr in ["[::]:0", "[::1]:0", "127.0.0.9:0"] {
            let error = lab.far().sockets().udp(addr.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            let expected = format!("the lab's relay is at {} alone", lab.far().v4());
            assert!(error.to_string().ends_with(&expected), "{error}");
        }
    }
}
