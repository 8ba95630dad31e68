//! Over the kernel's TCP, each half on a thread of its own.

use std::{net::IpAddr, time::Duration};

use polyperf::{
    Client, Server,
    client::{self, Config, Family},
    event::Event,
    measure::Role,
    outcome::{Ended, FailureCode},
    spec::{Limit, SpecFields, TestSpec},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::support::{
    Serving, assert_adds_up, bytes, finished, next, position, soon, spawn, tcp_client, tcp_server,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_clients_at_once_and_one_that_waits() {
    let mut server = tcp_server(|s| s.max_sessions(50)).await;
    let limit = Limit::Time(Duration::from_secs(2));
    let slow = |c: polyperf::client::Builder| c.rate(1_000_000).spec(|spec| spec.limit = limit);
    let clients: Vec<_> = (0..50).map(|_| spawn(slow(tcp_client(&server)))).collect();
    for _ in 0..50 {
        server.event(crate::support::connected).await;
    }
    let last = tcp_client(&server).bytes(1_000_000).build().unwrap();
    let mut events = last.events();
    let last = tokio::spawn(async move { last.run().await });
    assert_eq!(next(&mut events, position).await, 1);
    let mut theirs = Vec::new();
    for _ in 0..51 {
        theirs.push(server.event(finished).await);
    }
    for client in clients.into_iter().chain([last]) {
        let ours = soon(client).await.unwrap().unwrap();
        assert_eq!(ours.ended, Ended::Complete);
        let theirs = theirs.iter().find(|o| o.info.session == ours.info.session).unwrap();
        assert_adds_up(&ours, theirs);
    }
    server.idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_direction_adds_up() {
    let mut server = tcp_server(|s| s).await;
    for set in [|c: client::Builder| c, client::Builder::reverse, client::Builder::bidirectional] {
        for streams in [1, 4] {
            let client = set(tcp_client(&server)).streams(streams).bytes(20_000_003);
            let ours = soon(spawn(client)).await.unwrap().unwrap();
            let theirs = server.outcome().await;
            assert_eq!((&ours.ended, &theirs.ended), (&Ended::Complete, &Ended::Complete));
            assert_adds_up(&ours, &theirs);
            for side in [&ours.local, &theirs.local] {
                for (sent, _) in
                    [Role::Sender, Role::Receiver].into_iter().filter_map(|r| side.total(r))
                {
                    assert_eq!(sent, 20_000_003);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dual_stack_server_takes_both_families() {
    let builder = Server::builder().listen("[::]:0".parse().unwrap());
    let mut server = Serving::start(builder).await;
    for host in ["127.0.0.1", "::1"] {
        let client = Client::builder(host).port(server.addr.port()).bytes(100_000);
        let outcome = soon(spawn(client)).await.unwrap().unwrap();
        assert_eq!(outcome.ended, Ended::Complete);
        assert_eq!(server.outcome().await.info.peer.ip(), host.parse::<IpAddr>().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ipv6_server_takes_ipv6_clients() {
    let mut server = Serving::start(Server::builder().listen("[::1]:0".parse().unwrap())).await;
    server.proves_itself(Client::builder("::1").port(server.addr.port())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_addresses_and_ports_are_as_asked() {
    let mut server = tcp_server(|s| s).await;
    let bind: IpAddr = "127.0.0.2".parse().unwrap();
    let spec = SpecFields { limit: Limit::Bytes(100_000), streams: 2, ..SpecFields::default() };
    // A port that was free a moment ago, with its neighbour.
    let free = TcpListener::bind((bind, 0)).await.unwrap().local_addr().unwrap().port();
    let first = free.clamp(1024, u16::MAX - 1);
    let client = Client::new(Config {
        port: server.addr.port(),
        bind: Some(bind),
        client_port: Some(first),
        ..Config::new("127.0.0.1", TestSpec::try_from(spec).unwrap())
    });
    let outcome = soon(client.run()).await.unwrap();
    assert_eq!(outcome.info.local.ip(), bind);
    let mut ports: Vec<_> = outcome.info.flows.iter().map(|flow| flow.local.port()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [first, first + 1]);
    assert_eq!(server.outcome().await.info.peer.ip(), bind);
}

#[tokio::test]
async fn nobody_there_is_a_connect_failure_that_names_the_place() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::builder("127.0.0.1").port(gone.port()).build().unwrap();
    let failure = soon(client.run()).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Connect);
    assert!(failure.message.contains(&gone.port().to_string()), "{failure}");
    assert!(failure.message.to_lowercase().contains("refused"), "{failure}");
}

#[tokio::test]
async fn a_name_that_is_none_is_a_connect_failure() {
    let client = Client::builder("host.invalid").connect_timeout(Duration::from_secs(5)).build();
    let failure = soon(client.unwrap().run()).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Connect);
    assert!(failure.message.contains("resolve host.invalid"), "{failure}");
}

#[tokio::test]
async fn an_address_of_the_wrong_family_is_said_so() {
    for (host, family, name) in [("127.0.0.1", Family::V6, "IPv6"), ("::1", Family::V4, "IPv4")] {
        let spec = TestSpec::try_from(SpecFields::default()).unwrap();
        let client = Client::new(Config { family: Some(family), ..Config::new(host, spec) });
        let failure = soon(client.run()).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Connect);
        assert!(failure.message.contains(name), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_is_none_of_ours_is_recognised() {
    let cases: [(&[u8], FailureCode, &str); 4] = [
        (&[9], FailureCode::PeerLost, "its answer to the parameters was due"),
        (&[0xff], FailureCode::Busy, "busy"),
        (b"SSH-2.0-x\r\n", FailureCode::Protocol, "neither"),
        (b"", FailureCode::PeerLost, "without a word"),
    ];
    for (greeting, code, word) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = spawn(Client::builder("127.0.0.1").port(port));
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(greeting).await.unwrap();
        stream.shutdown().await.unwrap();
        let failure = soon(client).await.unwrap().unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(word), "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = Client::builder("127.0.0.1").port(port);
    let client = client.connect_timeout(Duration::from_millis(200)).build().unwrap();
    let failure = soon(client.run()).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Timeout);
    assert!(failure.message.contains("said nothing"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_leaves_what_was_counted() {
    // A runtime that is shut down takes its server with it, as a kill would.
    for reverse in [false, true] {
        let doomed = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let server = doomed.spawn(tcp_server(|s| s)).await.unwrap();
        let client = tcp_client(&server)
            .interval(Some(Duration::from_millis(100)))
            .spec(|spec| spec.limit = Limit::Endless);
        let client = if reverse { client.reverse() } else { client }.build().unwrap();
        let mut events = client.events();
        let running = tokio::spawn(async move { client.run().await });
        next(&mut events, moved).await;
        doomed.shutdown_background();
        let outcome = soon(running).await.unwrap().unwrap();
        let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
        assert_eq!(failure.code, FailureCode::PeerLost, "{failure}");
        assert!(outcome.remote.is_none());
        let role = if reverse { Role::Receiver } else { Role::Sender };
        assert!(bytes(&outcome.local, role) > 0);
        assert!(failure.message.contains("control connection was lost"), "{failure}");
    }
}

/// Picks an interval in which something was moved.
fn moved(event: Event) -> Option<()> {
    match event {
        Event::Interval(event) => {
            event.interval.local.flows.iter().any(|f| f.bytes > 0).then_some(())
        }
        _ => None,
    }
}
