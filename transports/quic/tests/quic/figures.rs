//! What is told of a path, against a link of which everything is known.

use std::{collections::HashSet, future::poll_fn, sync::Arc, time::Duration};

use polyperf_memory::link::{BitRate, LinkConfig, Loss, Probability, QueueLimit};
use polyperf_quic::QuicTransport;
use polyperf_transport::{PathStats, Peer, RecvHalf, Tuning, send_all};

use crate::{
    relay::{LaneStats, Relay},
    support::*,
};

const MS: Duration = Duration::from_millis(1);

/// A stream by way of a link that is so towards the server, and so towards the client.
async fn over(transport: &QuicTransport, up: LinkConfig, down: LinkConfig) -> (Relay, Pair) {
    let listener = listen(transport).await;
    let relay = Relay::start(listener.local_addr(), up, down).unwrap();
    let peer = Peer { tuning: Tuning::default(), ..Peer::at(relay.addr()) };
    let pair = Pair::between(listener, transport, &peer).await;
    (relay, pair)
}

fn lossy(seed: u64) -> LinkConfig {
    LinkConfig::perfect()
        .rate(BitRate::mbps(100))
        .queue(QueueLimit::Unbounded)
        .delay(5 * MS)
        .loss(Loss::iid(Probability::new(0.02)))
        .seed(seed)
}

fn clean() -> LinkConfig {
    LinkConfig::perfect().delay(5 * MS)
}

/// What a sender has found lost, probes for longer packets among it.
fn lost(stats: &PathStats) -> u64 {
    stats.packets_lost.unwrap() + stats.probes_lost.unwrap()
}

#[tokio::test]
async fn what_is_found_lost_is_what_the_link_has_lost() {
    for seed in 1..=3 {
        let (relay, mut pair) = over(&quic().streams(), lossy(seed), clean()).await;
        let before = relay.stats().unwrap().up;
        let bytes = pattern(seed, 4 << 20);
        carry(&mut pair.client, &mut pair.server, &bytes).await;
        // The last packets of all may be found lost a little later.
        let settled = |stats: &PathStats| close_to(lost(stats), &before, &relay);
        let stats = figures(&pair.client, "losses are found", settled).await;
        assert!(lost(&stats) > 20, "{stats:?}");
        assert!(stats.congestion_events > Some(0));
        assert!(stats.bytes_lost > stats.packets_lost);
        assert_eq!(relay.stats().unwrap().up.socket_drops, 0, "unintended");
    }
}

/// Nothing that the link has kept counts as lost, and nearly all that it has lost: packets that
/// only acknowledge are lost without anybody's noticing, and a sender that is held by its
/// congestion window sends some.
fn close_to(found: u64, before: &LaneStats, relay: &Relay) -> bool {
    let truth = relay.stats().unwrap().up.link.lost - before.link.lost;
    found <= truth && found + truth / 10 + 2 >= truth
}

#[tokio::test]
async fn what_is_found_lost_of_datagrams_is_what_the_link_has_lost() {
    const MESSAGES: u64 = 3000;
    let (relay, mut pair) = over(&quic().datagrams(), lossy(4), clean()).await;
    let before = relay.stats().unwrap().up;
    let sending = async {
        // The last is repeated until it arrives: nothing overtakes on this link.
        for number in (0..MESSAGES).chain(std::iter::repeat(MESSAGES)) {
            let message = [&number.to_be_bytes()[..], &[5; 1000]].concat();
            send_all(&mut *pair.client.send, &message).await.unwrap();
        }
    };
    let mut arrived = HashSet::new();
    let receiving = async {
        while !arrived.contains(&MESSAGES) {
            for number in numbers(&mut *pair.server.recv).await {
                let first = arrived.insert(number);
                assert!(first || number == MESSAGES, "{number} was sent again");
            }
        }
    };
    soon("transfer", async {
        tokio::select! { () = sending => {} () = receiving => {} }
    })
    .await;
    let settled = |stats: &PathStats| close_to(lost(stats), &before, &relay);
    let stats = figures(&pair.client, "losses are found", settled).await;
    let missing = MESSAGES + 1 - arrived.len() as u64;
    assert!(missing > 20);
    // Others had no message, or one that was sent to end it all.
    assert!(missing <= lost(&stats), "{missing} are missing of {stats:?}");
}

/// Receives what there is, and returns the number at the beginning of each message.
async fn numbers(half: &mut dyn RecvHalf) -> Vec<u64> {
    let mut buf = vec![0; 1 << 16];
    let some = poll_fn(|cx| half.poll_recv(cx, &mut buf)).await.unwrap().unwrap();
    let messages = buf[..some.len].chunks(some.stride);
    messages.map(|message| u64::from_be_bytes(message[..8].try_into().unwrap())).collect()
}

#[tokio::test]
async fn the_round_trip_is_the_links() {
    let slow = LinkConfig::perfect().delay(40 * MS);
    let (_relay, mut pair) = over(&quic().streams(), slow.clone(), slow).await;
    pair.carries(300_000).await;
    for stream in [&pair.client, &pair.server] {
        let stats = stream.path.stats();
        // No packet is faster than the link; most are not much slower.
        assert!(stats.min_rtt >= Some(80 * MS), "{:?}", stats.min_rtt);
        assert!(stats.rtt >= stats.min_rtt);
    }
    let stats = pair.client.path.stats();
    assert!(stats.handshake >= Some(80 * MS), "{:?}", stats.handshake);
    assert!(stats.first_reply >= Some(160 * MS), "{:?}", stats.first_reply);
    assert_eq!(stats.rttvar, None, "quinn does not tell");
}

#[tokio::test]
async fn only_who_connects_knows_how_long_it_took() {
    let mut pair = Pair::new().await;
    pair.carries(1000).await;
    let (ours, theirs) = (pair.client.path.stats(), pair.server.path.stats());
    assert!(ours.handshake.is_some() && ours.first_reply > ours.handshake);
    assert_eq!((theirs.handshake, theirs.first_reply), (None, None));
    let (another, _server) = pair.another().await;
    let stats = another.path.stats();
    assert_eq!((stats.handshake, stats.first_reply), (ours.handshake, ours.first_reply));
}

#[tokio::test]
async fn what_protects_a_connection_is_told() {
    let pair = Pair::new().await;
    let ours = pair.client.path.stats().security.unwrap();
    assert_eq!(ours.protocol, "TLS 1.3");
    assert_eq!(ours.provider, "ring");
    assert_eq!(ours.cipher.as_deref(), Some("TLS13_AES_128_GCM_SHA256"));
    assert_eq!(ours.key_exchange.as_deref(), Some("X25519"));
    assert_eq!(ours.peer, pair.listener.identity());
    assert_eq!((ours.resumed, ours.early_data), (Some(false), None));
    assert!(ours.verified.is_some());
    let theirs = pair.server.path.stats().security.unwrap();
    assert_eq!((theirs.verified, theirs.peer, theirs.resumed), (None, None, None));
}

#[tokio::test]
async fn more_goes_over_the_wire_than_is_carried() {
    let mut pair = Pair::new().await;
    let len = 8 << 20;
    let bytes = pattern(1, len);
    carry(&mut pair.client, &mut pair.server, &bytes).await;
    let (ours, theirs) = (pair.client.path.stats(), pair.server.path.stats());
    let (sent, packets) = (ours.wire_bytes_sent.unwrap(), ours.packets_sent.unwrap());
    // UDP and IPv4 take 28 bytes of each packet, and QUIC its header and its tag.
    assert!(sent > len as u64 + packets * (28 + 16), "{sent} bytes in {packets} packets");
    assert!(sent < len as u64 * 3 / 2, "{sent} bytes for {len}");
    // The end that listens begins to count a little earlier: with the hello.
    let received = theirs.wire_bytes_received.unwrap();
    assert!(received > len as u64 && received < sent + 10_000, "{received} of {sent} bytes");
    assert!(ours.send_calls <= ours.packets_sent);
    assert!(ours.acks_received > Some(0));
}

#[tokio::test]
async fn figures_are_since_the_stream_was_opened() {
    let mut pair = Pair::new().await;
    pair.carries(4 << 20).await;
    let (another, _server) = pair.another().await;
    let (first, second) = (pair.client.path.stats(), another.path.stats());
    assert_eq!(first.connection, second.connection);
    assert!(second.wire_bytes_sent < Some(1 << 20), "{second:?}");
    assert!(first.wire_bytes_sent > Some(8 << 19));
}

#[tokio::test]
async fn a_receiver_that_does_not_read_is_why_a_sender_waits() {
    let tuning = Tuning { window: std::num::NonZeroU32::new(100_000), ..Tuning::default() };
    let mut pair = Pair::of(&quic().streams(), tuning).await;
    assert_eq!(pair.client.path.stats().window_blocked, Some(0));
    let bytes = pattern(1, 1 << 20);
    let path = Arc::clone(&pair.client.path);
    let blocked = until("it waits", || path.stats().window_blocked > Some(0));
    tokio::select! {
        sent = send_all(&mut *pair.client.send, &bytes) => panic!("{sent:?}"),
        () = blocked => {}
    }
    assert_eq!(pair.server.path.stats().window_blocked, Some(0), "it is not the one who waits");
}
