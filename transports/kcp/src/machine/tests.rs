use std::{
    future::{Future, poll_fn},
    net::UdpSocket,
    num::NonZeroUsize,
    sync::Arc,
};

use polyperf_socket::{
    DatagramRecv, DatagramSend, DatagramSocket, Driven, Endpoint, Parts, Sieve, Worker,
};
use polyperf_transport::{Chunk, HostSockets, Stream, Tuning};
use tokio::sync::oneshot;

use super::*;
use crate::{path::KcpPath, settings::Settings};

/// Returns a flow to a peer that is there and says nothing, whose patience is short.
fn to_a_silent_peer() -> (Stream, UdpSocket) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(peer.local_addr().unwrap()).unwrap();
    let endpoint = Endpoint::connected(DatagramSocket::new(socket).unwrap()).unwrap();
    let endpoint = Arc::new(endpoint);
    let mut settings = Settings::new(&Tuning::default()).unwrap();
    settings.config.dead_after = Duration::from_millis(100);
    let flow = Driven::start(Parts {
        machine: Conversation::new(7, settings.config, None).unwrap(),
        halves: (DatagramSend::new(Arc::clone(&endpoint)), DatagramRecv::new(endpoint)),
        sieve: Sieve::Open,
        hello: Vec::new(),
        worker: Worker::start("test", &HostSockets::new()).unwrap(),
    });
    (KcpPath::stream(flow, settings, None), peer)
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    let stride = NonZeroUsize::new(bytes.len()).unwrap();
    within(poll_fn(|cx| stream.send.poll_send(cx, Chunk { bytes, stride }))).await
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it takes too long")
}

#[tokio::test]
async fn a_silent_peer_fails_both_halves_and_leaves_the_thread_to_others() {
    let (mut flow, _peer) = to_a_silent_peer();
    send(&mut flow, b"is anybody there").await.unwrap();
    let error = within(poll_fn(|cx| flow.recv.poll_recv(cx, &mut [0; 8]))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("is gone: it did not answer for 0.1 seconds"), "{error}");
    let error = send(&mut flow, b"once more").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // The flow is still there, and its driver with nothing to do.
    let (ran, runs) = oneshot::channel();
    flow.home.as_ref().unwrap().spawn(Box::pin(async move {
        let _ = ran.send(());
    }));
    within(runs).await.unwrap();
}

#[tokio::test]
async fn nothing_is_sent_behind_the_end() {
    let (mut flow, _peer) = to_a_silent_peer();
    poll_fn(|cx| flow.send.poll_finish(cx)).await.unwrap();
    poll_fn(|cx| flow.send.poll_finish(cx)).await.unwrap();
    let error = send(&mut flow, b"too late").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_flow_that_everybody_has_left_ends_though_the_peer_is_silent() {
    let (mut flow, _peer) = to_a_silent_peer();
    send(&mut flow, b"goodbye").await.unwrap();
    let path = Arc::downgrade(&flow.path);
    let home = Arc::downgrade(flow.home.as_ref().unwrap());
    drop(flow);
    within(async {
        while path.strong_count() + home.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
