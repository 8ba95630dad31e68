//! The halves of a stream over a conversation.

use std::{
    io,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf, Stream};

use crate::{
    flow::{Flow, Half},
    path::KcpPath,
};

/// Returns the stream over `flow`.
pub(crate) fn stream(flow: Arc<Flow>) -> Stream {
    Stream {
        send: Box::new(KcpSend(Arc::clone(&flow))),
        recv: Box::new(KcpRecv(Arc::clone(&flow))),
        local: flow.endpoint.local(),
        peer: flow.endpoint.peer(),
        home: Some(Arc::clone(&flow.worker) as _),
        path: Arc::new(KcpPath(flow)),
        early: false,
    }
}

#[derive(Debug)]
struct KcpSend(Arc<Flow>);

impl SendHalf for KcpSend {
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

impl Drop for KcpSend {
    fn drop(&mut self) {
        self.0.leave(Half::Sender);
    }
}

#[derive(Debug)]
struct KcpRecv(Arc<Flow>);

impl RecvHalf for KcpRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        let received = ready!(self.0.poll_recv(cx, buf))?;
        Poll::Ready(Ok(received.map(Received::whole)))
    }

    fn block_for(&mut self, _: Option<Duration>) {}
}

impl Drop for KcpRecv {
    fn drop(&mut self) {
        self.0.leave(Half::Receiver);
    }
}
