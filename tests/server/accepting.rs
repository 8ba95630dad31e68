//! A listener that fails, in each of the ways that there are.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use polyperf::{
    server::Stopped,
    transport::{
        AcceptError, Connection, Delivery, Error, Gate, Listener, Peer, Stream, Transport,
        async_trait,
    },
};

use crate::support::{World, spawn};

/// A transport whose listener fails so often before it accepts.
#[derive(Debug)]
struct Failing {
    inner: Arc<dyn Transport>,
    failures: Arc<Mutex<VecDeque<AcceptError>>>,
}

#[async_trait]
impl Transport for Failing {
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
        Ok(Box::new(FailingListener { inner, failures: Arc::clone(&self.failures) }))
    }

    async fn connect(&self, peer: &Peer) -> Result<Box<dyn Connection>, Error> {
        self.inner.connect(peer).await
    }
}

#[derive(Debug)]
struct FailingListener {
    inner: Box<dyn Listener>,
    failures: Arc<Mutex<VecDeque<AcceptError>>>,
}

#[async_trait]
impl Listener for FailingListener {
    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn identity(&self) -> Option<String> {
        self.inner.identity()
    }

    async fn accept(&mut self) -> Result<Stream, AcceptError> {
        let failure = self.failures.lock().unwrap().pop_front();
        match failure {
            Some(failure) => Err(failure),
            None => self.inner.accept().await,
        }
    }
}

fn failing(failures: impl IntoIterator<Item = AcceptError>) -> World {
    let World { network, memory } = World::new();
    let failures = Arc::new(Mutex::new(failures.into_iter().collect()));
    World { network, memory: Arc::new(Failing { inner: memory, failures }) }
}

fn error() -> io::Error {
    io::ErrorKind::Other.into()
}

#[tokio::test(start_paused = true)]
async fn a_server_outlives_failed_peers_and_exhaustion() {
    let exhausted = (0..6).map(|_| AcceptError::Exhausted(error()));
    let failures = exhausted.chain((0..1000).map(|_| AcceptError::Peer(error())));
    let world = failing(failures);
    let mut server = world.serve(|s| s).await;
    server.proves_itself(world.client(&server)).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_not_held_up_by_exhaustion() {
    let world = failing((0..1000).map(|_| AcceptError::Exhausted(error())));
    let server = world.serve(|s| s).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    server.handle.drain();
    assert_eq!(server.stopped().await, Stopped::Told);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_listeners_stops() {
    let world = failing([AcceptError::Closed(error())]);
    let server = world.serve(|s| s).await;
    assert_eq!(server.stopped().await, Stopped::NoListeners);
}

#[tokio::test(start_paused = true)]
async fn a_server_goes_on_with_the_listeners_that_it_has_left() {
    let world = failing([AcceptError::Closed(error())]);
    let second = SocketAddr::from(([127, 0, 0, 2], 7000));
    let server = world.serve(|s| s.listen(second)).await;
    // Which of the two has failed depends on who was asked first.
    let clients = ["127.0.0.1", "127.0.0.2"].map(|host| {
        let port = if host == "127.0.0.2" { second.port() } else { server.addr.port() };
        let client = polyperf::Client::builder(host)
            .port(port)
            .over(Arc::clone(&world.memory))
            .control(world.memory.name())
            .drive(polyperf::engine::Drive::Inline);
        spawn(client.bytes(1000))
    });
    let mut served = 0;
    for client in clients {
        served += usize::from(client.await.unwrap().is_ok());
    }
    assert_eq!(served, 1);
}
