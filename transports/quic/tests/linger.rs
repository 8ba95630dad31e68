//! What was sent before a connection is closed.

use std::{future::poll_fn, sync::Arc};

use polyperf_quic::{Quic, Settings};
use polyperf_socket::UdpPorts;
use polyperf_transport::{Anyone, Hello, HostSockets, Peer, Sockets, Stream, Transport, send_all};

/// Sends so much, says that this is all, and lets the stream go.
async fn send(mut stream: Stream, bytes: usize) {
    send_all(stream.send.as_mut(), &vec![7; bytes]).await.expect("it is taken");
    poll_fn(|cx| stream.send.poll_finish(cx)).await.expect("it ends");
}

/// Receives until there is no more, and returns how much it was.
async fn receive(mut stream: Stream) -> usize {
    let (mut received, mut buf) = (0, vec![0; 64 << 10]);
    loop {
        let batch = poll_fn(|cx| stream.recv.poll_recv(cx, &mut buf)).await;
        match batch.expect("it arrives") {
            Some(batch) => received += batch.len,
            None => return received,
        }
    }
}

#[tokio::test]
async fn what_was_finished_arrives_though_the_connection_is_closed_at_once() {
    let sockets: Arc<dyn Sockets> = Arc::new(HostSockets::new());
    let ports = Arc::new(UdpPorts::new(Arc::clone(&sockets)));
    let quic = Quic::new(sockets, ports, Settings::default()).streams();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut listener = quic.listen(any, Arc::new(Anyone)).await.unwrap();
    let connection = quic.connect(&Peer::at(listener.local_addr())).await.unwrap();
    let (opened, accepted) = tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
    let receiving = tokio::spawn(receive(accepted.unwrap()));
    send(opened.unwrap(), BYTES).await;
    connection.close().await;
    // The hello comes first.
    assert_eq!(receiving.await.unwrap(), BYTES + b"hello".len());
}

/// More than is under way at a time, and little enough to arrive at once.
const BYTES: usize = 512 << 10;
