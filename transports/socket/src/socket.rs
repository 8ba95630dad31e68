use std::{
    io,
    io::IoSliceMut,
    net::{IpAddr, SocketAddr, UdpSocket},
    num::NonZeroU32,
    os::fd::{AsFd, BorrowedFd},
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;

use crate::{Buffers, message, sys};

/// A UDP socket with what the platform offers to carry many datagrams with one call.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl DatagramSocket {
    /// Takes `socket`, and sets it up for offload, packet information and ECN.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let fragmentation = Fragmentation::of(&socket);
        let state = UdpSocketState::new((&socket).into())?;
        // That has forbidden to fragment, as QUIC wants it. Here it is the user's to say.
        fragmentation.restore(&socket);
        Ok(Self { socket, state })
    }

    /// Sends `bytes` to the peer of a connected socket: as one datagram, or cut into datagrams of
    /// `segment` bytes.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::WouldBlock`] when there is no room.
    pub fn try_send(&self, bytes: &[u8], segment: Option<u16>) -> io::Result<usize> {
        sys::send(&self.socket, bytes, segment)
    }

    /// Sends `bytes` to the peer of a connected socket as datagrams of `stride` bytes, as many as one
    /// call takes, and returns how many bytes those have.
    ///
    /// # Errors
    ///
    /// Those of [`try_send`](Self::try_send), of the first datagram.
    pub(crate) fn try_send_each(&self, bytes: &[u8], stride: usize) -> io::Result<usize> {
        message::send_each(&self.socket, bytes, stride)
    }

    /// Sends one datagram from an unconnected socket, from `source` if given.
    ///
    /// # Errors
    ///
    /// Those of [`try_send`](Self::try_send).
    pub fn try_send_to(
        &self,
        bytes: &[u8],
        destination: SocketAddr,
        source: Option<IpAddr>,
    ) -> io::Result<usize> {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: bytes,
            segment_size: None,
            src_ip: source,
        };
        self.transmit(&transmit, 0).map(|()| bytes.len())
    }

    /// Sends what `transmit` says, from an unconnected socket, with the type of service `tos` less
    /// the two bits of it that `transmit` says.
    ///
    /// # Errors
    ///
    /// Those of [`try_send`](Self::try_send).
    pub fn transmit(&self, transmit: &Transmit<'_>, tos: u8) -> io::Result<()> {
        match tos {
            0 => self.state.try_send((&self.socket).into(), transmit),
            tos => message::send_marked(&self.socket, transmit, tos).map(drop),
        }
    }

    /// Receives into `bufs`, and returns how many of `metas` say what came. Each buffer takes one
    /// datagram, or several of the same peer a stride apart.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::WouldBlock`] when there is nothing.
    pub fn try_recv(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        self.state.recv((&self.socket).into(), bufs, metas)
    }

    /// Asks for buffers of `bytes` each way, and returns what the system then keeps.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn set_buffers(&self, bytes: NonZeroU32) -> io::Result<Buffers> {
        Buffers::set(&self.as_ref(), bytes)
    }

    /// Asks for buffers of `bytes` each way, beyond the system's limits where this process may.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn force_buffers(&self, bytes: NonZeroU32) -> io::Result<Buffers> {
        self.set_buffers(bytes)?;
        #[cfg(target_os = "linux")]
        for name in [libc::SO_SNDBUFFORCE, libc::SO_RCVBUFFORCE] {
            let value = libc::c_int::try_from(bytes.get()).unwrap_or(libc::c_int::MAX);
            // Few processes may, and what is granted is read back either way.
            let _ = sys::set_number(&self.socket, libc::SOL_SOCKET, name, value);
        }
        self.buffers()
    }

    /// Returns the buffers that the system keeps.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn buffers(&self) -> io::Result<Buffers> {
        Buffers::of(&self.as_ref())
    }

    /// Forbids to fragment: a datagram that the path does not take whole fails instead.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn forbid_fragments(&self) -> io::Result<()> {
        Fragmentation::forbid(&self.socket)
    }

    /// Forbids to fragment, and to go by what the system thinks of a path: who sends finds out how
    /// long datagrams may be (RFC 8899). Returns how it was before.
    pub(crate) fn probe_paths(&self) -> io::Result<Fragmentation> {
        let before = Fragmentation::of(&self.socket);
        Fragmentation::leave_to_sender(&self.socket)?;
        Ok(before)
    }

    /// Has datagrams fragmented, or not, as they were `before`.
    pub(crate) fn restore_fragmentation(&self, before: &Fragmentation) {
        before.restore(&self.socket);
    }

    /// Returns the largest packet that the path to a connected peer takes, in bytes; `None` where
    /// the system does not say.
    #[must_use]
    pub fn mtu(&self) -> Option<u32> {
        #[cfg(target_os = "linux")]
        {
            let (level, name) = match self.socket.peer_addr().ok()? {
                SocketAddr::V6(peer) if peer.ip().to_ipv4_mapped().is_none() => {
                    (libc::IPPROTO_IPV6, libc::IPV6_MTU)
                }
                _ => (libc::IPPROTO_IP, libc::IP_MTU),
            };
            u32::try_from(sys::number(&self.socket, level, name).ok()?).ok()
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Returns the datagrams that the kernel dropped for want of room here; `None` where it does
    /// not say.
    #[must_use]
    pub fn drops(&self) -> Option<u64> {
        sys::drops(&self.socket)
    }

    /// Returns how many datagrams one send may carry.
    #[must_use]
    pub fn gso_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Returns how many datagrams one receive may bring.
    #[must_use]
    pub fn gro_segments(&self) -> usize {
        self.state.gro_segments()
    }

    /// Returns the socket itself.
    #[must_use]
    pub fn get(&self) -> &UdpSocket {
        &self.socket
    }

    /// Returns the socket itself, as one on which options are set.
    #[must_use]
    pub fn as_ref(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether datagrams longer than the path's packets are sent in fragments.
#[derive(Debug)]
pub(crate) struct Fragmentation([Option<libc::c_int>; 3]);

#[cfg(target_os = "linux")]
impl Fragmentation {
    fn of(socket: &UdpSocket) -> Self {
        Self(OPTIONS.map(|(level, name)| sys::number(socket, level, name).ok()))
    }

    fn restore(&self, socket: &UdpSocket) {
        for ((level, name), value) in OPTIONS.into_iter().zip(self.0) {
            if let Some(value) = value {
                // Where it was read, it can be written, unless it is for the other family.
                let _ = sys::set_number(socket, level, name, value);
            }
        }
    }

    fn forbid(socket: &UdpSocket) -> io::Result<()> {
        let (level, name) = OPTIONS[0];
        sys::set_number(socket, level, name, libc::IP_PMTUDISC_DO)
    }

    /// IPv6 has the option for IPv4 as well, for what goes to a mapped address.
    fn leave_to_sender(socket: &UdpSocket) -> io::Result<()> {
        let [ipv4, ipv6, whole] = OPTIONS;
        sys::set_number(socket, ipv4.0, ipv4.1, libc::IP_PMTUDISC_PROBE)?;
        if socket.local_addr()?.is_ipv6() {
            sys::set_number(socket, ipv6.0, ipv6.1, libc::IPV6_PMTUDISC_PROBE)?;
            sys::set_number(socket, whole.0, whole.1, 1)?;
        }
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Fragmentation {
    fn of(_: &UdpSocket) -> Self {
        Self([None; 3])
    }

    fn restore(&self, _: &UdpSocket) {}

    fn forbid(_: &UdpSocket) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "forbidding fragments needs Linux"))
    }

    fn leave_to_sender(socket: &UdpSocket) -> io::Result<()> {
        Self::forbid(socket)
    }
}

#[cfg(target_os = "linux")]
const OPTIONS: [(libc::c_int, libc::c_int); 3] = [
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
    (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    (libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG),
];

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn who_probes_paths_leaves_no_trace_behind() {
        let of = |socket: &DatagramSocket| Fragmentation::of(&socket.socket).0;
        for (at, probing) in [
            ("127.0.0.1:0", [Some(libc::IP_PMTUDISC_PROBE), None, None]),
            ("[::1]:0", [Some(libc::IP_PMTUDISC_PROBE), Some(libc::IPV6_PMTUDISC_PROBE), Some(1)]),
        ] {
            let socket = DatagramSocket::new(UdpSocket::bind(at).unwrap()).unwrap();
            let plain = of(&socket);
            let before = socket.probe_paths().unwrap();
            assert_ne!(of(&socket), plain, "{at}");
            for (value, probing) in of(&socket).into_iter().zip(probing) {
                assert!(probing.is_none_or(|probing| value == Some(probing)), "{at}: {value:?}");
            }
            socket.restore_fragmentation(&before);
            assert_eq!(of(&socket), plain, "{at}");
        }
    }
}
