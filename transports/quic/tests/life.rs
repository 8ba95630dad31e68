//! What connections leave behind: nothing. A program of its own, so that all that is there is theirs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]
#![cfg(target_os = "linux")]

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use polyperf_quic::{Quic, QuicTransport, Settings};
use polyperf_socket::UdpPorts;
use polyperf_transport::{
    Anyone, Hello, HostSockets, Listener, Peer, Sockets, Transport, send_all,
};

fn transports() -> [QuicTransport; 2] {
    let sockets: Arc<dyn Sockets> = Arc::new(HostSockets::new());
    let ports = Arc::new(UdpPorts::new(Arc::clone(&sockets)));
    let quic = Quic::new(sockets, ports, Settings::default());
    [quic.streams(), quic.datagrams()]
}

/// How many descriptors and threads this process has.
fn held() -> (usize, usize) {
    let count = |what: &str| fs::read_dir(what).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// Waits until no more is held than that.
async fn down_to(before: (usize, usize)) {
    let wait = async {
        while held().0 > before.0 || held().1 > before.1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), wait).await;
    assert!(waited.is_ok(), "{:?} descriptors and threads are held, not {before:?}", held());
}

/// Connects, says something on a stream, and leaves: without a word if it is not `polite`.
async fn visit(transport: &QuicTransport, listener: &mut dyn Listener, polite: bool) {
    let peer = Peer::at(listener.local_addr());
    let connection = transport.connect(&peer).await.unwrap();
    let (client, server) = tokio::join!(connection.open(Hello::Own(b"hello")), listener.accept());
    let (mut client, _server) = (client.unwrap(), server.unwrap());
    send_all(&mut *client.send, b"something").await.unwrap();
    if polite {
        connection.close().await;
    }
}

#[tokio::test]
async fn connections_leave_no_thread_and_no_descriptor_behind() {
    let before = held();
    for transport in transports() {
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = transport.listen(at, Arc::new(Anyone)).await.unwrap();
        for nth in 0..200 {
            visit(&transport, &mut *listener, nth % 4 != 0).await;
        }
        give_up(&transport).await;
        drop(listener);
    }
    down_to(before).await;
}

/// Connects to whoever never answers, and gives up.
async fn give_up(transport: &QuicTransport) {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let peer = Peer::at(silent.local_addr().unwrap());
    for _ in 0..20 {
        let connect = transport.connect(&peer);
        assert!(tokio::time::timeout(Duration::from_millis(5), connect).await.is_err());
    }
}
