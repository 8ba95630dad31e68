//! A stream of bytes over a stream of QUIC.

use std::{
    future::Future,
    io,
    num::NonZeroUsize,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};

use crate::{error::describe, path::Carried};

/// The half that sends. Dropped before it has finished, it takes back what has not been sent.
#[derive(Debug)]
pub(crate) struct QuicSend {
    stream: SendStream,
    /// What is sent over and over, where nobody reads what it is.
    copy: Option<Bytes>,
    finished: bool,
    carried: Arc<Carried>,
    _guard: Option<Arc<Guard>>,
}

/// The half that receives.
#[derive(Debug)]
pub(crate) struct QuicRecv {
    /// `None` once it has been read to its end, or is dropped.
    stream: Option<RecvStream>,
    carried: Arc<Carried>,
    _guard: Option<Arc<Guard>>,
}

/// What is done when both halves are gone.
pub(crate) struct Guard(pub(crate) Box<dyn Fn() + Send + Sync>);

impl QuicSend {
    pub(crate) fn new(
        stream: SendStream,
        carried: Arc<Carried>,
        guard: Option<Arc<Guard>>,
    ) -> Self {
        let copy = carried.options.zero_copy.then(Bytes::new);
        Self { stream, copy, finished: false, carried, _guard: guard }
    }
}

impl QuicRecv {
    pub(crate) fn new(
        stream: RecvStream,
        carried: Arc<Carried>,
        guard: Option<Arc<Guard>>,
    ) -> Self {
        Self { stream: Some(stream), carried, _guard: guard }
    }
}

impl SendHalf for QuicSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        self.carried.backlog.adjust(&self.carried.connection);
        let bytes = &chunk.bytes[..chunk.bytes.len().min(LONGEST_WRITE)];
        let written = match &mut self.copy {
            None => ready!(Pin::new(&mut self.stream).poll_write(cx, bytes)),
            Some(copy) => {
                if copy.len() < bytes.len() {
                    *copy = Bytes::copy_from_slice(bytes);
                }
                let mut parts = [copy.slice(..bytes.len())];
                let written = ready!(pin!(self.stream.write_chunks(&mut parts)).poll(cx));
                written.map(|written| written.bytes)
            }
        };
        Poll::Ready(written.map_err(write_error))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            // A peer that has stopped reading needs no word of the end.
            let _ = self.stream.finish();
            self.finished = true;
        }
        Poll::Ready(Ok(()))
    }

    fn batch(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    /// A task that blocked would keep its own connection from being carried.
    fn block_for(&mut self, _: Option<Duration>) {}
}

impl RecvHalf for QuicRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        let Some(stream) = self.stream.as_mut().filter(|_| !buf.is_empty()) else {
            return Poll::Ready(Ok(None));
        };
        match ready!(stream.poll_read(cx, buf)) {
            Ok(0) => {
                self.stream = None;
                Poll::Ready(Ok(None))
            }
            Ok(len) => Poll::Ready(Ok(Some(Received::whole(len)))),
            Err(error) => Poll::Ready(Err(read_error(error))),
        }
    }

    fn block_for(&mut self, _: Option<Duration>) {}

    fn expect_bulk(&mut self) {}
}

impl Drop for QuicSend {
    fn drop(&mut self) {
        match &self.carried.linger {
            _ if !self.finished => {
                // What has ended otherwise already has nothing to take back.
                let _ = self.stream.reset(DROPPED);
            }
            Some(linger) => linger.finished(&self.stream),
            None => {}
        }
    }
}

impl Drop for QuicRecv {
    fn drop(&mut self) {
        if let (Some(stream), Some(linger)) = (self.stream.take(), &self.carried.linger) {
            linger.broken_off(stream, self.carried.connection.rtt());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

pub(crate) fn write_error(error: WriteError) -> io::Error {
    match error {
        WriteError::ConnectionLost(error) => describe(error),
        WriteError::Stopped(_) => {
            io::Error::new(io::ErrorKind::ConnectionReset, "the other end has stopped reading")
        }
        WriteError::ClosedStream | WriteError::ZeroRttRejected => error.into(),
    }
}

pub(crate) fn read_error(error: ReadError) -> io::Error {
    match error {
        ReadError::ConnectionLost(error) => describe(error),
        ReadError::Reset(_) => {
            io::Error::new(io::ErrorKind::ConnectionReset, "the other end has reset the stream")
        }
        other => other.into(),
    }
}

/// quinn copies what one write takes into one piece of memory, which had better stay in the cache.
const LONGEST_WRITE: usize = 64 << 10;

/// The code of a stream that its sender has dropped.
pub(crate) const DROPPED: VarInt = VarInt::from_u32(1);
