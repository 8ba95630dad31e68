use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use socket2::Socket;
use tokio::io::unix::AsyncFd;

use crate::copies::Copies;

/// A connected socket that two halves and a path share.
///
/// Once it is connected, the socket itself is in blocking mode: a half that may not block says so call by call
/// (`MSG_DONTWAIT`). A reactor watches it only while a half waits for readiness; a watched socket
/// would wake the reactor's thread for every segment that a blocking half takes.
#[derive(Debug)]
pub(crate) struct Shared {
    socket: Arc<Socket>,
    copies: Copies,
    watched: Mutex<Weak<Watched>>,
}

pub(crate) type Watched = AsyncFd<Fd>;

/// The socket as the reactor sees it; keeps the descriptor alive while it is watched.
#[derive(Debug)]
pub(crate) struct Fd(Arc<Socket>);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Shared {
    pub(crate) fn new(socket: Socket) -> Self {
        let (copies, watched) = (Copies::default(), Mutex::new(Weak::new()));
        Self { socket: Arc::new(socket), copies, watched }
    }

    /// Connects a socket in non-blocking mode to `addr`, as far as that goes at once.
    ///
    /// On loopback the handshake is over by the time that the system asks for patience. Whoever then
    /// sends need not be told so by a call of its own: [`connected`](Self::connected) is for those
    /// who do not.
    pub(crate) fn connecting(socket: Socket, addr: SocketAddr) -> io::Result<Self> {
        match socket.connect(&addr.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            result => result?,
        }
        Ok(Self::new(socket))
    }

    /// Waits until the connection that is being made is there, or has failed.
    pub(crate) async fn connected(&self) -> io::Result<()> {
        drop(self.watch()?.writable().await?);
        self.socket.take_error()?.map_or(Ok(()), Err)
    }

    /// Has calls block that do not say otherwise.
    pub(crate) fn set_blocking(&self) -> io::Result<()> {
        set_blocking(&self.socket)
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn copies(&self) -> &Copies {
        &self.copies
    }

    /// Has the current runtime watch the socket, if none does yet.
    pub(crate) fn watch(&self) -> io::Result<Arc<Watched>> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = watched.upgrade() {
            return Ok(watched);
        }
        // SAFETY: `Fd` shares ownership of the socket, so its descriptor stays open, and stays the
        // same, for as long as it is registered.
        let fresh = Arc::new(unsafe { AsyncFd::register(Fd(Arc::clone(&self.socket)))? });
        *watched = Arc::downgrade(&fresh);
        Ok(fresh)
    }
}

/// Puts a socket into blocking mode with one system call, not the two of `fcntl`.
#[cfg(target_os = "linux")]
fn set_blocking(socket: &Socket) -> io::Result<()> {
    let mut nonblocking: libc::c_int = 0;
    // SAFETY: the kernel reads the one number, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONBIO, &raw mut nonblocking) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn set_blocking(socket: &Socket) -> io::Result<()> {
    socket.set_nonblocking(false)
}
