//! Once it runs, a stream allocates nothing, however its halves wait, with copies and without.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

#[path = "../../../tests/support/counting.rs"]
mod counting;

use std::{future::poll_fn, num::NonZeroUsize, sync::Arc, thread, time::Duration};

use counting::allocations;
use polyperf_tcp::Tcp;
use polyperf_transport::{
    Anyone, Chunk, Hello, HostSockets, Peer, RecvHalf, SendHalf, Stream, Transport, Tuning,
};
use tokio::runtime::{Builder, Runtime};

#[test]
fn halves_that_block_allocate_nothing() {
    for tuning in [with_copies(), without_copies()] {
        let (client, server) = runtime().block_on(open(&tuning));
        let (mut sends, mut receives) = (client.send, server.recv);
        let sender = thread::spawn(move || {
            sends.block_for(Some(LIMIT));
            runtime().block_on(send(sends.as_mut()))
        });
        receives.block_for(Some(LIMIT));
        let received = runtime().block_on(receive(receives.as_mut()));
        assert_eq!([sender.join().unwrap(), received], [0, 0], "sent, received: {tuning:?}");
    }
}

#[test]
fn halves_that_wait_for_readiness_allocate_nothing() {
    for tuning in [with_copies(), without_copies()] {
        // On one thread either waits for the other, so that both are watched from early on.
        let both = runtime().block_on(async {
            let (mut client, mut server) = open(&tuning).await;
            // The runtime keeps room for those that it makes wait their turn.
            tokio::task::yield_now().await;
            tokio::join!(send(client.send.as_mut()), receive(server.recv.as_mut()))
        });
        assert_eq!(both, (0, 0), "sent, received: {tuning:?}");
    }
}

/// Sends until it is warm and then as much again, says so, and returns how often this thread
/// allocated when it was warm.
async fn send(half: &mut dyn SendHalf) -> u64 {
    let payload = vec![7; BLOCK];
    let (mut sent, mut before) = (0, None);
    while sent < WARM + MEASURED {
        if sent >= WARM {
            before.get_or_insert_with(allocations);
        }
        let bytes = &payload[..BLOCK.min(WARM + MEASURED - sent)];
        let chunk = Chunk { bytes, stride: NonZeroUsize::new(BLOCK).unwrap() };
        sent += poll_fn(|cx| half.poll_send(cx, chunk)).await.unwrap();
    }
    let made = allocations() - before.unwrap();
    poll_fn(|cx| half.poll_finish(cx)).await.unwrap();
    made
}

/// Receives all of that, and returns how often this thread allocated when it was warm.
async fn receive(half: &mut dyn RecvHalf) -> u64 {
    let mut buf = vec![0; BLOCK];
    let (mut received, mut before) = (0, None);
    while let Some(more) = poll_fn(|cx| half.poll_recv(cx, &mut buf)).await.unwrap() {
        received += more.len;
        if received >= WARM {
            before.get_or_insert_with(allocations);
        }
    }
    assert_eq!(received, WARM + MEASURED);
    allocations() - before.unwrap()
}

async fn open(tuning: &Tuning) -> (Stream, Stream) {
    let tcp = Tcp::new(Arc::new(HostSockets::new()));
    let at = "127.0.0.1:0".parse().unwrap();
    let mut listener = tcp.listen(at, Arc::new(Anyone)).await.unwrap();
    let connection = tcp.connect(&Peer::at(listener.local_addr())).await.unwrap();
    let (client, server) = tokio::join!(connection.open(Hello::Own(&[])), listener.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    for end in [&client, &server] {
        assert!(end.path.tune(tuning).iter().all(|setting| setting.refused.is_none()));
    }
    (client, server)
}

fn with_copies() -> Tuning {
    Tuning::default()
}

fn without_copies() -> Tuning {
    Tuning { zero_copy: true, skip_rx_copy: true, ..Tuning::default() }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

const BLOCK: usize = 64 << 10;
const WARM: usize = 256 * BLOCK;
const MEASURED: usize = 1024 * BLOCK;
const LIMIT: Duration = Duration::from_millis(10);
