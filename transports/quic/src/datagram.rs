//! Messages over DATAGRAM frames (RFC 9221).
//!
//! Each begins with the number of the stream that has brought its flow's hello, divided by four, as
//! a variable-length integer: as in RFC 9297, section 2.1.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::Future,
    io,
    num::NonZeroUsize,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use polyperf_socket::MAX_DATAGRAM;
use polyperf_transport::{Chunk, Received, RecvHalf, SendHalf};
use quinn::{Connection, ConnectionError, RecvStream, SendDatagramError, SendStream, VarInt};
use tokio::time::{Instant, Sleep};

use crate::{error::describe, path::Carried, stream::Guard, tls::lock};

/// Finds the flow of each datagram of a connection. Nothing runs in the background: whichever flow
/// is polled reads for all.
#[derive(Debug)]
pub(crate) struct Demux {
    connection: Connection,
    inboxes: Mutex<HashMap<u64, Inbox>>,
}

#[derive(Debug, Default)]
struct Inbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Demux {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, inboxes: Mutex::default() }
    }

    /// Puts a datagram into the inbox that it is for. What finds none, or a full one, is lost: the
    /// receiver will find its number missing.
    fn dispatch(&self, mut datagram: Bytes) {
        let Some(flow) = take_number(&mut datagram) else { return };
        let mut inboxes = lock(&self.inboxes);
        let Some(inbox) = inboxes.get_mut(&flow) else { return };
        if inbox.bytes + datagram.len() <= MOST_KEPT && !datagram.is_empty() {
            inbox.bytes += datagram.len();
            inbox.messages.push_back(datagram);
        }
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }

    /// Moves messages of one length from a flow's inbox to `buf`, as many as fit.
    fn take(&self, flow: u64, buf: &mut [u8], cx: &mut Context<'_>) -> Option<Received> {
        let mut inboxes = lock(&self.inboxes);
        let inbox = inboxes.get_mut(&flow)?;
        inbox.waker = Some(cx.waker().clone());
        let mut received: Option<Received> = None;
        while let Some(message) = inbox.messages.front() {
            let (filled, stride) = received.map_or((0, 0), |r| (r.len, r.stride));
            let room = &mut buf[filled..];
            // A message longer than the whole buffer is cut; only the last may be shorter.
            let fits = filled == 0 || message.len() <= stride.min(room.len());
            if !fits {
                break;
            }
            let len = message.len().min(room.len());
            room[..len].copy_from_slice(&message[..len]);
            let whole = message.len();
            inbox.messages.pop_front();
            inbox.bytes -= whole;
            let stride = if filled == 0 { len } else { stride };
            received = Some(Received { len: filled + len, stride, kernel_time: None });
            if len < stride || whole > len {
                break;
            }
        }
        received
    }
}

/// What lives on between polls, so that it is woken.
type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The half that sends.
pub(crate) struct DatagramSend {
    flow: u64,
    carried: Arc<Carried>,
    /// A message that waits for room, and its length.
    waiting: Option<(usize, Waiting<Result<(), SendDatagramError>>)>,
    /// Until when the path may still turn out to take longer packets.
    growing: Option<Instant>,
    patience: Option<Pin<Box<Sleep>>>,
    _stream: SendStream,
    _guard: Option<Arc<Guard>>,
}

/// The half that receives.
pub(crate) struct DatagramRecv {
    flow: u64,
    demux: Arc<Demux>,
    first: Option<Vec<u8>>,
    waiting: Option<Waiting<Result<Bytes, ConnectionError>>>,
    _carried: Arc<Carried>,
    _stream: RecvStream,
    _guard: Option<Arc<Guard>>,
}

/// Returns the halves of the flow whose hello these streams have brought; `first` is received
/// first.
pub(crate) fn halves(
    demux: &Arc<Demux>,
    carried: Arc<Carried>,
    (send, recv): (SendStream, RecvStream),
    first: Option<Vec<u8>>,
    guard: Option<Arc<Guard>>,
) -> (DatagramSend, DatagramRecv) {
    let flow = send.id().index();
    lock(&demux.inboxes).insert(flow, Inbox::default());
    let sender = DatagramSend {
        flow,
        carried: Arc::clone(&carried),
        waiting: None,
        growing: Some(Instant::now() + GROWTH),
        patience: None,
        _stream: send,
        _guard: guard.clone(),
    };
    let receiver = DatagramRecv {
        flow,
        demux: Arc::clone(demux),
        first,
        waiting: None,
        _carried: carried,
        _stream: recv,
        _guard: guard,
    };
    (sender, receiver)
}

impl DatagramSend {
    /// Sends as many messages as there is room for, and returns their bytes.
    fn send_some(&self, chunk: Chunk<'_>, stride: usize) -> io::Result<usize> {
        let connection = &self.carried.connection;
        let prefix = VarInt::from_u64(self.flow).unwrap_or(VarInt::MAX);
        let mut room = connection.datagram_send_buffer_space();
        let mut block = BytesMut::new();
        let mut sent = 0;
        for message in chunk.bytes.chunks(stride).take(BATCH) {
            let needed = message.len() + LONGEST_NUMBER;
            if room < needed {
                break;
            }
            room -= needed;
            if block.capacity() < needed {
                block.reserve(needed * BATCH.min(chunk.bytes.len().div_ceil(stride)));
            }
            put_number(&mut block, prefix);
            block.put_slice(message);
            connection.send_datagram(block.split().freeze()).map_err(send_error)?;
            sent += message.len();
        }
        Ok(sent)
    }

    /// Waits while the path is still being found to take longer packets; an error once that is
    /// over.
    fn poll_growth(&mut self, cx: &mut Context<'_>, len: usize, most: usize) -> Poll<io::Error> {
        let until = self.growing.filter(|until| Instant::now() < *until);
        let Some(until) = until.filter(|_| len <= self.carried.options.longest_message()) else {
            self.growing = None;
            return Poll::Ready(too_long(len, most));
        };
        let next = Instant::now() + GLANCE;
        let sleep = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
        if sleep.as_mut().poll(cx).is_ready() {
            sleep.as_mut().reset(next.min(until));
            // Registers anew; a moment that has passed already comes at once.
            if sleep.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl SendHalf for DatagramSend {
    /// A message that finds no room waits in here. It has not been taken until that is over: who
    /// gives up meanwhile may have sent it all the same.
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        if let Some((len, waiting)) = &mut self.waiting {
            let (len, result) = (*len, ready!(waiting.as_mut().poll(cx)));
            self.waiting = None;
            return Poll::Ready(result.map(|()| len).map_err(send_error));
        }
        let stride = chunk.stride.get().min(chunk.bytes.len());
        if stride == 0 {
            return Poll::Ready(Ok(0));
        }
        if stride > LONGEST.get() {
            return Poll::Ready(Err(too_long(stride, LONGEST.get())));
        }
        let Some(most) = self.carried.connection.max_datagram_size() else {
            let text = "the other end takes no datagrams (RFC 9221)";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, text)));
        };
        if stride + LONGEST_NUMBER > most {
            let error = ready!(self.poll_growth(cx, stride, most.saturating_sub(LONGEST_NUMBER)));
            return Poll::Ready(Err(error));
        }
        match self.send_some(chunk, stride) {
            Ok(0) => {}
            result => return Poll::Ready(result),
        }
        let mut message = BytesMut::with_capacity(stride + LONGEST_NUMBER);
        put_number(&mut message, VarInt::from_u64(self.flow).unwrap_or(VarInt::MAX));
        message.put_slice(&chunk.bytes[..stride]);
        let connection = self.carried.connection.clone();
        let message = message.freeze();
        let waiting = Box::pin(async move { connection.send_datagram_wait(message).await });
        let (len, waiting) = self.waiting.insert((stride, waiting));
        let (len, result) = (*len, ready!(waiting.as_mut().poll(cx)));
        self.waiting = None;
        Poll::Ready(result.map(|()| len).map_err(send_error))
    }

    /// An end travels on the control connection.
    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn batch(&self) -> NonZeroUsize {
        NonZeroUsize::new(BATCH).unwrap_or(NonZeroUsize::MIN)
    }

    fn block_for(&mut self, _: Option<Duration>) {}
}

impl DatagramRecv {
    /// Returns the connection's next datagram, whosever it is.
    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, ConnectionError>> {
        let connection = &self.demux.connection;
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            None => {
                if let ready @ Poll::Ready(_) = pin!(connection.read_datagram()).poll(cx) {
                    return ready;
                }
                // Only a future that lives on is woken.
                let connection = connection.clone();
                self.waiting.insert(Box::pin(async move { connection.read_datagram().await }))
            }
        };
        let datagram = ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        Poll::Ready(datagram)
    }
}

impl RecvHalf for DatagramRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        if let Some(first) = self.first.take() {
            let len = first.len().min(buf.len());
            buf[..len].copy_from_slice(&first[..len]);
            return Poll::Ready(Ok(Some(Received::whole(len))));
        }
        for _ in 0..BATCH {
            let Poll::Ready(datagram) = self.poll_datagram(cx) else { break };
            match datagram {
                Ok(datagram) => self.demux.dispatch(datagram),
                Err(error) => {
                    let left = self.demux.take(self.flow, buf, cx);
                    return Poll::Ready(left.map_or(Err(describe(error)), |left| Ok(Some(left))));
                }
            }
        }
        if let Some(received) = self.demux.take(self.flow, buf, cx) {
            return Poll::Ready(Ok(Some(received)));
        }
        if self.waiting.is_none() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn block_for(&mut self, _: Option<Duration>) {}

    fn expect_bulk(&mut self) {}
}

impl Drop for DatagramRecv {
    fn drop(&mut self) {
        lock(&self.demux.inboxes).remove(&self.flow);
    }
}

impl fmt::Debug for DatagramSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSend").field("flow", &self.flow).finish_non_exhaustive()
    }
}

impl fmt::Debug for DatagramRecv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramRecv").field("flow", &self.flow).finish_non_exhaustive()
    }
}

fn send_error(error: SendDatagramError) -> io::Error {
    match error {
        SendDatagramError::ConnectionLost(error) => describe(error),
        SendDatagramError::TooLarge => io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path takes no datagram so long any more",
        ),
        other => io::Error::new(io::ErrorKind::Unsupported, other),
    }
}

fn too_long(len: usize, most: usize) -> io::Error {
    let text = format!(
        "a datagram of {len} bytes is longer than the {most} that fit into a packet of this path; \
         see -l and --mtu"
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Writes a variable-length integer (RFC 9000, section 16).
fn put_number(to: &mut BytesMut, number: VarInt) {
    let number = number.into_inner();
    #[allow(clippy::cast_possible_truncation, reason = "the guards say that it fits")]
    match number {
        0..0x40 => to.put_u8(number as u8),
        0x40..0x4000 => to.put_u16(0x4000 | number as u16),
        0x4000..0x4000_0000 => to.put_u32(0x8000_0000 | number as u32),
        _ => to.put_u64(0xc000_0000_0000_0000 | number),
    }
}

/// Takes a variable-length integer off the front.
fn take_number(from: &mut Bytes) -> Option<u64> {
    let first = *from.first()?;
    let len = 1_usize << (first >> 6);
    if from.len() < len {
        return None;
    }
    let mut number = u64::from(first & 0x3f);
    for byte in &from[1..len] {
        number = number << 8 | u64::from(*byte);
    }
    from.advance(len);
    Some(number)
}

/// The longest message: any UDP datagram, less what QUIC adds.
pub(crate) const LONGEST: NonZeroUsize =
    NonZeroUsize::new(MAX_DATAGRAM - OVERHEAD).expect("more than none");
/// Fits a packet of any path.
pub(crate) const USUAL: NonZeroUsize = NonZeroUsize::new(1150).expect("more than none");
/// What a packet has beside a message: short header, connection id, packet number, tag, frame, and
/// the flow's number.
pub(crate) const OVERHEAD: usize = 1 + 20 + 4 + 16 + 9 + LONGEST_NUMBER;
/// A connection has less than 2^14 streams in its life, or nearly so.
const LONGEST_NUMBER: usize = 8;

const BATCH: usize = 32;
/// Bytes that may wait for a flow that is not polled.
const MOST_KEPT: usize = 4 << 20;

/// For how long after its opening a path may be found to take longer packets.
const GROWTH: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1] {
            let mut bytes = BytesMut::new();
            put_number(&mut bytes, VarInt::from_u64(number).unwrap());
            bytes.put_u8(7);
            let mut bytes = bytes.freeze();
            assert_eq!(take_number(&mut bytes), Some(number));
            assert_eq!(&bytes[..], [7]);
        }
    }

    #[test]
    fn a_number_that_is_cut_off_is_none() {
        for bytes in [&[][..], &[0x40], &[0x80, 0, 0], &[0xc0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(take_number(&mut Bytes::copy_from_slice(bytes)), None);
        }
    }
}
