//! Once it runs, a flow allocates nothing, however its halves wait, with offload and without.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

#[path = "../../../tests/support/counting.rs"]
mod counting;

use std::{future::poll_fn, num::NonZeroUsize, sync::Arc, task::Poll, time::Duration};

use counting::allocations;
use polyperf_transport::{Anyone, Chunk, Hello, HostSockets, Peer, Stream, Transport, Tuning};
use polyperf_udp::Udp;
use tokio::runtime::Builder;

#[test]
fn batches_allocate_nothing() {
    for (limit, no_gso) in [(None, false), (None, true), (Some(LIMIT), false), (Some(LIMIT), true)]
    {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(async {
            let mut pair = Pair::open(limit, no_gso).await;
            pair.rounds(WARM).await;
            let before = allocations();
            pair.rounds(MEASURED).await;
            allocations() - before
        });
        assert_eq!(made, 0, "blocking for {limit:?}, without offload: {no_gso}");
    }
}

/// Both ends of a flow, on one thread, so that nothing is lost for want of room.
struct Pair {
    client: Stream,
    server: Stream,
    payload: Vec<u8>,
    buf: Vec<u8>,
}

impl Pair {
    async fn open(limit: Option<Duration>, no_gso: bool) -> Self {
        let udp = Udp::new(Arc::new(HostSockets::new()));
        let at = "127.0.0.1:0".parse().unwrap();
        let mut listener = udp.listen(at, Arc::new(Anyone)).await.unwrap();
        let connection = udp.connect(&Peer::at(listener.local_addr())).await.unwrap();
        let (client, server) =
            tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        client.path.tune(&Tuning { no_gso, ..Tuning::default() });
        assert!(!no_gso || client.path.stats().gso_segments == Some(1));
        client.send.block_for(limit);
        server.recv.block_for(limit);
        let payload = vec![7; client.send.batch().get() * DATAGRAM];
        let mut pair = Self { client, server, payload, buf: vec![0; 1 << 16] };
        assert_eq!(pair.receive().await, 5, "the hello");
        pair
    }

    /// Sends batches and receives each; now and then there is nothing to receive.
    async fn rounds(&mut self, count: usize) {
        for round in 0..count {
            let sent = self.send().await;
            let mut received = 0;
            while received < sent {
                received += self.receive().await;
            }
            if round % 64 == 0 {
                assert!(self.finds_nothing().await);
            }
        }
    }

    async fn send(&mut self) -> usize {
        let Self { client, payload, .. } = self;
        let chunk = Chunk { bytes: payload, stride: NonZeroUsize::new(DATAGRAM).unwrap() };
        poll_fn(|cx| client.send.poll_send(cx, chunk)).await.unwrap()
    }

    async fn receive(&mut self) -> usize {
        let Self { server, buf, .. } = self;
        poll_fn(|cx| server.recv.poll_recv(cx, buf)).await.unwrap().unwrap().len
    }

    async fn finds_nothing(&mut self) -> bool {
        let Self { server, buf, .. } = self;
        poll_fn(|cx| Poll::Ready(server.recv.poll_recv(cx, buf).is_pending())).await
    }
}

const DATAGRAM: usize = 1448;
const WARM: usize = 256;
const MEASURED: usize = 1024;
const LIMIT: Duration = Duration::from_millis(1);
