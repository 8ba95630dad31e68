use std::{
    fmt::Debug,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{Error, Hello, Path};

/// An open stream: two halves that work independently, and what is known of the path.
#[derive(Debug)]
pub struct Stream {
    /// The half that sends.
    pub send: Box<dyn SendHalf>,
    /// The half that receives.
    pub recv: Box<dyn RecvHalf>,
    /// This end's address.
    pub local: SocketAddr,
    /// The other end's address.
    pub peer: SocketAddr,
    /// Figures and settings of the path below the stream.
    pub path: Arc<dyn Path>,
    /// Where the stream is best driven; `None` if any thread does.
    pub home: Option<Arc<dyn Home>>,
    /// Whether its first bytes may be somebody's replay of an earlier connection's (TLS 1.3 early
    /// data, RFC 8446, section 8): nothing that does harm when it is repeated may follow from them.
    pub early: bool,
}

/// The thread that carries a connection, for transports whose protocol runs in this process.
///
/// Whoever drives a stream there saves a change of threads for each batch.
pub trait Home: Debug + Send + Sync + 'static {
    /// Runs `work` there, beside the connection: within a tokio runtime with time and I/O enabled, in
    /// which it must not block.
    fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>);
}

impl Stream {
    /// Sends `hello` as the first bytes of a stream that began with none: how a transport that is
    /// built on another one opens its streams.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] if they cannot be sent.
    pub async fn begin_with(mut self, hello: Hello<'_>) -> Result<Self, Error> {
        match send_all(self.send.as_mut(), hello.bytes()).await {
            Ok(()) => Ok(self),
            Err(source) => Err(Error::Connect { addr: self.peer, source }),
        }
    }
}

/// The sending half of a [`Stream`].
pub trait SendHalf: Debug + Send + 'static {
    /// Takes a prefix of `chunk`, a whole number of messages, and returns its length in bytes.
    ///
    /// For byte streams any prefix of at least one byte will do; the caller sends the rest next.
    /// When it returns `Pending`, the task of `cx` is woken once there is room again.
    ///
    /// # Errors
    ///
    /// Any error ends this half; [`io::ErrorKind::InvalidInput`] says that a message is longer than
    /// the transport can carry.
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>>;

    /// Says that nothing more will be sent, as far as the transport can say that to its peer.
    ///
    /// Ready means *said*, not *arrived*. It may be polled again, and then is ready at once.
    ///
    /// # Errors
    ///
    /// Fails if the stream has failed.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Returns how many messages one [`poll_send`](Self::poll_send) can usefully carry.
    fn batch(&self) -> NonZeroUsize;

    /// Permits polls to block the calling thread for up to `limit` before they return `Pending`
    /// with an immediate wake; `None` forbids it again.
    ///
    /// A half that is driven on a thread of its own saves a wait for readiness in this way. It is a
    /// permission: an implementation that has nothing to gain may ignore it. The two halves of a
    /// stream are told separately, and each heeds its own.
    fn block_for(&mut self, limit: Option<Duration>);
}

/// The receiving half of a [`Stream`].
pub trait RecvHalf: Debug + Send + 'static {
    /// Fills `buf` with bytes, or with whole messages a stride apart. `None`: the peer finished.
    ///
    /// When it returns `Pending`, the task of `cx` is woken once there is something to receive.
    /// A message longer than `buf` is cut to fit; [`Received::len`] never exceeds `buf.len()`.
    ///
    /// # Errors
    ///
    /// Any error ends this half.
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>>;

    /// Permits polls to block the calling thread; see [`SendHalf::block_for`].
    fn block_for(&mut self, limit: Option<Duration>);

    /// Says that bytes come without a pause until the peer finishes, so that a blocked poll need not
    /// be woken up before several buffers can be filled. A poll still returns when its limit is over,
    /// and when the peer finishes.
    fn expect_bulk(&mut self);
}

/// What to send: bytes, cut into messages of `stride` bytes where the transport carries messages.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The bytes; the last message may be shorter than the others.
    pub bytes: &'a [u8],
    /// The length of one message. Byte streams ignore it.
    pub stride: NonZeroUsize,
}

impl<'a> Chunk<'a> {
    /// Returns a chunk of one message, or of bytes without boundaries; `None` if there are none.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, stride: NonZeroUsize::new(bytes.len())? })
    }
}

/// Sends all `bytes`, as a stream of bytes or as one message.
///
/// # Errors
///
/// Those of [`SendHalf::poll_send`].
pub async fn send_all(half: &mut dyn SendHalf, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while let Some(chunk) = Chunk::whole(&bytes[sent..]) {
        sent += poll_fn(|cx| half.poll_send(cx, chunk)).await?;
    }
    Ok(())
}

/// What was received into the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many bytes of the buffer are filled.
    pub len: usize,
    /// How far apart messages start; the last one may be shorter. Equal to `len` for byte streams.
    pub stride: usize,
    /// When the kernel saw the first of them, since the Unix epoch, where it says so.
    pub kernel_time: Option<Duration>,
}

impl Received {
    /// Returns `len` bytes without boundaries, or one message.
    #[must_use]
    pub fn whole(len: usize) -> Self {
        Self { len, stride: len, kernel_time: None }
    }
}
