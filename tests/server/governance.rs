//! Servers that hold clients to policies.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    time::Duration,
};

use polyperf::{
    event::Event,
    outcome::{Ended, Failure, FailureCode, Side},
    protocol::{
        iperf3::{self, Extras, Params},
        native::Message,
    },
    server::{Arrivals, Policies, Policy, Reject},
    spec::{Direction, Exchange, Limit, Rate, SpecFields, TestSpec, Workload},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    raw::{Raw, control_hello},
    support::{Serving, World, connected, soon, spawn, tcp_client, tcp_server},
};

const SECOND: Duration = Duration::from_secs(1);

fn only(policy: Policy) -> Policies {
    Policies::new([Policy { name: "small".to_owned(), ..policy }])
}

fn one() -> Policies {
    only(Policy { max_sessions: NonZeroU32::new(1), ..Policy::default() })
}

fn of_prefix(prefix: &str, policy: Policy) -> Policy {
    Policy { name: prefix.to_owned(), prefixes: vec![prefix.parse().unwrap()], ..policy }
}

async fn refused(client: polyperf::client::Builder) -> Failure {
    soon(client.build().unwrap().run()).await.unwrap_err()
}

/// Connects to `addr` from another address of this host.
async fn connect_from(from: [u8; 4], addr: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(addr).await.ok()
}

/// Asks for a test as iperf3 does, and returns the answer behind the request for parameters.
async fn iperf3(addr: SocketAddr, fields: SpecFields) -> Vec<u8> {
    let spec = TestSpec::try_from(fields).unwrap();
    let params = Params::new(&spec, Extras::default()).unwrap();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // Another one for each: a second connection with the same cookie is a stream of the first's test.
    let cookie = format!("{:0>36}\0", stream.local_addr().unwrap().port());
    stream.write_all(cookie.as_bytes()).await.unwrap();
    let first = soon(stream.read_u8()).await.unwrap();
    if first != 9 {
        let mut rest = vec![first];
        let _ = soon(stream.read_to_end(&mut rest)).await;
        return rest;
    }
    let params = iperf3::encode(&iperf3::Message::Params(Box::new(params)));
    stream.write_all(&params).await.unwrap();
    let mut answer = vec![0; 9];
    let length = soon(stream.read(&mut answer)).await.unwrap();
    answer.truncate(length);
    answer
}

#[tokio::test(start_paused = true)]
async fn of_two_hundred_clients_nobody_exceeds_a_limit_and_nobody_else_is_held_up() {
    const EACH: usize = 20;
    let world = World::new();
    let two = Policy { max_sessions: NonZeroU32::new(2), ..Policy::default() };
    let policies = Policies::new([of_prefix("127.0.1.0/24", two)]);
    let mut server = world.serve(|s| s.max_sessions(200).max_queue(0).policies(policies)).await;
    let (mut limited, mut others) = (Vec::new(), Vec::new());
    for number in 0..EACH * 5 {
        let host = u8::try_from(1 + number / EACH).unwrap();
        let client = |net| world.client(&server).bind(IpAddr::from([127, 0, net, host]));
        limited.push(spawn(client(1).time(SECOND).interval(None)));
        others.push(spawn(client(2).bytes(100_000).interval(None)));
    }
    let (mut complete, mut busy) = (0, 0);
    for client in limited {
        match soon(client).await.unwrap() {
            Ok(outcome) => {
                assert_eq!(outcome.ended, Ended::Complete);
                complete += 1;
            }
            Err(failure) => {
                assert_eq!(failure.code, FailureCode::Busy, "{failure}");
                assert!(failure.retry_after.is_some_and(|after| after <= 2 * SECOND));
                busy += 1;
            }
        }
    }
    assert_eq!((complete, busy), (2 * 5, 18 * 5));
    for client in others {
        let outcome = soon(client).await.unwrap().unwrap();
        assert_eq!(outcome.ended, Ended::Complete);
        assert_eq!(outcome.side(Side::Server).unwrap().flows[0].bytes, 100_000);
    }
    let mut running: HashMap<IpAddr, usize> = HashMap::new();
    while let Ok(event) = server.events.try_recv() {
        let info = match &event {
            Event::Connected(info) => info,
            Event::Finished(outcome) => &outcome.info,
            _ => continue,
        };
        let now = running.entry(info.peer.ip()).or_default();
        match event {
            Event::Connected(_) => *now += 1,
            _ => *now -= 1,
        }
        let IpAddr::V4(ip) = info.peer.ip() else { panic!("{info:?}") };
        assert!(ip.octets()[2] != 1 || *now <= 2, "{now} tests of {ip}");
    }
    assert_eq!(server.handle.counts().rejected.get(&Reject::Busy), Some(&(18 * 5)));
}

#[tokio::test(start_paused = true)]
async fn a_client_may_come_again_as_soon_as_its_test_is_over() {
    let world = World::new();
    let server = world.serve(|s| s.policies(one())).await;
    for _ in 0..20 {
        let client = world.client(&server).bytes(10_000).build().unwrap();
        assert_eq!(soon(client.run()).await.unwrap().ended, Ended::Complete);
    }
}

#[tokio::test(start_paused = true)]
async fn a_test_that_exceeds_the_days_bytes_is_ended_and_the_next_is_refused() {
    let world = World::new();
    let policies = only(Policy { bytes_per_day: Some(5_000_000), ..Policy::default() });
    let server = world.serve(|s| s.policies(policies)).await;
    for direction in [Direction::Forward, Direction::Reverse] {
        let from = IpAddr::from([127, 0, 0, if direction == Direction::Forward { 2 } else { 3 }]);
        let client = || {
            let client = world.client(&server).bind(from).time(10 * SECOND);
            client.spec(|spec| spec.direction = direction)
        };
        let outcome = soon(client().build().unwrap().run()).await.unwrap();
        let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
        assert_eq!(failure.code, FailureCode::Denied, "{failure}");
        assert!(failure.retry_after.is_some());
        assert!(outcome.info.changes[0].contains("4.77 MBytes"), "{:?}", outcome.info.changes);
        // 100 Mbit/s for a tenth of a second, and what was on its way.
        let moved = outcome.side(Side::Client).unwrap().flows[0].bytes;
        assert!((4_000_000..9_000_000).contains(&moved), "{moved}");
        let failure = refused(client()).await;
        assert_eq!(failure.code, FailureCode::Denied);
        assert!(failure.message.contains("0 bytes are left"), "{failure}");
    }
    let other = world.client(&server).bytes(1_000_000).build().unwrap();
    assert_eq!(soon(other.run()).await.unwrap().ended, Ended::Complete);
    let failure = refused(world.client(&server).bytes(4_500_000)).await;
    assert!(failure.message.contains(" are left until midnight UTC"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn responses_count_as_well_as_requests() {
    let world = World::new();
    let policies = only(Policy { bytes_per_day: Some(2_000_000), ..Policy::default() });
    let server = world.serve(|s| s.policies(policies)).await;
    let exchange = Exchange { request: 1, response: 100_000, in_flight: 4, per_second: None };
    let client = world.client(&server).time(10 * SECOND);
    let client = client.spec(|spec| spec.workload = Workload::Rr(exchange)).build().unwrap();
    let outcome = soon(client.run()).await.unwrap();
    assert!(matches!(&outcome.ended, Ended::Failed(f) if f.code == FailureCode::Denied));
}

#[tokio::test(start_paused = true)]
async fn a_rate_beyond_the_policy_is_refused_and_none_is_lowered() {
    let world = World::new();
    let policies = only(Policy { max_rate: Some(8_000_000), ..Policy::default() });
    let server = world.serve(|s| s.policies(policies)).await;
    let client = || world.client(&server).time(2 * SECOND).streams(2);
    let failure = refused(client().rate(5_000_000)).await;
    assert_eq!(failure.code, FailureCode::Denied);
    let outcome = soon(client().build().unwrap().run()).await.unwrap();
    let rate = Some(Rate { bits_per_second: 4_000_000, burst: None });
    assert_eq!(outcome.info.spec.rate, rate);
    assert!(outcome.info.changes[0].contains("8.00 Mbits/sec"), "{:?}", outcome.info.changes);
    let outcome = soon(client().rate(1_000_000).build().unwrap().run()).await.unwrap();
    assert!(outcome.info.changes.is_empty(), "{:?}", outcome.info.changes);
}

#[tokio::test(start_paused = true)]
async fn an_endless_test_ends_at_the_policys_longest_duration() {
    let world = World::new();
    let policies = only(Policy { max_duration: Some(3 * SECOND), ..Policy::default() });
    let server = world.serve(|s| s.policies(policies)).await;
    let client = world.client(&server).spec(|spec| spec.limit = Limit::Endless).rate(1_000_000);
    let outcome = soon(client.build().unwrap().run()).await.unwrap();
    assert!(matches!(&outcome.ended, Ended::Failed(f) if f.code == FailureCode::Denied));
    let (_, ran) =
        outcome.side(Side::Server).unwrap().total(polyperf::measure::Role::Receiver).unwrap();
    assert!(ran > 2 * SECOND && ran < 4 * SECOND, "{ran:?}");
}

#[tokio::test(start_paused = true)]
async fn policies_that_change_hold_for_the_next_test_and_leave_the_running_ones_alone() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let running = spawn(world.client(&server).time(5 * SECOND).streams(9));
    server.event(connected).await;
    server.handle.set_policies(only(Policy { max_streams: Some(1), ..Policy::default() }));
    let failure = refused(world.client(&server).streams(2)).await;
    assert!(failure.message.contains("1 streams, not 2"), "{failure}");
    assert_eq!(soon(running).await.unwrap().unwrap().ended, Ended::Complete);
    server.handle.set_policies(Policies::default());
    let client = world.client(&server).bytes(1000).streams(2).build().unwrap();
    assert!(soon(client.run()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_server_gives_a_stranger_a_small_test() {
    let server = tcp_server(|s| s.policies(Policies::default().public())).await;
    let set = |set: fn(&mut SpecFields)| tcp_client(&server).spec(set);
    for (client, word) in [
        (set(|s| s.transport = "udp".to_owned()), "tcp, quic, not udp"),
        (set(|s| s.streams = 9), "8 streams"),
        (set(|s| s.limit = Limit::Time(31 * SECOND)), "30 s"),
        (set(|s| s.limit = Limit::Bytes(11 << 30)), "10.0 GBytes a day"),
    ] {
        let failure = refused(client).await;
        assert_eq!(failure.code, FailureCode::Denied, "{failure}");
        assert!(failure.message.contains(word), "{failure}");
    }
    let outcome = soon(tcp_client(&server).bytes(100_000).build().unwrap().run()).await.unwrap();
    assert_eq!(outcome.ended, Ended::Complete);
    let perf = tcp_client(&server).transport("quic").perf().time(SECOND);
    // It may have opened its streams before it is told to go, but nobody has received anything.
    match soon(perf.build().unwrap().run()).await {
        Err(failure) => assert_ne!(failure.code, FailureCode::Internal, "{failure}"),
        Ok(outcome) => {
            assert!(matches!(outcome.ended, Ended::Failed(_)), "{:?}", outcome.ended);
            assert_eq!(outcome.remote, None, "a guest is told nothing");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iperf3_client_is_told_what_its_protocol_has_words_for() {
    let policy = Policy {
        transports: Some(vec!["tcp".to_owned()]),
        max_streams: Some(2),
        max_rate: Some(1_000_000),
        max_duration: Some(SECOND),
        bytes_per_day: Some(1_000_000),
        ..Policy::default()
    };
    let server = tcp_server(|s| s.policies(only(policy))).await;
    let fields = || SpecFields { limit: Limit::Time(SECOND), ..SpecFields::default() };
    let rate = Some(Rate { bits_per_second: 1_000_001, burst: None });
    let error = |code| vec![0xfe, 0, 0, 0, code, 0, 0, 0, 0];
    let udp = "udp".to_owned();
    for (fields, answer) in [
        (SpecFields { transport: udp, ..fields() }, error(13)),
        (SpecFields { streams: 3, ..fields() }, error(6)),
        (SpecFields { rate, ..fields() }, error(27)),
        (SpecFields { limit: Limit::Time(2 * SECOND), ..fields() }, error(37)),
        (SpecFields { limit: Limit::Bytes(1_000_001), ..fields() }, vec![0xff]),
        (fields(), vec![10]),
    ] {
        assert_eq!(iperf3(server.addr, fields).await, answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_a_flood_of_sessions_from_one_address_leaves_the_others_served() {
    let count = |n| NonZeroU32::new(n).unwrap();
    let arrivals = Arrivals { per_second: NonZeroU32::MIN, burst: count(20) };
    let mut server = tcp_server(|s| s.policies(Policies::default().arriving(arrivals))).await;
    let addr = server.addr;
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..300 {
        flood.spawn(async move {
            let mut raw = Raw::new(connect_from([127, 0, 0, 9], addr).await?);
            raw.bytes(&control_hello()).await;
            raw.hear().await
        });
    }
    // Meanwhile.
    server.proves_itself(tcp_client(&server)).await;
    let (mut welcome, mut busy) = (0, 0);
    while let Some(answer) = flood.join_next().await {
        match answer.unwrap() {
            Some(Message::Welcome(_)) => welcome += 1,
            Some(Message::Fail(failure)) => {
                assert_eq!(failure.code, FailureCode::Busy);
                assert!(failure.retry_after.is_some());
                busy += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(welcome + busy, 300);
    assert!((20..60).contains(&welcome), "{welcome}");
    server.proves_itself(tcp_client(&server)).await;
    assert_eq!(server.handle.counts().rejected.get(&Reject::Flood), Some(&busy));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iperf3_client_of_a_flood_is_told_that_the_server_is_busy() {
    let arrivals = Arrivals { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN };
    let server = tcp_server(|s| s.policies(Policies::default().arriving(arrivals))).await;
    let fields = || SpecFields { limit: Limit::Time(SECOND), ..SpecFields::default() };
    assert_eq!(iperf3(server.addr, fields()).await, [10]);
    assert_eq!(iperf3(server.addr, fields()).await, [0xff]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_let_in_is_told_so_in_either_dialect() {
    let deny = of_prefix("127.0.0.0/8", Policy { deny: true, ..Policy::default() });
    let server: Serving = tcp_server(|s| s.policies(Policies::new([deny]))).await;
    let failure = refused(tcp_client(&server)).await;
    assert_eq!(failure.code, FailureCode::Denied, "{failure}");
    let answer = iperf3(server.addr, SpecFields::default()).await;
    assert_eq!(answer, [0xfe, 0, 0, 0, 142, 0, 0, 0, 0]);
    assert_eq!(server.handle.counts().rejected.get(&Reject::Denied), Some(&2));
}
