//! What a port does about those whom it does not know, or no longer.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use std::{net::SocketAddr, sync::Arc};

use polyperf_socket::PortOptions;
use polyperf_transport::{
    Error, Gate, Guest, Listener, Mark, Opening, Transport, Tuning, Verdict, Visit,
};
use support::{
    HELLO, Raw, Word, accept, challenge, cookie, listen, messages, on_one_socket, open, recv,
    settle, udp, until, within,
};

#[tokio::test]
async fn a_claimed_address_gets_one_packet_for_each_opening_and_none_is_longer() {
    for udp in [udp(), on_one_socket()] {
        let mut listener = listen(&udp, "0.0.0.0:0");
        let to = SocketAddr::new("127.0.0.1".parse().unwrap(), listener.local_addr().port());
        let victim = Raw::at("127.0.0.2");
        let opening = open([1; 16], [0; 16], b"?");
        for _ in 0..5 {
            victim.say(to, &opening);
            victim.say(to, b"and data behind it");
        }
        settle(&mut listener).await;
        let heard = victim.heard();
        assert_eq!(heard.len(), 5);
        assert!(heard.iter().all(|packet| packet.len() <= opening.len()), "{heard:?}");
        assert_eq!(listener.counts().opened, 1, "the flow that settles it alone");
    }
}

#[tokio::test]
async fn a_cookie_is_good_for_one_address_and_one_hello() {
    let mut listener = listen(&udp(), "127.0.0.1:0");
    let to = listener.local_addr();
    let (owner, thief) = (Raw::at("127.0.0.1"), Raw::at("127.0.0.1"));
    owner.say(to, &open([1; 16], [0; 16], HELLO));
    let stolen = cookie(&owner.hear().await);
    thief.say(to, &open([1; 16], stolen, HELLO));
    assert_ne!(cookie(&thief.hear().await), stolen, "the thief is challenged as anybody else");
    owner.say(to, &open([1; 16], stolen, b"something else"));
    assert_ne!(cookie(&owner.hear().await), stolen);
    owner.say(to, &open([2; 16], stolen, HELLO));
    assert_ne!(cookie(&owner.hear().await), stolen);
    settle(&mut listener).await;
    assert_eq!(listener.counts().opened, 1);
}

#[tokio::test]
async fn garbage_is_counted_and_unanswered() {
    let mut listener = listen(&udp(), "127.0.0.1:0");
    let to = listener.local_addr();
    let sources: Vec<_> = (0..8).map(|_| Raw::at("127.0.0.1")).collect();
    let mut state = 7_u64;
    let mut roll = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 40).unwrap()
    };
    let mut empty = 0;
    for round in 0..500 {
        let garbage: Vec<u8> = (0..roll() % 200).map(|_| roll().to_le_bytes()[0]).collect();
        empty += u64::from(garbage.is_empty());
        sources[round % 8].say(to, &garbage);
        if round % 50 == 0 {
            sources[0].say(to, &challenge([1; 16], [2; 16]));
            sources[1].say(to, &accept([1; 16]));
        }
    }
    settle(&mut listener).await;
    assert!(sources.iter().all(|source| source.heard().is_empty()));
    let counts = listener.counts();
    assert_eq!((counts.refused, counts.empty), (20, empty));
    assert_eq!(counts.unknown, 500 - empty);
    assert_eq!((counts.opened, counts.answered), (1, 1), "the flow that settles it alone");
}

#[tokio::test]
async fn a_flow_that_has_ended_is_silent() {
    for udp in [udp(), on_one_socket()] {
        let mut listener = listen(&udp, "127.0.0.1:0");
        let to = listener.local_addr();
        let client = Raw::at("127.0.0.1");
        let last = client.open(to, [1; 16]).await;
        drop(within(listener.accept()).await.unwrap());
        until(|| listener.counts().flows == 0).await;
        client.say(to, &last);
        client.say(to, &[7; 1000]);
        client.say(to, b"short");
        settle(&mut listener).await;
        assert_eq!(client.heard(), Vec::<Vec<u8>>::new());
        assert_eq!(listener.counts().ended, 3);

        client.open(to, [2; 16]).await;
        within(listener.accept()).await.unwrap();
    }
}

#[tokio::test]
async fn a_port_is_nobody_elses_also_while_flows_share_it() {
    let udp = udp();
    let mut listener = listen(&udp, "127.0.0.1:0");
    let at = listener.local_addr();
    let _flow = settle(&mut listener).await;
    let again = udp.listen(at, Arc::new(Word(b""))).await;
    let Err(Error::Listen { source, .. }) = again else { panic!("{again:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn whom_the_gate_refuses_hears_nothing() {
    #[derive(Debug)]
    struct Nobody;
    impl Gate for Nobody {
        fn announced(&self, _: &Mark) -> Option<Tuning> {
            None
        }

        fn receive(&self, _: &Guest<'_>) -> Option<Box<dyn Visit>> {
            None
        }

        fn admit(&self, opening: &Opening<'_>) -> Verdict {
            assert!(!opening.proven);
            if opening.hello.bytes() == b"last" { Verdict::Accept } else { Verdict::Refuse }
        }
    }
    let mut listener = udp().bind("127.0.0.1:0".parse().unwrap(), Arc::new(Nobody)).unwrap();
    let to = listener.local_addr();
    let client = Raw::at("127.0.0.1");
    client.say(to, &open([1; 16], [0; 16], HELLO));
    client.say(to, b"9876");
    let last = Raw::at("127.0.0.1");
    last.say(to, b"last");
    let stream = within(listener.accept()).await.unwrap();
    assert_eq!(stream.peer, last.0.local_addr().unwrap());
    assert_eq!(client.heard(), Vec::<Vec<u8>>::new());
    assert_eq!((listener.counts().refused, listener.counts().unknown), (1, 1));
}

#[tokio::test]
async fn only_so_many_flows_are_open_at_a_time() {
    let options = PortOptions { max_flows: 2, ..PortOptions::default() };
    let mut listener = udp()
        .with_options(options)
        .bind("127.0.0.1:0".parse().unwrap(), Arc::new(Word(b"hi")))
        .unwrap();
    let to = listener.local_addr();
    let clients: Vec<_> = (0..3).map(|_| Raw::at("127.0.0.1")).collect();
    for client in &clients {
        client.say(to, b"hi");
    }
    until(|| listener.counts().limited == 1).await;
    let first = within(listener.accept()).await.unwrap();
    let _second = within(listener.accept()).await.unwrap();
    drop(first);
    clients[2].say(to, b"hi");
    let mut third = within(listener.accept()).await.unwrap();
    assert_eq!(third.peer, clients[2].0.local_addr().unwrap());
    assert_eq!(messages(&mut *third.recv, 1, 64).await, [b"hi"]);
}

#[tokio::test]
async fn datagrams_without_bytes_are_no_end() {
    let mut listener = listen(&udp(), "127.0.0.1:0");
    let to = listener.local_addr();
    let client = Raw::at("127.0.0.1");
    client.open(to, [1; 16]).await;
    let mut server = within(listener.accept()).await.unwrap();
    client.say(to, b"");
    client.say(to, b"x");
    let mut buf = vec![0; 1 << 16];
    assert_eq!(recv(&mut *server.recv, &mut buf).await.len, HELLO.len());
    assert_eq!(recv(&mut *server.recv, &mut buf).await.len, 1);
    assert_eq!(buf[0], b'x');
}
