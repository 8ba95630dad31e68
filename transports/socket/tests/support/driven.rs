//! How often the threads of a flow allocate, where its protocol runs in this process.
//!
//! Of several measurements the least counts: what a batch costs, it costs each time, and a queue
//! may grow the first time that a thread is held off its processor.

use std::{
    future::{Future, poll_fn},
    num::NonZeroUsize,
    sync::Arc,
};

use polyperf_transport::{Anyone, Chunk, Hello, Home, Peer, RecvHalf, SendHalf, Stream, Transport};
use tokio::sync::oneshot;

use crate::counting::allocations;

/// Has a warm flow driven by its threads, as a test's flows are, and returns how often that of the
/// sender and that of the receiver allocated.
pub(crate) async fn made_at_home(transport: &dyn Transport) -> [u64; 2] {
    let (client, server) = open(transport).await;
    let (Some(clients), Some(servers)) = (client.home, server.home) else {
        panic!("a flow without a thread")
    };
    let (mut sender, mut receiver) = (Sender::new(client.send), Receiver::new(server.recv));
    let sent = on(&clients, async move {
        sender.send(WARM).await;
        let mut least = u64::MAX;
        for _ in 0..WINDOWS {
            let before = allocations();
            sender.send(MEASURED).await;
            least = least.min(allocations() - before);
        }
        least
    });
    let received = on(&servers, async move {
        receiver.receive(WARM).await;
        let mut least = u64::MAX;
        for _ in 0..WINDOWS {
            let before = allocations();
            receiver.receive(MEASURED).await;
            least = least.min(allocations() - before);
        }
        least
    });
    [sent.await.unwrap(), received.await.unwrap()]
}

/// Drives a warm flow from the calling thread, and returns how often its threads and this one
/// allocated.
pub(crate) async fn made_elsewhere(transport: &dyn Transport) -> [u64; 3] {
    let (client, server) = open(transport).await;
    let (Some(clients), Some(servers)) = (client.home, server.home) else {
        panic!("a flow without a thread")
    };
    let (mut sender, mut receiver) = (Sender::new(client.send), Receiver::new(server.recv));
    tokio::join!(sender.send(WARM), receiver.receive(WARM));
    let so_far = || async {
        let [clients, servers] = [&clients, &servers].map(|home| on(home, async { allocations() }));
        [clients.await.unwrap(), servers.await.unwrap()]
    };
    let mut least = [u64::MAX; 3];
    for _ in 0..WINDOWS {
        let theirs = so_far().await;
        let ours = allocations();
        tokio::join!(sender.send(MEASURED), receiver.receive(MEASURED));
        let ours = allocations() - ours;
        let now = so_far().await;
        let made = [now[0] - theirs[0], now[1] - theirs[1], ours];
        least = std::array::from_fn(|thread| least[thread].min(made[thread]));
    }
    least
}

struct Sender {
    half: Box<dyn SendHalf>,
    payload: Vec<u8>,
}

impl Sender {
    fn new(half: Box<dyn SendHalf>) -> Self {
        Self { half, payload: vec![7; BLOCK] }
    }

    async fn send(&mut self, len: usize) {
        let Self { half, payload } = self;
        let mut sent = 0;
        while sent < len {
            let bytes = &payload[..BLOCK.min(len - sent)];
            let chunk = Chunk { bytes, stride: NonZeroUsize::new(BLOCK).unwrap() };
            sent += poll_fn(|cx| half.poll_send(cx, chunk)).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

struct Receiver {
    half: Box<dyn RecvHalf>,
    buf: Vec<u8>,
}

impl Receiver {
    fn new(half: Box<dyn RecvHalf>) -> Self {
        Self { half, buf: vec![0; BLOCK] }
    }

    async fn receive(&mut self, len: usize) {
        let Self { half, buf } = self;
        let mut received = 0;
        while received < len {
            let room = &mut buf[..BLOCK.min(len - received)];
            received += poll_fn(|cx| half.poll_recv(cx, room)).await.unwrap().unwrap().len;
            tokio::task::yield_now().await;
        }
    }
}

/// Runs `work` on the thread of a flow, and returns what comes of it.
fn on<T: Send + 'static>(
    home: &Arc<dyn Home>,
    work: impl Future<Output = T> + Send + 'static,
) -> oneshot::Receiver<T> {
    let (tell, told) = oneshot::channel();
    home.spawn(Box::pin(async move {
        let _ = tell.send(work.await);
    }));
    told
}

async fn open(transport: &dyn Transport) -> (Stream, Stream) {
    let at = "127.0.0.1:0".parse().unwrap();
    let mut listener = transport.listen(at, Arc::new(Anyone)).await.unwrap();
    let connection = transport.connect(&Peer::at(listener.local_addr())).await.unwrap();
    let (client, server) = tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
    let (client, mut server) = (client.unwrap(), server.unwrap());
    let mut hello = [0; 5];
    let received = poll_fn(|cx| server.recv.poll_recv(cx, &mut hello)).await.unwrap().unwrap();
    assert_eq!((received.len, &hello), (5, b"hello"));
    (client, server)
}

const BLOCK: usize = 128 << 10;
const WARM: usize = 32 << 20;
const MEASURED: usize = 16 << 20;
const WINDOWS: usize = 4;
