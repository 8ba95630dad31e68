//! Paths that change, or are gone for a while.

use std::{
    future::poll_fn,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use polyperf_memory::link::{BitRate, LinkConfig};
use polyperf_transport::{Chunk, Peer, Transport, Tuning};
use quinn::{TransportConfig, VarInt};

use crate::{relay::Relay, support::*};

/// Slow enough that a transfer is still under way when something happens to it.
fn link() -> LinkConfig {
    LinkConfig::perfect().rate(BitRate::mbps(50)).delay(Duration::from_millis(2))
}

async fn relayed() -> (Relay, Pair) {
    let transport = quic().streams();
    let listener = listen(&transport).await;
    let relay = Relay::start(listener.local_addr(), link(), link()).unwrap();
    let pair = Pair::between(listener, &transport, &Peer::at(relay.addr())).await;
    (relay, pair)
}

/// Sends, has something happen once so many bytes have come, and asserts that all arrive.
async fn through(pair: &mut Pair, reverse: bool, happening: impl AsyncFnOnce()) {
    const LEN: usize = 3 << 20;
    let bytes = pattern(1, LEN);
    let (from, to) = match reverse {
        false => (&mut pair.client, &mut pair.server),
        true => (&mut pair.server, &mut pair.client),
    };
    let receiving = async {
        let mut received = receive(&mut *to.recv, LEN / 3).await;
        happening().await;
        received.extend(receive(&mut *to.recv, LEN - LEN / 3).await);
        received
    };
    let sending = polyperf_transport::send_all(&mut *from.send, &bytes);
    let (sent, received) = soon("transfer", async { tokio::join!(sending, receiving) }).await;
    sent.unwrap();
    assert!(received == bytes, "what arrived is not what was sent");
}

#[tokio::test]
async fn a_client_that_gets_another_address_is_known_all_the_same() {
    for reverse in [false, true] {
        let (relay, mut pair) = relayed().await;
        for _ in 0..2 {
            through(&mut pair, reverse, async || relay.rebind().unwrap()).await;
        }
        pair.carries(100_000).await;
        assert_eq!(relay.stats().unwrap().clients, 1);
    }
}

#[tokio::test]
async fn datagrams_find_a_client_that_gets_another_address() {
    let transport = quic().datagrams();
    let listener = listen(&transport).await;
    let relay = Relay::start(listener.local_addr(), link(), link()).unwrap();
    let mut pair = Pair::between(listener, &transport, &Peer::at(relay.addr())).await;
    for _ in 0..3 {
        pair.carries(1000).await;
        relay.rebind().unwrap();
    }
    pair.carries(1000).await;
}

#[tokio::test]
async fn a_cut_that_is_mended_in_time_is_survived() {
    for reverse in [false, true] {
        let (relay, mut pair) = relayed().await;
        through(&mut pair, reverse, async || {
            relay.cut(true).unwrap();
            // It is asked more than once whether somebody is still there.
            let lost = || relay.stats().map(|stats| stats.up.blackholed + stats.down.blackholed);
            let before = lost().unwrap();
            until("something is lost", || lost().unwrap() > before + 2).await;
            relay.cut(false).unwrap();
        })
        .await;
        pair.carries(100_000).await;
    }
}

#[tokio::test]
async fn what_nobody_acknowledges_is_kept_up_to_a_bound() {
    let window = 64 << 10;
    let tuning = Tuning { window: NonZeroU32::new(window), ..Tuning::default() };
    let gate = Arc::new(Announced::new(MARK, tuning));
    let mut listener = quic().streams().listen(anywhere(), gate).await.unwrap();
    let relay = Relay::start(listener.local_addr(), link(), link()).unwrap();
    // A client that says it takes as much as there is.
    let mut config = bare_config(STREAMS);
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(VarInt::MAX).receive_window(VarInt::MAX);
    config.transport_config(Arc::new(transport));
    config.initial_dst_cid_provider(Arc::new(|| {
        quinn::ConnectionId::new(&[&MARK[..], &[7; 8]].concat())
    }));
    let connection = bare_with(relay.addr(), config).await;
    let (mut hello, _answer) = connection.open_bi().await.unwrap();
    hello.write_all(&[1]).await.unwrap();
    let mut stream = soon("accept", listener.accept()).await.unwrap();
    relay.cut(true).unwrap();
    let block = vec![0; 10_000];
    let mut kept = 0;
    let mut full = false;
    poll_fn(|cx| {
        while !full {
            let chunk = Chunk::whole(&block).unwrap();
            match stream.send.poll_send(cx, chunk) {
                Poll::Ready(taken) => kept += taken.unwrap(),
                Poll::Pending => full = true,
            }
            assert!(kept <= 4 * window as usize, "{kept} bytes are kept");
        }
        Poll::Ready(())
    })
    .await;
    assert!(kept > 0);
}

#[tokio::test]
async fn no_packet_is_without_the_bit_that_tells_it_from_others() {
    let (seen, mut pair) = observed().await;
    pair.carries(1 << 20).await;
    pair.connection.close().await;
    let (packets, without) = (seen.0.load(Relaxed), seen.1.load(Relaxed));
    assert!(packets > 100);
    assert_eq!(without, 0, "of {packets} packets");
}

/// How many packets there were, and how many of them without the fixed bit (RFC 9000, section 17;
/// RFC 9287).
type Seen = Arc<(AtomicU64, AtomicU64)>;

/// A stream by way of whoever looks at each packet.
async fn observed() -> (Seen, Pair) {
    let transport = quic().streams();
    let listener = listen(&transport).await;
    let server = listener.local_addr();
    let front = tokio::net::UdpSocket::bind(anywhere()).await.unwrap();
    let back = tokio::net::UdpSocket::bind(anywhere()).await.unwrap();
    let addr = front.local_addr().unwrap();
    let seen = Seen::default();
    let counts = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut client = None;
        let (mut one, mut other) = ([0; 2048], [0; 2048]);
        loop {
            let first = tokio::select! {
                Ok((len, from)) = front.recv_from(&mut one) => {
                    client = Some(from);
                    back.send_to(&one[..len], server).await.unwrap();
                    one[0]
                }
                Ok((len, _)) = back.recv_from(&mut other) => {
                    front.send_to(&other[..len], client.unwrap()).await.unwrap();
                    other[0]
                }
            };
            counts.0.fetch_add(1, Relaxed);
            counts.1.fetch_add(u64::from(first & 0x40 == 0), Relaxed);
        }
    });
    let pair = Pair::between(listener, &transport, &Peer::at(addr)).await;
    (seen, pair)
}
