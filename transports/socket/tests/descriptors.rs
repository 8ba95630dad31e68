//! Ports give back what they took. It counts the process's descriptors, so it is a test by itself.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use support::{Joined, Raw, any_port, both_kinds, datagrams, messages, receive_until, until};

#[tokio::test]
async fn whatever_is_dropped_first_no_descriptor_is_left_behind() {
    // Whatever the runtime needs is there from now on.
    tokio::net::UdpSocket::bind(any_port()).await.unwrap();
    let before = descriptors();
    for (round, ports) in both_kinds().into_iter().cycle().take(20).enumerate() {
        let mut joined = Joined::new(&ports, any_port(), "9").unwrap();
        let other = Joined::new(&ports, joined.at(), "another").unwrap();
        let quic = ports.quic(joined.at()).unwrap();
        let (client, stranger) = (Raw::at("127.0.0.1"), Raw::at("127.0.0.1"));
        client.say(joined.at(), b"9876");
        let (send, mut recv) = receive_until(&quic, joined.flow()).await;
        receive_until(&quic, messages(&mut recv, 1)).await;
        stranger.say(joined.at(), b"\xC0quic");
        datagrams(&quic, 1).await;
        let mut things: [Option<Box<dyn std::any::Any>>; 5] = [
            Some(Box::new(joined)),
            Some(Box::new(other)),
            Some(Box::new(quic)),
            Some(Box::new((client, stranger))),
            Some(Box::new((send, recv))),
        ];
        things.rotate_left(round % 5);
        for thing in &mut things {
            drop(thing.take());
            tokio::task::yield_now().await;
        }
        until(|| descriptors() == before).await;
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
