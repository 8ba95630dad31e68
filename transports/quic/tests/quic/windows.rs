//! Peers that promise little, or more than anybody has.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use polyperf_transport::Tuning;
use quinn::{TransportConfig, VarInt};

use crate::support::*;

fn with_windows(set: impl FnOnce(&mut TransportConfig)) -> quinn::ClientConfig {
    let mut config = bare_config(STREAMS);
    let mut transport = TransportConfig::default();
    set(&mut transport);
    config.transport_config(Arc::new(transport));
    config
}

/// Opens a stream of this project's by hand: its first byte, the hello, and the answer to it.
async fn begin(connection: &quinn::Connection) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[&[1], HELLO].concat()).await.unwrap();
    let mut answer = [0];
    soon("an answer", recv.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, [1]);
    (send, recv)
}

#[tokio::test]
async fn a_peer_that_takes_a_byte_at_a_time_gets_them_all_and_holds_up_nobody() {
    let mut pair = Pair::new().await;
    let one = VarInt::from_u32(1);
    let config = with_windows(|transport| {
        transport.stream_receive_window(one).receive_window(one);
    });
    let connection = bare_with(pair.addr(), config).await;
    let (begun, accepted) = tokio::join!(begin(&connection), pair.listener.accept());
    let ((_send, mut recv), mut slow) = (begun, accepted.unwrap());
    let bytes = pattern(3, 500);
    let dripping = async {
        let sending = polyperf_transport::send_all(&mut *slow.send, &bytes);
        let mut received = vec![0; bytes.len()];
        let (sent, read) = tokio::join!(sending, recv.read_exact(&mut received));
        sent.unwrap();
        read.unwrap();
        assert_eq!(received, bytes);
    };
    soon("both", async { tokio::join!(dripping, pair.carries(4 << 20)) }).await;
}

#[tokio::test]
async fn a_peer_that_takes_everything_is_served() {
    let mut pair = Pair::new().await;
    let config = with_windows(|transport| {
        transport
            .stream_receive_window(VarInt::MAX)
            .receive_window(VarInt::MAX)
            .max_concurrent_bidi_streams(VarInt::from_u32(1 << 16))
            .datagram_receive_buffer_size(Some(1 << 30));
    });
    let connection = bare_with(pair.addr(), config).await;
    let (begun, accepted) = tokio::join!(begin(&connection), pair.listener.accept());
    let ((_send, mut recv), mut server) = (begun, accepted.unwrap());
    let bytes = pattern(4, 1 << 20);
    let mut received = vec![0; bytes.len()];
    let sending = polyperf_transport::send_all(&mut *server.send, &bytes);
    let (sent, read) =
        soon("both", async { tokio::join!(sending, recv.read_exact(&mut received)) }).await;
    sent.unwrap();
    read.unwrap();
    assert!(received == bytes);
    pair.carries(100_000).await;
}

#[tokio::test]
async fn what_strangers_send_unread_is_bounded_over_all_their_streams() {
    let mut pair = Pair::new().await;
    let config = with_windows(|transport| {
        transport.send_window(64 << 20);
    });
    let connection = bare_with(pair.addr(), config).await;
    let writing = async {
        let mut streams = Vec::new();
        loop {
            let (mut send, recv) = connection.open_bi().await.unwrap();
            send.write_all(&[&[1][..], &pattern(9, 100_000)].concat()).await.unwrap();
            streams.push((send, recv));
        }
    };
    let held = until("the server says stop", || connection.stats().frame_tx.data_blocked > 0);
    tokio::select! { () = writing => {} () = held => {} }
    // It has sent what it may, and something for each packet's headers and what was sent again.
    let sent = connection.stats().udp_tx.bytes;
    assert!(sent < 2 * STRANGERS_WINDOW, "{sent} bytes were sent");
    pair.carries(100_000).await;
}

#[tokio::test]
async fn the_window_that_was_announced_is_the_one_that_a_sender_fills() {
    let window = 64 << 10;
    let tuning = Tuning { window: NonZeroU32::new(window), ..Tuning::default() };
    let mut pair = Pair::of(&quic().streams(), tuning).await;
    let block = pattern(5, 1 << 20);
    let client = Arc::clone(&pair.client.path);
    let sending = async {
        polyperf_transport::send_all(&mut *pair.client.send, &block).await.unwrap();
    };
    let held = async {
        let is_held = || {
            let stats = client.stats();
            stats.window_blocked > Some(0) && stats.wire_bytes_sent >= Some(window.into())
        };
        until("the sender is held", is_held).await;
        let sent = client.stats().wire_bytes_sent.unwrap();
        assert!(sent < 2 * u64::from(window), "{sent} bytes");
        receive(&mut *pair.server.recv, block.len()).await
    };
    let ((), received) = soon("both", async { tokio::join!(sending, held) }).await;
    assert!(received == block);
}

#[tokio::test]
async fn a_listener_takes_no_more_streams_of_one_connection_than_the_largest_test_has() {
    let listener = listen(&quic().streams()).await;
    let connection = bare(listener.local_addr(), STREAMS).await;
    let mut streams = Vec::new();
    // The first waits for nothing that the handshake has not said.
    while let Ok(stream) = tokio::time::timeout(Duration::ZERO, connection.open_bi()).await {
        streams.push(stream.unwrap());
    }
    assert_eq!(streams.len(), 512);
    serves(listener).await;
}

/// What a connection may have unread that nobody has announced.
const STRANGERS_WINDOW: u64 = 512 << 10;
