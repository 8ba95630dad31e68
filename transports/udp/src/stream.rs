use std::{
    io,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use polyperf_socket::{DatagramRecv, DatagramSend, Endpoint, Sieve};
use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf, Stream};

use crate::path::UdpPath;

/// Returns the stream over a flow whose halves these are.
pub(crate) fn stream((send, recv): (DatagramSend, DatagramRecv), sieve: Sieve) -> Stream {
    let endpoint = Arc::clone(recv.endpoint());
    Stream {
        send: Box::new(UdpSend(send)),
        recv: Box::new(UdpRecv { half: recv, sieve, endpoint: Arc::clone(&endpoint) }),
        local: endpoint.local(),
        peer: endpoint.peer(),
        path: Arc::new(UdpPath::new(endpoint)),
        home: None,
        early: false,
    }
}

#[derive(Debug)]
struct UdpSend(DatagramSend);

impl SendHalf for UdpSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, chunk)
    }

    /// UDP has no word for it: an end travels on the control connection.
    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn batch(&self) -> NonZeroUsize {
        self.0.batch()
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.0.block_for(limit);
    }
}

#[derive(Debug)]
struct UdpRecv {
    half: DatagramRecv,
    sieve: Sieve,
    endpoint: Arc<Endpoint>,
}

impl RecvHalf for UdpRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        let Self { half, sieve, endpoint } = self;
        let train = ready!(half.poll_recv(cx, buf, |datagram| sieve.keeps(datagram, endpoint)))?;
        if matches!(sieve, Sieve::Unanswered) {
            endpoint.set_patience(polyperf_socket::PATIENCE);
            *sieve = Sieve::Open;
        }
        Poll::Ready(Ok(Some(Received { len: train.len, stride: train.stride, kernel_time: None })))
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.half.block_for(limit);
    }

    fn expect_bulk(&mut self) {}
}
