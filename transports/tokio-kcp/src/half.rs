//! The halves of a stream.

use std::{
    io,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf, Stream};

use crate::{flow::Flow, path::TokioKcpPath};

/// Returns the stream over `flow`.
pub(crate) fn stream(flow: Arc<Flow>) -> Stream {
    Stream {
        send: Box::new(TokioKcpSend(Arc::clone(&flow))),
        recv: Box::new(TokioKcpRecv(Arc::clone(&flow))),
        local: flow.endpoint.local(),
        peer: flow.endpoint.peer(),
        home: Some(Arc::clone(&flow.worker) as _),
        path: Arc::new(TokioKcpPath(flow)),
        early: false,
    }
}

#[derive(Debug)]
struct TokioKcpSend(Arc<Flow>);

impl SendHalf for TokioKcpSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, chunk.bytes)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_finish(cx)
    }

    fn batch(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    /// A task that blocked would keep the crate's own from running.
    fn block_for(&mut self, _: Option<Duration>) {}
}

impl Drop for TokioKcpSend {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[derive(Debug)]
struct TokioKcpRecv(Arc<Flow>);

impl RecvHalf for TokioKcpRecv {
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

impl Drop for TokioKcpRecv {
    fn drop(&mut self) {
        self.0.leave();
    }
}
