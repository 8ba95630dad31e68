use std::net::UdpSocket;

use polyperf_socket::DatagramSocket;
use polyperf_transport::Tuning;
use tokio::sync::oneshot;

use super::*;

/// Returns a flow to a peer that is there and says nothing, whose patience is short.
fn to_a_silent_peer() -> (Arc<Flow>, UdpSocket) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(peer.local_addr().unwrap()).unwrap();
    let endpoint = Endpoint::connected(DatagramSocket::new(socket).unwrap()).unwrap();
    let endpoint = Arc::new(endpoint);
    let mut settings = Settings::new(&Tuning::default()).unwrap();
    settings.config.dead_after = Duration::from_millis(100);
    let parts = Parts {
        conversation: Conversation::new(7, settings.config, None).unwrap(),
        halves: (DatagramSend::new(Arc::clone(&endpoint)), DatagramRecv::new(endpoint)),
        sieve: Sieve::Open,
        hello: Vec::new(),
        worker: Worker::start("test").unwrap(),
        settings,
        handshake: None,
    };
    (Flow::start(parts), peer)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it takes too long")
}

#[tokio::test]
async fn a_silent_peer_fails_both_halves_and_leaves_the_thread_to_others() {
    let (flow, _peer) = to_a_silent_peer();
    within(poll_fn(|cx| flow.poll_send(cx, b"is anybody there"))).await.unwrap();
    let error = within(poll_fn(|cx| flow.poll_recv(cx, &mut [0; 8]))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("is gone: it did not answer for 0.1 seconds"), "{error}");
    let error = within(poll_fn(|cx| flow.poll_send(cx, b"once more"))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // The flow is still there, and its driver with nothing to do.
    let (ran, runs) = oneshot::channel();
    flow.worker.run(async move {
        let _ = ran.send(());
    });
    within(runs).await.unwrap();
}

#[tokio::test]
async fn nothing_is_sent_behind_the_end() {
    let (flow, _peer) = to_a_silent_peer();
    flow.finish().unwrap();
    flow.finish().unwrap();
    let error = within(poll_fn(|cx| flow.poll_send(cx, b"too late"))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_flow_that_everybody_has_left_ends_though_the_peer_is_silent() {
    let (flow, _peer) = to_a_silent_peer();
    within(poll_fn(|cx| flow.poll_send(cx, b"goodbye"))).await.unwrap();
    flow.leave(Half::Sender);
    flow.leave(Half::Receiver);
    let flow = Arc::downgrade(&{ flow });
    within(async {
        while flow.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
