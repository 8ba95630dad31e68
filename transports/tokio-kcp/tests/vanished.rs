//! Flows whose peers are gone give back what they took. It counts the process's descriptors and
//! threads, so it is a test by itself.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]
#![cfg(target_os = "linux")]

mod support;

use std::{future::poll_fn, sync::Arc, task::Poll};

use polyperf_transport::{Anyone, Chunk, Listener, Stream};
use support::{NOTHING, Raw, push, tokio_kcp, until};

#[tokio::test]
async fn peers_that_refuse_are_silent_or_never_begin_leave_nothing_behind() {
    let at = "127.0.0.1:0".parse().unwrap();
    let mut listener = tokio_kcp().bind(at, Arc::new(Anyone)).unwrap();
    let (threads, descriptors) = (count("task"), count("fd"));
    let mut streams = Vec::new();
    let [mut refusing, mut silent] = [Vec::new(), Vec::new()];
    for peers in [&mut refusing, &mut silent] {
        for _ in 0..PEERS {
            let peer = Raw::new();
            let mut stream = peer.open(&mut listener).await;
            peer.say(listener.local_addr(), &push(0, &NOTHING));
            fill(&mut stream).await;
            streams.push(stream);
            peers.push(peer);
        }
    }
    let mute = Raw::new();
    streams.push(mute.open(&mut listener).await);
    // The kernel answers for sockets that are closed.
    drop(refusing);
    drop(streams);
    until(|| listener.counts().flows == 0).await;
    drop((silent, mute));
    // The listener keeps its threads, of which it has no more than there are processors.
    let kept = std::thread::available_parallelism().unwrap().get();
    until(|| count("task") <= threads + kept && count("fd") <= descriptors + kept * PER_THREAD)
        .await;
}

/// Sends until there is no room.
async fn fill(stream: &mut Stream) {
    let bytes = vec![7; 60_000];
    let mut sent = 0;
    poll_fn(|cx| {
        loop {
            match stream.send.poll_send(cx, Chunk::whole(&bytes).unwrap()) {
                Poll::Ready(Ok(len)) => sent += len,
                Poll::Pending if sent == 0 => return Poll::Pending,
                // There is no room, or the peer is seen to be gone.
                Poll::Pending | Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
    })
    .await;
}

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

/// Peers of a kind: so many that what one of them leaves behind is more than what threads keep.
const PEERS: usize = 40;

/// A runtime's own: an epoll, an event, and their duplicates.
const PER_THREAD: usize = 4;
