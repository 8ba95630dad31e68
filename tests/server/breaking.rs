//! Transports that panic: a defect ends one session, and nothing else.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use polyperf::{
    engine::Drive,
    outcome::{Ended, FailureCode},
    transport::{
        AcceptError, Chunk, Connection, Delivery, Error, Gate, Listener, Peer, Received, RecvHalf,
        SendHalf, Stream, Transport, async_trait,
    },
};

use crate::support::{World, soon, spawn, tcp_client};

/// A transport whose accepted streams panic once they have received so many bytes.
#[derive(Debug)]
struct Fragile {
    inner: Arc<dyn Transport>,
    fuse: Arc<Fuse>,
}

/// Which stream breaks, counted from the first accepted one, and after how many bytes.
#[derive(Debug)]
struct Fuse {
    accepted: AtomicU64,
    stream: u64,
    after: u64,
}

#[async_trait]
impl Transport for Fragile {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn delivery(&self) -> Delivery {
        self.inner.delivery()
    }

    fn check(&self, tuning: &polyperf::transport::Tuning) -> Result<(), Error> {
        self.inner.check(tuning)
    }

    async fn listen(
        &self,
        addr: SocketAddr,
        gate: Arc<dyn Gate>,
    ) -> Result<Box<dyn Listener>, Error> {
        let inner = self.inner.listen(addr, gate).await?;
        Ok(Box::new(FragileListener { inner, fuse: Arc::clone(&self.fuse) }))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        self.inner.connect(peer).await
    }
}

#[derive(Debug)]
struct FragileListener {
    inner: Box<dyn Listener>,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Listener for FragileListener {
    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn identity(&self) -> Option<String> {
        self.inner.identity()
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        let stream = self.inner.accept().await?;
        let number = self.fuse.accepted.fetch_add(1, Ordering::Relaxed);
        let left = if number == self.fuse.stream { self.fuse.after } else { u64::MAX };
        let recv = Box::new(FragileRecv { inner: stream.recv, left });
        Ok(Stream { send: Box::new(FragileSend(stream.send)), recv, ..stream })
    }
}

#[derive(Debug)]
struct FragileRecv {
    inner: Box<dyn RecvHalf>,
    left: u64,
}

impl RecvHalf for FragileRecv {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<Option<Received>>> {
        let polled = self.inner.poll_recv(cx, buf);
        if let Poll::Ready(Ok(Some(received))) = &polled {
            let len = u64::try_from(received.len).unwrap();
            self.left = self.left.checked_sub(len).expect("broken on demand");
        }
        polled
    }

    fn block_for(&mut self, limit: Option<Duration>) {
        self.inner.block_for(limit);
    }

    fn expect_bulk(&mut self) {
        self.inner.expect_bulk();
    }
}

#[derive(Debug)]
struct FragileSend(Box<dyn SendHalf>);

impl SendHalf for FragileSend {
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

fn fragile(world: World, stream: u64, after: u64) -> World {
    let fuse = Arc::new(Fuse { accepted: AtomicU64::new(0), stream, after });
    World { memory: Arc::new(Fragile { inner: world.memory, fuse }), ..world }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_flow_ends_its_session_alone() {
    let world = fragile(World::new(), 1, 100_000);
    let mut server = world.serve(|s| s.max_sessions(1)).await;
    let ours = soon(spawn(world.client(&server))).await.unwrap().unwrap();
    let theirs = server.outcome().await;
    for outcome in [&ours, &theirs] {
        let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
        assert_eq!(failure.code, FailureCode::Stream, "{failure}");
    }
    assert!(theirs.local.flows[0].error.is_some());
    server.proves_itself(world.client(&server)).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_control_ends_its_session_alone() {
    // In the hello, in the proposal, and in the middle of the test.
    for after in [0, 100, 1000] {
        let world = fragile(World::new(), 0, after);
        let mut server = world.serve(|s| s.max_sessions(1)).await;
        let client = world.client(&server).time(Duration::from_secs(20)).rate(1_000_000);
        match soon(spawn(client)).await.unwrap() {
            Ok(outcome) => assert!(matches!(outcome.ended, Ended::Failed(_))),
            Err(failure) => assert_eq!(failure.code, FailureCode::PeerLost, "{failure}"),
        }
        server.proves_itself(world.client(&server)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_on_a_flows_thread_ends_its_session_alone() {
    let tcp = polyperf::Registry::standard().get("tcp").cloned().unwrap();
    let world = fragile(World { memory: tcp, ..World::new() }, 1, 1_000_000);
    let mut server = world.serve(|s| s.max_sessions(1).drive(Drive::Threads)).await;
    let ours = soon(spawn(tcp_client(&server))).await.unwrap().unwrap();
    assert!(
        matches!(&ours.ended, Ended::Failed(f) if f.code == FailureCode::Stream),
        "{:?}",
        ours.ended
    );
    server.proves_itself(tcp_client(&server)).await;
}
