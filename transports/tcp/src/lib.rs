//! TCP: the kernel's, through plain sockets.
//!
//! Each stream is a connection of its own. The handshake falls in [`Connection::open`]; bytes are
//! neither encrypted nor framed. A half that may block its thread
//! ([`SendHalf::block_for`](polyperf_transport::SendHalf::block_for)) sits in the system call
//! itself; otherwise it waits for readiness on the runtime that polls it.
//!
//! ```
//! use std::sync::Arc;
//! use polyperf_tcp::Tcp;
//! use polyperf_transport::{Anyone, Hello, HostSockets, Peer, Transport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tcp = Tcp::new(Arc::new(HostSockets::new()));
//! let mut listener = tcp.listen("127.0.0.1:0".parse()?, Arc::new(Anyone)).await?;
//! let connection = tcp.connect(&Peer::at(listener.local_addr())).await?;
//! let (opened, accepted) = tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
//! assert_eq!(opened?.local, accepted?.peer);
//! # Ok(())
//! # }
//! ```

mod copies;
mod half;
mod info;
mod options;
mod path;
mod socket;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use polyperf_socket::{canonical, nth_port};
use polyperf_transport::{
    AcceptError, Connection, Delivery, Error, Gate, Hello, Listener, Peer, Sockets, Stream,
    Transport, Tuning, async_trait, send_all,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::socket::Shared;

/// The TCP transport.
#[derive(Debug, Clone)]
pub struct Tcp {
    sockets: Arc<dyn Sockets>,
}

impl Tcp {
    /// Returns TCP over sockets that `sockets` makes.
    #[must_use]
    pub fn new(sockets: Arc<dyn Sockets>) -> Self {
        Self { sockets }
    }
}

#[async_trait]
impl Transport for Tcp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn delivery(&self) -> Delivery {
        Delivery::Bytes
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        tuning.without_repair(self.name())?;
        tuning.without_connections(self.name())
    }

    /// The handshake has proved every peer's address, so that `gate` has nothing to decide.
    async fn listen(
        &self,
        addr: SocketAddr,
        _gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        let listen = || {
            let listener = self.sockets.tcp_listener(addr)?;
            let local = listener.local_addr()?;
            // SAFETY: a listener has one descriptor, and keeps it open until it is dropped.
            let listener = unsafe { AsyncFd::register(listener)? };
            Ok(TcpAcceptor { local, listener })
        };
        match listen() {
            Ok(acceptor) => Ok(Box::new(acceptor)),
            Err(source) => Err(Error::Listen { addr, source }),
        }
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(TcpConnection {
            sockets: Arc::clone(&self.sockets),
            peer: peer.clone(),
            opened: AtomicU16::new(0),
        }))
    }
}

#[derive(Debug)]
struct TcpAcceptor {
    listener: AsyncFd<TcpListener>,
    local: SocketAddr,
}

#[async_trait]
impl Listener for TcpAcceptor {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn identity(&self) -> Option<String> {
        None
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        // No reactor has to watch a connection before somebody waits for it.
        let accept = self.listener.async_io(Interest::READABLE, |listener| listener.accept());
        let (socket, peer) = accept.await.map_err(sort)?;
        let shared = Arc::new(Shared::new(socket.into()));
        if cfg!(not(target_os = "linux")) {
            // Elsewhere it is in the mode of its listener.
            shared.set_blocking().map_err(AcceptError::Peer)?;
        }
        // Only a listener at every address does not know at which one it was found.
        let local = match self.local.ip().is_unspecified() {
            true => local_of(&shared).map_err(AcceptError::Peer)?,
            false => self.local,
        };
        Ok(stream(shared, local, peer))
    }
}

/// A peer to open TCP connections to. Nothing is shared between them, so nothing is open yet.
#[derive(Debug)]
struct TcpConnection {
    sockets: Arc<dyn Sockets>,
    peer: Peer,
    opened: AtomicU16,
}

#[async_trait]
impl Connection for TcpConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        let addr = self.peer.addr;
        let nth = self.opened.fetch_add(1, Ordering::Relaxed);
        let connect = async {
            let local = self.peer.local.map(|local| nth_port(local, nth)).transpose()?;
            let tuning = &self.peer.tuning;
            let socket = self.sockets.tcp_stream_socket(addr, local, tuning.mptcp)?;
            // Windows and segment sizes are told in the handshake: they must be set before it.
            path::tune(&socket, tuning);
            let mut addr = addr;
            if let (SocketAddr::V6(v6), Some(label)) = (&mut addr, tuning.flow_label) {
                // Where it cannot be had, the path says so when it is asked.
                if options::lease_flow_label(&socket, *v6, label.get()).is_ok() {
                    v6.set_flowinfo(label.get().to_be());
                }
            }
            let shared = Arc::new(Shared::connecting(socket, addr)?);
            if hello.bytes().is_empty() || cfg!(not(target_os = "linux")) {
                shared.connected().await?;
            }
            // Linux has who sends wait for the handshake, and tells what has become of it. What a
            // reactor watches for that it does not watch any longer.
            send_all(&mut half::pair(&shared).0, hello.bytes()).await?;
            shared.set_blocking()?;
            let local = local_of(&shared)?;
            Ok(stream(shared, local, self.peer.addr))
        };
        connect.await.map_err(|source| Error::Connect { addr, source })
    }

    async fn close(&self) {}
}

fn local_of(shared: &Shared) -> io::Result<SocketAddr> {
    let local = shared.socket().local_addr()?;
    local.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn stream(shared: Arc<Shared>, local: SocketAddr, peer: SocketAddr) -> Stream {
    let (send, recv) = half::pair(&shared);
    Stream {
        send: Box::new(send),
        recv: Box::new(recv),
        local: canonical(local),
        peer: canonical(peer),
        path: Arc::new(path::TcpPath::new(shared)),
        home: None,
        early: false,
    }
}

/// Sorts what `accept` may fail with by what the server does next.
fn sort(error: io::Error) -> AcceptError {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            AcceptError::Exhausted(error)
        }
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP) => {
            AcceptError::Closed(error)
        }
        // The rest is what a connection died of before it was accepted; see accept(2).
        _ => AcceptError::Peer(error),
    }
}

const NAME: &str = "tcp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_errors_are_sorted_by_what_to_do_next() {
        let sorted = |code| sort(io::Error::from_raw_os_error(code));
        assert!(matches!(sorted(libc::EMFILE), AcceptError::Exhausted(_)));
        assert!(matches!(sorted(libc::ECONNABORTED), AcceptError::Peer(_)));
        assert!(matches!(sorted(libc::EBADF), AcceptError::Closed(_)));
    }
}
