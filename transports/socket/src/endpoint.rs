use std::{
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{DEFAULT_BUFFERS, DatagramSocket, Traffic, canonical, port::Lease, refusals::Refusals};

/// One flow of datagrams, as its two halves and whoever reads its figures share it.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) socket: Arc<DatagramSocket>,
    pub(crate) route: Route,
    local: SocketAddr,
    peer: SocketAddr,
    traffic: Traffic,
    gso: AtomicUsize,
    refusals: Mutex<Refusals>,
    /// Dropped after the socket, so that the flow's end finds its descriptor closed.
    _lease: Option<Lease>,
}

/// How datagrams find the peer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    /// The socket is connected, and nobody else's.
    Connected {
        /// The peer as the kernel writes it.
        peer: SocketAddr,
    },
    /// The socket is shared with other flows.
    Shared { peer: SocketAddr, source: Option<IpAddr> },
}

impl Endpoint {
    /// Returns the flow of a connected socket.
    ///
    /// # Errors
    ///
    /// What the system says, for instance that `socket` is not connected.
    pub fn connected(socket: DatagramSocket) -> io::Result<Self> {
        let peer = socket.get().peer_addr()?;
        let local = socket.get().local_addr()?;
        let gso = socket.gso_segments();
        Ok(Self::new(Arc::new(socket), Route::Connected { peer }, local, gso))
    }

    pub(crate) fn shared(
        socket: Arc<DatagramSocket>,
        local: SocketAddr,
        peer: SocketAddr,
        source: Option<IpAddr>,
    ) -> Self {
        let local = source.map_or(local, |source| SocketAddr::new(source, local.port()));
        Self::new(socket, Route::Shared { peer, source }, local, 1)
    }

    fn new(socket: Arc<DatagramSocket>, route: Route, local: SocketAddr, gso: usize) -> Self {
        let peer = match route {
            Route::Connected { peer } | Route::Shared { peer, .. } => peer,
        };
        Self {
            socket,
            route,
            local: canonical(local),
            peer: canonical(peer),
            traffic: Traffic::default(),
            gso: AtomicUsize::new(gso),
            refusals: Mutex::new(Refusals::new(PATIENCE)),
            _lease: None,
        }
    }

    pub(crate) fn with_lease(mut self, lease: Lease) -> Self {
        self._lease = Some(lease);
        self
    }

    /// Sends one datagram at once, or not at all: for answers that may be lost.
    pub fn send_now(&self, bytes: &[u8]) {
        // Whoever waits for it asks again.
        let _ = self.try_send(bytes, None);
    }

    /// Sets for how long refusals may go on before they end the flow.
    pub fn set_patience(&self, patience: Duration) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).set_patience(patience);
    }

    /// Asks for a buffer that holds a window of so many datagrams of usual length, if that is more
    /// than the usual one. What was granted is among the flow's figures.
    pub fn ask_for_window(&self, datagrams: u16) {
        let bytes = u32::from(datagrams) * KERNELS_SHARE;
        if let (Some(socket), Some(bytes)) = (self.own_socket(), NonZeroU32::new(bytes))
            && bytes > DEFAULT_BUFFERS
        {
            // With less, what finds no room is counted as dropped.
            let _ = socket.force_buffers(bytes);
        }
    }

    /// Limits how many datagrams one send may carry.
    pub fn limit_gso(&self, segments: usize) {
        self.gso.fetch_min(segments, Relaxed);
    }

    /// Returns how many datagrams one send may carry, as far as is known by now.
    #[must_use]
    pub fn gso_segments(&self) -> usize {
        self.gso.load(Relaxed)
    }

    /// Returns the socket; `None` if the flow shares it with others, so that nothing can be set.
    #[must_use]
    pub fn own_socket(&self) -> Option<&DatagramSocket> {
        match self.route {
            Route::Connected { .. } => Some(&self.socket),
            Route::Shared { .. } => None,
        }
    }

    /// Returns what has been counted.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns this end's address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns the peer's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn try_send(&self, bytes: &[u8], segment: Option<u16>) -> io::Result<usize> {
        let sent = match self.route {
            Route::Connected { .. } => self.socket.try_send(bytes, segment),
            Route::Shared { peer, source } => self.socket.try_send_to(bytes, peer, source),
        }?;
        self.traffic.sent.add(sent, segment.map_or(sent, usize::from));
        Ok(sent)
    }

    /// Sends datagrams of `stride` bytes, each by itself, as many as one call takes.
    pub(crate) fn try_send_each(&self, bytes: &[u8], stride: usize) -> io::Result<usize> {
        if matches!(self.route, Route::Shared { .. }) {
            return self.try_send(&bytes[..bytes.len().min(stride)], None);
        }
        let sent = self.socket.try_send_each(bytes, stride)?;
        self.traffic.sent.add(sent, stride);
        Ok(sent)
    }

    /// Returns the error if it is to end the flow, and `None` if it is a hint alone.
    pub(crate) fn weigh(&self, error: io::Error) -> Option<io::Error> {
        let hint = matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
        );
        if !hint {
            return Some(error);
        }
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.note(Instant::now(), self.traffic.packets_received()).then_some(error)
    }
}

/// Bytes that Linux charges a receive buffer for a datagram of 1,400.
const KERNELS_SHARE: u32 = 2304;

/// How long a peer may seem to be gone, unless told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);
