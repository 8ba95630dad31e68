//! Flows give back what they took. It counts the process's descriptors and threads, so it is a test
//! by itself.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use polyperf_transport::{Anyone, Hello, Listener, Peer, Transport};
use support::{HELLO, kcp, listen, until, within};

#[cfg(target_os = "linux")]
#[tokio::test]
async fn five_hundred_flows_leave_no_descriptor_and_no_thread_behind() {
    let kcp = kcp();
    let mut listener = listen(&kcp, Anyone);
    let before = count("task");
    let descriptors = count("fd");
    for _ in 0..500 {
        let connection = kcp.connect(&Peer::at(listener.local_addr())).await.unwrap();
        let (client, server) =
            tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
        drop((client.unwrap(), server.unwrap()));
    }
    until(|| listener.counts().flows == 0).await;
    // The listener keeps its threads, of which it has no more than there are processors.
    let kept = std::thread::available_parallelism().unwrap().get();
    until(|| count("task") <= before + kept).await;
    until(|| count("fd") <= descriptors + kept * PER_THREAD).await;
}

#[cfg(target_os = "linux")]
fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// A runtime's own: an epoll, an event, and their duplicates.
const PER_THREAD: usize = 4;
