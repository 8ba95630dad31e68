//! Who asks and who answers, over an emulated link.

use super::*;
use polyperf_memory::link::BitRate;

use crate::{
    measure::{ExchangeSummary, LatencySummary, OneWayMissing},
    spec::{Direction, Exchange, Probe, Workload},
};

const MAX: NonZeroUsize = NonZeroUsize::new(65_507).unwrap();

fn bytes(link: LinkConfig) -> (Memory, Framing) {
    (Memory::bytes(&Network::new(link)), Framing::Bytes)
}

fn messages(link: LinkConfig) -> (Memory, Framing) {
    (Memory::messages(&Network::new(link), MAX), Framing::Native)
}

/// Two wires whose ways differ.
fn unequal(there: LinkConfig, back: LinkConfig) -> [(Memory, Framing); 2] {
    let network = || Network::asymmetric(there.clone(), back.clone());
    [
        (Memory::bytes(&network()), Framing::Bytes),
        (Memory::messages(&network(), MAX), Framing::Native),
    ]
}

fn rr(exchange: Exchange, limit: Limit) -> TestSpec {
    let workload = Workload::Rr(exchange);
    TestSpec::try_from(SpecFields { workload, limit, ..SpecFields::default() }).unwrap()
}

/// A client and a server, and who tells each what the other has sent.
struct Session {
    client: Test,
    server: Test,
}

impl Session {
    async fn start(spec: &TestSpec, (memory, framing): (Memory, Framing), drive: Drive) -> Self {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for id in (1..=spec.flows()).map(FlowId) {
            let [client, server] = streams_of(memory.clone()).await;
            let flow = |side, stream| Flow { id, role: spec.role(side, id).unwrap(), stream };
            ours.push(flow(crate::outcome::Side::Client, client));
            theirs.push(flow(crate::outcome::Side::Server, server));
        }
        let begin = |flows| Test::begin(spec, flows, setup(framing, drive));
        Self { client: begin(ours), server: begin(theirs) }
    }

    /// Runs both ends to their end.
    async fn run(&mut self) {
        let ends = self.both();
        tokio::time::timeout(Duration::from_secs(600), ends).await.expect("it ends");
    }

    async fn both(&mut self) {
        let mut done = [false; 2];
        while done != [true; 2] {
            let (end, event) = tokio::select! {
                event = self.client.next(), if !done[0] => (0, event),
                event = self.server.next(), if !done[1] => (1, event),
            };
            match event {
                TestEvent::SendingDone(sent) if end == 0 => self.server.expect(&sent),
                TestEvent::SendingDone(sent) => self.client.expect(&sent),
                TestEvent::Done => done[end] = true,
                TestEvent::Sample(sample) => {
                    let of_load = |flow: &crate::measure::FlowSample| flow.role.is_of_load();
                    assert!(sample.flows.iter().all(of_load), "{sample:?}");
                }
                TestEvent::Received(_) => {}
                TestEvent::Failed(failure) => panic!("end {end}: {failure}"),
            }
        }
    }

    fn exchanges(&self, flow: usize) -> ExchangeSummary {
        *self.client.summary().flows[flow].exchanges.clone().unwrap()
    }

    /// Asserts that whatever was asked has arrived.
    fn assert_all_arrived(&self) {
        for (sent, received) in self.client.summary().flows.iter().zip(&self.server.summary().flows)
        {
            assert_eq!(sent.bytes, received.bytes, "{:?}", sent.flow);
            assert_eq!((&sent.error, &received.error), (&None, &None));
        }
    }
}

fn near(nanos: u64, to: Duration) -> bool {
    let to = u64::try_from(to.as_nanos()).unwrap();
    // The runtime's timer is coarse, and each way takes one.
    nanos.abs_diff(to) <= 3_000_000
}

#[tokio::test(start_paused = true)]
async fn each_request_takes_a_round_trip() {
    let link = LinkConfig::perfect().delay(10 * MS);
    for (wire, in_flight) in [
        (bytes(link.clone()), 1),
        (messages(link.clone()), 1),
        (bytes(link.clone()), 8),
        (messages(link), 8),
    ] {
        let exchange = Exchange { request: 100, response: 300, in_flight, per_second: None };
        let spec = rr(exchange, Limit::Blocks(400));
        let mut session = Session::start(&spec, wire, Drive::Inline).await;
        session.run().await;
        session.assert_all_arrived();
        let exchanges = session.exchanges(0);
        assert_eq!((exchanges.requests, exchanges.replies, exchanges.lost), (400, 400, 0));
        let latency = exchanges.latency.unwrap();
        assert!(near(latency.min_ns, 20 * MS) && near(latency.max_ns, 20 * MS), "{latency:?}");
        let client = &session.client.summary().flows[0];
        assert_eq!((client.bytes, client.role), (40_000, Role::Sender));
        let lasted = client.duration.as_millis();
        let trips = 400 / u128::from(in_flight);
        assert!((20 * trips..=22 * trips + 40).contains(&lasted), "{lasted} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_on_one_way_is_told_of_that_way() {
    let narrow = LinkConfig::perfect().rate(BitRate::mbps(1)).delay(10 * MS);
    let wide = LinkConfig::perfect().rate(BitRate::mbps(100)).delay(10 * MS);
    // Twenty at once wait for each other where it is narrow, and all of the wait is there.
    let exchange = Exchange { request: 500, response: 500, in_flight: 20, per_second: None };
    for (to_server, to_client) in [(&narrow, &wide), (&wide, &narrow)] {
        for wire in unequal(to_server.clone(), to_client.clone()) {
            let spec = rr(exchange, Limit::Blocks(2000));
            let mut session = Session::start(&spec, wire, Drive::Inline).await;
            session.run().await;
            session.assert_all_arrived();
            let ways = session.exchanges(0).one_way.unwrap();
            assert_eq!((ways.exchanges, ways.negative), (2000, 0));
            let median = |way: &Option<LatencySummary>| way.as_ref().unwrap().p50_ns;
            let (mut slow, mut fast) = (median(&ways.forward), median(&ways.backward));
            if std::ptr::eq(to_client, &narrow) {
                std::mem::swap(&mut slow, &mut fast);
            }
            let off = Duration::from_nanos(ways.uncertainty_ns) + 3 * MS;
            // 20 times 500 bytes at 1 Mbit/s are 80 ms, of which 20 go in propagation.
            assert!(slow > 40_000_000, "{ways:?}");
            assert!(Duration::from_nanos(fast).abs_diff(10 * MS) <= off, "{ways:?}");
            assert!(off < 60 * MS, "{ways:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_tells_on_which_way_the_load_queues() {
    let narrow = LinkConfig::perfect().rate(BitRate::mbps(10)).delay(5 * MS);
    let wide = LinkConfig::perfect().delay(5 * MS);
    let spec = probed(Direction::Forward, |fields| fields.block = 1000);
    for wire in unequal(narrow.clone(), wide.clone()) {
        let mut session = Session::start(&spec, wire, Drive::Inline).await;
        session.run().await;
        let exchanges = session.exchanges(1);
        let ways = exchanges.one_way.unwrap();
        let median = |way: &Option<LatencySummary>| way.as_ref().unwrap().p50_ns;
        assert!(near(median(&ways.idle_forward), 5 * MS), "{ways:?}");
        assert!(near(median(&ways.idle_backward), 5 * MS), "{ways:?}");
        let queued = exchanges.latency.unwrap().p50_ns.saturating_sub(10_000_000);
        let forward = median(&ways.forward).saturating_sub(5_000_000);
        assert!(forward.abs_diff(queued) <= 5_000_000, "{queued} queued: {ways:?}");
        assert!(near(median(&ways.backward), 5 * MS), "{ways:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn responses_without_room_for_a_clock_say_so() {
    let link = LinkConfig::perfect().delay(MS);
    for (wire, least) in [(bytes(link.clone()), 24), (messages(link), 44)] {
        for (response, missing) in [(least, None), (least - 1, Some(OneWayMissing::NoRoom))] {
            let exchange = Exchange { response, in_flight: 3, ..Exchange::default() };
            let spec = rr(exchange, Limit::Blocks(50));
            let wire = (wire.0.clone(), wire.1);
            let mut session = Session::start(&spec, wire, Drive::Inline).await;
            session.run().await;
            let exchanges = session.exchanges(0);
            assert_eq!(exchanges.one_way.is_none(), missing.is_some(), "{response}");
            assert_eq!(exchanges.one_way_missing, missing, "{response}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn long_ones_in_pipelines_come_whole_over_a_narrow_link() {
    let link = LinkConfig::perfect().rate(BitRate::mbps(100)).delay(MS);
    let exchange = Exchange { request: 300_000, response: 1 << 20, in_flight: 5, per_second: None };
    let mut session =
        Session::start(&rr(exchange, Limit::Blocks(23)), bytes(link), Drive::Inline).await;
    session.run().await;
    session.assert_all_arrived();
    let exchanges = session.exchanges(0);
    assert_eq!((exchanges.requests, exchanges.replies, exchanges.lost), (23, 23, 0));
    assert_eq!(exchanges.one_way.map(|ways| ways.exchanges), Some(23), "each had its stamp");
}

#[tokio::test(start_paused = true)]
async fn requests_and_responses_of_a_byte_are_counted_one_by_one() {
    let exchange = Exchange { request: 1, response: 1, in_flight: 3, per_second: None };
    let link = LinkConfig::perfect().delay(MS);
    let spec = rr(exchange, Limit::Time(Duration::from_secs(1)));
    let mut session = Session::start(&spec, bytes(link), Drive::Inline).await;
    session.run().await;
    session.assert_all_arrived();
    let exchanges = session.exchanges(0);
    assert_eq!(exchanges.replies, exchanges.requests);
    assert_eq!(session.client.summary().flows[0].duration, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn lost_datagrams_are_counted_and_free_their_places() {
    // Each direction has the script: a request is lost, and a response.
    let link = LinkConfig::perfect().delay(10 * MS).script(Script::new().drop([10]));
    let exchange = Exchange { in_flight: 2, ..Exchange::default() };
    let mut session =
        Session::start(&rr(exchange, Limit::Blocks(100)), messages(link), Drive::Inline).await;
    session.run().await;
    let exchanges = session.exchanges(0);
    assert_eq!(exchanges.requests, 100);
    assert!((1..=2).contains(&exchanges.lost), "{exchanges:?}");
    assert_eq!(exchanges.replies + exchanges.lost, 100);
}

#[tokio::test(start_paused = true)]
async fn copies_and_late_ones_are_no_responses() {
    let script = Script::new().duplicate([3, 7]).delay([20], Duration::from_millis(1200));
    let link = LinkConfig::perfect().delay(MS).script(script);
    let exchange = Exchange { in_flight: 4, ..Exchange::default() };
    let spec = rr(exchange, Limit::Time(Duration::from_secs(2)));
    let mut session = Session::start(&spec, messages(link), Drive::Inline).await;
    session.run().await;
    let exchanges = session.exchanges(0);
    assert!((1..=2).contains(&exchanges.lost), "{exchanges:?}");
    assert_eq!(exchanges.replies + exchanges.lost, exchanges.requests);
    assert!(exchanges.latency.unwrap().max_ns < 100_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_schedule_is_kept_whatever_responses_take() {
    let link = LinkConfig::perfect().delay(50 * MS);
    for wire in [bytes(link.clone()), messages(link)] {
        let exchange = Exchange { in_flight: 100, per_second: Some(200), ..Exchange::default() };
        let spec = rr(exchange, Limit::Time(Duration::from_secs(3)));
        let mut session = Session::start(&spec, wire, Drive::Inline).await;
        session.run().await;
        session.assert_all_arrived();
        let exchanges = session.exchanges(0);
        assert_eq!((exchanges.requests, exchanges.replies, exchanges.lost), (600, 600, 0));
        let latency = exchanges.latency.unwrap();
        assert!(near(latency.p50_ns, 100 * MS) && near(latency.p99_ns, 100 * MS), "{latency:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn streams_share_the_count_of_requests() {
    let workload = Workload::Rr(Exchange::default());
    let limit = Limit::Bytes(64 * 100 - 1);
    let fields = SpecFields { workload, limit, streams: 4, ..SpecFields::default() };
    let spec = TestSpec::try_from(fields).unwrap();
    let wire = bytes(LinkConfig::perfect().delay(MS));
    let mut session = Session::start(&spec, wire, Drive::Inline).await;
    session.run().await;
    session.assert_all_arrived();
    let replies: Vec<_> = (0..4).map(|flow| session.exchanges(flow).replies).collect();
    assert_eq!(replies.iter().sum::<u64>(), 100, "rounded up to whole requests");
    assert!(replies.iter().all(|replies| *replies > 10), "{replies:?}");
}

#[tokio::test]
async fn threads_ask_and_answer_alike() {
    let link = LinkConfig::perfect();
    for wire in [bytes(link.clone()), messages(link)] {
        let exchange = Exchange { request: 20, response: 30, in_flight: 4, per_second: None };
        let mut session =
            Session::start(&rr(exchange, Limit::Blocks(1000)), wire, Drive::Threads).await;
        session.run().await;
        session.assert_all_arrived();
        assert_eq!(session.exchanges(0).replies, 1000);
    }
}

fn probed(direction: Direction, set: impl FnOnce(&mut SpecFields)) -> TestSpec {
    let mut fields = SpecFields {
        direction,
        limit: Limit::Time(Duration::from_secs(2)),
        omit: Duration::from_millis(500),
        block: 10_000,
        probe: Some(Probe::default()),
        ..SpecFields::default()
    };
    set(&mut fields);
    TestSpec::try_from(fields).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_probe_sees_the_idle_path_and_the_loaded_one_and_is_in_no_total() {
    let link = LinkConfig::perfect().rate(BitRate::mbps(10)).delay(5 * MS);
    for direction in [Direction::Forward, Direction::Reverse, Direction::Bidirectional] {
        let spec = probed(direction, |_| {});
        let mut session = Session::start(&spec, bytes(link.clone()), Drive::Inline).await;
        session.run().await;
        let (client, server) = (session.client.summary(), session.server.summary());
        let probe = usize::from(spec.load_flows());
        let exchanges = session.exchanges(probe);
        assert_eq!((exchanges.requests, exchanges.lost), (200, 0), "{direction:?}");
        let idle = exchanges.idle.unwrap();
        assert!(idle.count == 100 && near(idle.p50_ns, 10 * MS), "{idle:?}");
        assert_eq!(exchanges.latency.unwrap().count, 200);
        assert_eq!(client.flows[probe].role, Role::Prober);
        assert_eq!(server.flows[probe].role, Role::Probed);
        for side in [&client, &server] {
            for role in [Role::Sender, Role::Receiver] {
                let of_load = side.flows[..probe].iter().filter(|flow| flow.role == role);
                let bytes: u64 = of_load.map(|flow| flow.bytes).sum();
                assert_eq!(side.total(role).map_or(0, |(bytes, _)| bytes), bytes);
            }
            for flow in &side.flows[..probe] {
                assert!(flow.omitted_bytes > 0 && flow.bytes > 1_000_000, "{flow:?}");
                // Half a second of 10 Mbit/s: nothing goes in the idle time.
                let received = flow.role == Role::Receiver;
                assert!(!received || flow.omitted_bytes < 700_000, "{flow:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_ends_with_a_load_that_a_count_ends() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let spec = probed(direction, |fields| {
            fields.limit = Limit::Bytes(2_000_000);
            fields.omit = Duration::ZERO;
        });
        let link = LinkConfig::perfect().rate(BitRate::mbps(10)).delay(MS);
        let mut session = Session::start(&spec, bytes(link), Drive::Inline).await;
        session.run().await;
        let exchanges = session.exchanges(1);
        assert_eq!(exchanges.lost, 0);
        assert!((50..250).contains(&exchanges.replies), "{exchanges:?}");
        assert_eq!(exchanges.replies, exchanges.requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_test_ends_though_no_probe_is_answered() {
    let spec = probed(Direction::Forward, |fields| fields.block = 1000);
    let (memory, framing) = messages(LinkConfig::perfect().delay(MS));
    let [client, server] = streams_of(memory.clone()).await;
    let [probe, _nobody] = streams_of(memory).await;
    let flow = |id, role, stream| Flow { id: FlowId(id), role, stream };
    let flows = vec![flow(1, Role::Sender, client), flow(2, Role::Prober, probe)];
    let mut client = Test::begin(&spec, flows, setup(framing, Drive::Inline));
    let flows = vec![flow(1, Role::Receiver, server)];
    let _server = Test::begin(&spec, flows, setup(framing, Drive::Inline));
    while !matches!(client.next().await, TestEvent::Done) {}
    let exchanges = client.summary().flows[1].exchanges.clone().unwrap();
    assert_eq!((exchanges.requests, exchanges.replies, exchanges.lost), (200, 0, 200));
    assert_eq!((exchanges.idle, exchanges.latency), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_knows_of_no_stamps_has_no_ways_told() {
    let (mut client, mut server) = alone(Exchange::default(), Limit::Blocks(10)).await;
    let answers = async {
        // Whatever an older one's responses hold.
        let payload = crate::engine::buffer::Buffer::payload(64);
        let mut request = [0; 64];
        for _ in 0..10 {
            let mut came = 0;
            while came < 64 {
                let received = poll_fn(|cx| server.recv.poll_recv(cx, &mut request)).await;
                came += received.unwrap().unwrap().len;
            }
            polyperf_transport::send_all(server.send.as_mut(), payload.bytes()).await.unwrap();
        }
        std::future::pending::<()>().await;
    };
    let done = async { while !matches!(client.next().await, TestEvent::Done) {} };
    tokio::select! { () = answers => {}, () = done => {} }
    let exchanges = client.summary().flows[0].exchanges.clone().unwrap();
    assert_eq!((exchanges.replies, exchanges.one_way), (10, None));
    assert_eq!(exchanges.one_way_missing, Some(OneWayMissing::NotStamped));
}

/// Has a client ask whom nobody runs a test with.
async fn alone(exchange: Exchange, limit: Limit) -> (Test, Stream) {
    let (memory, framing) = bytes(LinkConfig::perfect().delay(MS));
    let [client, server] = streams_of(memory).await;
    let flows = vec![Flow { id: FlowId(1), role: Role::Sender, stream: client }];
    (Test::begin(&rr(exchange, limit), flows, setup(framing, Drive::Inline)), server)
}

async fn failure(test: &mut Test) -> String {
    let failure = async {
        loop {
            match test.next().await {
                TestEvent::Failed(failure) => return failure.message,
                TestEvent::Done => panic!("it did not fail"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(100), failure).await.expect("it fails at once")
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_too_much_fails_the_flow() {
    for excess in [1, 64, 1000] {
        let (mut client, mut server) = alone(Exchange::default(), Limit::Endless).await;
        let answer = vec![0; 64 + excess];
        polyperf_transport::send_all(server.send.as_mut(), &answer).await.unwrap();
        let failure = failure(&mut client).await;
        assert!(failure.contains("more than it was asked for"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_instead_of_answering_fails_the_flow() {
    let (mut client, mut server) = alone(Exchange::default(), Limit::Endless).await;
    poll_fn(|cx| server.send.poll_finish(cx)).await.unwrap();
    let failure = failure(&mut client).await;
    assert!(failure.contains("more was to be asked"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_delays_the_end_by_no_more_than_the_patience() {
    let limit = Limit::Time(Duration::from_secs(3));
    let (mut client, _server) =
        alone(Exchange { in_flight: 3, ..Exchange::default() }, limit).await;
    while !matches!(client.next().await, TestEvent::Done) {}
    let flow = &client.summary().flows[0];
    let exchanges = flow.exchanges.as_ref().unwrap();
    assert_eq!((exchanges.requests, exchanges.replies, exchanges.lost), (3, 0, 3));
    let took = client.epoch().elapsed();
    assert!((Duration::from_secs(4)..Duration::from_millis(4100)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_holds_up_nothing_but_its_flow() {
    let (memory, framing) = bytes(LinkConfig::perfect().delay(MS));
    let [mut client, server] = streams_of(memory).await;
    let exchange = Exchange { request: 1, response: 1 << 20, in_flight: 1000, per_second: None };
    let flows = vec![Flow { id: FlowId(1), role: Role::Receiver, stream: server }];
    let mut test = Test::begin(&rr(exchange, Limit::Endless), flows, setup(framing, Drive::Inline));
    polyperf_transport::send_all(client.send.as_mut(), &[0; 1000]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), test.next()).await.unwrap();
    test.halt();
    while !matches!(test.next().await, TestEvent::Done) {}
    assert_eq!(test.summary().flows[0].error, None);
}
