//! The conformance suite itself: each fault breaks the rule that is there for it.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use polyperf_memory::{Memory, Network};
use polyperf_transport::{
    AcceptError, Chunk, Connection, Delivery, Error, Gate, Hello, Listener, Peer, Received,
    RecvHalf, SendHalf, Stream, Transport, async_trait, conformance,
};

#[test]
#[should_panic(expected = "poll_send takes no zero bytes")]
fn a_sender_that_takes_nothing_is_found() {
    conformance::run(conformance::bytes_arrive_in_order, || bytes(Fault::TakesNothing), AT);
}

#[test]
#[should_panic(expected = "differs from byte")]
fn a_byte_that_was_changed_is_found() {
    conformance::run(conformance::bytes_arrive_in_order, || bytes(Fault::ChangesAByte), AT);
}

#[test]
#[should_panic(expected = "exceeds the buffer")]
fn a_receiver_that_claims_too_much_is_found() {
    conformance::run(conformance::small_buffers_lose_nothing, || bytes(Fault::ClaimsMore), AT);
}

#[test]
#[should_panic(expected = "bytes were taken, and nobody read")]
fn a_sender_without_bounds_is_found() {
    let rule = conformance::a_receiver_that_does_not_read_holds_the_sender;
    conformance::run(rule, || bytes(Fault::TakesEverything), AT);
}

#[test]
#[should_panic(expected = "no whole messages")]
fn a_message_taken_in_part_is_found() {
    let rule = conformance::messages_keep_their_boundaries;
    conformance::run(rule, || messages(Fault::TakesAPart), AT);
}

#[test]
#[should_panic(expected = "a message arrives as it was sent")]
fn messages_run_together_are_found() {
    let rule = conformance::messages_keep_their_boundaries;
    conformance::run(rule, || messages(Fault::ForgetsBoundaries), AT);
}

#[test]
#[should_panic(expected = "a message too long is not sent")]
fn a_message_too_long_that_is_taken_is_found() {
    let rule = conformance::a_message_too_long_is_refused;
    conformance::run(rule, || messages(Fault::TakesEverything), AT);
}

#[test]
#[should_panic(expected = "listening twice")]
fn an_address_given_twice_is_found() {
    conformance::run(conformance::a_taken_address_is_refused, || bytes(Fault::ListensTwice), AT);
}

/// A transport with one fault.
#[derive(Debug)]
struct Faulty {
    inner: Memory,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TakesNothing,
    TakesAPart,
    TakesEverything,
    ChangesAByte,
    ClaimsMore,
    ForgetsBoundaries,
    ListensTwice,
}

#[async_trait]
impl Transport for Faulty {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn delivery(&self) -> Delivery {
        self.inner.delivery()
    }

    fn check(&self, tuning: &polyperf_transport::Tuning) -> Result<(), Error> {
        self.inner.check(tuning)
    }

    async fn listen(
        &self,
        mut addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        if self.fault == Fault::ListensTwice {
            addr.set_port(0);
        }
        Ok(Box::new(FaultyListener(self.inner.listen(addr, gate).await?, self.fault)))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(FaultyConnection(self.inner.connect(peer).await?, self.fault)))
    }
}

#[derive(Debug)]
struct FaultyListener(Box<dyn Listener>, Fault);

#[async_trait]
impl Listener for FaultyListener {
    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    fn identity(&self) -> Option<String> {
        self.0.identity()
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        self.0.accept().await.map(|stream| spoil(stream, self.1))
    }
}

#[derive(Debug)]
struct FaultyConnection(Box<dyn Connection>, Fault);

#[async_trait]
impl Connection for FaultyConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        self.0.open(hello).await.map(|stream| spoil(stream, self.1))
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// Behaves for as long as the greeting lasts.
#[derive(Debug)]
struct FaultySend {
    inner: Box<dyn SendHalf>,
    fault: Fault,
}

impl SendHalf for FaultySend {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        let changed: Vec<u8>;
        let mut chunk = chunk;
        match self.fault {
            Fault::TakesNothing => return Poll::Ready(Ok(0)),
            Fault::TakesAPart => return Poll::Ready(Ok(1)),
            Fault::TakesEverything => return Poll::Ready(Ok(chunk.bytes.len())),
            Fault::ChangesAByte => {
                changed = chunk.bytes.iter().map(|byte| byte ^ 1).collect();
                chunk.bytes = &changed;
            }
            _ => {}
        }
        self.inner.poll_send(cx, chunk)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_finish(cx)
    }

    fn batch(&self) -> NonZeroUsize {
        self.inner.batch()
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.inner.block_for(limit);
    }
}

#[derive(Debug)]
struct FaultyRecv(Box<dyn RecvHalf>, Fault);

impl RecvHalf for FaultyRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        self.0.poll_recv(cx, buf).map_ok(|received| {
            received.map(|received| match self.1 {
                Fault::ClaimsMore => Received::whole(buf.len() + 1),
                Fault::ForgetsBoundaries => Received::whole(received.len),
                _ => received,
            })
        })
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.0.block_for(limit);
    }

    fn expect_bulk(&mut self) {
        self.0.expect_bulk();
    }
}

fn spoil(stream: Stream, fault: Fault) -> Stream {
    Stream {
        send: Box::new(FaultySend { inner: stream.send, fault }),
        recv: Box::new(FaultyRecv(stream.recv, fault)),
        ..stream
    }
}

fn bytes(fault: Fault) -> Arc<dyn Transport> {
    Arc::new(Faulty { inner: Memory::bytes(&Network::perfect()), fault })
}

fn messages(fault: Fault) -> Arc<dyn Transport> {
    let max = NonZeroUsize::new(1200).expect("more than none");
    Arc::new(Faulty { inner: Memory::messages(&Network::perfect(), max), fault })
}

const AT: &str = "127.0.0.1:0";
