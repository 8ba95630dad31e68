use std::{
    io,
    net::UdpSocket,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdReadyGuard},
};

use crate::{
    DatagramSocket,
    flood::{Flood, REST},
    sys,
};

/// How a half waits for its socket.
#[derive(Debug)]
pub(crate) struct Wait {
    mode: Mode,
    /// Whether calls that read from the socket wait by themselves.
    calls_block: bool,
    flood: Flood,
    /// Whether there is a flood, in which nobody waits in a call, but rests before the next.
    rests: bool,
}

#[derive(Debug)]
enum Mode {
    /// In a system call, for up to the time given: the one that reads, which saves one for each
    /// datagram that is waited for; or poll(2) for room to write, of which there is much at a time.
    Block(Duration),
    /// On a reactor, which watches the socket from the first time that the call would block.
    ///
    /// Each half has a duplicate of the descriptor for that, so that each can be watched by the
    /// runtime that drives it.
    Readiness(Option<AsyncFd<UdpSocket>>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum For {
    Reading,
    Writing,
}

impl Wait {
    pub(crate) fn new() -> Self {
        let flood = Flood::default();
        Self { mode: Mode::Readiness(None), calls_block: false, flood, rests: false }
    }

    pub(crate) fn set_limit(&mut self, limit: Option<Duration>) {
        self.mode = match limit {
            Some(limit) if !limit.is_zero() => Mode::Block(limit),
            _ => Mode::Readiness(None),
        };
        // Who may not block may not rest either.
        self.rests = false;
        self.flood.is_over();
    }

    pub(crate) fn blocks(&self) -> bool {
        matches!(self.mode, Mode::Block(_))
    }

    /// Calls until it no longer would block, and waits in between.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &DatagramSocket,
        what: For,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.prepare(socket, what)?;
        let mut result = call();
        if self.rests && would_block(&result) {
            std::thread::sleep(REST);
            result = call();
            if would_block(&result) {
                self.rests = false;
                self.flood.is_over();
                return again(cx);
            }
        }
        if self.blocks() && result.is_ok() && matches!(what, For::Reading) {
            self.rests = self.flood.read(Instant::now());
        }
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The kernel is out of memory for packets, and cannot say when it has some again.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return again(cx),
            result => return Poll::Ready(result),
        }
        match &mut self.mode {
            Mode::Block(_) if self.calls_block => again(cx),
            Mode::Block(limit) => {
                sys::wait(socket, what.events(), *limit)?;
                match call() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => again(cx),
                    result => Poll::Ready(result),
                }
            }
            Mode::Readiness(watch) => loop {
                let mut guard = ready!(poll_ready(watch, cx, socket, what))?;
                if let Ok(result) = guard.try_io(|_| call()) {
                    return Poll::Ready(result);
                }
            },
        }
    }

    /// Has calls that read wait by themselves, or not, as the mode is by now. Done only when the
    /// half reads, for until then somebody else may, who must not wait.
    fn prepare(&mut self, socket: &DatagramSocket, what: For) -> io::Result<()> {
        let wanted = self.blocks() && !self.rests;
        if matches!(what, For::Writing) || self.calls_block == wanted {
            return Ok(());
        }
        if let Mode::Block(limit) = self.mode {
            socket.get().set_read_timeout(Some(limit))?;
        }
        socket.get().set_nonblocking(!wanted)?;
        self.calls_block = wanted;
        Ok(())
    }
}

impl For {
    fn events(self) -> libc::c_short {
        match self {
            Self::Reading => libc::POLLIN,
            Self::Writing => libc::POLLOUT,
        }
    }
}

/// Watches a duplicate of `socket` on the current runtime.
pub(crate) fn watch(socket: &DatagramSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    let duplicate = socket.get().try_clone()?;
    // SAFETY: the duplicate is owned by what watches it, and stays open for as long.
    unsafe { AsyncFd::register_with_interest(duplicate, interest) }.map_err(io::Error::from)
}

fn poll_ready<'a>(
    watched: &'a mut Option<AsyncFd<UdpSocket>>,
    cx: &mut Context<'_>,
    socket: &DatagramSocket,
    what: For,
) -> Poll<io::Result<AsyncFdReadyGuard<'a, UdpSocket>>> {
    let interest = match what {
        For::Reading => Interest::READABLE,
        For::Writing => Interest::WRITABLE,
    };
    let watched = match watched {
        Some(watched) => watched,
        None => watched.insert(watch(socket, interest)?),
    };
    match what {
        For::Reading => watched.poll_read_ready(cx),
        For::Writing => watched.poll_write_ready(cx),
    }
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn again<T>(cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
