use std::{
    fmt::Debug,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Processors;

/// Where sockets come from.
///
/// A socket belongs for ever to the network in which it was created. Transports take theirs from
/// here, so that one place decides on family, device and namespace, and a test can put the two ends
/// of one process on either side of an emulated link.
pub trait Sockets: Debug + Send + Sync + 'static {
    /// Returns a bound and listening TCP socket in non-blocking mode.
    ///
    /// Where the system has Multipath TCP, the listener takes both: who connects without it gets a
    /// plain connection.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::AddrInUse`] if another process holds the port.
    fn tcp_listener(&self, addr: SocketAddr) -> io::Result<TcpListener>;

    /// Returns an unconnected TCP socket in non-blocking mode that can reach `peer`, bound to
    /// `local` if given; with `multipath`, one of Multipath TCP (RFC 8684).
    ///
    /// # Errors
    ///
    /// What the system says, for instance that `local` is not an address of this host.
    fn tcp_stream_socket(
        &self,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        multipath: bool,
    ) -> io::Result<Socket>;

    /// Returns a UDP socket bound to `addr` in non-blocking mode.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn udp(&self, addr: SocketAddr) -> io::Result<UdpSocket>;

    /// Returns a UDP socket bound to `addr` in non-blocking mode, beside others that permit it
    /// (`SO_REUSEPORT`): for the flows of a shared port, whose own socket is bound with
    /// [`udp`](Self::udp) and permits it afterwards.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::Unsupported`] where ports cannot be shared so.
    fn udp_beside(&self, addr: SocketAddr) -> io::Result<UdpSocket>;

    /// Returns the processors that threads which move bytes over these sockets keep to; `None` leaves
    /// that to the system.
    fn processors(&self) -> Option<&Processors>;
}

/// Sockets of this host, as it is.
#[derive(Debug, Clone, Default)]
pub struct HostSockets {
    v6_only: bool,
    device: Option<String>,
    processors: Option<Processors>,
}

impl HostSockets {
    /// Returns sockets that use every family and device; a `[::]` listener also takes IPv4.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps listeners on `[::]` to IPv6.
    #[must_use]
    pub fn v6_only(mut self, only: bool) -> Self {
        self.v6_only = only;
        self
    }

    /// Binds each socket to the network device of this name (Linux only).
    #[must_use]
    pub fn device(mut self, name: Option<String>) -> Self {
        self.device = name;
        self
    }

    /// Has threads that move bytes keep to these processors.
    #[must_use]
    pub fn on_processors(mut self, processors: Option<Processors>) -> Self {
        self.processors = processors;
        self
    }

    fn socket(&self, addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        // In one system call with the socket, where the system can: connections that come and go
        // are made of little else.
        #[cfg(target_os = "linux")]
        let kind = kind.nonblocking();
        let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
        #[cfg(not(target_os = "linux"))]
        socket.set_nonblocking(true)?;
        if addr.is_ipv6() {
            socket.set_only_v6(self.v6_only)?;
        }
        if let Some(device) = &self.device {
            bind_device(&socket, device)?;
        }
        Ok(socket)
    }
}

impl Sockets for HostSockets {
    fn tcp_listener(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        let multipath = self.socket(addr, Type::STREAM, Protocol::from(MPTCP));
        let socket = multipath.or_else(|_| self.socket(addr, Type::STREAM, Protocol::TCP))?;
        // A listener that restarts must not wait for the last one's closed connections to expire.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(socket.into())
    }

    fn tcp_stream_socket(
        &self,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        multipath: bool,
    ) -> io::Result<Socket> {
        let protocol = if multipath { Protocol::from(MPTCP) } else { Protocol::TCP };
        let socket = self.socket(peer, Type::STREAM, protocol)?;
        if let Some(local) = local {
            // A fixed port is still in TIME_WAIT after the last test from it.
            #[cfg(unix)]
            if local.port() != 0 {
                socket.set_reuse_address(true)?;
            }
            socket.bind(&local.into())?;
        }
        Ok(socket)
    }

    fn udp(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.socket(addr, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&addr.into())?;
        Ok(socket.into())
    }

    fn udp_beside(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.socket(addr, Type::DGRAM, Protocol::UDP)?;
        permit_sharing(&socket)?;
        socket.bind(&addr.into())?;
        Ok(socket.into())
    }

    fn processors(&self) -> Option<&Processors> {
        self.processors.as_ref()
    }
}

#[cfg(target_os = "linux")]
fn permit_sharing(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(target_os = "linux"))]
fn permit_sharing(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "sharing a port between sockets needs Linux"))
}

#[cfg(target_os = "linux")]
fn bind_device(socket: &Socket, device: &str) -> io::Result<()> {
    socket.bind_device(Some(device.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_device(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "binding to a device needs Linux"))
}

/// Linux's number for it; another system says that it knows none.
const MPTCP: i32 = 262;

/// Room for a burst of clients that connect in the same moment; the system may cap it.
const LISTEN_BACKLOG: i32 = 1024;
