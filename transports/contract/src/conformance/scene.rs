//! Helpers that let a rule read as prose.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};

use crate::{
    Anyone, Chunk, Connection, Delivery, Hello, Listener, Peer, Received, RecvHalf, SendHalf,
    Stream, Transport,
};

/// A listener, a connection to it, and both ends of one open stream.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) listener: Box<dyn Listener>,
    /// Kept, because streams may not outlive what they share.
    pub(super) connection: Box<dyn Connection>,
    pub(super) client: Stream,
    pub(super) server: Stream,
}

impl Pair {
    /// Opens a stream, over which the client has said [`HELLO`] and the server has heard it.
    pub(super) async fn open(transport: &Arc<dyn Transport>, at: SocketAddr) -> Self {
        let mut listener = listen(transport, at).await;
        let connection = connect(transport, listener.local_addr()).await;
        let (client, server) =
            tokio::join!(open_with(&*connection, &HELLO), accept_with(&mut *listener, &HELLO));
        Self { listener, connection, client, server }
    }
}

pub(super) async fn listen(transport: &Arc<dyn Transport>, at: SocketAddr) -> Box<dyn Listener> {
    within("listen", transport.listen(at, Arc::new(Anyone)))
        .await
        .expect("an address with port 0 can be had")
}

pub(super) async fn connect(transport: &Arc<dyn Transport>, to: SocketAddr) -> Box<dyn Connection> {
    within("connect", transport.connect(&Peer::at(to))).await.expect("a listener can be reached")
}

/// Opens a stream that begins with `first`.
pub(super) async fn open_with(connection: &dyn Connection, first: &[u8]) -> Stream {
    within("open", connection.open(Hello::Own(first))).await.expect("a stream opens")
}

pub(super) async fn accept(listener: &mut dyn Listener) -> Stream {
    within("accept", listener.accept()).await.expect("an opened stream is accepted")
}

/// Accepts a stream whose first bytes must be `first`.
pub(super) async fn accept_with(listener: &mut dyn Listener, first: &[u8]) -> Stream {
    let mut stream = accept(listener).await;
    assert_eq!(recv_exactly(&mut *stream.recv, first.len()).await, first, "the first bytes");
    stream
}

/// Sends all `bytes`: as a stream of bytes, or as one message.
pub(super) async fn send(half: &mut dyn SendHalf, bytes: &[u8]) {
    send_messages(half, bytes, bytes.len()).await;
}

/// Sends all `bytes`, in messages of `stride` where the transport carries messages.
pub(super) async fn send_messages(half: &mut dyn SendHalf, mut bytes: &[u8], stride: usize) {
    while !bytes.is_empty() {
        let taken = within("send", send_some(half, bytes, stride)).await.expect("the peer reads");
        bytes = &bytes[taken..];
    }
}

/// Sends a prefix of `bytes` and returns its length, which is never zero.
pub(super) async fn send_some(
    half: &mut dyn SendHalf,
    bytes: &[u8],
    stride: usize,
) -> io::Result<usize> {
    let chunk = Chunk { bytes, stride: NonZeroUsize::new(stride).expect("a stride") };
    let taken = poll_fn(|cx| half.poll_send(cx, chunk)).await?;
    assert!(taken > 0, "poll_send takes no zero bytes of a chunk");
    assert!(taken <= bytes.len(), "poll_send takes {taken} of {} bytes", bytes.len());
    Ok(taken)
}

/// Receives what fits into `buf`; `None` if the peer finished.
pub(super) async fn recv(half: &mut dyn RecvHalf, buf: &mut [u8]) -> io::Result<Option<Received>> {
    let received = within("receive", poll_fn(|cx| half.poll_recv(cx, buf))).await?;
    if let Some(received) = received {
        assert!(received.len <= buf.len(), "{received:?} exceeds the buffer of {}", buf.len());
        assert!(received.len > 0, "nothing was received, and that was not the end");
        assert!(received.stride > 0, "{received:?} has no stride");
    }
    Ok(received)
}

/// Receives `len` bytes, or one message of that length.
pub(super) async fn recv_exactly(half: &mut dyn RecvHalf, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let received = recv(half, &mut buf[filled..]).await.expect("the peer is there");
        filled += received.unwrap_or_else(|| panic!("ended after {filled} of {len} bytes")).len;
    }
    buf
}

/// Says that nothing more is sent.
pub(super) async fn finish(half: &mut dyn SendHalf) {
    within("finish", poll_fn(|cx| half.poll_finish(cx))).await.expect("an open stream finishes");
}

/// Asserts that the peer has finished, with nothing more before.
pub(super) async fn expect_end(half: &mut dyn RecvHalf) {
    let end = recv(half, &mut [0; 64]).await.expect("a finished stream ends without an error");
    assert_eq!(end, None, "nothing follows the end");
}

/// Returns `len` bytes that are the same for the same `seed` and never repeat themselves.
pub(super) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(words.next().unwrap_or_default());
    }
    bytes.truncate(len);
    bytes
}

/// Asserts that two long byte strings are equal, without printing them.
pub(super) fn assert_same(got: &[u8], sent: &[u8], what: impl fmt::Display) {
    assert_eq!(got.len(), sent.len(), "length of {what}");
    if got != sent {
        let at = got.iter().zip(sent).take_while(|(got, sent)| got == sent).count();
        panic!("{what} differs from byte {at} on");
    }
}

/// Returns a length that a single message, or a first piece of a stream, surely can have.
pub(super) fn message_len(transport: &Arc<dyn Transport>) -> usize {
    match transport.delivery() {
        Delivery::Bytes => MESSAGE_LEN,
        Delivery::Messages { max, .. } => max.get().min(MESSAGE_LEN),
    }
}

pub(super) fn carries_bytes(transport: &Arc<dyn Transport>) -> bool {
    transport.delivery() == Delivery::Bytes
}

/// Waits for `future`; panics if it takes longer than anything honest does.
pub(super) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(LIMIT, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what} took longer than {LIMIT:?}"),
    }
}

/// Runs `work` on a thread of its own, with a current-thread runtime of its own.
///
/// The caller waits without blocking, so that what belongs to its runtime goes on.
pub(super) fn on_a_thread<F, R>(work: impl FnOnce() -> F + Send + 'static) -> JoinHandle<R>
where
    F: Future<Output = R>,
    R: Send + 'static,
{
    tokio::task::spawn_blocking(|| runtime().block_on(work()))
}

pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// What the client says first; servers tell dialects apart by as many bytes.
pub(super) const HELLO: [u8; 37] = *b"a greeting of thirty-seven bytes, yes";

/// Small enough for one datagram on any path.
const MESSAGE_LEN: usize = 1000;

/// A net below the tests, far above what any of them takes.
const LIMIT: Duration = Duration::from_secs(30);
