//! Flows give back what they took. It counts the process's descriptors and threads, so it is a test
//! by itself.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

use std::{sync::Arc, time::Duration};

use polyperf_tokio_kcp::TokioKcp;
use polyperf_transport::{Anyone, Hello, HostSockets, Listener, Peer, Transport};

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hundred_flows_leave_no_descriptor_and_no_thread_behind() {
    let tokio_kcp = TokioKcp::new(Arc::new(HostSockets::new()));
    let mut listener = tokio_kcp.bind("127.0.0.1:0".parse().unwrap(), Arc::new(Anyone)).unwrap();
    let (threads, descriptors) = (count("task"), count("fd"));
    for _ in 0..100 {
        let connection = tokio_kcp.connect(&Peer::at(listener.local_addr())).await.unwrap();
        let (client, server) =
            tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
        drop((client.unwrap(), server.unwrap()));
    }
    // The listener keeps its threads, of which it has no more than there are processors.
    let kept = std::thread::available_parallelism().unwrap().get();
    until(|| listener.counts().flows == 0).await;
    until(|| count("task") <= threads + kept && count("fd") <= descriptors + kept * PER_THREAD)
        .await;
}

#[cfg(target_os = "linux")]
fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

async fn until(what: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(30), async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it takes too long");
}

/// A runtime's own: an epoll, an event, and their duplicates.
const PER_THREAD: usize = 4;
