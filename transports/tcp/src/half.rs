use std::{
    io,
    mem::MaybeUninit,
    net::Shutdown,
    num::NonZeroUsize,
    os::fd::AsRawFd,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf};
use socket2::Socket;

use crate::{
    copies::Stored,
    socket::{Shared, Watched},
};

/// Returns the two halves of a connection.
pub(crate) fn pair(shared: &Arc<Shared>) -> (TcpSend, TcpRecv) {
    let send = TcpSend { io: Io::new(shared), stored: None, finished: false };
    (send, TcpRecv { io: Io::new(shared), gathers: UNGATHERED, bulk: false })
}

#[derive(Debug)]
pub(crate) struct TcpSend {
    io: Io,
    /// What is sent without a copy, once something was.
    stored: Option<Stored>,
    finished: bool,
}

impl SendHalf for TcpSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        if self.io.blocks() && self.io.shared.copies().spares_sending() {
            return self.poll_send_stored(cx, chunk);
        }
        self.io.poll(cx, Watched::poll_write_ready, |socket, flags| {
            socket.send_with_flags(chunk.bytes, flags | libc::MSG_NOSIGNAL)
        })
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        self.finished = true;
        match self.io.shared.socket().shutdown(Shutdown::Write) {
            // The peer was faster, and has closed the connection altogether.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }

    fn batch(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.io.block_for(limit, Socket::set_write_timeout);
    }
}

impl TcpSend {
    /// Sends bytes that the kernel has already: the first of the longest chunk so far.
    fn poll_send_stored(
        &mut self,
        cx: &mut Context<'_>,
        chunk: Chunk<'_>,
    ) -> Poll<io::Result<usize>> {
        let bytes = &chunk.bytes[..chunk.bytes.len().min(Stored::MOST)];
        let len = bytes.len();
        let stored = match self.stored.take().filter(|stored| stored.len() >= len) {
            Some(stored) => self.stored.insert(stored),
            None => self.stored.insert(Stored::new(bytes)?),
        };
        self.io.poll(cx, Watched::poll_write_ready, |socket, _| stored.send(socket, len))
    }
}

#[derive(Debug)]
pub(crate) struct TcpRecv {
    io: Io,
    /// How many bytes the kernel waits for before it wakes this half up.
    gathers: usize,
    /// Whether there is always more to come.
    bulk: bool,
}

impl RecvHalf for TcpRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        // A blocked call waits until the buffer is full, or its time is up: otherwise it would return
        // for every few segments, and half the receiver's time would go into waking up.
        let fill = if self.io.blocks() { libc::MSG_WAITALL } else { 0 };
        let gathers = self.io.blocks() && buf.len() >= WORTH_GATHERING;
        self.gather(match (gathers, self.bulk) {
            (false, _) => UNGATHERED,
            (true, false) => buf.len(),
            // The thread is woken up once for several buffers, and does not sleep between them.
            (true, true) => (buf.len() * MOST_BUFFERS).min(ENOUGH).max(buf.len()),
        });
        let fill = fill | self.io.shared.copies().receive_flags();
        let len = ready!(self.io.poll(cx, Watched::poll_read_ready, |socket, flags| {
            socket.recv_with_flags(uninit(buf), flags | fill)
        }))?;
        Poll::Ready(Ok((len > 0).then(|| Received::whole(len))))
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.io.block_for(limit, Socket::set_read_timeout);
    }

    fn expect_bulk(&mut self) {
        self.bulk = true;
    }
}

impl TcpRecv {
    /// Has the kernel wake this half up for so many bytes at once, or when there cannot be more,
    /// or when its time is up. A call that fills its buffer would otherwise be woken up for every
    /// segment, only to go back to sleep.
    fn gather(&mut self, bytes: usize) {
        if bytes == self.gathers {
            return;
        }
        self.gathers = bytes;
        // Only speed depends on it: where the system does not take it, all is as it was.
        let _ = set_low_water(self.io.shared.socket(), bytes);
    }
}

/// One direction of a socket, and how it waits.
#[derive(Debug)]
struct Io {
    shared: Arc<Shared>,
    wait: Wait,
}

#[derive(Debug)]
enum Wait {
    /// In the system call, which a socket timeout bounds.
    Block,
    /// On a reactor, which watches the socket from the first time that the call would block.
    Readiness(Option<Arc<Watched>>),
}

type PollReady =
    for<'a> fn(
        &'a Watched,
        &mut Context<'_>,
    ) -> Poll<io::Result<tokio::io::unix::AsyncFdReadyGuard<'a, crate::socket::Fd>>>;

impl Io {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), wait: Wait::Readiness(None) }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        poll_ready: PollReady,
        mut call: impl FnMut(&Socket, i32) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.shared.socket();
        let Wait::Readiness(watched) = &mut self.wait else {
            return match uninterrupted(|| call(socket, 0)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                result => Poll::Ready(result),
            };
        };
        let Some(watched) = watched else {
            match uninterrupted(|| call(socket, libc::MSG_DONTWAIT)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    *watched = Some(self.shared.watch()?);
                    return self.poll(cx, poll_ready, call);
                }
                result => return Poll::Ready(result),
            }
        };
        loop {
            let mut guard = ready!(poll_ready(watched, cx))?;
            let attempt = guard.try_io(|_| uninterrupted(|| call(socket, libc::MSG_DONTWAIT)));
            if let Ok(result) = attempt {
                return Poll::Ready(result);
            }
        }
    }

    fn blocks(&self) -> bool {
        matches!(self.wait, Wait::Block)
    }

    fn block_for(
        &mut self,
        limit: Option<Duration>,
        set_timeout: fn(&Socket, Option<Duration>) -> io::Result<()>,
    ) {
        // Without a timeout a blocked call could last for ever: then stay with readiness.
        let blocks = limit.is_some_and(|limit| {
            !limit.is_zero() && set_timeout(self.shared.socket(), Some(limit)).is_ok()
        });
        self.wait = if blocks { Wait::Block } else { Wait::Readiness(None) };
    }
}

/// Sets how many bytes make a socket readable (`SO_RCVLOWAT`).
fn set_low_water(socket: &Socket, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let len = libc::socklen_t::try_from(size_of_val(&bytes)).map_err(io::Error::other)?;
    // SAFETY: the kernel reads the `len` bytes of `bytes`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn uninit(buf: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the layouts are the same, and `recv` only ever writes initialised bytes.
    unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) }
}

/// What the kernel waits for by default.
const UNGATHERED: usize = 1;
/// The buffers that can be filled once there is reason to wake up.
const MOST_BUFFERS: usize = 8;
/// Waiting for more gains nothing.
const ENOUGH: usize = 1 << 20;
/// Less than this comes in one segment, or in a few.
const WORTH_GATHERING: usize = 16 << 10;
