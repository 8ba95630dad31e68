//! Connections that are made one after another on the thread that carries them.

use std::{future::Future, sync::Arc};

use polyperf_quic::QuicTransport;
use polyperf_transport::{Home, Peer, Transport};
use tokio::sync::oneshot;

use crate::support::*;

/// Runs `work` on the thread that carries a connection.
async fn on<T: Send + 'static>(
    home: &Arc<dyn Home>,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let (tell, told) = oneshot::channel();
    home.spawn(Box::pin(async move {
        let _ = tell.send(work.await);
    }));
    soon("work on the thread", told).await.unwrap()
}

/// Connects on the thread of `before`.
async fn connect_on(home: &Arc<dyn Home>, transport: &QuicTransport, before: Pair) -> (Pair, Pair) {
    let transport = transport.clone();
    let Pair { mut listener, connection, client, server } = before;
    on(home, async move {
        let peer = Peer::at(listener.local_addr());
        let next = transport.connect(&peer).await.unwrap();
        let (next_client, next_server) = open(&*next, &mut *listener).await;
        // Nobody accepts on the listener of a pair that is over.
        let unused = listen(&transport).await;
        let before = Pair { listener: unused, connection, client, server };
        (before, Pair { listener, connection: next, client: next_client, server: next_server })
    })
    .await
}

#[tokio::test]
async fn the_next_connection_has_the_socket_of_one_that_is_closed_and_figures_of_its_own() {
    let transport = quic().streams();
    let listener = listen(&transport).await;
    let peer = Peer::at(listener.local_addr());
    let mut first = Pair::between(listener, &transport, &peer).await;
    first.carries(4 << 20).await;
    first.connection.close().await;
    let home = first.client.home.clone().unwrap();
    let ended = first.client.path.stats();
    assert!(ended.recv_calls > Some(0));
    let (first, mut second) = connect_on(&home, &transport, first).await;
    assert_eq!(second.client.local, first.client.local);
    second.carries(1000).await;
    let stats = second.client.path.stats();
    assert!(stats.wire_bytes_received < Some(100_000), "{stats:?}");
    assert!(stats.recv_calls <= stats.packets_received, "{stats:?}");
    assert!(stats.handshake.is_some() && stats.connection != ended.connection);
    let later = first.client.path.stats();
    assert_eq!((later.recv_calls, later.local_drops), (ended.recv_calls, ended.local_drops));
}

#[tokio::test]
async fn connections_at_the_same_time_have_sockets_of_their_own() {
    let transport = quic().streams();
    let listener = listen(&transport).await;
    let peer = Peer::at(listener.local_addr());
    let first = Pair::between(listener, &transport, &peer).await;
    let home = first.client.home.clone().unwrap();
    let (mut first, mut second) = connect_on(&home, &transport, first).await;
    assert_ne!(second.client.local, first.client.local);
    tokio::join!(first.carries(100_000), second.carries(100_000));
}

#[tokio::test]
async fn who_connects_from_elsewhere_gets_another_socket() {
    let transport = quic().streams();
    let listener = listen(&transport).await;
    let peer = Peer::at(listener.local_addr());
    let first = Pair::between(listener, &transport, &peer).await;
    first.connection.close().await;
    let second = Pair::between(first.listener, &transport, &peer).await;
    assert_ne!(second.client.local, first.client.local);
}
