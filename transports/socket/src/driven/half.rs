//! The halves of a stream over a driven conversation.

use std::{
    io,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use polyperf_transport::{Chunk, Path, Received, RecvHalf, SendHalf, Stream};

use super::{Driven, Half, Machine};

impl<M: Machine> Driven<M> {
    /// Returns the stream over it, of whose path `path` tells.
    #[must_use]
    pub fn stream(self: Arc<Self>, path: Arc<dyn Path>) -> Stream {
        Stream {
            local: self.endpoint.local(),
            peer: self.endpoint.peer(),
            home: Some(Arc::clone(&self.worker) as _),
            send: Box::new(Sender(Arc::clone(&self))),
            recv: Box::new(Receiver(self)),
            path,
            early: false,
        }
    }
}

#[derive(Debug)]
struct Sender<M: Machine>(Arc<Driven<M>>);

impl<M: Machine> SendHalf for Sender<M> {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, chunk.bytes)
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.finish())
    }

    fn batch(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    /// A task that blocked would keep its own conversation from being driven.
    fn block_for(&mut self, _: Option<Duration>) {}
}

impl<M: Machine> Drop for Sender<M> {
    fn drop(&mut self) {
        self.0.leave(Half::Sender);
    }
}

#[derive(Debug)]
struct Receiver<M: Machine>(Arc<Driven<M>>);

impl<M: Machine> RecvHalf for Receiver<M> {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        let received = ready!(self.0.poll_recv(cx, buf))?;
        Poll::Ready(Ok(received.map(Received::whole)))
    }

    fn block_for(&mut self, _: Option<Duration>) {}

    fn expect_bulk(&mut self) {}
}

impl<M: Machine> Drop for Receiver<M> {
    fn drop(&mut self) {
        self.0.leave(Half::Receiver);
    }
}
