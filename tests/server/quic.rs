//! QUIC beside all else, on one port of TCP and one of UDP.

use std::{future::poll_fn, num::NonZeroU32, sync::Arc, time::Duration};

use polyperf::{
    Registry,
    certs::{Fingerprint, Trust},
    client,
    measure::FlowId,
    outcome::{Ended, Outcome, Side},
    protocol::native::{Hello, Token},
    registry::Security,
    spec::Limit,
    transport::{
        EarlyData, Hello as First, HostSockets, Peer, Setting, Sockets, Transport, Tuning,
    },
};
use tokio::net::UdpSocket;

use crate::support::{
    Serving, all_add_up, assert_adds_up, connected, short, soon, spawn, tcp_client, tcp_server,
};

/// Runs a test, and returns what the client and the server made of it.
async fn run(server: &mut Serving, client: client::Builder) -> [Arc<Outcome>; 2] {
    let ours = soon(spawn(client)).await.unwrap().unwrap();
    let theirs = server.outcome().await;
    assert_eq!((&ours.ended, &theirs.ended), (&Ended::Complete, &Ended::Complete));
    [ours, theirs]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tests_of_all_transports_at_once_add_up_on_one_port() {
    let mut server = tcp_server(|s| s.max_sessions(16)).await;
    let of = |name: &str| tcp_client(&server).transport(name);
    let few = |c: client::Builder| {
        c.rate(2_000_000).spec(|spec| {
            spec.limit = Limit::Blocks(300);
            spec.block = 1000;
        })
    };
    let clients = vec![
        of("tcp").bytes(5_000_003),
        of("tcp").bytes(5_000_003).reverse().streams(2),
        of("quic").bytes(5_000_003).streams(3),
        of("quic").bytes(5_000_003).reverse(),
        of("quic").bytes(5_000_003).bidirectional(),
        of("quic").control("tcp").bytes(5_000_003),
        of("rudp").bytes(5_000_003),
        few(of("udp")),
        few(of("udp")).reverse(),
        few(of("udp").control("quic")),
        few(of("quic-datagram")),
        few(of("quic-datagram").control("tcp")).reverse(),
    ];
    all_add_up(&mut server, clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_control_connection_does_for_any_test() {
    let mut server = tcp_server(|s| s).await;
    for control in ["tcp", "quic"] {
        for transport in ["tcp", "quic"] {
            for reverse in [false, true] {
                let client = tcp_client(&server).transport(transport).control(control);
                let client = if reverse { client.reverse() } else { client }.bytes(1_000_003);
                let [ours, theirs] = run(&mut server, client).await;
                assert_adds_up(&ours, &theirs);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_direction_adds_up_over_any_number_of_streams() {
    let mut server = tcp_server(|s| s).await;
    for set in [|c: client::Builder| c, client::Builder::reverse, client::Builder::bidirectional] {
        for (streams, connections) in [(1, None), (8, None), (5, NonZeroU32::new(2))] {
            let client = set(tcp_client(&server).transport("quic"))
                .streams(streams)
                .bytes(8_000_003)
                .spec(|spec| spec.tuning.connections = connections);
            let [ours, theirs] = run(&mut server, client).await;
            assert_adds_up(&ours, &theirs);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_test_asks_for_is_set_at_both_ends() {
    let mut server = tcp_server(|s| s).await;
    let tuning = Tuning {
        window: NonZeroU32::new(1 << 20),
        congestion: Some("bbr".to_owned()),
        mtu: NonZeroU32::new(1300),
        ack_frequency: NonZeroU32::new(4),
        no_gso: true,
        ..Tuning::default()
    };
    for control in ["tcp", "quic"] {
        for reverse in [false, true] {
            let client = tcp_client(&server).transport("quic").control(control).bytes(2_000_000);
            let client = if reverse { client.reverse() } else { client };
            let client = client.spec(|spec| spec.tuning = tuning.clone());
            for outcome in run(&mut server, client).await {
                let flow = &outcome.local.flows[0];
                assert_eq!(flow.settings.len(), 5, "{:?}", flow.settings);
                for Setting { option, asked, granted, refused } in &flow.settings {
                    assert_eq!((granted.as_ref(), refused), (Some(asked), &None), "{option}");
                }
                assert_eq!(flow.path.congestion.as_deref(), Some("bbr"));
                assert_eq!(flow.path.gso_segments, Some(1));
                assert!(flow.path.mtu <= Some(1300));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_resumed_and_first_bytes_sent_early_where_asked() {
    let mut server = tcp_server(|s| s).await;
    let resume = Tuning { resume: true, ..Tuning::default() };
    let early = Tuning { zero_rtt: true, ..Tuning::default() };
    for transport in ["quic", "quic-datagram"] {
        for control in ["tcp", "quic"] {
            for (tuning, came) in [(&resume, None), (&early, Some(EarlyData::Accepted))] {
                let client = tcp_client(&server).transport(transport).control(control);
                let client = client.spec(|spec| {
                    spec.tuning = tuning.clone();
                    spec.limit = Limit::Blocks(100);
                    spec.block = 1000;
                });
                let [ours, _] = run(&mut server, client).await;
                let security = ours.local.flows[0].path.security.clone().unwrap();
                let what = format!("{transport} with {control}");
                assert_eq!((security.resumed, security.early_data), (Some(true), came), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_cannot_be_asked_for_ahead_of_the_handshake() {
    let mut server = tcp_server(|s| s.deadlines(short())).await;
    let registry = Registry::standard();
    let quic = registry.get("quic").unwrap();
    let tuning = Tuning { zero_rtt: true, ..Tuning::default() };
    let peer = Peer { tuning, ..Peer::at(server.addr) };
    // The handshake may be over before the stream is open; then it is as any other.
    soon(async { while asks_for_a_test(quic.as_ref(), &peer).await {} }).await;
    assert_eq!(server.handle.running(), 0);
    server.proves_itself(tcp_client(&server).transport("quic")).await;
}

/// Asks for a test as early as can be, and returns whether the server has taken that up.
async fn asks_for_a_test(transport: &dyn Transport, peer: &Peer) -> bool {
    let connection = transport.connect(peer).await.unwrap();
    let hello = Hello::Control(Token::from_bits(1)).encode();
    let mut stream = connection.open(First::Own(&hello)).await.unwrap();
    let mut buf = [0; 100];
    let heard = poll_fn(|cx| stream.recv.poll_recv(cx, &mut buf)).await;
    connection.close().await;
    matches!(heard, Ok(Some(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_the_pinned_one_is_refused_before_any_test() {
    let mut server = tcp_server(|s| s).await;
    let pinned = Fingerprint::of(b"another");
    let security = Security { trust: Trust::Pinned(pinned), ..Security::default() };
    let sockets: Arc<dyn Sockets> = Arc::new(HostSockets::new());
    let registry = Registry::secured(&sockets, security);
    let client = tcp_client(&server).transports(registry).transport("quic").bytes(1000);
    let failure = soon(client.build().unwrap().run()).await.unwrap_err();
    assert!(failure.message.contains(&pinned.to_string()), "{failure}");
    assert_eq!(server.handle.served(), 0);
    server.proves_itself(tcp_client(&server).transport("quic")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_datagram_to_the_port_brings_back_more_than_it_had() {
    let mut server = tcp_server(|s| s).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.addr).await.unwrap();
    let (mut sent, mut received) = (0, 0);
    let mut buf = [0; 2048];
    let mut state = 7_u64;
    for round in 0..4000_usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let first = state.to_be_bytes()[0];
        let len = 1 + round * 31 % 1400;
        let mut datagram = vec![first; len];
        // Some are cut from what means something to somebody.
        let known: [&[u8]; 3] =
            [&Hello::Attach(Token::from_bits(3), FlowId(1)).encode(), b"9876", b"6789"];
        if let Some(known) = known.get(round % 16) {
            datagram.splice(..known.len().min(len), known.iter().copied());
        }
        sent += socket.send(&datagram).await.unwrap();
        while let Ok(len) = socket.try_recv(&mut buf) {
            received += len;
        }
        assert!(received <= sent, "{received} bytes for {sent}");
        tokio::task::yield_now().await;
    }
    // An unknown version of QUIC is answered after all that came before it. It may get lost as any
    // datagram may, and is sent again until it is.
    let mut last = [&[0xc0, 0xfa, 0xce, 0xb0, 0x0c, 4][..], b"last\x04mine"].concat();
    last.resize(1200, 0);
    let mut again = tokio::time::interval(Duration::from_millis(100));
    let answered = async {
        loop {
            tokio::select! {
                len = socket.recv(&mut buf) => {
                    let len = len.unwrap();
                    received += len;
                    if buf[5..len].starts_with(b"\x04mine\x04last") {
                        break;
                    }
                }
                _ = again.tick() => sent += socket.send(&last).await.unwrap(),
            }
        }
    };
    soon(answered).await;
    assert!(received <= sent, "{received} bytes for {sent}");
    server.proves_itself(tcp_client(&server).transport("quic")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_tells_who_is_connected_by_quic() {
    let mut server = tcp_server(|s| s).await;
    let client = tcp_client(&server).transport("quic").time(Duration::from_secs(600));
    let running = spawn(client);
    server.event(connected).await;
    server.handle.stop();
    let ours = soon(running).await.unwrap().unwrap();
    let Ended::Stopped { by: Side::Server, .. } = ours.ended else { panic!("{:?}", ours.ended) };
    soon(server.stopped()).await;
}
