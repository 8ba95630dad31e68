//! How flows begin, and what they carry.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod support;

use std::{
    future::poll_fn,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    thread,
};

use polyperf_transport::{
    Anyone, Error, Hello, HostSockets, Listener, Peer, Processors, Sockets, Transport, Tuning,
};
use polyperf_udp::Udp;
use support::{
    HELLO, Raw, Word, accept, challenge, cookie, id, listen, messages, on_one_socket, open, send,
    udp, within,
};

#[tokio::test]
async fn a_client_that_asks_again_is_answered_again_and_it_is_no_data() {
    for udp in [udp(), on_one_socket()] {
        let mut listener = listen(&udp, "127.0.0.1:0");
        let to = listener.local_addr();
        let client = Raw::at("127.0.0.1");
        let last = client.open(to, [1; 16]).await;
        let mut server = within(listener.accept()).await.unwrap();
        if server.path.stats().mtu.is_some() {
            // Nobody has polled for it yet.
            client.say(to, &last);
            assert_eq!(client.hear().await, accept([1; 16]));
        }
        assert_eq!(messages(&mut *server.recv, 1, 1 << 16).await, [HELLO]);
        let first = open([1; 16], [0; 16], HELLO);
        for packet in [&last[..], &first, b"data", &last, &last[..last.len() - 1]] {
            client.say(to, packet);
        }
        let got = messages(&mut *server.recv, 2, 16).await;
        assert_eq!(got[0], b"data");
        assert_eq!(got[1], last[..16], "an opening that is not the same is data");
        for _ in 0..3 {
            assert_eq!(client.hear().await, accept([1; 16]));
        }
    }
}

#[tokio::test]
async fn late_answers_are_no_data() {
    let server = Raw::at("127.0.0.1");
    let connection = udp().connect(&Peer::at(server.0.local_addr().unwrap())).await.unwrap();
    let serving = async {
        let (first, client) = hear_from(&server).await;
        let id = id(&first);
        server.say(client, &challenge(id, [5; 16]));
        let (second, _) = hear_from(&server).await;
        assert_eq!(second, open(id, [5; 16], HELLO));
        for late in [accept(id), challenge(id, [6; 16]), accept(id), b"data".to_vec()] {
            server.say(client, &late);
        }
    };
    let (stream, ()) = tokio::join!(within(connection.open(Hello::Own(HELLO))), serving);
    assert_eq!(messages(&mut *stream.unwrap().recv, 1, 1 << 16).await, [b"data"]);
}

#[tokio::test]
async fn lost_packets_are_asked_for_again_and_data_is_an_answer() {
    let server = Raw::at("127.0.0.1");
    let connection = udp().connect(&Peer::at(server.0.local_addr().unwrap())).await.unwrap();
    let serving = async {
        let (lost, client) = hear_from(&server).await;
        server.say(client, b"nobody has asked for this");
        let (first, _) = hear_from(&server).await;
        assert_eq!(first, lost);
        server.say(client, &challenge(id(&first), [5; 16]));
        hear_from(&server).await;
        server.say(client, b"data");
    };
    let (stream, ()) = tokio::join!(within(connection.open(Hello::Own(HELLO))), serving);
    assert_eq!(messages(&mut *stream.unwrap().recv, 1, 8).await, [b"data"]);
}

#[tokio::test]
async fn where_nobody_listens_opening_fails() {
    // It hears nobody but the one whom it is connected to, and keeps the port from all others.
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    deaf.connect("127.0.0.1:9").unwrap();
    let gone = deaf.local_addr().unwrap();
    let connection = udp().connect(&Peer::at(gone)).await.unwrap();
    let Err(Error::Connect { addr, source }) = within(connection.open(Hello::Own(HELLO))).await
    else {
        panic!("a stream to nobody")
    };
    assert_eq!((addr, source.kind()), (gone, io::ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn a_bare_word_that_nobody_hears_is_refused_at_once_and_later_refusals_are_hints() {
    let server = Raw::at("127.0.0.1");
    let to = server.0.local_addr().unwrap();
    let connection = udp().connect(&Peer::at(to)).await.unwrap();
    let mut heard = within(connection.open(Hello::Bare(b"9876"))).await.unwrap();
    server.say(heard.local, b"6789");
    assert_eq!(messages(&mut *heard.recv, 1, 8).await, [b"6789"]);
    // It hears nobody but the one whom it is connected to.
    server.0.connect("127.0.0.1:9").unwrap();
    let mut unheard = within(connection.open(Hello::Bare(b"9876"))).await.unwrap();
    let mut room = [0; 8];
    let refused = within(poll_fn(|cx| unheard.recv.poll_recv(cx, &mut room))).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    send(&mut *heard.send, b"data", 4).await;
    let hinted = poll_fn(|cx| Poll::Ready(heard.recv.poll_recv(cx, &mut room)));
    assert!(hinted.await.is_pending());
}

#[tokio::test]
async fn what_follows_a_bare_word_at_once_arrives() {
    for udp in [udp(), on_one_socket()] {
        let mut listener =
            udp.bind("127.0.0.1:0".parse().unwrap(), Arc::new(Word(b"9876"))).unwrap();
        let to = listener.local_addr();
        for round in 0..50_u8 {
            let talking = thread::spawn(move || {
                let client = Raw::at("127.0.0.1");
                client.say(to, b"9876");
                (0..49).for_each(|number| client.say(to, &[round, number]));
                client
            });
            let mut server = within(listener.accept()).await.unwrap();
            let got = messages(&mut *server.recv, 50, 1 << 16).await;
            assert_eq!(got[0], b"9876");
            let mut numbers: Vec<u8> = got[1..].iter().map(|message| message[1]).collect();
            numbers.sort_unstable();
            assert_eq!(numbers, (0..49).collect::<Vec<_>>());
            talking.join().unwrap();
        }
    }
}

#[tokio::test]
async fn replies_leave_from_the_address_that_was_reached() {
    for (udp, at) in [(udp(), "0.0.0.0:0"), (udp(), "[::]:0"), (on_one_socket(), "0.0.0.0:0")] {
        let mut listener = listen(&udp, at);
        let to = SocketAddr::from(([127, 0, 0, 2], listener.local_addr().port()));
        let peer = Peer { local: Some("127.0.0.3:0".parse().unwrap()), ..Peer::at(to) };
        let connection = udp.connect(&peer).await.unwrap();
        let (client, server) =
            tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!((client.peer, server.local), (to, to));
        assert_eq!((client.local, client.local.ip()), (server.peer, "127.0.0.3".parse().unwrap()));
        send(&mut *server.send, b"reply", 5).await;
        assert_eq!(messages(&mut *client.recv, 1, 8).await, [b"reply"]);
        send(&mut *client.send, b"data", 4).await;
        assert_eq!(messages(&mut *server.recv, 2, 64).await, [HELLO, b"data"]);
    }
}

/// Has a stranger say something to each flow's socket before that is connected.
#[derive(Debug)]
struct Intrusion(HostSockets, UdpSocket, AtomicBool);

impl Sockets for Intrusion {
    fn tcp_listener(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        self.0.tcp_listener(addr)
    }

    fn tcp_stream_socket(
        &self,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        multipath: bool,
    ) -> io::Result<socket2::Socket> {
        self.0.tcp_stream_socket(peer, local, multipath)
    }

    fn udp(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        self.0.udp(addr)
    }

    fn udp_beside(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.0.udp_beside(addr)?;
        // On an address of its own it is the only one that this can reach.
        if !addr.ip().is_unspecified() && !self.2.swap(true, Relaxed) {
            self.1.send_to(&open([9; 16], [0; 16], HELLO), addr)?;
        }
        Ok(socket)
    }

    fn processors(&self) -> Option<&Processors> {
        None
    }
}

#[tokio::test]
async fn a_stranger_in_a_flows_socket_is_treated_like_any_other() {
    let stranger = Raw::at("127.0.0.2");
    let sockets =
        Intrusion(HostSockets::new(), stranger.0.try_clone().unwrap(), AtomicBool::new(false));
    let udp = Udp::new(Arc::new(sockets));
    let mut listener = udp.bind("0.0.0.0:0".parse().unwrap(), Arc::new(Anyone)).unwrap();
    let to = SocketAddr::from(([127, 0, 0, 2], listener.local_addr().port()));
    let client = Raw::at("127.0.0.3");
    client.open(to, [1; 16]).await;
    let mut server = within(listener.accept()).await.unwrap();
    assert_eq!(server.peer, client.0.local_addr().unwrap());
    cookie(&stranger.hear().await);
    client.say(to, b"data");
    assert_eq!(messages(&mut *server.recv, 2, 1 << 16).await, [HELLO, b"data"]);
}

#[tokio::test]
async fn many_messages_go_out_and_come_in_with_one_call() {
    let mut listener = listen(&udp(), "127.0.0.1:0");
    let peer = Peer::at(listener.local_addr());
    let connection = udp().connect(&peer).await.unwrap();
    let (client, server) =
        tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert_eq!(messages(&mut *server.recv, 1, 1 << 16).await, [HELLO]);
    let bytes: Vec<u8> = (0..19_500_u16).map(|at| (at / 1000).to_le_bytes()[0]).collect();
    for room in [1 << 16, 1500, 2500, 700] {
        let sent = send(&mut *client.send, &bytes, 1000).await;
        assert_eq!(sent, bytes.len());
        let count = sent.div_ceil(1000);
        let got = messages(&mut *server.recv, count, room).await;
        for (message, whole) in got.iter().zip(bytes.chunks(1000)) {
            assert_eq!(message, &whole[..whole.len().min(room)]);
        }
    }
    client.path.tune(&Tuning { no_gso: true, ..Tuning::default() });
    assert_eq!(client.path.stats().gso_segments, Some(1));
    assert!(client.send.batch().get() >= 20);
    assert_eq!(send(&mut *client.send, &bytes, 1000).await, bytes.len());
    let got = messages(&mut *server.recv, 20, 1 << 16).await;
    assert!(got.iter().zip(bytes.chunks(1000)).all(|(message, whole)| message == whole));
    let stats = server.path.stats();
    assert_eq!(stats.local_drops, Some(0));
}

#[tokio::test]
async fn the_longest_message_arrives() {
    let mut listener = listen(&udp(), "127.0.0.1:0");
    let connection = udp().connect(&Peer::at(listener.local_addr())).await.unwrap();
    let (client, server) =
        tokio::join!(within(connection.open(Hello::Own(HELLO))), within(listener.accept()));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let longest = vec![7; 65_507];
    assert_eq!(send(&mut *client.send, &longest, longest.len()).await, longest.len());
    let got = messages(&mut *server.recv, 2, 1 << 16).await;
    assert!(got[1] == longest);
}

async fn hear_from(raw: &Raw) -> (Vec<u8>, SocketAddr) {
    let mut buf = [0; 2048];
    within(async {
        loop {
            match raw.0.recv_from(&mut buf) {
                Ok((len, from)) => return (buf[..len].to_vec(), from),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}
