//! A socket of a relay, and what it receives into.

use std::{
    array, fmt,
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::{AsRawFd, RawFd},
};

use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};

use super::lane::Train;

/// A socket with large buffers that never blocks.
pub(super) struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Port {
    /// Binds a socket, and connects it if there is a peer.
    pub(super) fn open(local: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Self> {
        let socket = UdpSocket::bind(local)?;
        enlarge(&socket)?;
        if let Some(peer) = peer {
            socket.connect(peer)?;
        }
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state })
    }

    pub(super) fn addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns how many datagrams one call can send.
    pub(super) fn segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    pub(super) fn send(&self, destination: SocketAddr, train: &Train) -> io::Result<()> {
        let transmit = Transmit {
            destination,
            ecn: train.ecn,
            contents: &train.bytes,
            segment_size: (train.bytes.len() > train.segment).then_some(train.segment),
            src_ip: None,
        };
        match self.state.try_send((&self.socket).into(), &transmit) {
            // It speaks of an earlier datagram that found nobody; this one has not been tried.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.state.try_send((&self.socket).into(), &transmit)
            }
            result => result,
        }
    }

    /// Returns how many datagrams the kernel has dropped for want of room.
    pub(super) fn drops(&self) -> u64 {
        let mut figures = [0_u32; MEMINFO_FIGURES];
        let mut len = libc::socklen_t::try_from(size_of_val(&figures)).unwrap_or(0);
        // SAFETY: the kernel writes at most `len` bytes to `figures`, which has that many.
        let result = unsafe {
            let (level, name) = (libc::SOL_SOCKET, libc::SO_MEMINFO);
            libc::getsockopt(self.fd(), level, name, figures.as_mut_ptr().cast(), &raw mut len)
        };
        if result == 0 { u64::from(figures[MEMINFO_DROPS]) } else { 0 }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Port").field(&self.socket).finish()
    }
}

/// What one call receives: up to [`BATCH_SIZE`] trains.
#[derive(Debug)]
pub(super) struct Inbox {
    buffers: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            buffers: vec![0; BATCH_SIZE * BUFFER].into_boxed_slice(),
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
        }
    }

    /// Receives what there is, and returns whether there may be more.
    pub(super) fn fill(&mut self, port: &Port) -> bool {
        let mut buffers = self.buffers.chunks_exact_mut(BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        let result = port.state.recv((&port.socket).into(), &mut slices, &mut self.metas);
        // An error is that of an earlier datagram that found nobody, and is gone once it is read.
        self.filled = result.as_ref().copied().unwrap_or(0);
        match result {
            Ok(filled) => filled == BATCH_SIZE,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Returns the datagrams, one by one.
    pub(super) fn datagrams(
        &self,
    ) -> impl Iterator<Item = (SocketAddr, Option<EcnCodepoint>, &[u8])> {
        let trains = self.buffers.chunks_exact(BUFFER).zip(&self.metas[..self.filled]);
        trains.flat_map(|(bytes, meta)| {
            // An empty datagram is one as well.
            let count = meta.len.div_ceil(meta.stride.max(1)).max(1);
            (0..count).map(move |index| {
                let start = index * meta.stride;
                let end = meta.len.min(start + meta.stride);
                (meta.addr, meta.ecn, &bytes[start..end])
            })
        })
    }
}

/// Asks for large buffers: beyond what the host allows where the process may.
fn enlarge(socket: &UdpSocket) -> io::Result<()> {
    for (forced, plain) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        set(socket, forced).or_else(|_| set(socket, plain))?;
    }
    Ok(())
}

fn set(socket: &UdpSocket, name: libc::c_int) -> io::Result<()> {
    let bytes = SOCKET_BUFFER;
    let len = libc::socklen_t::try_from(size_of_val(&bytes)).unwrap_or(0);
    // SAFETY: the kernel reads a number, and copies it.
    let result = unsafe {
        let value = (&raw const bytes).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, value, len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes asked for in each direction: at 400 Mbit/s more than 50 ms of datagrams, of which the
/// kernel counts each as more than half as long again.
const SOCKET_BUFFER: libc::c_int = 8 << 20;

/// What a train has at most.
const BUFFER: usize = 1 << 16;

/// `SK_MEMINFO_DROPS` of linux/sock_diag.h.
const MEMINFO_DROPS: usize = 8;

/// `SK_MEMINFO_VARS` of linux/sock_diag.h.
const MEMINFO_FIGURES: usize = 9;
