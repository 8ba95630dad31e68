//! Rules about finishing, dropping and what is left after.

use std::{net::SocketAddr, sync::Arc};

use super::{
    opening::expect_refusal,
    scene::{
        HELLO, Pair, carries_bytes, expect_end, finish, message_len, pattern, recv, recv_exactly,
        send,
    },
};
use crate::Transport;

/// After `poll_finish` the peer receives what was sent before, and then the end, again and again.
pub async fn finish_ends_the_stream_for_the_peer(transport: Arc<dyn Transport>, at: SocketAddr) {
    if !carries_bytes(&transport) {
        return;
    }
    let mut pair = Pair::open(&transport, at).await;
    send(&mut *pair.client.send, &HELLO).await;
    finish(&mut *pair.client.send).await;
    assert_eq!(recv_exactly(&mut *pair.server.recv, HELLO.len()).await, HELLO);
    expect_end(&mut *pair.server.recv).await;
    expect_end(&mut *pair.server.recv).await;
}

/// A half that has finished may be told to finish once more.
pub async fn finishing_twice_is_ready(transport: Arc<dyn Transport>, at: SocketAddr) {
    let mut pair = Pair::open(&transport, at).await;
    finish(&mut *pair.client.send).await;
    finish(&mut *pair.client.send).await;
    finish(&mut *pair.server.send).await;
    finish(&mut *pair.server.send).await;
}

/// Finishing one direction leaves the other as it was.
pub async fn finishing_leaves_the_other_direction_open(
    transport: Arc<dyn Transport>,
    at: SocketAddr,
) {
    let mut pair = Pair::open(&transport, at).await;
    finish(&mut *pair.client.send).await;
    let sent = pattern(7, message_len(&transport));
    send(&mut *pair.server.send, &sent).await;
    assert_eq!(recv_exactly(&mut *pair.client.recv, sent.len()).await, sent);
}

/// When a peer goes away, whoever waits for it gets an end or an error.
pub async fn a_dropped_peer_ends_the_stream(transport: Arc<dyn Transport>, at: SocketAddr) {
    if !carries_bytes(&transport) {
        return;
    }
    let Pair { listener: _listener, connection: _connection, mut client, server } =
        Pair::open(&transport, at).await;
    drop(server);
    let end = recv(&mut *client.recv, &mut [0; 64]).await;
    assert!(matches!(end, Ok(None) | Err(_)), "the peer is gone, yet {end:?}");
}

/// Where a listener has been dropped, nobody listens any more, and the address is free.
pub async fn a_dropped_listener_refuses_peers(transport: Arc<dyn Transport>, at: SocketAddr) {
    if !carries_bytes(&transport) {
        return;
    }
    let Pair { listener, client: _client, server: _server, .. } = Pair::open(&transport, at).await;
    let addr = listener.local_addr();
    drop(listener);
    expect_refusal(&*transport, addr).await;
}

/// Streams that a listener has accepted outlive it.
pub async fn a_dropped_listener_leaves_open_streams(transport: Arc<dyn Transport>, at: SocketAddr) {
    let Pair { listener, connection: _connection, mut client, mut server } =
        Pair::open(&transport, at).await;
    drop(listener);
    let sent = pattern(8, message_len(&transport));
    send(&mut *client.send, &sent).await;
    assert_eq!(recv_exactly(&mut *server.recv, sent.len()).await, sent);
    send(&mut *server.send, &sent).await;
    assert_eq!(recv_exactly(&mut *client.recv, sent.len()).await, sent);
}
