//! The thread of a relay.

use std::{
    io::{self, PipeReader, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::mpsc::{Receiver, SyncSender},
    time::{Duration, Instant},
};

use polyperf_memory::link::LinkConfig;

use super::{
    LaneStats, QUANTUM, RelayStats,
    clients::Clients,
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
    /// When the thread last began to work, since it was started.
    woken: Duration,
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
            woken: Duration::ZERO,
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
        be_punctual();
        loop {
            self.deliver();
            self.wait();
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

    /// Waits until something comes or is due, and for a quantum since the last time at least.
    fn wait(&mut self) {
        let rest = (self.woken + QUANTUM).saturating_sub(self.started.elapsed());
        if !rest.is_zero() {
            poll(&mut [readable(self.rings.as_raw_fd())], Some(rest));
        }
        self.polled.clear();
        self.polled.push(readable(self.rings.as_raw_fd()));
        self.polled.push(readable(self.front.fd()));
        self.polled.extend(self.clients.list.iter().map(|client| readable(client.upstream.fd())));
        let due = [self.up.next_deadline(), self.down.next_deadline()].into_iter().flatten().min();
        poll(&mut self.polled, due.map(|due| due.saturating_sub(self.started.elapsed())));
        self.woken = self.started.elapsed();
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
        RelayStats {
            up: LaneStats { socket_drops: self.front.drops(), ..self.up.stats() },
            down: LaneStats { socket_drops: self.clients.drops(), ..self.down.stats() },
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

/// Has the kernel end this thread's waits on time, rather than up to 50 µs later, and before other
/// threads have their turn. Where the process may not, the relay is less precise, and its
/// [`Lateness`](super::Lateness) says so.
fn be_punctual() {
    let nanoseconds: libc::c_ulong = 1;
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: both take values, and change this thread alone.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds);
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority);
    }
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
