//! Flows give back what they took. It counts the process's descriptors, threads and memory, so it is
//! a test by itself.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

// As the program has it.
#[path = "../../../src/program/memory.rs"]
mod memory;

use std::{
    future::{Future, poll_fn},
    sync::Arc,
    time::Duration,
};

use polyperf_rudp::Rudp;
use polyperf_transport::{
    Anyone, Chunk, Hello, HostSockets, Listener, Peer, RecvHalf, SendHalf, Transport,
};

#[tokio::test]
async fn a_thousand_flows_leave_no_descriptor_no_thread_and_no_memory_behind() {
    memory::give_back_large_buffers();
    let rudp = Rudp::new(Arc::new(HostSockets::new()));
    let mut listener = rudp.bind("127.0.0.1:0".parse().unwrap(), Arc::new(Anyone)).unwrap();
    let (threads, descriptors) = (count("task"), count("fd"));
    // The listener keeps its threads, of which it has no more than there are processors.
    let kept = std::thread::available_parallelism().unwrap().get();
    let mut before = 0;
    for round in 0..FIRST + FLOWS {
        // By then the listener has its threads, and the allocator its arenas.
        if round == FIRST {
            until(|| listener.counts().flows == 0 && count("task") <= threads + kept).await;
            before = resident();
        }
        let connection = rudp.connect(&Peer::at(listener.local_addr())).await.unwrap();
        let (client, server) =
            tokio::join!(within(connection.open(Hello::Own(b"hello"))), within(listener.accept()));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        let sent = vec![7; SENT];
        tokio::join!(send(&mut *client.send, &sent), recv(&mut *server.recv, SENT + 5));
        // Some are closed, and some are only dropped.
        if round % 2 == 0 {
            within(poll_fn(|cx| client.send.poll_finish(cx))).await.unwrap();
        }
    }
    until(|| listener.counts().flows == 0).await;
    until(|| count("task") <= threads + kept).await;
    until(|| count("fd") <= descriptors + kept * PER_THREAD).await;
    let grown = resident().saturating_sub(before);
    assert!(grown <= MOST_GROWN, "{grown} bytes more after {FLOWS} flows");
}

async fn send(half: &mut dyn SendHalf, mut bytes: &[u8]) {
    while let Some(chunk) = Chunk::whole(bytes) {
        let sent = within(poll_fn(|cx| half.poll_send(cx, chunk))).await.unwrap();
        bytes = &bytes[sent..];
    }
}

async fn recv(half: &mut dyn RecvHalf, len: usize) {
    let mut buf = vec![0; len];
    let mut left = len;
    while left > 0 {
        let got = within(poll_fn(|cx| half.poll_recv(cx, &mut buf[..left]))).await;
        left -= got.unwrap().expect("more to come").len;
    }
}

/// Waits for nothing for ever.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("it takes too long")
}

/// Waits until `what` holds.
async fn until(what: impl Fn() -> bool) {
    within(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// Returns the bytes of the process that are in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Flows before anything is measured, and those that are.
const FIRST: usize = 250;
const FLOWS: usize = 1000;

/// Bytes that each flow carries: more than fit its first windows.
const SENT: usize = 100_000;

/// A runtime's own: an epoll, an event, and their duplicates.
const PER_THREAD: usize = 4;

/// A flow takes some 400 KiB: one in fifty that stayed would be more than this.
const MOST_GROWN: usize = 8 << 20;
