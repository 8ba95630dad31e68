//! What quinn wants of a socket. The only file that knows its trait for that, which changes with
//! quinn 0.12.

use std::{
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use polyperf_socket::{MAX_DATAGRAM, QuicPort};
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// QUIC's share of a port, as quinn uses it.
#[derive(Debug)]
pub(crate) struct Socket(Arc<QuicPort>);

impl Socket {
    pub(crate) fn new(port: Arc<QuicPort>) -> Self {
        Self(port)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { port: Arc::clone(&self.0), writable: None })
    }

    /// A train longer than any datagram goes in parts: quinn joins up to ten packets however long
    /// they are, and the kernel would refuse the whole.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Some(segment) = transmit.segment_size else { return self.0.try_send(transmit) };
        let whole = MAX_DATAGRAM / segment.max(1) * segment;
        if transmit.contents.len() <= whole.max(segment) {
            return self.0.try_send(transmit);
        }
        for (index, contents) in transmit.contents.chunks(whole.max(segment)).enumerate() {
            let part = Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents,
                segment_size: Some(segment).filter(|segment| contents.len() > *segment),
                src_ip: transmit.src_ip,
            };
            match self.0.try_send(&part) {
                // What went cannot be called back: the rest is lost, as it could be on the way.
                Err(error) if index > 0 && error.kind() == io::ErrorKind::WouldBlock => break,
                result => result?,
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let most = bufs.len().min(TRAINS);
        self.0.poll_recv(cx, &mut bufs[..most], metas)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr())
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.gso_segments()
    }

    /// Each buffer has room for the longest datagram, and with that for any train of shorter ones:
    /// quinn would make room for so many of the longest.
    fn max_receive_segments(&self) -> usize {
        1
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

/// Trains that one call receives: as many as leave room in a cache for what is made of them.
const TRAINS: usize = 8;

/// Waits for one connection until there is room to send.
struct Poller {
    port: Arc<QuicPort>,
    writable: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let port = Arc::clone(&self.port);
        let wait = || -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>> {
            Box::pin(async move { port.writable().await })
        };
        let writable = self.writable.get_or_insert_with(wait);
        let result = ready!(writable.as_mut().poll(cx));
        self.writable = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("port", &self.port).finish_non_exhaustive()
    }
}
