use std::{
    io,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use polyperf_transport::Chunk;

use crate::{
    Endpoint, MAX_DATAGRAM,
    message::SINGLES,
    wait::{For, Wait},
};

/// The half of a flow that sends.
#[derive(Debug)]
pub struct DatagramSend {
    /// Before the endpoint, so that a flow has no descriptor left when it leaves its port.
    wait: Wait,
    endpoint: Arc<Endpoint>,
}

impl DatagramSend {
    /// Returns the half of `endpoint` that sends.
    #[must_use]
    pub fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, wait: Wait::new() }
    }

    /// Sends as many whole datagrams as one call carries; see
    /// [`SendHalf::poll_send`](polyperf_transport::SendHalf::poll_send).
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if a datagram is longer than any, or than the path takes and
    /// it may not be cut into fragments; else what the system says, unless it is a hint alone.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        let stride = chunk.stride.get().min(chunk.bytes.len());
        if stride > MAX_DATAGRAM {
            return Poll::Ready(Err(too_long(stride)));
        }
        if stride == 0 {
            return Poll::Ready(Ok(0));
        }
        for _ in 0..ATTEMPTS {
            let (bytes, segment) = self.first(chunk.bytes, stride);
            let Self { endpoint, wait, .. } = self;
            let sent = wait.poll(cx, &endpoint.socket, For::Writing, || match segment {
                None if bytes.len() > stride => endpoint.try_send_each(bytes, stride),
                segment => endpoint.try_send(bytes, segment),
            });
            let error = match sent {
                Poll::Ready(Err(error)) => error,
                sent => return sent,
            };
            if segment.is_some() && is_about_segments(&error) {
                self.endpoint.limit_gso(1);
                continue;
            }
            if error.raw_os_error() == Some(libc::EMSGSIZE) {
                return Poll::Ready(Err(too_long(stride)));
            }
            if let Some(error) = self.endpoint.weigh(error) {
                return Poll::Ready(Err(error));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Permits to block the calling thread; see
    /// [`SendHalf::block_for`](polyperf_transport::SendHalf::block_for).
    pub fn block_for(&mut self, limit: Option<Duration>) {
        self.wait.set_limit(limit);
    }

    /// Returns how many datagrams one call can usefully carry, if they are as long as most packets.
    #[must_use]
    pub fn batch(&self) -> NonZeroUsize {
        let datagrams = match self.endpoint.gso_segments() {
            0 | 1 if self.endpoint.own_socket().is_some() => SINGLES,
            segments => segments.min(MAX_DATAGRAM / USUAL_DATAGRAM),
        };
        NonZeroUsize::new(datagrams).unwrap_or(NonZeroUsize::MIN)
    }

    /// Returns the flow.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Returns what the next call carries, and the length of its segments if the kernel is to cut it
    /// into several.
    fn first<'a>(&self, bytes: &'a [u8], stride: usize) -> (&'a [u8], Option<u16>) {
        let segments = self.endpoint.gso_segments().min(MAX_DATAGRAM / stride);
        if segments <= 1 {
            return (&bytes[..bytes.len().min(SINGLES * stride)], None);
        }
        let bytes = &bytes[..bytes.len().min(segments * stride)];
        (bytes, u16::try_from(stride).ok().filter(|_| bytes.len() > stride))
    }
}

/// Returns whether the kernel will not cut what it sends into segments: the device or the route
/// (IPsec) cannot, or each is longer than the path's packets, and has to be cut into fragments.
fn is_about_segments(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EIO | libc::EOPNOTSUPP | libc::EINVAL | libc::EMSGSIZE))
}

fn too_long(len: usize) -> io::Error {
    let text = if len > MAX_DATAGRAM {
        format!("a datagram of {len} bytes exceeds {MAX_DATAGRAM}")
    } else {
        format!("a datagram of {len} bytes is longer than the path takes in one piece")
    };
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// What fits a packet of Ethernet, over IPv4.
const USUAL_DATAGRAM: usize = 1472;

/// Hints come one by one, and are cleared by being read.
const ATTEMPTS: usize = 4;
