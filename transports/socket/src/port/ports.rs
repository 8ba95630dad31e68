use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

use polyperf_transport::Sockets;
use tokio::{io::Interest, sync::mpsc};

use super::{
    PortCounts, PortOptions, Protocol, QuicPort,
    dispatcher::Dispatcher,
    plain,
    shared::{Desk, Shared},
};
use crate::{DatagramSocket, canonical, sys, wait};

/// The UDP ports that several transports share.
///
/// A port's own socket takes what nobody else claims. A datagram from a source that has a flow goes
/// to that flow, and so does, for a moment, one from a source that had one. Of the others, those
/// whose first byte has the bit 0x40 are QUIC's, if it has the port; the rest is shown to the
/// protocols in turn, and dropped, counted and unanswered unless one of them wants it. A flow gets a
/// socket of its own, on the same port and connected to the peer, which the kernel prefers; so the
/// port's own socket carries the first datagrams alone, and QUIC. Those that came too early or too
/// late to be told apart by the kernel are passed on, both ways.
///
/// A clone is the same table, which holds no port open by itself.
#[derive(Debug, Clone)]
pub struct UdpPorts {
    sockets: Arc<dyn Sockets>,
    options: PortOptions,
    open: Arc<Open>,
}

impl UdpPorts {
    /// Returns a table without ports, whose sockets `sockets` makes.
    #[must_use]
    pub fn new(sockets: Arc<dyn Sockets>) -> Self {
        Self { sockets, options: PortOptions::default(), open: Arc::default() }
    }

    /// Has ports that are opened from here on work as `options` say.
    #[must_use]
    pub fn with_options(mut self, options: PortOptions) -> Self {
        self.options = options;
        self
    }

    /// Returns where sockets come from.
    #[must_use]
    pub fn sockets(&self) -> &Arc<dyn Sockets> {
        &self.sockets
    }

    /// Returns how ports work.
    #[must_use]
    pub fn options(&self) -> &PortOptions {
        &self.options
    }

    /// Has `protocol` judge what comes to `addr`: to a port that this table has open at exactly this
    /// address, or else to one that is bound now. Port 0 is always a new one.
    ///
    /// The port is worked on by the runtime of the first protocol that joins it.
    ///
    /// # Errors
    ///
    /// What the system says; [`io::ErrorKind::AddrInUse`] if anybody else has the port, if a
    /// protocol of the same name has joined it, or if it is closed and flows of it are still open.
    pub fn join(&self, addr: SocketAddr, protocol: Arc<dyn Protocol>) -> io::Result<PortShare> {
        let port = self.port(addr)?;
        port.add(&protocol)?;
        Ok(PortShare { protocol, port })
    }

    /// Gives QUIC what is left at `addr`, as [`join`](Self::join) finds it. Who calls this is in the
    /// runtime in which it then receives and sends.
    ///
    /// # Errors
    ///
    /// Those of [`join`](Self::join); [`io::ErrorKind::AddrInUse`] also if QUIC has the port.
    pub fn quic(&self, addr: SocketAddr) -> io::Result<QuicPort> {
        QuicPort::sharing(self.port(addr)?)
    }

    /// Returns the port at `addr`, which is bound unless it is open.
    fn port(&self, addr: SocketAddr) -> io::Result<Arc<Port>> {
        let mut ports = self.open.lock();
        while let Some(port) = ports.get(&plain(addr)) {
            if let Some(port) = port.upgrade() {
                return Ok(port);
            }
            // Whoever was the last is just closing its socket.
            ports = self.open.closed.wait(ports).unwrap_or_else(PoisonError::into_inner);
        }
        let port = Arc::new(Port::bind(self, addr)?);
        ports.insert(plain(port.local), Arc::downgrade(&port));
        Ok(port)
    }
}

/// A protocol's share of a port, which it leaves when this is dropped. The last to leave closes the
/// port; open flows live on.
#[derive(Debug)]
pub struct PortShare {
    protocol: Arc<dyn Protocol>,
    port: Arc<Port>,
}

impl PortShare {
    /// Returns the address that peers send to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        canonical(self.port.local)
    }

    /// Returns what all who share the port have opened and dropped so far.
    #[must_use]
    pub fn counts(&self) -> PortCounts {
        self.port.shared.read_counts()
    }
}

impl Drop for PortShare {
    fn drop(&mut self) {
        let mut state = self.port.shared.state();
        let others = state.protocols.iter().filter(|other| !Arc::ptr_eq(other, &self.protocol));
        state.protocols = others.cloned().collect();
        drop(state);
        self.port.shared.changed.notify_one();
    }
}

/// A port that is open. Its dispatcher holds it for as long as there is something to dispatch.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: Arc<DatagramSocket>,
    /// Where it is reached: the address that was asked for, with the port that was found.
    pub(super) local: SocketAddr,
    pub(super) sockets: Arc<dyn Sockets>,
    pub(super) options: PortOptions,
    pub(super) shared: Arc<Shared>,
    /// Dropped after the socket.
    _entry: Entry,
}

impl Port {
    fn bind(ports: &UdpPorts, addr: SocketAddr) -> io::Result<Self> {
        let UdpPorts { sockets, options, open } = ports;
        let socket = sockets.udp(addr)?;
        // Whoever relays datagrams to a socket may have it elsewhere than where it is reached.
        let mut local = addr;
        local.set_port(socket.local_addr()?.port());
        let own_sockets = options.own_sockets && share(&socket, sockets, local).is_ok();
        let socket = Arc::new(DatagramSocket::new(socket)?);
        socket.force_buffers(options.buffers)?;
        Ok(Self {
            socket,
            local,
            sockets: Arc::clone(sockets),
            options: PortOptions { own_sockets, ..options.clone() },
            shared: Arc::new(Shared::new(options)),
            _entry: Entry { open: Arc::clone(open), addr: plain(local) },
        })
    }

    /// Adds a protocol, and a dispatcher if there is none.
    fn add(self: &Arc<Self>, protocol: &Arc<dyn Protocol>) -> io::Result<()> {
        let mut state = self.shared.state();
        let name = protocol.name();
        if state.protocols.iter().any(|other| other.name() == name) {
            return Err(taken(name, self.local));
        }
        let mut start = None;
        if state.desk.is_none() {
            let watched = match state.quic {
                Some(_) => None,
                None => Some(wait::watch(&self.socket, Interest::READABLE)?),
            };
            let (strays, found) = mpsc::channel(STRAYS);
            state.desk = Some(Desk::new(strays.clone()));
            start = Some((Dispatcher::new(Arc::clone(self), watched, strays), found));
        }
        state.protocols = state.protocols.iter().chain([protocol]).cloned().collect();
        drop(state);
        match start {
            Some((dispatcher, found)) => drop(tokio::spawn(dispatcher.run(found))),
            None => self.shared.changed.notify_one(),
        }
        Ok(())
    }
}

/// The ports that are open, and those that are just being closed.
#[derive(Debug, Default)]
struct Open {
    ports: Mutex<HashMap<SocketAddr, Weak<Port>>>,
    /// Tells that one has been closed.
    closed: Condvar,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Weak<Port>>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port's place among those that are open, which it leaves when its socket has been closed.
#[derive(Debug)]
struct Entry {
    open: Arc<Open>,
    addr: SocketAddr,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.open.lock().remove(&self.addr);
        self.open.closed.notify_all();
    }
}

/// Returns the error for whoever finds another one of the same kind on the port.
pub(super) fn taken(name: &str, addr: SocketAddr) -> io::Error {
    io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("{name} is already served at {addr}; choose another port, or end that first"),
    )
}

/// Permits other sockets on the port of `socket`, which was bound without, so that it was nobody
/// else's, and keeps it the one that strangers' datagrams go to.
#[cfg(target_os = "linux")]
fn share(
    socket: &std::net::UdpSocket,
    sockets: &Arc<dyn Sockets>,
    local: SocketAddr,
) -> io::Result<()> {
    socket2::SockRef::from(socket).set_reuse_port(true)?;
    // The kernel takes the program once there is a group for it, which a second socket makes.
    let second = sockets.udp_beside(local)?;
    // Without it a stranger's datagram may land in a flow's socket, which passes it on.
    let _ = sys::keep_strangers(socket);
    drop(second);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn share(_: &std::net::UdpSocket, _: &Arc<dyn Sockets>, _: SocketAddr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many strays may wait for the dispatcher.
const STRAYS: usize = 1024;
