//! What both ends count, over virtual time.

use std::time::Duration;

use polyperf::{
    client,
    measure::Role,
    outcome::{Ended, FailureCode, Outcome, Side},
    spec::Limit,
};

use crate::support::{World, assert_adds_up, assert_intervals, bytes, soon};

type Set = fn(client::Builder) -> client::Builder;

const DIRECTIONS: [Set; 3] = [|c| c, client::Builder::reverse, client::Builder::bidirectional];

/// Runs one test, and returns what the client and the server made of it.
async fn run(set: impl Fn(client::Builder) -> client::Builder) -> [std::sync::Arc<Outcome>; 2] {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let client = set(world.client(&server)).build().unwrap();
    let ours = soon(client.run()).await.unwrap();
    let theirs = server.outcome().await;
    assert_eq!((&ours.ended, &theirs.ended), (&Ended::Complete, &Ended::Complete));
    assert_eq!(server.handle.running(), 0);
    server.handle.stop();
    server.stopped().await;
    [ours, theirs]
}

fn assert_goodput(outcome: &Outcome) {
    let spec = &outcome.info.spec;
    assert_eq!(outcome.goodput(Side::Server).is_some(), spec.client_sends());
    assert_eq!(outcome.goodput(Side::Client).is_some(), spec.server_sends());
}

#[tokio::test(start_paused = true)]
async fn timed_tests_add_up_in_every_direction() {
    for direction in DIRECTIONS {
        for streams in [1, 4] {
            let [client, server] =
                run(|c| direction(c).streams(streams).time(Duration::from_secs(3))).await;
            assert_adds_up(&client, &server);
            assert_intervals(&client);
            assert_intervals(&server);
            assert_goodput(&client);
            assert_goodput(&server);
            assert_eq!(client.intervals.len(), 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn counted_bytes_are_moved_to_the_last_one() {
    for direction in DIRECTIONS {
        for streams in [1, 4] {
            let [client, server] = run(|c| direction(c).streams(streams).bytes(5_000_001)).await;
            assert_adds_up(&client, &server);
            assert_intervals(&client);
            for outcome in [&client, &server] {
                for role in [Role::Sender, Role::Receiver] {
                    if let Some((bytes, _)) = outcome.local.total(role) {
                        assert_eq!(bytes, 5_000_001);
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn counted_blocks_are_moved_whole() {
    for direction in DIRECTIONS {
        for streams in [1, 4] {
            let [client, server] = run(|c| {
                direction(c).streams(streams).spec(|spec| {
                    spec.limit = Limit::Blocks(101);
                    spec.block = 1000;
                })
            })
            .await;
            assert_adds_up(&client, &server);
            let sender = if client.info.spec.client_sends() { &client } else { &server };
            assert_eq!(bytes(&sender.local, Role::Sender), 101_000);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_omitted_is_in_no_total() {
    for direction in DIRECTIONS {
        let [client, server] = run(|c| {
            direction(c)
                .time(Duration::from_secs(2))
                .rate(8_000_000)
                .spec(|spec| spec.omit = Duration::from_secs(1))
        })
        .await;
        assert_adds_up(&client, &server);
        assert_intervals(&client);
        assert_intervals(&server);
        assert_eq!(client.intervals.iter().filter(|i| i.local.omitted).count(), 1);
        for flow in client.local.flows.iter().chain(&server.local.flows) {
            assert!(flow.bytes.abs_diff(2_000_000) < 20_000, "{flow:?}");
            assert!(flow.omitted_bytes.abs_diff(1_000_000) < 20_000, "{flow:?}");
            assert!(flow.duration.abs_diff(Duration::from_secs(2)) < Duration::from_millis(20));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_met_to_the_block() {
    for direction in DIRECTIONS {
        let [client, server] =
            run(|c| direction(c).streams(2).time(Duration::from_secs(5)).rate(8_000_000)).await;
        let block = u64::from(client.info.spec.block);
        for flow in client.local.flows.iter().chain(&server.local.flows) {
            assert!(flow.bytes.abs_diff(5_000_000) <= block, "{} of 5000000", flow.bytes);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn intervals_of_any_length_are_paired() {
    for millis in [100, 300, 1000] {
        let interval = Duration::from_millis(millis);
        let [client, server] = run(|c| {
            c.reverse().time(Duration::from_millis(2500)).rate(8_000_000).interval(Some(interval))
        })
        .await;
        assert_intervals(&client);
        assert_intervals(&server);
        assert!(client.intervals.len() > 2);
    }
    let [client, _] = run(|c| c.time(Duration::from_secs(2)).interval(None)).await;
    assert_eq!(client.intervals.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_report_comes_with_its_results() {
    let [client, _] =
        run(|c| c.time(Duration::from_secs(1)).spec(|spec| spec.server_output = true)).await;
    assert!(client.server_output.as_deref().is_some_and(|text| text.contains("sec")));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_starves_for_too_long_fails_the_test() {
    let world = World::new();
    let server = world.serve(|s| s).await;
    // A block each ten seconds is no progress for who waits one.
    let client = world.client(&server).reverse().rate(1200).spec(|s| {
        s.block = 1500;
        s.receive_timeout = Some(Duration::from_secs(1));
    });
    let outcome = soon(client.build().unwrap().run()).await.unwrap();
    match &outcome.ended {
        Ended::Failed(failure) => {
            assert_eq!(failure.code, FailureCode::Stalled);
            assert!(failure.message.contains("nothing was received for 1s"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}
