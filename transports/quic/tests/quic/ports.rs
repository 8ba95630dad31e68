//! Both transports of QUIC on one port, and who has it when.

use std::sync::Arc;

use polyperf_quic::QuicTransport;
use polyperf_transport::{AcceptError, Anyone, Error, Hello, Peer, Transport};

use crate::support::*;

#[tokio::test]
async fn both_transports_share_a_port_in_either_order() {
    let quic = quic();
    let orders: [[QuicTransport; 2]; 2] =
        [[quic.streams(), quic.datagrams()], [quic.datagrams(), quic.streams()]];
    for [one, other] in orders {
        let first = listen(&one).await;
        let addr = first.local_addr();
        let second = other.listen(addr, Arc::new(Anyone)).await.unwrap();
        assert_eq!((first.local_addr(), first.identity()), (addr, second.identity()));
        let mut one = Pair::between(first, &one, &Peer::at(addr)).await;
        let mut other = Pair::between(second, &other, &Peer::at(addr)).await;
        one.carries(1000).await;
        other.carries(1000).await;
    }
}

#[tokio::test]
async fn a_transport_listens_on_a_port_once() {
    let transport = quic().streams();
    let listener = listen(&transport).await;
    let addr = listener.local_addr();
    for taken in [&transport, &quic().streams(), &quic().datagrams()] {
        match taken.listen(addr, Arc::new(Anyone)).await {
            Err(Error::Listen { addr: named, source }) => {
                assert_eq!((named, source.kind()), (addr, std::io::ErrorKind::AddrInUse));
            }
            other => panic!("{other:?}"),
        }
    }
    serves(listener).await;
}

#[tokio::test]
async fn one_transport_goes_on_when_the_other_is_closed_and_may_come_back() {
    let quic = quic();
    let (streams, datagrams) = (quic.streams(), quic.datagrams());
    let first = listen(&streams).await;
    let addr = first.local_addr();
    let second = datagrams.listen(addr, Arc::new(Anyone)).await.unwrap();
    drop(first);
    let mut pair = Pair::between(second, &datagrams, &Peer::at(addr)).await;
    pair.carries(1000).await;
    // Whoever is not listened for is told so at the latest when he opens a stream.
    let attempt = async { streams.connect(&Peer::at(addr)).await?.open(Hello::Own(HELLO)).await };
    soon("refusal", attempt).await.unwrap_err();
    let first = streams.listen(addr, Arc::new(Anyone)).await.unwrap();
    let mut other = Pair::between(first, &streams, &Peer::at(addr)).await;
    other.carries(100_000).await;
    pair.carries(1000).await;
}

#[tokio::test]
async fn a_port_is_free_when_its_listeners_and_connections_are_gone() {
    let transport = quic().streams();
    let mut pair = Pair::of(&transport, Default::default()).await;
    let addr = pair.addr();
    let Pair { listener, connection, client, server } = pair;
    drop(listener);
    // What is open lives on, and keeps the port.
    assert!(std::net::UdpSocket::bind(addr).is_err());
    pair = Pair { listener: listen(&transport).await, connection, client, server };
    pair.carries(100_000).await;
    soon("close", pair.connection.close()).await;
    drop((pair.client, pair.server, pair.connection));
    until("the port is free", || std::net::UdpSocket::bind(addr).is_ok()).await;
}

#[tokio::test]
async fn a_closed_connection_ends_its_streams_and_says_so() {
    let mut pair = Pair::new().await;
    pair.connection.close().await;
    let mut buf = [0; 10];
    let heard = std::future::poll_fn(|cx| pair.server.recv.poll_recv(cx, &mut buf));
    let error = soon("the end", heard).await.unwrap_err().to_string();
    assert!(error.contains("the other end has closed the connection"), "{error}");
    let error = soon("refusal", pair.connection.open(Hello::Own(HELLO))).await.unwrap_err();
    assert!(text(&error).contains("closed by this end"), "{}", text(&error));
    let next = tokio::time::timeout(std::time::Duration::ZERO, pair.listener.accept()).await;
    assert!(!matches!(next, Ok(Err(AcceptError::Closed(_)))), "the listener is not");
    serves(pair.listener).await;
}
