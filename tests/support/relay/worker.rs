//! The thread of a relay.

use std::{
    collections::HashMap,
    io::{self, PipeReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::mpsc::{Receiver, SyncSender},
    time::{Duration, Instant},
};

use polyperf_memory::link::LinkConfig;

use super::{
    LaneStats, MAX_CLIENTS, QUANTUM, RelayStats,
    lane::{Datagram, Lane},
    port::{Inbox, Port},
};

/// What the thread is told, and where it answers once it is done.
#[derive(Debug)]
pub(super) enum Order {
    Stats(SyncSender<RelayStats>),
    Rebind(SyncSender<io::Result<()>>),
    Cut(bool, SyncSender<()>),
}

/// All that the thread has, and gives back as it ends.
#[derive(Debug)]
pub(super) struct Worker {
    started: Instant,
    front: Port,
    clients: Clients,
    up: Lane,
    down: Lane,
    inbox: Inbox,
    /// Bytes of the IP and UDP headers of each datagram.
    headers: usize,
    orders: Receiver<Order>,
    /// Has a byte for each order, and ends with the relay.
    rings: PipeReader,
    polled: Vec<libc::pollfd>,
}

impl Worker {
    pub(super) fn new(
        server: SocketAddr,
        up: LinkConfig,
        down: LinkConfig,
        orders: Receiver<Order>,
        rings: PipeReader,
    ) -> io::Result<Self> {
        let (loopback, headers): (IpAddr, _) = match server {
            SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), IPV4_HEADER + UDP_HEADER),
            SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), IPV6_HEADER + UDP_HEADER),
        };
        let front = Port::open(SocketAddr::new(loopback, 0), None)?;
        Ok(Self {
            started: Instant::now(),
            clients: Clients::of(server),
            up: Lane::new(up, front.segments()),
            down: Lane::new(down, front.segments()),
            front,
            inbox: Inbox::new(),
            headers,
            orders,
            rings,
            polled: Vec::new(),
        })
    }

    pub(super) fn addr(&self) -> io::Result<SocketAddr> {
        self.front.addr()
    }

    /// Relays until the relay is dropped.
    pub(super) fn run(mut self) {
        wake_precisely();
        loop {
            let now = self.deliver();
            self.wait(now);
            for source in self.ready() {
                self.receive(source, MAX_BATCHES);
            }
            if self.is_ready(RINGS) && !self.obey() {
                return;
            }
        }
    }

    /// Sends all that is due, and returns the moment by which it was.
    fn deliver(&mut self) -> Duration {
        let Self { started, front, clients, up, down, .. } = self;
        let now = started.elapsed();
        up.deliver(now, |train| {
            clients.list[train.client].upstream.send(clients.server, train)?;
            Ok(started.elapsed())
        });
        down.deliver(now, |train| {
            front.send(clients.list[train.client].addr, train)?;
            Ok(started.elapsed())
        });
        now
    }

    /// Waits until something comes or is due; all has been sent that was due by `delivered`.
    fn wait(&mut self, delivered: Duration) {
        self.polled.clear();
        self.polled.push(readable(self.rings.as_raw_fd()));
        self.polled.push(readable(self.front.fd()));
        self.polled.extend(self.clients.list.iter().map(|client| readable(client.upstream.fd())));
        let due = [self.up.next_deadline(), self.down.next_deadline()].into_iter().flatten().min();
        let limit =
            due.map(|due| due.max(delivered + QUANTUM).saturating_sub(self.started.elapsed()));
        poll(&mut self.polled, limit);
    }

    fn is_ready(&self, index: usize) -> bool {
        self.polled[index].revents != 0
    }

    /// Returns the sockets that have something.
    fn ready(&self) -> Vec<Source> {
        let upstreams = (0..self.polled.len() - UPSTREAMS).map(Source::Upstream);
        let sources = std::iter::once(Source::Front).chain(upstreams);
        sources.zip(FRONT..).filter(|(_, index)| self.is_ready(*index)).map(|(s, _)| s).collect()
    }

    /// Puts on the link what a socket has received, up to so many batches.
    fn receive(&mut self, source: Source, batches: usize) {
        for _ in 0..batches {
            let port = match source {
                Source::Front => &self.front,
                Source::Upstream(client) => &self.clients.list[client].upstream,
            };
            let more = self.inbox.fill(port);
            let now = self.deliver();
            for (addr, ecn, bytes) in self.inbox.datagrams() {
                let (lane, client) = match source {
                    Source::Front => (&mut self.up, self.clients.find(addr)),
                    Source::Upstream(client) => (&mut self.down, Some(client)),
                };
                let Some(client) = client else { continue };
                let datagram = Datagram { client, ecn, headers: self.headers, bytes: bytes.into() };
                lane.push(now, datagram);
            }
            if !more {
                return;
            }
        }
    }

    /// Carries out one order; `false` if there will be no more.
    fn obey(&mut self) -> bool {
        if !matches!(self.rings.read(&mut [0]), Ok(1)) {
            return false;
        }
        let Ok(order) = self.orders.try_recv() else { return false };
        // What came before the order is treated as before it.
        self.receive(Source::Front, BATCHES_OF_A_BUFFER);
        for client in 0..self.clients.list.len() {
            self.receive(Source::Upstream(client), BATCHES_OF_A_BUFFER);
        }
        let now = self.deliver();
        // Whoever gave the order may have stopped to wait for the answer.
        let _ = match order {
            Order::Stats(answer) => answer.send(self.stats()).is_ok(),
            Order::Rebind(answer) => answer.send(self.clients.rebind()).is_ok(),
            Order::Cut(cut, answer) => {
                self.up.cut(now, cut);
                self.down.cut(now, cut);
                answer.send(()).is_ok()
            }
        };
        true
    }

    fn stats(&self) -> RelayStats {
        let downstream = self.clients.list.iter().map(|client| client.upstream.drops());
        let dropped = self.clients.dropped_before + downstream.sum::<u64>();
        RelayStats {
            up: LaneStats { socket_drops: self.front.drops(), ..self.up.stats() },
            down: LaneStats { socket_drops: dropped, ..self.down.stats() },
            clients: self.clients.list.len(),
            refused: self.clients.refused,
            busy: thread_time(),
        }
    }
}

/// A socket that receives.
#[derive(Debug, Clone, Copy)]
enum Source {
    Front,
    Upstream(usize),
}

/// A table of address translations.
#[derive(Debug)]
struct Clients {
    server: SocketAddr,
    list: Vec<Client>,
    places: HashMap<SocketAddr, usize>,
    refused: u64,
    /// What was dropped at sockets that have been replaced.
    dropped_before: u64,
}

#[derive(Debug)]
struct Client {
    addr: SocketAddr,
    /// Connected to the server.
    upstream: Port,
}

impl Clients {
    fn of(server: SocketAddr) -> Self {
        let (list, places) = (Vec::new(), HashMap::new());
        Self { server, list, places, refused: 0, dropped_before: 0 }
    }

    /// Returns the place of the client at `addr`, which may be a new one.
    fn find(&mut self, addr: SocketAddr) -> Option<usize> {
        if let Some(place) = self.places.get(&addr) {
            return Some(*place);
        }
        let port = (self.list.len() < MAX_CLIENTS).then(|| self.upstream());
        let Some(Ok(upstream)) = port else {
            self.refused += 1;
            return None;
        };
        let place = self.list.len();
        self.list.push(Client { addr, upstream });
        self.places.insert(addr, place);
        Some(place)
    }

    /// Replaces all sockets. The new one is bound before the old one is closed, so that the port
    /// is another.
    fn rebind(&mut self) -> io::Result<()> {
        for place in 0..self.list.len() {
            let upstream = self.upstream()?;
            let old = std::mem::replace(&mut self.list[place].upstream, upstream);
            self.dropped_before += old.drops();
        }
        Ok(())
    }

    fn upstream(&self) -> io::Result<Port> {
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Port::open(SocketAddr::new(any, 0), Some(self.server))
    }
}

fn readable(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// Waits for one of `polled`, up to `limit`.
fn poll(polled: &mut [libc::pollfd], limit: Option<Duration>) {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    let count = polled.len() as libc::nfds_t;
    // SAFETY: `polled` has `count` entries, `limit` is null or valid, and no signal mask is given.
    // It fails only when a signal comes, and then nothing is ready.
    unsafe { libc::ppoll(polled.as_mut_ptr(), count, limit, ptr::null()) };
}

/// Has the kernel end this thread's waits on time, rather than up to 50 µs later.
fn wake_precisely() {
    let nanoseconds: libc::c_ulong = 1;
    // SAFETY: it takes a number, and changes this thread alone. Without it the relay is less precise.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) };
}

/// Returns the processor time of this thread.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes to `time`, and leaves it as it is if it fails.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), nanos)
}

/// Where things are among what is polled.
const RINGS: usize = 0;
const FRONT: usize = 1;
const UPSTREAMS: usize = 2;

/// Batches read from a socket before others have their turn.
const MAX_BATCHES: usize = 4;

/// Batches that a full buffer comes to at most: the kernel counts no datagram as less than 512
/// bytes. Bounds how long senders can hold up an order.
const BATCHES_OF_A_BUFFER: usize = (16 << 20) / 512 / quinn_udp::BATCH_SIZE;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
