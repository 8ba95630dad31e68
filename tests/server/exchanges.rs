//! Requests and responses, and probes, over every transport on loopback.

use std::{sync::Arc, time::Duration};

use polyperf::{
    client,
    measure::{ExchangeSummary, FlowId, Role, SideSummary},
    outcome::{Ended, FailureCode, Outcome, Side},
    protocol::native::Message,
    spec::{Direction, Exchange, Limit, Probe, SpecFields, Workload},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    raw::{Raw, attach},
    support::{Serving, World, finished, short, soon, spawn, tcp_client, tcp_server},
};

/// Every transport, and whether it may lose what it carries.
const TRANSPORTS: [(&str, bool); 7] = [
    ("tcp", false),
    ("udp", true),
    ("rudp", false),
    ("kcp", false),
    ("tokio-kcp", false),
    ("quic", false),
    ("quic-datagram", true),
];

async fn run(server: &mut Serving, client: client::Builder) -> [Arc<Outcome>; 2] {
    let ours = soon(spawn(client)).await.unwrap().unwrap();
    let theirs = server.event(finished).await;
    assert_eq!((&ours.ended, &theirs.ended), (&Ended::Complete, &Ended::Complete));
    [ours, theirs]
}

fn asking(server: &Serving, transport: &str, exchange: Exchange) -> client::Builder {
    tcp_client(server).transport(transport).spec(|spec| spec.workload = Workload::Rr(exchange))
}

fn exchanges(outcome: &Outcome) -> Vec<ExchangeSummary> {
    let flows = outcome.local.flows.iter();
    flows.filter_map(|flow| flow.exchanges.as_deref().cloned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_of_requests_is_answered_over_every_transport() {
    let mut server = tcp_server(|s| s).await;
    for (transport, loses) in TRANSPORTS {
        let exchange = Exchange { request: 100, response: 900, in_flight: 4, per_second: None };
        let client = asking(&server, transport, exchange).streams(2);
        let client = client.spec(|spec| spec.limit = Limit::Blocks(301));
        let [ours, theirs] = run(&mut server, client).await;
        let exchanges = exchanges(&ours);
        assert_eq!(exchanges.len(), 2, "{transport}");
        let sum = |figure: fn(&ExchangeSummary) -> u64| exchanges.iter().map(figure).sum::<u64>();
        assert_eq!(sum(|exchanges| exchanges.requests), 301, "{transport}");
        assert_eq!(sum(|e| e.replies) + sum(|e| e.lost), 301, "{transport}");
        let latency = sum(|e| e.latency.as_ref().map_or(0, |latency| latency.count));
        assert_eq!(latency, sum(|exchanges| exchanges.replies), "{transport}");
        let sent = ours.local.total(Role::Sender).unwrap().0;
        assert_eq!(sent, 30_100, "{transport}");
        if !loses {
            assert_eq!(sum(|exchanges| exchanges.lost), 0, "{transport}");
            assert_eq!(theirs.local.total(Role::Receiver).unwrap().0, sent, "{transport}");
        }
        assert!(ours.local.flows.iter().all(|flow| flow.error.is_none()), "{ours:?}");
        assert!(theirs.local.flows.iter().all(|flow| flow.error.is_none()), "{theirs:?}");
        let told = theirs.remote.as_ref().unwrap();
        assert_eq!(told.flows[0].exchanges, ours.local.flows[0].exchanges, "{transport}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_has_its_delays_over_every_transport() {
    let mut server = tcp_server(|s| s).await;
    for (transport, _) in TRANSPORTS {
        for in_flight in [1, 16] {
            let exchange = Exchange { request: 64, response: 64, in_flight, per_second: None };
            let client = asking(&server, transport, exchange);
            let client = client.spec(|spec| spec.limit = Limit::Blocks(500));
            let [ours, theirs] = run(&mut server, client).await;
            let [exchanges] = &exchanges(&ours)[..] else { panic!("{ours:?}") };
            let ways = exchanges.one_way.as_ref().expect(transport);
            assert_eq!((ways.exchanges, ways.negative), (exchanges.replies, 0), "{transport}");
            let latency = exchanges.latency.as_ref().unwrap();
            let [forward, backward] =
                [&ways.forward, &ways.backward].map(|way| way.as_ref().unwrap());
            assert_eq!((forward.count, backward.count), (latency.count, latency.count));
            // Both ways, and what the server held it for, are the whole; what came out below zero
            // counts as zero.
            let whole = latency.mean_ns * 1003 / 1000 + ways.uncertainty_ns;
            assert!(forward.mean_ns + backward.mean_ns <= whole, "{ways:?}");
            // However short a round trip, its half is open.
            assert!(ways.uncertainty_ns > 0, "{ways:?}");
            let told = theirs.remote.as_ref().unwrap().flows[0].exchanges.as_ref().unwrap();
            assert_eq!(told.one_way, exchanges.one_way);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_is_kept_over_every_transport() {
    let mut server = tcp_server(|s| s).await;
    for (transport, loses) in TRANSPORTS {
        let exchange = Exchange { in_flight: 64, per_second: Some(200), ..Exchange::default() };
        let client = asking(&server, transport, exchange).time(Duration::from_millis(500));
        let [ours, _] = run(&mut server, client).await;
        let [exchanges] = &exchanges(&ours)[..] else { panic!("{ours:?}") };
        assert_eq!(exchanges.requests, 100, "{transport}");
        assert_eq!(exchanges.replies + exchanges.lost, 100, "{transport}");
        assert!(loses || exchanges.lost == 0, "{transport}: {exchanges:?}");
        assert_eq!(ours.local.flows[0].duration, Duration::from_millis(500));
    }
}

fn assert_probed(ours: &Outcome, theirs: &Outcome, idle: u64) {
    let spec = &ours.info.spec;
    let id = FlowId(spec.load_flows() + 1);
    let of = |side: &SideSummary| side.flows.iter().find(|flow| flow.flow == id).cloned();
    let (prober, probed) = (of(&ours.local).unwrap(), of(&theirs.local).unwrap());
    assert_eq!((prober.role, probed.role), (Role::Prober, Role::Probed));
    let exchanges = prober.exchanges.unwrap();
    assert_eq!(exchanges.replies + exchanges.lost, exchanges.requests);
    assert!(exchanges.replies > 0 && exchanges.latency.is_some(), "{exchanges:?}");
    assert!(exchanges.idle.is_some_and(|idle_ones| idle_ones.count <= idle), "{spec:?}");
    for outcome in [ours, theirs] {
        assert_eq!(outcome.info.flows.len(), usize::from(spec.load_flows()));
        for interval in &outcome.intervals {
            assert_eq!(interval.local.flows.len(), usize::from(spec.load_flows()));
        }
        assert_eq!(outcome.goodput(Side::Server).is_some(), spec.client_sends());
        assert_eq!(outcome.goodput(Side::Client).is_some(), spec.server_sends());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_runs_beside_the_load_in_every_direction_over_every_transport() {
    let mut server = tcp_server(|s| s).await;
    let probe = Probe {
        every: Duration::from_millis(5),
        idle: Duration::from_millis(100),
        ..Probe::default()
    };
    for (transport, _) in TRANSPORTS {
        for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
            let client = tcp_client(&server).transport(transport).rate(8_000_000);
            let client = client.time(Duration::from_millis(200)).spec(|spec| {
                spec.direction = direction;
                spec.probe = Some(probe);
            });
            let [ours, theirs] = run(&mut server, client).await;
            assert_probed(&ours, &theirs, 20);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_counted_by_nobody_who_counts_the_load() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
        let client = world.client(&server).bytes(3_000_000).streams(2);
        let client = client.spec(|spec| {
            spec.direction = direction;
            spec.probe = Some(Probe::default());
        });
        let ours = soon(client.build().unwrap().run()).await.unwrap();
        let theirs = server.outcome().await;
        assert_probed(&ours, &theirs, 100);
        for side in [&ours.local, &theirs.local] {
            for role in [Role::Sender, Role::Receiver] {
                assert!(side.total(role).is_none_or(|(bytes, _)| bytes == 3_000_000), "{side:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_requests_in_order() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let exchange = Exchange { in_flight: 8, ..Exchange::default() };
    let client = world.client(&server).spec(|spec| {
        spec.workload = Workload::Rr(exchange);
        spec.limit = Limit::Endless;
    });
    let stop = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        "enough".to_owned()
    };
    let ours = soon(client.build().unwrap().run_until(stop)).await.unwrap();
    assert!(matches!(&ours.ended, Ended::Stopped { by: Side::Client, .. }), "{:?}", ours.ended);
    let theirs = server.outcome().await;
    assert_eq!(theirs.ended, ours.ended);
    let [exchanges] = &exchanges(&ours)[..] else { panic!("{ours:?}") };
    assert!(exchanges.replies > 1000 && exchanges.lost == 0, "{exchanges:?}");
    assert!(exchanges.requests - exchanges.replies <= 8, "{exchanges:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_a_transport_cannot_carry_are_refused_before_the_test() {
    let server = tcp_server(|s| s).await;
    let exchange = |request, response| Exchange { request, response, ..Exchange::default() };
    for (exchange, word) in [
        (exchange(100, 70_000), "--response 70000"),
        (exchange(70_000, 100), "--request 70000"),
        (exchange(19, 100), "--request 19"),
        (exchange(100, 19), "--response 19"),
    ] {
        let client = asking(&server, "udp", exchange).build().unwrap();
        let failure = soon(client.run()).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Unsupported, "{failure}");
        assert!(failure.message.contains(word), "{failure}");
    }
}

fn fields(exchange: Exchange) -> SpecFields {
    SpecFields { workload: Workload::Rr(exchange), limit: Limit::Endless, ..SpecFields::default() }
}

/// Begins a test over TCP, and returns its control connection and its stream.
async fn begun(server: &Serving, fields: SpecFields) -> (Raw, TcpStream) {
    let (mut raw, agree) = Raw::agreed(server.addr, fields).await;
    let stream = attach(server.addr, &agree, 1).await;
    raw.hear().await.unwrap();
    (raw, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_costs_its_own_session() {
    let mut server = tcp_server(|s| s.deadlines(short())).await;
    let exchange = Exchange { request: 1, response: 1 << 20, in_flight: 1024, per_second: None };
    let (raw, mut stream) = begun(&server, fields(exchange)).await;
    // The server answers no further than its buffers go, and hears nothing more: a stall.
    let _ = stream.write_all(&[0; 64 << 10]).await;
    let outcome = server.event(finished).await;
    assert!(matches!(outcome.ended, Ended::Failed(_)), "{:?}", outcome.ended);
    drop((raw, stream));
    server.proves_itself(tcp_client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_probe_is_a_flood_is_cut_off() {
    let mut server = tcp_server(|s| s.deadlines(short())).await;
    let probe = Probe { every: Duration::from_secs(1), idle: Duration::ZERO, size: 1 };
    let bulk = SpecFields {
        limit: Limit::Endless,
        probe: Some(probe),
        direction: Direction::Reverse,
        ..SpecFields::default()
    };
    let (mut raw, agree) = Raw::agreed(server.addr, bulk).await;
    let mut streams = Vec::new();
    for id in 1..=2 {
        streams.push(attach(server.addr, &agree, id).await);
    }
    raw.hear().await.unwrap();
    let _ = streams[1].write_all(&[0; 100_000]).await;
    let told = loop {
        match raw.hear().await {
            Some(Message::Stop(Ended::Failed(failure))) => break failure,
            Some(Message::Progress(_) | Message::Ping { .. }) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(told.message.contains("more often than"), "{told}");
    drop((raw, streams));
    server.proves_itself(tcp_client(&server)).await;
}
