//! What a server does that has much to do.

use std::{sync::Arc, time::Duration};

use polyperf_quic::Patience;
use polyperf_transport::{Peer, Transport, Tuning};

use crate::support::*;

/// Handshakes at a time beyond which addresses have to be proved.
const BUSY: usize = 64;

/// Begins as many handshakes, none of which will end, and waits until each has been answered.
async fn keep_busy(flights: &mut Flights, addr: std::net::SocketAddr) -> Vec<Raw> {
    let mut clients = Vec::new();
    for _ in 0..BUSY {
        let mut raw = Raw::to(addr).await;
        raw.send(&flights.next(STREAMS).await).await;
        assert!(!is_long(&raw.hear().await, RETRY), "{} have been accepted", clients.len());
        clients.push(raw);
    }
    clients
}

#[tokio::test]
async fn a_busy_server_has_addresses_proved_and_serves_whoever_does() {
    let patience = Patience { handshake: Duration::from_secs(300), ..Patience::default() };
    let transport = patient(patience).streams();
    let tuning = Tuning { congestion: Some("bbr".to_owned()), ..Tuning::default() };
    let gate = Arc::new(Announced::new(MARK, tuning.clone()));
    let listener = transport.listen(anywhere(), Arc::clone(&gate) as _).await.unwrap();
    let addr = listener.local_addr();
    let mut flights = Flights::new().await;
    let _busy = keep_busy(&mut flights, addr).await;

    let mut raw = Raw::to(addr).await;
    let flight = flights.next(STREAMS).await;
    raw.send(&flight).await;
    let retry = raw.hear().await;
    assert!(is_long(&retry, RETRY), "it is asked to prove its address");
    assert!(retry.len() < flight.len());

    // The connection id that a Retry has replaced is still the one by which it is known.
    let peer = Peer { tuning: tuning.clone(), mark: Some(MARK), ..Peer::at(addr) };
    let mut pair = Pair::between(listener, &transport, &peer).await;
    pair.carries(1 << 20).await;
    assert_eq!(gate.seen.lock().unwrap().last(), Some(&MARK));
    assert_eq!(pair.server.path.stats().congestion.as_deref(), Some("bbr"));
    let settings = pair.server.path.tune(&tuning);
    assert!(settings.iter().all(|setting| setting.refused.is_none()), "{settings:?}");
}

#[tokio::test]
async fn clients_that_vanish_in_their_handshake_give_their_places_back() {
    let patience = Patience { handshake: Duration::from_millis(500), ..Patience::default() };
    let listener = listen(&patient(patience).streams()).await;
    let addr = listener.local_addr();
    let mut flights = Flights::new().await;
    for _ in 0..BUSY * 2 {
        let mut raw = Raw::to(addr).await;
        raw.send(&flights.next(STREAMS).await).await;
        raw.hear().await;
    }
    // Sooner or later a newcomer is believed again.
    soon("a place", async {
        loop {
            let mut raw = Raw::to(addr).await;
            raw.send(&flights.next(STREAMS).await).await;
            if is_long(&raw.hear().await, INITIAL) {
                return;
            }
        }
    })
    .await;
    serves(listener).await;
}
