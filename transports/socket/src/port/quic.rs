use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use quinn_udp::{RecvMeta, Transmit};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

use super::{
    PortCounts, PortOptions,
    counts::{add, count},
    ports::{Port, taken},
    receiving::{Injected, Receiving},
    shared::{Shared, datagrams},
};
use crate::{Buffers, DatagramSocket, set_tos, socket::Fragmentation, wait};

/// QUIC's share of a UDP port: the port's own socket, less what is not QUIC's.
///
/// It has what an asynchronous socket of quinn needs. It is received from by one task at a time, and
/// sent from by any number. While it is there, nobody else reads the port's own socket, so it is to
/// be polled. When it is dropped, the port's dispatcher reads again.
#[derive(Debug)]
pub struct QuicPort {
    watched: AsyncFd<UdpSocket>,
    socket: Arc<DatagramSocket>,
    /// How datagrams were fragmented before; `None` if they may be.
    fragmentation: Option<Fragmentation>,
    local: SocketAddr,
    tos: AtomicU8,
    /// The peer, if the socket has but one.
    peer: Option<Peer>,
    gso: AtomicUsize,
    /// System calls that brought something.
    receives: AtomicU64,
    receiving: Mutex<Receiving>,
    shared: Arc<Shared>,
    /// The port that is shared, if it is, which is dropped last.
    port: Option<Arc<Port>>,
}

/// Whom a connected socket sends to.
#[derive(Debug)]
struct Peer {
    addr: SocketAddr,
    /// The type of service that the socket gives to what it sends.
    marks: AtomicU16,
}

impl QuicPort {
    /// Returns a socket that nobody shares, with buffers of `buffers` bytes each way as far as this
    /// process may. Who calls this is in the runtime in which it then receives and sends.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn alone(socket: UdpSocket, buffers: NonZeroU32) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let socket = Arc::new(DatagramSocket::new(socket)?);
        socket.force_buffers(buffers)?;
        let watched = wait::watch(&socket, BOTH)?;
        let shared = Arc::new(Shared::new(&PortOptions::default()));
        let peer = socket.get().peer_addr().ok();
        let mut port = Self::new(watched, socket, local, shared).probing();
        port.peer = peer.map(|addr| Peer { addr, marks: AtomicU16::new(UNMARKED) });
        Ok(port)
    }

    /// Takes the port from its dispatcher.
    pub(super) fn sharing(port: Arc<Port>) -> io::Result<Self> {
        let socket = Arc::clone(&port.socket);
        let watched = wait::watch(&socket, BOTH)?;
        let (found, injected) = mpsc::channel(INJECTIONS);
        let mut state = port.shared.state();
        if state.quic.is_some() {
            return Err(taken("quic", port.local));
        }
        state.quic = Some(found);
        drop(state);
        port.shared.changed.notify_one();
        let mut quic = Self::new(watched, socket, port.local, Arc::clone(&port.shared));
        quic.receiving = Mutex::new(Receiving::with(Injected::new(injected)));
        // Flows that send from this socket may send datagrams longer than any packet.
        if port.options.own_sockets {
            quic = quic.probing();
        }
        quic.port = Some(port);
        Ok(quic)
    }

    fn new(
        watched: AsyncFd<UdpSocket>,
        socket: Arc<DatagramSocket>,
        local: SocketAddr,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            watched,
            fragmentation: None,
            local,
            tos: AtomicU8::new(0),
            peer: None,
            gso: AtomicUsize::new(socket.gso_segments()),
            receives: AtomicU64::new(0),
            receiving: Mutex::default(),
            socket,
            shared,
            port: None,
        }
    }

    /// Sends to the peer of a connected socket as the kernel likes it best: a call that names an
    /// address, or a type of service, has it look up the route.
    #[cfg(target_os = "linux")]
    fn send_to_peer(&self, peer: &Peer, transmit: &Transmit<'_>, tos: u8) -> io::Result<()> {
        let tos = tos | transmit.ecn.map_or(0, |ecn| ecn as u8);
        if peer.marks.load(Relaxed) != u16::from(tos) {
            set_tos(&DatagramSocket::as_ref(&self.socket), tos)?;
            peer.marks.store(tos.into(), Relaxed);
        }
        let segment = transmit.segment_size.filter(|segment| *segment < transmit.contents.len());
        let segment = segment.map(u16::try_from).transpose();
        let segment = segment.map_err(|_| io::ErrorKind::InvalidInput)?;
        self.socket.try_send(transmit.contents, segment).map(drop)
    }

    #[cfg(not(target_os = "linux"))]
    fn send_to_peer(&self, _: &Peer, transmit: &Transmit<'_>, tos: u8) -> io::Result<()> {
        self.socket.transmit(transmit, tos)
    }

    fn probing(mut self) -> Self {
        self.fragmentation = self.socket.probe_paths().ok();
        self
    }

    /// Sends what `transmit` says. What fails other than for want of room counts as lost on the way,
    /// as it could have been.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] alone: it is time to wait until it is
    /// [`writable`](Self::writable).
    pub fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let tos = self.tos.load(Relaxed);
        let send = |_: &UdpSocket| match &self.peer {
            Some(peer) if peer.addr == transmit.destination => {
                self.send_to_peer(peer, transmit, tos)
            }
            _ => self.socket.transmit(transmit, tos),
        };
        let Err(error) = self.watched.try_io(Interest::WRITABLE, send) else { return Ok(()) };
        match error.raw_os_error() {
            _ if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            // Whoever finds out what a path takes sends what it does not take.
            Some(libc::EMSGSIZE) => return Ok(()),
            // The device or the route cannot cut what it sends.
            Some(libc::EIO | libc::EINVAL) if transmit.segment_size.is_some() => {
                self.gso.store(1, Relaxed);
            }
            _ => {}
        }
        count(&self.shared.counts.unsent);
        Ok(())
    }

    /// Waits until there may be room to send. Any number of tasks may.
    ///
    /// # Errors
    ///
    /// Fails if the runtime has ended.
    pub async fn writable(&self) -> io::Result<()> {
        self.watched.writable().await?.retain_ready();
        Ok(())
    }

    /// Receives into `bufs`, and returns how many of `metas` say what came: each buffer takes one
    /// datagram, or several of the same peer a stride apart. Where that was not QUIC's, its length is
    /// given as 0.
    ///
    /// # Errors
    ///
    /// Fails if the runtime has ended. Failures to receive are counted, and survived.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(injected) = &mut receiving.injected {
            let filled = injected.fill(cx, bufs, metas);
            if filled > 0 {
                return Poll::Ready(Ok(filled));
            }
        }
        ready!(receiving.poll_rest(cx));
        let mut last = None;
        for _ in 0..ROUNDS {
            match ready!(self.poll_socket(cx, bufs, metas))? {
                Ok(received) => {
                    if self.sort(bufs, &mut metas[..received]) {
                        return Poll::Ready(Ok(received));
                    }
                    last = Some(received);
                }
                // What one peer's ICMP says must not end QUIC for all others.
                Err(_) => count(&self.shared.counts.errors),
            }
        }
        if let Some(received) = last {
            // Let others run; whoever limits how much is received at a time counts these.
            return Poll::Ready(Ok(received));
        }
        receiving.begin_rest();
        ready!(receiving.poll_rest(cx));
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Asks for buffers of `bytes` each way, beyond the system's limits where this process may, and
    /// returns what the system then keeps.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn force_buffers(&self, bytes: NonZeroU32) -> io::Result<Buffers> {
        self.socket.force_buffers(bytes)
    }

    /// Marks what is sent with the type of service `tos`, whose two lowest bits stay QUIC's, and
    /// returns what is in force.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if this is not Linux.
    pub fn set_tos(&self, tos: u8) -> io::Result<u32> {
        if !cfg!(target_os = "linux") {
            let text = format!("type of service {tos:#04x} on QUIC's datagrams needs Linux");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let tos = tos & !0b11;
        self.tos.store(tos, Relaxed);
        Ok(tos.into())
    }

    /// Returns the buffers that the system keeps.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn buffers(&self) -> io::Result<Buffers> {
        self.socket.buffers()
    }

    /// Returns the address that it is bound to, as the kernel writes it.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Returns how many datagrams one send may carry, as far as is known by now.
    #[must_use]
    pub fn gso_segments(&self) -> usize {
        self.socket.gso_segments().min(self.gso.load(Relaxed))
    }

    /// Returns how many datagrams one receive may bring.
    #[must_use]
    pub fn gro_segments(&self) -> usize {
        self.socket.gro_segments()
    }

    /// Returns whether a datagram that is longer than a packet is cut into fragments, so that
    /// nothing can be learned of how long packets may be.
    #[must_use]
    pub fn may_fragment(&self) -> bool {
        self.fragmentation.is_none()
    }

    /// Returns the datagrams that the kernel dropped for want of room here; `None` where it does
    /// not say.
    #[must_use]
    pub fn drops(&self) -> Option<u64> {
        self.socket.drops()
    }

    /// Returns what all who share the port have opened and dropped so far.
    #[must_use]
    pub fn counts(&self) -> PortCounts {
        self.shared.read_counts()
    }

    /// Returns how many system calls have received something, of whoever's it was.
    #[must_use]
    pub fn receives(&self) -> u64 {
        self.receives.load(Relaxed)
    }

    fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<io::Result<usize>>> {
        loop {
            let mut ready = ready!(self.watched.poll_read_ready(cx))?;
            if let Ok(received) = ready.try_io(|_| self.socket.try_recv(bufs, metas)) {
                self.receives.fetch_add(1, Relaxed);
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// Hands over what is not QUIC's, and returns whether anything is.
    fn sort(&self, bufs: &[IoSliceMut<'_>], metas: &mut [RecvMeta]) -> bool {
        let mut quic = 0;
        for (buf, meta) in bufs.iter().zip(metas) {
            let bytes = &buf[..meta.len];
            let is_alone = self.port.is_none();
            if is_alone || self.shared.is_left_to_quic((&*meta).into(), bytes, meta.stride) {
                quic += datagrams(bytes, meta.stride);
            } else {
                meta.len = 0;
            }
        }
        add(&self.shared.counts.quic, quic);
        quic > 0
    }
}

impl Drop for QuicPort {
    fn drop(&mut self) {
        if self.port.is_none() {
            return;
        }
        if let Some(before) = &self.fragmentation {
            self.socket.restore_fragmentation(before);
        }
        self.shared.state().quic = None;
        self.shared.changed.notify_one();
    }
}

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// How many reads of nothing of QUIC's one poll makes.
const ROUNDS: usize = 8;

/// No type of service at all.
const UNMARKED: u16 = u16::MAX;

/// How many strays may wait for QUIC.
const INJECTIONS: usize = 256;
