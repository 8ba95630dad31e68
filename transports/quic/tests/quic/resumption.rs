//! Sessions that are resumed, and what is sent ahead of the handshake.

#[cfg(target_os = "linux")]
use std::time::Duration;
use std::{net::SocketAddr, num::NonZeroU32, sync::Arc};

use polyperf_certs::{Identity, Trust};
use polyperf_quic::{QuicTransport, Settings};
use polyperf_transport::{EarlyData, PathStats, Peer, Transport, Tuning};

use crate::support::*;
#[cfg(target_os = "linux")]
use {crate::relay::Relay, polyperf_memory::link::LinkConfig};

const RESUME: fn() -> Tuning = || Tuning { resume: true, ..Tuning::default() };
const ZERO_RTT: fn() -> Tuning = || Tuning { zero_rtt: true, ..Tuning::default() };

fn peer(addr: SocketAddr, tuning: Tuning) -> Peer {
    Peer { tuning, mark: Some(MARK), ..Peer::at(addr) }
}

fn server(identity: &Identity) -> QuicTransport {
    with(Settings { identity: Some(identity.clone().into()), ..Settings::default() }).streams()
}

/// Whether the connection of a client's stream was resumed, and what came of its early data.
async fn came_of(pair: &Pair, early: Option<EarlyData>) -> Option<bool> {
    let security = |stats: &PathStats| stats.security.clone().unwrap();
    let what = "what came of early data";
    let stats = figures(&pair.client, what, |stats| security(stats).early_data.is_some()).await;
    assert_eq!(security(&stats).early_data, early);
    security(&stats).resumed
}

#[tokio::test]
async fn a_session_is_resumed_and_made_first_where_there_is_none() {
    let client = quic().streams();
    let mut listener = listen(&quic().streams()).await;
    for _ in 0..3 {
        let at = peer(listener.local_addr(), RESUME());
        let mut pair = Pair::between(listener, &client, &at).await;
        pair.carries(100_000).await;
        let security = pair.client.path.stats().security.unwrap();
        assert_eq!((security.resumed, security.early_data), (Some(true), None));
        assert!(!pair.server.early);
        pair.connection.close().await;
        listener = pair.listener;
    }
    let at = peer(listener.local_addr(), Tuning::default());
    let pair = Pair::between(listener, &client, &at).await;
    let security = pair.client.path.stats().security.unwrap();
    assert_eq!(security.resumed, Some(false), "it was not asked for");
}

#[tokio::test]
async fn the_session_of_a_control_connection_serves_the_test_that_it_is_for() {
    let client = quic().streams();
    let gate = Arc::new(Announced::default());
    let listener = quic().streams().listen(anywhere(), Arc::clone(&gate) as _).await.unwrap();
    let addr = listener.local_addr();
    let control = Pair::between(listener, &client, &Peer::at(addr)).await;
    let pair = Pair::between(control.listener, &client, &peer(addr, RESUME())).await;
    let stats = pair.client.path.stats();
    assert_eq!((stats.security.unwrap().resumed, stats.prepared), (Some(true), None));
    assert_eq!(gate.seen.lock().unwrap().len(), 2, "no other connection was needed");
}

#[tokio::test]
async fn the_session_of_another_protocol_is_not_what_early_data_needs() {
    let quic = quic();
    let (streams, datagrams) = (quic.streams(), quic.datagrams());
    let first = listen(&streams).await;
    let addr = first.local_addr();
    let listener = datagrams.listen(addr, Arc::new(Announced::default())).await.unwrap();
    let _control = Pair::between(first, &streams, &Peer::at(addr)).await;
    let pair = Pair::between(listener, &datagrams, &peer(addr, ZERO_RTT())).await;
    assert_eq!(came_of(&pair, Some(EarlyData::Accepted)).await, Some(true));
}

#[tokio::test]
async fn servers_of_one_host_do_not_have_each_others_sessions() {
    let client = quic().streams();
    for _ in 0..2 {
        let listener = listen(&quic().streams()).await;
        let at = peer(listener.local_addr(), RESUME());
        let pair = Pair::between(listener, &client, &at).await;
        assert_eq!(pair.client.path.stats().security.unwrap().resumed, Some(true));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_sent_ahead_of_the_handshake_arrives_and_is_marked_as_such() {
    for kind in [quic().streams(), quic().datagrams()] {
        let mut listener = listen(&kind).await;
        // The handshake cannot be over before a round trip, in which all else has time enough.
        let slow = LinkConfig::perfect().delay(Duration::from_millis(200));
        let relay = Relay::start(listener.local_addr(), slow.clone(), slow).unwrap();
        let at = peer(relay.addr(), ZERO_RTT());
        let connection = soon("connect", kind.connect(&at)).await.unwrap();
        let (client, server) = open(&*connection, &mut *listener).await;
        assert!(server.early, "{}", kind.name());
        let mut pair = Pair { listener, connection, client, server };
        assert_eq!(came_of(&pair, Some(EarlyData::Accepted)).await, Some(true));
        pair.carries(1000).await;
        let stats = pair.client.path.stats();
        let round_trip = Some(Duration::from_millis(400));
        assert!(stats.handshake >= round_trip && stats.first_reply >= round_trip);
        assert!(stats.prepared >= round_trip, "another had to be made first: {stats:?}");
        let (_client, server) = pair.another().await;
        assert!(!server.early, "the handshake is over");
    }
}

#[tokio::test]
async fn early_data_that_is_refused_is_sent_again() {
    let identity = Identity::generate(&[]).unwrap();
    let (same, another) = (identity.clone(), Identity::generate(&[]).unwrap());
    for after in [same, another] {
        let client = trusting(Trust::Insecure).streams();
        let listener = listen(&server(&identity)).await;
        let addr = listener.local_addr();
        let pair = Pair::between(listener, &client, &peer(addr, ZERO_RTT())).await;
        assert_eq!(came_of(&pair, Some(EarlyData::Accepted)).await, Some(true));
        pair.connection.close().await;
        drop(pair);
        // It has forgotten all sessions.
        let listener = again(&server(&after), addr).await;
        let mut pair = Pair::between(listener, &client, &peer(addr, ZERO_RTT())).await;
        assert_eq!(came_of(&pair, Some(EarlyData::Rejected)).await, Some(false));
        assert!(!pair.server.early);
        pair.carries(100_000).await;
        let security = pair.client.path.stats().security.unwrap();
        assert_eq!(security.peer, Some(after.fingerprint().to_string()));
    }
}

#[tokio::test]
async fn connections_of_one_test_are_all_resumed() {
    let tuning = Tuning { connections: NonZeroU32::new(3), ..ZERO_RTT() };
    let client = quic().streams();
    let listener = listen(&quic().streams()).await;
    let at = peer(listener.local_addr(), tuning);
    let mut pair = Pair::between(listener, &client, &at).await;
    for _ in 0..2 {
        let another = pair.another().await;
        (pair.client, pair.server) = another;
        assert_eq!(came_of(&pair, Some(EarlyData::Accepted)).await, Some(true));
    }
    pair.carries(100_000).await;
}
