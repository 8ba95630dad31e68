//! Clients that mean harm, or are broken: they get a clear answer or none, and nobody else feels it.

use std::{net::SocketAddr, time::Duration};

use polyperf_quic::Patience;
use polyperf_transport::{Hello, Peer, Transport};
use quinn::{ConnectionError, TransportErrorCode};
use tokio::net::UdpSocket;

use crate::support::*;

/// What is not QUIC's first packet, or hardly.
async fn rubbish() -> Vec<Vec<u8>> {
    let whole = Flights::new().await.next(STREAMS).await;
    let mut rubbish: Vec<Vec<u8>> = (1..400)
        .map(|seed| {
            let len = 1 + (seed * 37) % 1500;
            let mut bytes = pattern(seed as u64, len);
            bytes[0] |= 0x40;
            bytes
        })
        .collect();
    rubbish.extend((1..whole.len()).step_by(23).map(|len| whole[..len].to_vec()));
    for at in (0..whole.len()).step_by(41) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x15;
        damaged[0] |= 0x40;
        rubbish.push(damaged);
    }
    for version in [0_u32, 2, 0x6b33_43cf, 0xbaba_baba, u32::MAX] {
        rubbish.extend(std::iter::repeat_n(of_version(&whole, version), 20));
    }
    rubbish
}

fn of_version(packet: &[u8], version: u32) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[1..5].copy_from_slice(&version.to_be_bytes());
    packet
}

#[tokio::test]
async fn rubbish_is_answered_with_less_than_it_had_and_harms_no_test_beside_it() {
    let mut pair = Pair::new().await;
    let addr = pair.addr();
    let flood = async {
        let mut raw = Raw::to(addr).await;
        for bytes in rubbish().await {
            raw.send(&bytes).await;
            raw.drain();
            tokio::task::yield_now().await;
        }
        // Whatever was answered at once was answered before this.
        let mut last = vec![0xc0, 0xfa, 0xce, 0xb0, 0x0c, 4];
        last.extend(b"last\x04mine");
        last.resize(1200, 0);
        raw.send(&last).await;
        while !raw.hear().await[5..].starts_with(b"\x04mine\x04last") {}
        raw
    };
    let (raw, ()) = tokio::join!(flood, pair.carries(4 << 20));
    assert!(raw.received > 0, "other versions are answered");
    assert!(raw.received <= raw.sent, "{} came for {}", raw.received, raw.sent);
    pair.carries(100_000).await;
    serves(pair.listener).await;
}

#[tokio::test]
async fn each_version_that_is_not_spoken_is_answered_with_those_that_are() {
    let listener = listen(&quic().streams()).await;
    let whole = Flights::new().await.next(STREAMS).await;
    let mut raw = Raw::to(listener.local_addr()).await;
    for version in [2, 0xbaba_baba, u32::MAX] {
        raw.send(&of_version(&whole, version)).await;
        let answer = raw.hear().await;
        assert_eq!(answer[1..5], [0; 4], "version negotiation");
        assert!(answer.chunks(1).len() < whole.len());
        let spoken = 1_u32.to_be_bytes();
        assert!(answer.windows(4).any(|version| version == spoken));
    }
    serves(listener).await;
}

/// What comes back to one first packet, up to the moment at which the server gives its client up.
async fn comes_back(protocol: &[u8]) -> (usize, usize) {
    let patience = Patience { handshake: Duration::from_millis(300), ..Patience::default() };
    let listener = listen(&patient(patience).streams()).await;
    let addr = listener.local_addr();
    let flight = Flights::new().await.next(protocol).await;
    let mut raw = Raw::to(addr).await;
    raw.send(&flight).await;
    raw.hear().await;
    // Nobody else is there: when the port is free, the connection is no more.
    drop(listener);
    is_free(addr).await;
    raw.drain();
    (raw.sent, raw.received)
}

/// Waits until nobody has the port.
async fn is_free(addr: SocketAddr) {
    until("the port is freed", || std::net::UdpSocket::bind(addr).is_ok()).await;
}

#[tokio::test]
async fn an_address_that_proves_nothing_is_sent_three_times_what_it_sent_at_most() {
    for protocol in [STREAMS, b"polyperf-datagram/1", b"perf", b"another"] {
        let (sent, received) = comes_back(protocol).await;
        assert!(received <= 3 * sent, "{received} bytes came for {sent}");
    }
}

#[tokio::test]
async fn another_protocol_is_refused_by_name() {
    let mut pair = Pair::new().await;
    let config = bare_config(b"another");
    let connecting = bare_client().connect_with(config, pair.addr(), "localhost").unwrap();
    let error = soon("refusal", connecting).await.unwrap_err();
    let ConnectionError::ConnectionClosed(close) = error else { panic!("{error}") };
    // TLS's alert no_application_protocol (RFC 7301, section 3.2).
    assert_eq!(close.error_code, TransportErrorCode::crypto(120));
    pair.carries(100_000).await;
    serves(pair.listener).await;
}

#[tokio::test]
async fn a_server_of_another_protocol_is_a_clear_error() {
    let server = bare_server(b"another");
    let peer = Peer::at(server.local_addr().unwrap());
    let quic = quic().streams();
    let accept = async {
        let _ = server.accept().await.unwrap().await;
    };
    let (error, ()) = tokio::join!(quic.connect(&peer), accept);
    let error = text(&error.unwrap_err());
    assert!(error.contains("doesn't support any known protocol"), "{error}");
}

#[tokio::test]
async fn a_server_of_another_version_is_a_clear_error() {
    let server = UdpSocket::bind(anywhere()).await.unwrap();
    let peer = Peer::at(server.local_addr().unwrap());
    let quic = quic().streams();
    let negotiate = async {
        let mut first = [0; 2048];
        let (_, client) = server.recv_from(&mut first).await.unwrap();
        let ours = usize::from(first[5]);
        let theirs = usize::from(first[6 + ours]);
        let answer = [
            &[0xc0, 0, 0, 0, 0][..],
            &first[6 + ours..][..1 + theirs],
            &first[5..][..1 + ours],
            &0xff00_001d_u32.to_be_bytes(),
        ];
        server.send_to(&answer.concat(), client).await.unwrap();
    };
    let (error, ()) = tokio::join!(quic.connect(&peer), negotiate);
    let error = text(&error.unwrap_err());
    assert!(error.contains("no version of QUIC that is spoken here"), "{error}");
}

#[tokio::test]
async fn a_client_that_opens_no_stream_is_closed() {
    let patience = Patience { idle: Duration::from_millis(50), ..Patience::default() };
    let listener = listen(&patient(patience).streams()).await;
    for protocol in [STREAMS, b"polyperf-datagram/1"] {
        let connection = bare(listener.local_addr(), protocol).await;
        let reason = soon("close", connection.closed()).await.to_string();
        assert!(reason.contains("no stream was opened"), "{reason}");
    }
}

#[tokio::test]
async fn a_stream_that_does_not_begin_counts_as_none() {
    let short = Duration::from_millis(50);
    let patience = Patience { idle: short, opening: short, ..Patience::default() };
    let mut listener = listen(&patient(patience).streams()).await;
    for begins in [&b""[..], b"\0", b"GET / HTTP/1.1"] {
        let connection = bare(listener.local_addr(), STREAMS).await;
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        // One that is not written to is not known to the other end.
        send.set_priority(1).unwrap();
        if begins.is_empty() {
            send.reset(7_u32.into()).unwrap();
        } else {
            send.write_all(begins).await.unwrap();
        }
        let reason = soon("close", connection.closed()).await.to_string();
        assert!(reason.contains("no stream was opened"), "{reason}");
    }
    let accept = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accept.is_err(), "nothing was handed over: {accept:?}");
}

#[tokio::test]
async fn clients_that_give_up_in_their_handshake_leave_room_for_others() {
    let listener = listen(&quic().streams()).await;
    let clients = bare_client();
    for _ in 0..200 {
        let config = bare_config(STREAMS);
        let connecting = clients.connect_with(config, listener.local_addr(), "localhost").unwrap();
        // Its first packet is on its way, and a word that it is over.
        tokio::task::yield_now().await;
        drop(connecting);
    }
    serves(listener).await;
}

#[tokio::test]
async fn answers_that_meet_closed_ports_harm_nobody() {
    let mut pair = Pair::new().await;
    let mut flights = Flights::new().await;
    for nth in 0..300_u64 {
        let mut gone = Raw::to(pair.addr()).await;
        if nth.is_multiple_of(3) {
            gone.send(&flights.next(STREAMS).await).await;
        } else {
            gone.send(&of_version(&pattern(nth, 1200), 0xbaba_baba)).await;
        }
    }
    pair.carries(1 << 20).await;
    serves(pair.listener).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_of_its_streams_is_a_clear_error() {
    let server = bare_server(STREAMS);
    let peer = Peer::at(server.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let connection = server.accept().await.unwrap().await.unwrap();
        let (mut send, _recv) = connection.accept_bi().await.unwrap();
        send.finish().unwrap();
        connection.closed().await
    });
    let connection = soon("connect", quic().streams().connect(&peer)).await.unwrap();
    let error = soon("open", connection.open(Hello::Own(HELLO))).await.unwrap_err();
    let error = text(&error);
    assert!(error.contains("the listener has not taken the stream"), "{error}");
    connection.close().await;
    soon("close", serving).await.unwrap();
}
