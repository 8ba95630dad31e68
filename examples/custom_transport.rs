//! A protocol of one's own: records over TCP, behind a byte each that is their length's logarithm.
use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, task::*, time::Duration};

use polyperf::{Client, Registry, Server, outcome::Side, transport::*};

/// Puts records into the streams of any transport that carries bytes.
#[derive(Debug)]
pub(crate) struct Framed<T>(pub(crate) T);

/// Half of a stream, and how much of its current record is left.
#[derive(Debug)]
struct Half<H: ?Sized>(Box<H>, usize);

type Polled<T> = Poll<io::Result<T>>;

#[async_trait]
#[rustfmt::skip]
impl Transport for Framed<Arc<dyn Transport>> {
    fn name(&self) -> &'static str { "framed" }
    fn delivery(&self) -> Delivery { Delivery::Bytes }
    fn check(&self, tuning: &Tuning) -> Result<(), Error> { self.0.check(tuning) }
    async fn listen(&self, at: SocketAddr, gate: Arc<dyn Gate>) -> Result<Box<dyn Listener>, Error> {
        Ok(Box::new(Framed(self.0.listen(at, gate).await?)))
    }
    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(Framed(self.0.connect(peer).await?)))
    }
}

#[async_trait]
#[rustfmt::skip]
impl Listener for Framed<Box<dyn Listener>> {
    fn local_addr(&self) -> SocketAddr { self.0.local_addr() }
    fn identity(&self) -> Option<String> { self.0.identity() }
    async fn accept(&mut self) -> Result<Stream, AcceptError> { self.0.accept().await.map(framed) }
}

#[async_trait]
#[rustfmt::skip]
impl Connection for Framed<Box<dyn Connection>> {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        self.0.open(Hello::Own(&[])).await.map(framed)?.begin_with(hello).await
    }
    async fn close(&self) { self.0.close().await }
}

fn framed(stream: Stream) -> Stream {
    let (send, recv) = (Box::new(Half(stream.send, 0)), Box::new(Half(stream.recv, 0)));
    Stream { send, recv, ..stream }
}

#[rustfmt::skip]
impl SendHalf for Half<dyn SendHalf> {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Polled<usize> {
        if self.1 == 0 {
            let power = chunk.bytes.len().ilog2();
            let header = Chunk { bytes: &power.to_be_bytes()[3..], stride: NonZeroUsize::MIN };
            ready!(self.0.poll_send(cx, header))?;
            self.1 = 1 << power;
        }
        // A record that the path took only a part of is what the caller sends the rest of next.
        let bytes = &chunk.bytes[..chunk.bytes.len().min(self.1)];
        self.0.poll_send(cx, Chunk { bytes, ..chunk }).map_ok(|sent| { self.1 -= sent; sent })
    }
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Polled<()> { self.0.poll_finish(cx) }
    fn batch(&self) -> NonZeroUsize { NonZeroUsize::MIN }
    fn block_for(&mut self, limit: Option<Duration>) { self.0.block_for(limit) }
}

#[rustfmt::skip]
impl RecvHalf for Half<dyn RecvHalf> {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Polled<Option<Received>> {
        let mut power = [0];
        while self.1 == 0 {
            let Some(_) = ready!(self.0.poll_recv(cx, &mut power))? else { return Poll::Ready(Ok(None)) };
            self.1 = 1_usize.checked_shl(power[0].into()).ok_or(io::ErrorKind::InvalidData)?;
        }
        let len = buf.len().min(self.1);
        self.0.poll_recv(cx, &mut buf[..len]).map_ok(|r| { self.1 -= r.map_or(0, |r| r.len); r })
    }
    fn block_for(&mut self, limit: Option<Duration>) { self.0.block_for(limit) }
    fn expect_bulk(&mut self) { self.0.expect_bulk() }
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "showing figures is what it is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let framed = Arc::new(Framed(Arc::clone(Registry::standard().get("tcp").ok_or("no TCP")?)));
    let server = Server::builder().listen("127.0.0.1:0".parse()?).transport(framed.clone());
    let server = server.bind().await?;
    let client = Client::builder("127.0.0.1").port(server.local_addrs()[0].1.port());
    tokio::spawn(server.run(std::future::pending()));
    let outcome = client.over(framed).bidirectional().bytes(64 << 20).build()?.run().await?;
    for receiver in [Side::Server, Side::Client] {
        let goodput = outcome.goodput(receiver).ok_or("nothing arrived")?;
        println!("the {receiver:?} received {:.2} Gbit/s over framed", goodput / 1e9);
    }
    Ok(())
}
