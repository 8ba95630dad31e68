//! Tests of datagrams, counted one by one at both ends, over links whose every fate is known.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use polyperf::{
    Registry, Server, client,
    engine::Drive,
    event::Event,
    measure::{DatagramSummary, FlowSummary, Role},
    outcome::{Ended, FailureCode, Outcome, Side},
    spec::{Direction, Limit},
    transport::Transport,
};
use polyperf_memory::{
    Memory, Network,
    link::{LinkConfig, Loss, Probability, Reorder, Script},
};

use crate::support::{Serving, next, soon};

const MS: Duration = Duration::from_millis(1);

/// Control over a perfect network, and datagrams over another.
struct World {
    network: Network,
    control: Arc<dyn Transport>,
    data: Arc<dyn Transport>,
}

impl World {
    fn new(to_server: LinkConfig, to_client: LinkConfig) -> Self {
        let network = Network::asymmetric(to_server, to_client);
        let max = NonZeroUsize::new(65_507).unwrap();
        let data = Arc::new(Memory::messages(&network, max));
        let control = Arc::new(Memory::bytes(&Network::perfect()));
        Self { network, control, data }
    }

    /// A world in which this happens to the datagrams of the one who sends.
    fn scripted(direction: Direction, script: Script) -> Self {
        let link = |script| LinkConfig::perfect().delay(MS).script(script);
        if direction == Direction::Forward {
            Self::new(link(script), link(Script::new()))
        } else {
            Self::new(link(Script::new()), link(script))
        }
    }

    async fn serve(&self) -> Serving {
        let registry = Registry::empty();
        let registry = registry.with(Arc::clone(&self.control)).with(Arc::clone(&self.data));
        let builder = Server::builder()
            .listen(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
            .transports(registry)
            .drive(Drive::Inline)
            .keep_intervals(true);
        Serving::start(builder).await
    }

    /// A client that sends a thousand datagrams of a kilobyte, one in each millisecond.
    fn client(&self, server: &Serving) -> client::Builder {
        polyperf::Client::builder("127.0.0.1")
            .port(server.addr.port())
            .over(Arc::clone(&self.control))
            .control(self.control.name())
            .over(Arc::clone(&self.data))
            .drive(Drive::Inline)
            .rate(8_000_000)
            .spec(|spec| {
                spec.limit = Limit::Blocks(1000);
                spec.block = 1000;
            })
    }

    /// Runs one test, and returns what the client and the server made of it.
    async fn run(&self, set: impl Fn(client::Builder) -> client::Builder) -> [Arc<Outcome>; 2] {
        let mut server = self.serve().await;
        let client = set(self.client(&server)).build().unwrap();
        let ours = soon(client.run()).await.unwrap();
        let theirs = server.outcome().await;
        assert_eq!((&ours.ended, &theirs.ended), (&Ended::Complete, &Ended::Complete));
        [ours, theirs]
    }
}

fn towards(client: client::Builder, direction: Direction) -> client::Builder {
    client.spec(|spec| spec.direction = direction)
}

/// Returns the flow at its sender and at its receiver, on which both ends agree.
fn flow(outcomes: &[Arc<Outcome>; 2]) -> [FlowSummary; 2] {
    let [client, server] = outcomes;
    let id = client.info.flows[0].flow;
    [Role::Sender, Role::Receiver].map(|role| {
        let flow = client.flow(id, role).unwrap();
        let theirs = server.flow(id, role).unwrap();
        assert_eq!(micros(flow), micros(theirs));
        assert_eq!(flow.error, None);
        flow.clone()
    })
}

/// The figures as they are on the wire, where times are whole microseconds.
fn micros(flow: &FlowSummary) -> FlowSummary {
    serde_json::from_value(serde_json::to_value(flow).unwrap()).unwrap()
}

fn received(outcomes: &[Arc<Outcome>; 2]) -> DatagramSummary {
    flow(outcomes)[1].datagrams.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_counts_are_the_links_truth_in_both_directions() {
    let script = Script::new()
        .drop([10, 11, 12, 500, 997, 998, 999])
        .duplicate([20, 700])
        .delay([100, 300], 5 * MS);
    for direction in [Direction::Forward, Direction::Reverse] {
        let outcomes =
            World::scripted(direction, script.clone()).run(|c| towards(c, direction)).await;
        let [sender, receiver] = flow(&outcomes);
        assert_eq!((sender.datagrams_sent, sender.datagrams), (Some(1000), None));
        let counts = receiver.datagrams.unwrap();
        assert_eq!((counts.received, counts.lost, receiver.bytes), (993, Some(7), 993_000));
        assert_eq!((counts.reordered, counts.duplicated), (Some(2), Some(2)));
        assert_eq!((counts.late, counts.strays), (Some(0), Some(0)));
        assert_eq!((counts.loss_runs, counts.longest_loss_run), (Some(3), Some(3)));
        assert!(counts.jitter.is_some() && counts.delay_variation.is_some());
        assert!(sender.lateness.is_some_and(|late| late.count == 1000));
        assert!(sender.pacing.is_some_and(|pacing| pacing.max_token_error <= 3000));
    }
}

#[tokio::test(start_paused = true)]
async fn intervals_add_up_to_the_totals() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let script = Script::new().drop([500, 1500, 2998, 2999]);
        let time = |c: client::Builder| {
            towards(c, direction).spec(|spec| spec.limit = Limit::Time(Duration::from_secs(3)))
        };
        let outcomes = World::scripted(direction, script).run(time).await;
        let counts = received(&outcomes);
        assert_eq!((counts.received, counts.lost), (2996, Some(4)));
        for outcome in &outcomes {
            let id = outcome.info.flows[0].flow;
            let seen = |role| outcome.intervals.iter().filter_map(move |i| i.seen_by(role, id));
            let sent: u64 = seen(Role::Sender).filter_map(|(f, _)| f.datagrams_sent).sum();
            let (got, lost) = seen(Role::Receiver)
                .filter_map(|(f, _)| f.datagrams)
                .fold((0, 0), |(got, lost), d| (got + d.received, lost + d.lost.unwrap()));
            assert_eq!((sent, got, lost), (3000, 2996, 4));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_omitted_is_in_no_count() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let script = Script::new().drop([100, 101, 1500]);
        let omit = |c: client::Builder| {
            towards(c, direction).spec(|spec| {
                spec.limit = Limit::Time(Duration::from_secs(1));
                spec.omit = Duration::from_secs(1);
            })
        };
        let outcomes = World::scripted(direction, script).run(omit).await;
        let [sender, receiver] = flow(&outcomes);
        let counts = receiver.datagrams.unwrap();
        assert_eq!((counts.lost, counts.loss_runs), (Some(1), Some(1)));
        assert_eq!(receiver.bytes, counts.received * 1000);
        assert!(counts.received.abs_diff(999) <= 3, "{}", counts.received);
        assert!(sender.datagrams_sent.unwrap().abs_diff(1000) <= 3);
    }
}

#[tokio::test(start_paused = true)]
async fn both_ends_may_send_at_once() {
    let link = |script| LinkConfig::perfect().delay(MS).script(script);
    let drop = |numbers: [u64; 2]| link(Script::new().drop(numbers));
    let world = World::new(drop([5, 999]), drop([7, 8]));
    let [client, server] = world.run(client::Builder::bidirectional).await;
    for outcome in [&client, &server] {
        for side in [Side::Client, Side::Server] {
            let flow = outcome.side(side).unwrap().with_role(Role::Receiver).next().unwrap();
            let counts = flow.datagrams.unwrap();
            assert_eq!((counts.received, counts.lost), (998, Some(2)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_rolls_dice_is_counted_as_exactly() {
    let link = LinkConfig {
        duplicate: Probability::new(0.02),
        reorder: Reorder { probability: Probability::new(0.02), hold: 5 * MS },
        ..LinkConfig::perfect().delay(MS).loss(Loss::iid(Probability::new(0.05))).seed(7)
    };
    let world = World::new(LinkConfig::perfect().delay(MS), link);
    let server = world.serve().await;
    let client = world.client(&server).reverse().build().unwrap();
    let mut events = client.events();
    let running = tokio::spawn(async move { client.run().await });
    let local = next(&mut events, |event| match event {
        Event::Connected(info) => Some(info.flows[0].local),
        _ => None,
    });
    let cable = world.network.cable(local.await).unwrap();
    let outcome = soon(running).await.unwrap().unwrap();
    let truth = cable.to_connector();
    let counts = outcome.flow(outcome.info.flows[0].flow, Role::Receiver).unwrap();
    let counts = counts.datagrams.unwrap();
    assert_eq!((truth.pushed, counts.lost), (1000, Some(truth.lost)));
    assert_eq!(counts.received, 1000 - truth.lost);
    assert_eq!(counts.duplicated, Some(truth.duplicated));
    assert!(truth.lost > 20 && truth.duplicated > 5 && counts.reordered > Some(5));
}

#[tokio::test(start_paused = true)]
async fn a_test_of_which_nothing_arrives_is_complete() {
    let world = World::scripted(Direction::Forward, Script::new().drop(0..1000));
    let outcomes = world.run(|c| c).await;
    let counts = received(&outcomes);
    assert_eq!((counts.received, counts.lost), (0, Some(1000)));
}

#[tokio::test(start_paused = true)]
async fn a_datagram_too_short_for_its_header_is_refused() {
    let world = World::scripted(Direction::Forward, Script::new());
    let server = world.serve().await;
    let client = world.client(&server).spec(|spec| spec.block = 19).build().unwrap();
    let refused = soon(client.run()).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::Unsupported, "{refused}");
}
