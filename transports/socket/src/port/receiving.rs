use std::{
    future::Future,
    io::IoSliceMut,
    pin::Pin,
    task::{Context, Poll, ready},
};

use quinn_udp::RecvMeta;
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep},
};

use super::{AFTER_ERROR, Origin, Stray};
use crate::{Train, held::Held};

/// What QUIC's receiving needs besides the socket.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// `None` where nobody else reads what may be QUIC's.
    pub(super) injected: Option<Injected>,
    /// The pause after errors that stay.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Receiving {
    pub(super) fn with(injected: Injected) -> Self {
        Self { injected: Some(injected), rest: None }
    }

    /// Begins a pause, in which there is to be nothing received from the socket.
    pub(super) fn begin_rest(&mut self) {
        self.rest = Some(Box::pin(sleep(AFTER_ERROR)));
    }

    /// Waits until there is no pause.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        Poll::Ready(())
    }
}

/// QUIC's datagrams that were found elsewhere, and wait to be received.
#[derive(Debug)]
pub(super) struct Injected {
    queue: mpsc::Receiver<Stray>,
    /// Where those that are held came from.
    origin: Option<Origin>,
    /// What found no room in the last buffer.
    held: Held,
}

impl Injected {
    pub(super) fn new(queue: mpsc::Receiver<Stray>) -> Self {
        Self { queue, origin: None, held: Held::default() }
    }

    /// Fills as many buffers as there is something for, and returns how many; if it is fewer than
    /// there are, `cx` is woken when there is more.
    pub(super) fn fill(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> usize {
        let mut filled = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let Some(next) = self.next(cx, buf) else { break };
            *meta = next;
            filled += 1;
        }
        filled
    }

    fn next(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<RecvMeta> {
        if self.held.is_empty() {
            let Poll::Ready(Some(Stray { origin, parcel, .. })) = self.queue.poll_recv(cx) else {
                return None;
            };
            self.origin = Some(origin);
            self.held.put(&parcel.bytes, parcel.stride);
        }
        let Train { len, stride } = self.held.take(buf)?;
        let Origin { source: addr, destination: dst_ip, ecn } = self.origin?;
        Some(RecvMeta { addr, len, stride, ecn, dst_ip })
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, task::Waker};

    use super::*;
    use crate::port::Parcel;

    #[test]
    fn what_fits_no_buffer_is_received_with_the_next_ones() {
        let (found, queue) = mpsc::channel(4);
        let mut injected = Injected::new(queue);
        for (port, bytes) in [(1, &b"aabbccd"[..]), (2, b"ee")] {
            let source = SocketAddr::from(([127, 0, 0, 1], port));
            let origin = Origin { source, destination: Some(source.ip()), ecn: None };
            let stray = Stray { origin, parcel: Parcel::new(bytes, 2), asked: false };
            found.try_send(stray).unwrap();
        }
        let mut fill = || {
            let (mut one, mut two) = ([0; 5], [0; 5]);
            let mut metas = [RecvMeta::default(); 2];
            let filled = {
                let mut bufs = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                let mut cx = Context::from_waker(Waker::noop());
                injected.fill(&mut cx, &mut bufs, &mut metas)
            };
            let received = metas.iter().zip([one, two]).take(filled);
            let received = received
                .map(|(meta, buf)| (meta.addr.port(), meta.stride, buf[..meta.len].to_vec()));
            received.collect::<Vec<_>>()
        };
        assert_eq!(fill(), [(1, 2, b"aabb".to_vec()), (1, 2, b"ccd".to_vec())]);
        assert_eq!(fill(), [(2, 2, b"ee".to_vec())]);
        assert_eq!(fill(), []);
    }
}
