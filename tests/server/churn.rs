//! One connection after another, each for one request.

use std::{sync::Arc, time::Duration};

use polyperf::{
    Registry, client,
    measure::{ExchangeSummary, Role},
    outcome::{Ended, Outcome},
    spec::{Exchange, Limit, Workload},
    transport::Tuning,
};

use crate::support::{Serving, World, bytes, short, soon, spawn, tcp_client, tcp_server};

/// Asks for a churn of so many connections.
fn churn(client: client::Builder, exchange: Exchange, connections: u64) -> client::Builder {
    client.spec(|spec| {
        spec.workload = Workload::Churn(exchange);
        spec.limit = Limit::Blocks(connections);
    })
}

/// Runs a test, and returns what the client and the server made of it.
async fn run(server: &mut Serving, client: client::Builder) -> [Arc<Outcome>; 2] {
    let ours = soon(spawn(client)).await.unwrap().unwrap();
    let theirs = server.outcome().await;
    assert_eq!((&ours.ended, &theirs.ended), (&Ended::Complete, &Ended::Complete));
    [ours, theirs]
}

fn exchanges(outcome: &Outcome) -> Vec<&ExchangeSummary> {
    outcome.local.flows.iter().map(|flow| flow.exchanges.as_deref().unwrap()).collect()
}

fn total(outcome: &Outcome, figure: fn(&ExchangeSummary) -> u64) -> u64 {
    exchanges(outcome).into_iter().map(figure).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transport_counts_each_connection_at_both_ends() {
    let mut server = tcp_server(|s| s).await;
    for name in Registry::standard().names() {
        let exchange = Exchange { request: 300, response: 700, ..Exchange::default() };
        let client = churn(tcp_client(&server).transport(name), exchange, 40).streams(3);
        let [ours, theirs] = run(&mut server, client).await;
        let refused = total(&ours, |e| e.refused.unwrap());
        let counts = [total(&ours, |e| e.replies), total(&ours, |e| e.lost), refused];
        assert_eq!(counts, [40, 0, 0], "{name}");
        assert_eq!(bytes(&ours.local, Role::Sender), 40 * 300, "{name}");
        assert_eq!(bytes(&theirs.local, Role::Receiver), 40 * 300, "{name}");
        for lane in exchanges(&ours).into_iter().filter(|lane| lane.replies > 0) {
            let (latency, connect) = (lane.latency.as_ref(), lane.connect.as_ref());
            assert_eq!(latency.map(|l| l.count), Some(lane.replies), "{name}");
            assert!(connect.unwrap().min_ns > 0 && latency.unwrap().min_ns > 0, "{name}");
        }
        let protected = name.starts_with("quic");
        let told = exchanges(&ours).iter().any(|lane| lane.resumed.is_some());
        assert_eq!(told, protected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_responses_may_be_of_any_size() {
    let mut server = tcp_server(|s| s).await;
    for name in ["tcp", "quic", "kcp", "rudp", "tokio-kcp"] {
        for (request, response) in [(1, 1), (1, 1 << 20), (1 << 20, 1), (219, 220), (220, 219)] {
            let exchange = Exchange { request, response, ..Exchange::default() };
            let client = churn(tcp_client(&server).transport(name), exchange, 2);
            let [ours, theirs] = run(&mut server, client).await;
            assert_eq!(total(&ours, |e| e.replies), 2, "{name} {request} {response}");
            let received = bytes(&theirs.local, Role::Receiver);
            assert_eq!(received, 2 * u64::from(request), "{name} {request} {response}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_resumed_and_first_requests_sent_early_where_asked() {
    let mut server = tcp_server(|s| s).await;
    let resume = Tuning { resume: true, ..Tuning::default() };
    let early = Tuning { zero_rtt: true, ..Tuning::default() };
    for transport in ["quic", "quic-datagram"] {
        for (tuning, counts) in
            [(Tuning::default(), [0, 0]), (resume.clone(), [12, 0]), (early.clone(), [12, 12])]
        {
            let client = tcp_client(&server).transport(transport);
            let client = client.spec(|spec| spec.tuning = tuning.clone());
            let [ours, _] = run(&mut server, churn(client, Exchange::default(), 12)).await;
            let lane = exchanges(&ours)[0];
            let came = [lane.resumed.unwrap(), lane.early.unwrap()];
            assert_eq!((lane.replies, came), (12, counts), "{transport} {tuning:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn latency_is_counted_from_the_first_packet_to_the_last_byte() {
    // A millisecond each way: a round trip until the peer is there, and one for the request.
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let client = churn(world.client(&server), Exchange::default(), 10);
    let [ours, theirs] = run(&mut server, client).await;
    let lane = exchanges(&ours)[0];
    let millis = |ns: u64| Duration::from_nanos(ns).as_secs_f64() * 1e3;
    let (connect, latency) = (lane.connect.as_ref().unwrap(), lane.latency.as_ref().unwrap());
    assert!(millis(connect.p50_ns) < 0.1, "the network has no handshake: {connect:?}");
    assert!((3.9..4.3).contains(&millis(latency.p50_ns)), "{latency:?}");
    assert_eq!(bytes(&theirs.local, Role::Receiver), 640);
}

#[tokio::test(start_paused = true)]
async fn time_ends_a_churn_and_what_is_omitted_is_in_no_total() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let client = churn(world.client(&server), Exchange::default(), 1).streams(2).spec(|spec| {
        spec.limit = Limit::Time(Duration::from_secs(2));
        spec.omit = Duration::from_secs(1);
    });
    let [ours, theirs] = run(&mut server, client).await;
    for (flow, lane) in ours.local.flows.iter().zip(exchanges(&ours)) {
        assert!(lane.replies > 100, "{lane:?}");
        assert_eq!((flow.bytes, lane.requests), (64 * lane.replies, lane.replies));
        assert!(flow.omitted_bytes > 64 * 50);
        let seconds = flow.duration.as_secs_f64();
        assert!((1.99..2.01).contains(&seconds), "{seconds}");
    }
    let (sent, received) = (&ours.local.flows[0], &theirs.local.flows[0]);
    let all = |flow: &polyperf::measure::FlowSummary| flow.bytes + flow.omitted_bytes;
    assert!(all(received) >= all(sent) && all(received) <= all(sent) + 64);
    let counted: u64 = ours
        .intervals
        .iter()
        .filter(|i| !i.local.omitted)
        .map(|i| i.local.flows.iter().map(|flow| flow.bytes).sum::<u64>())
        .sum();
    assert_eq!(counted, bytes(&ours.local, Role::Sender), "intervals add up");
}

#[tokio::test(start_paused = true)]
async fn on_a_schedule_latency_is_counted_from_when_a_request_was_due() {
    // Each takes 4 ms and more, and 500 a second are wanted: the lane falls behind for ever.
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let exchange = Exchange { per_second: Some(500), ..Exchange::default() };
    let client = churn(world.client(&server), exchange, 100);
    let [ours, _] = run(&mut server, client).await;
    let lane = exchanges(&ours)[0].latency.clone().unwrap();
    assert!(lane.max_ns > 150_000_000, "{lane:?}");
    let exchange = Exchange { per_second: Some(50), ..Exchange::default() };
    let client = churn(world.client(&server), exchange, 100);
    let [ours, _] = run(&mut server, client).await;
    let lane = exchanges(&ours)[0].latency.clone().unwrap();
    assert!(lane.max_ns < 10_000_000, "{lane:?}");
    let took = ours.local.flows[0].duration.as_secs_f64();
    assert!((1.9..2.1).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_client_stops_a_churn_in_order() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let client = churn(world.client(&server), Exchange::default(), 1).streams(2);
    let client = client.spec(|spec| spec.limit = Limit::Endless).build().unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        "enough".to_owned()
    };
    let ours = soon(client.run_until(stop)).await.unwrap();
    let theirs = server.outcome().await;
    for outcome in [&ours, &theirs] {
        assert!(matches!(outcome.ended, Ended::Stopped { .. }), "{:?}", outcome.ended);
    }
    assert!(total(&ours, |e| e.replies) > 500);
    server.proves_itself(world.client(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transport_cannot_carry_is_refused_before_any_test() {
    let server = tcp_server(|s| s.deadlines(short())).await;
    let exchange = Exchange { request: 19, ..Exchange::default() };
    let client = churn(tcp_client(&server).transport("udp"), exchange, 1);
    let failure = soon(client.build().unwrap().run()).await.unwrap_err();
    assert!(failure.message.contains("20 to"), "{failure}");
    assert_eq!(server.handle.served(), 0);
}
