//! Messages: several flows of a connection, and those that are too long.

use std::{
    collections::HashSet, future::poll_fn, io, num::NonZeroU32, num::NonZeroUsize, sync::Arc,
};

use polyperf_transport::{Chunk, RecvHalf, SendHalf, Stream, Tuning};

use crate::support::*;

/// What a message of a flow is, so that one is told from another.
fn message(flow: u64, number: u64) -> Vec<u8> {
    let len = 20 + usize::try_from((flow * 131 + number * 37) % 900).unwrap();
    [&flow.to_be_bytes()[..], &number.to_be_bytes(), &pattern(flow << 32 | number, len)].concat()
}

async fn send(half: &mut dyn SendHalf, bytes: &[u8]) -> io::Result<()> {
    let chunk = Chunk { bytes, stride: NonZeroUsize::new(bytes.len()).unwrap() };
    let taken = soon("send", poll_fn(|cx| half.poll_send(cx, chunk))).await?;
    assert_eq!(taken, bytes.len());
    Ok(())
}

/// Returns the messages that come next: one at least.
async fn messages(half: &mut dyn RecvHalf) -> Vec<Vec<u8>> {
    let mut buf = vec![0; 1 << 16];
    let received = soon("a message", poll_fn(|cx| half.poll_recv(cx, &mut buf))).await;
    let received = received.unwrap().unwrap();
    buf[..received.len].chunks(received.stride).map(<[u8]>::to_vec).collect()
}

/// Receives so many messages of a flow, each of which must be one that was sent, and none twice.
async fn expect(half: &mut dyn RecvHalf, flow: u64, numbers: std::ops::Range<u64>) {
    let mut missing: HashSet<Vec<u8>> = numbers.map(|number| message(flow, number)).collect();
    while !missing.is_empty() {
        for message in messages(half).await {
            assert!(missing.remove(&message), "flow {flow} has received what is not its own");
        }
    }
}

#[tokio::test]
async fn flows_of_one_connection_do_not_mix() {
    const FLOWS: u64 = 8;
    let mut pair = Pair::of(&quic().datagrams(), Tuning::default()).await;
    let mut streams: Vec<(Stream, Stream)> = Vec::new();
    for _ in 0..FLOWS {
        streams.push(pair.another().await);
    }
    let one: HashSet<_> = streams.iter().map(|(c, _)| c.path.stats().connection).collect();
    assert_eq!(one.len(), 1);
    for round in 0..50 {
        for (flow, (client, server)) in (0..).zip(&mut streams) {
            for number in round * 4..round * 4 + 4 {
                send(&mut *client.send, &message(flow, number)).await.unwrap();
                send(&mut *server.send, &message(flow + FLOWS, number)).await.unwrap();
            }
        }
        for (flow, (client, server)) in (0..).zip(&mut streams) {
            expect(&mut *server.recv, flow, round * 4..round * 4 + 4).await;
            expect(&mut *client.recv, flow + FLOWS, round * 4..round * 4 + 4).await;
        }
    }
}

#[tokio::test]
async fn a_flow_that_nobody_polls_does_not_hold_up_another() {
    let mut pair = Pair::of(&quic().datagrams(), Tuning::default()).await;
    let (mut other, mut others_server) = pair.another().await;
    let idle = vec![7; 1000];
    // More than is kept for a flow, and than quinn keeps for all of them.
    for number in 0..20_000 {
        send(&mut *pair.client.send, &idle).await.unwrap();
        if number % 100 == 0 {
            send(&mut *other.send, &message(1, number)).await.unwrap();
            expect(&mut *others_server.recv, 1, number..number + 1).await;
        }
    }
    // What was kept is as it was sent, and as it is taken there is room for what comes now.
    let mut last = Vec::new();
    while last != message(2, 0) {
        send(&mut *pair.client.send, &message(2, 0)).await.unwrap();
        for message in messages(&mut *pair.server.recv).await {
            assert!(message == idle || message == self::message(2, 0));
            last = message;
        }
    }
}

#[tokio::test]
async fn a_flow_is_woken_however_many_messages_of_another_were_read_before() {
    let mut pair = Pair::of(&quic().datagrams(), Tuning::default()).await;
    let (mut other, mut others_server) = pair.another().await;
    let path = Arc::clone(&pair.server.path);
    for count in 25..40 {
        let before = path.stats().packets_received.unwrap();
        for _ in 0..count {
            send(&mut *pair.client.send, &[7; 1000]).await.unwrap();
        }
        // No packet has room for two.
        until("they are there", || path.stats().packets_received.unwrap() >= before + count).await;
        // A task of its own is polled when it is woken, and not when others are.
        let mut recv = others_server.recv;
        let waiting = tokio::spawn(async move {
            expect(&mut *recv, 1, count..count + 1).await;
            recv
        });
        tokio::task::yield_now().await;
        send(&mut *other.send, &message(1, count)).await.unwrap();
        others_server.recv = soon("it is woken", waiting).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_longer_than_the_path_takes_is_refused_with_what_it_takes() {
    let tuning = Tuning { mtu: NonZeroU32::new(1200), ..Tuning::default() };
    let mut pair = Pair::of(&quic().datagrams(), tuning).await;
    let error = send(&mut *pair.client.send, &[0; 1200]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.contains("a datagram of 1200 bytes"), "{text}");
    let most = text.split("longer than the ").nth(1).and_then(|rest| rest.split(' ').next());
    let most: usize = most.unwrap().parse().unwrap();
    assert!((1100..1200).contains(&most), "{text}");
    assert!(text.contains("--mtu"), "{text}");
    let bytes = pattern(1, most);
    send(&mut *pair.client.send, &bytes).await.unwrap();
    assert_eq!(messages(&mut *pair.server.recv).await, [bytes]);
    send(&mut *pair.client.send, &pattern(1, most + 1)).await.unwrap_err();
}

#[tokio::test]
async fn a_message_that_fits_a_longer_packet_waits_until_the_path_is_known_to_take_it() {
    let tuning = Tuning { mtu: NonZeroU32::new(9000), ..Tuning::default() };
    let mut pair = Pair::of(&quic().datagrams(), tuning).await;
    for len in [1400, 4000, 8800] {
        let bytes = pattern(len as u64, len);
        send(&mut *pair.client.send, &bytes).await.unwrap();
        assert_eq!(messages(&mut *pair.server.recv).await, [bytes]);
    }
}

#[tokio::test]
async fn many_messages_at_once_keep_their_boundaries() {
    let mut pair = Pair::of(&quic().datagrams(), Tuning::default()).await;
    for stride in [1, 100, 1150] {
        let bytes = pattern(stride as u64, stride * 20 + stride / 2);
        let mut sent = 0;
        while sent < bytes.len() {
            let stride = NonZeroUsize::new(stride).unwrap();
            let chunk = Chunk { bytes: &bytes[sent..], stride };
            let taken = poll_fn(|cx| pair.client.send.poll_send(cx, chunk)).await.unwrap();
            assert!(taken % stride == 0 || sent + taken == bytes.len());
            sent += taken;
        }
        let mut missing: Vec<_> = bytes.chunks(stride).collect();
        while !missing.is_empty() {
            for message in messages(&mut *pair.server.recv).await {
                let at = missing.iter().position(|sent| *sent == message).unwrap();
                missing.remove(at);
            }
        }
    }
}

#[tokio::test]
async fn a_peer_without_datagrams_is_a_clear_error() {
    let mut transport = quinn::TransportConfig::default();
    transport.datagram_receive_buffer_size(None);
    let mut config = bare_config(b"polyperf-datagram/1");
    config.transport_config(Arc::new(transport));
    let mut listener = listen(&quic().datagrams()).await;
    let connection = bare_with(listener.local_addr(), config).await;
    let (mut hello, _answer) = connection.open_bi().await.unwrap();
    hello.write_all(&[&[1], HELLO].concat()).await.unwrap();
    hello.finish().unwrap();
    let mut stream = soon("accept", listener.accept()).await.unwrap();
    let error = send(&mut *stream.send, b"a datagram").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("takes no datagrams"), "{error}");
}
