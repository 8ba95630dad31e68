//! Flows give back what they took. It counts the process's descriptors, so it is a test by itself.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use polyperf_transport::{Hello, Listener, Peer, Transport};
use support::{HELLO, listen, udp, until, within};

#[cfg(target_os = "linux")]
#[tokio::test]
async fn five_hundred_flows_leave_no_descriptor_behind() {
    let udp = udp();
    let mut listener = listen(&udp, "127.0.0.1:0");
    let connection = udp.connect(&Peer::at(listener.local_addr())).await.unwrap();
    let before = descriptors();
    for _ in 0..500 {
        let (client, server) =
            tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
        drop((client.unwrap(), server.unwrap()));
    }
    until(|| listener.counts().flows == 0).await;
    assert_eq!(descriptors(), before);
}

#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
