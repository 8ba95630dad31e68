//! A transport behind a transport.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    AcceptError, Chunk, Connection, Delivery, Error, Gate, Hello, Listener, Path, PathStats, Peer,
    Received, RecvHalf, SendHalf, Setting, Stream, Transport, Tuning, async_trait,
};

/// Another transport, wrapped whole: each call is passed on as it came.
///
/// It shows how to write a decorator, and that a transport works through one.
#[derive(Debug)]
pub struct Decorated(Arc<dyn Transport>);

impl Decorated {
    /// Returns `transport`, decorated.
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self(transport)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Transport for Decorated {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn delivery(&self) -> Delivery {
        self.0.delivery()
    }

    fn check(&self, tuning: &Tuning) -> Result<(), Error> {
        self.0.check(tuning)
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        Ok(Box::new(DecoratedListener(self.0.listen(addr, gate).await?)))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        Ok(Box::new(DecoratedConnection(self.0.connect(peer).await?)))
    }
}

#[derive(Debug)]
struct DecoratedListener(Box<dyn Listener>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Listener for DecoratedListener {
    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    fn identity(&self) -> Option<String> {
        self.0.identity()
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        self.0.accept().await.map(decorate)
    }
}

#[derive(Debug)]
struct DecoratedConnection(Box<dyn Connection>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Connection for DecoratedConnection {
    async fn open(&self, hello: Hello<'_>) -> Result<Stream, Error> {
        self.0.open(hello).await.map(decorate)
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

#[derive(Debug)]
struct DecoratedSend(Box<dyn SendHalf>);

#[deny(clippy::missing_trait_methods)]
impl SendHalf for DecoratedSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, chunk: Chunk<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, chunk)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_finish(cx)
    }

    fn batch(&self) -> NonZeroUsize {
        self.0.batch()
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.0.block_for(limit);
    }
}

#[derive(Debug)]
struct DecoratedRecv(Box<dyn RecvHalf>);

#[deny(clippy::missing_trait_methods)]
impl RecvHalf for DecoratedRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        self.0.poll_recv(cx, buf)
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.0.block_for(limit);
    }

    fn expect_bulk(&mut self) {
        self.0.expect_bulk();
    }
}

#[derive(Debug)]
struct DecoratedPath(Arc<dyn Path>);

#[deny(clippy::missing_trait_methods)]
impl Path for DecoratedPath {
    fn stats(&self) -> PathStats {
        self.0.stats()
    }

    fn tune(&self, tuning: &Tuning) -> Vec<Setting> {
        self.0.tune(tuning)
    }

    fn exported(&self, label: &[u8]) -> Option<[u8; 32]> {
        self.0.exported(label)
    }
}

fn decorate(stream: Stream) -> Stream {
    Stream {
        send: Box::new(DecoratedSend(stream.send)),
        recv: Box::new(DecoratedRecv(stream.recv)),
        path: Arc::new(DecoratedPath(stream.path)),
        ..stream
    }
}
