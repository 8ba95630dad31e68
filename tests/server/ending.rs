//! Tests that end before their time, and servers that do.

use std::time::Duration;

use polyperf::{
    client,
    measure::Role,
    outcome::{Ended, FailureCode, Side},
    server::Stopped,
    spec::Limit,
};

use crate::support::{World, bytes, connected, soon, spawn};

const SECOND: Duration = Duration::from_secs(1);

fn endless(client: client::Builder) -> client::Builder {
    client.spec(|spec| spec.limit = Limit::Endless)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_leaves_partial_results_at_both_ends() {
    for set in [|c: client::Builder| c, client::Builder::reverse, client::Builder::bidirectional] {
        let world = World::new();
        let mut server = world.serve(|s| s).await;
        let client = endless(set(world.client(&server))).build().unwrap();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(2500)).await;
            "interrupted".to_owned()
        };
        let ours = soon(client.run_until(stop)).await.unwrap();
        let theirs = server.outcome().await;
        for outcome in [&ours, &theirs] {
            let stopped = Ended::Stopped { by: Side::Client, reason: "interrupted".to_owned() };
            assert_eq!(outcome.ended, stopped);
            assert!(outcome.remote.is_some());
            assert!(outcome.local.flows.iter().all(|flow| flow.bytes > 0 && flow.error.is_none()));
            assert_eq!(outcome.intervals.len(), 3);
        }
        assert_eq!(server.handle.running(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_before_its_test_has_nothing_to_show() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let client = world.client(&server).build().unwrap();
    let failure = client.run_until(async { "no".to_owned() }).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Cancelled);
    server.proves_itself(world.client(&server)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_told_to_stop_cuts_tests_short() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let running = spawn(endless(world.client(&server)));
    server.event(connected).await;
    tokio::time::sleep(SECOND).await;
    server.handle.stop();
    let ours = soon(running).await.unwrap().unwrap();
    let theirs = server.outcome().await;
    for outcome in [&ours, &theirs] {
        assert!(matches!(outcome.ended, Ended::Stopped { by: Side::Server, .. }));
        assert!(outcome.remote.is_some());
    }
    assert!(bytes(&theirs.local, Role::Receiver) > 0);
    assert_eq!(server.stopped().await, Stopped::Told);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_tells_what_it_has_of_a_client_that_is_gone() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let running = spawn(endless(world.client(&server)));
    server.event(connected).await;
    tokio::time::sleep(SECOND).await;
    world.network.cut();
    server.handle.stop();
    let theirs = server.outcome().await;
    assert!(bytes(&theirs.local, Role::Receiver) > 0);
    let handle = server.handle.clone();
    assert_eq!(server.stopped().await, Stopped::Told);
    assert_eq!(handle.running(), 0);
    let ours = soon(running).await.unwrap().unwrap();
    assert!(matches!(&ours.ended, Ended::Failed(failure) if failure.code == FailureCode::PeerLost));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_running_test_finish_and_takes_no_other() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(1)).await;
    let running = spawn(world.client(&server).time(3 * SECOND));
    server.event(connected).await;
    let waiting = spawn(world.client(&server));
    tokio::time::sleep(SECOND).await;
    server.drain();
    let refused = soon(waiting).await.unwrap().unwrap_err();
    assert_eq!(refused.code, FailureCode::Draining);
    let refused = soon(world.client(&server).build().unwrap().run()).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::Draining);
    assert_eq!(soon(running).await.unwrap().unwrap().ended, Ended::Complete);
    assert_eq!(server.outcome().await.ended, Ended::Complete);
    assert_eq!(server.stopped().await, Stopped::Told);
}

#[tokio::test(start_paused = true)]
async fn a_drain_through_the_handle_ends_an_idle_server() {
    let world = World::new();
    let server = world.serve(|s| s).await;
    server.handle.drain();
    assert_eq!(server.stopped().await, Stopped::Told);
}

#[tokio::test(start_paused = true)]
async fn a_one_off_server_serves_once() {
    let world = World::new();
    let server = world.serve(|s| s.one_off(true)).await;
    let outcome = soon(world.client(&server).time(SECOND).build().unwrap().run()).await.unwrap();
    assert_eq!(outcome.ended, Ended::Complete);
    assert_eq!(server.stopped().await, Stopped::OneOff);
}

#[tokio::test(start_paused = true)]
async fn an_idle_server_stops_in_its_time_and_a_busy_one_does_not() {
    let world = World::new();
    let server = world.serve(|s| s.idle_timeout(5 * SECOND)).await;
    let start = tokio::time::Instant::now();
    let long = spawn(world.client(&server).time(20 * SECOND).rate(1_000_000));
    assert_eq!(soon(long).await.unwrap().unwrap().ended, Ended::Complete);
    let again = soon(world.client(&server).time(SECOND).build().unwrap().run()).await;
    assert_eq!(again.expect("a running test is not idleness").ended, Ended::Complete);
    assert_eq!(server.stopped().await, Stopped::Idle);
    assert!(start.elapsed() >= 26 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_the_middle_ends_both_sides() {
    for set in [|c: client::Builder| c, client::Builder::reverse, client::Builder::bidirectional] {
        let world = World::new();
        let mut server = world.serve(|s| s).await;
        let running = spawn(endless(set(world.client(&server))));
        server.event(connected).await;
        tokio::time::sleep(2 * SECOND).await;
        let cut = tokio::time::Instant::now();
        world.network.cut();
        let ours = soon(running).await.unwrap().unwrap();
        let theirs = server.outcome().await;
        for outcome in [&ours, &theirs] {
            let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
            assert_eq!(failure.code, FailureCode::PeerLost, "{failure}");
            assert!(outcome.local.flows.iter().all(|flow| flow.bytes > 0));
        }
        assert!(cut.elapsed() < 30 * SECOND);
        world.network.heal();
        server.proves_itself(world.client(&server)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_the_queue_gives_the_place_up() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(1)).await;
    let running = spawn(world.client(&server).time(100 * SECOND).rate(1_000_000));
    server.event(connected).await;
    let waiting = spawn(world.client(&server));
    tokio::time::sleep(SECOND).await;
    world.network.cut();
    assert_eq!(soon(waiting).await.unwrap().unwrap_err().code, FailureCode::PeerLost);
    assert!(soon(running).await.unwrap().is_ok());
    world.network.heal();
    server.proves_itself(world.client(&server)).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_moment_of_the_opening_is_survived() {
    for millis in 0..12 {
        let world = World::new();
        let mut server = world.serve(|s| s).await;
        let running = spawn(world.client(&server).streams(4).time(60 * SECOND));
        tokio::time::sleep(Duration::from_millis(millis)).await;
        world.network.cut();
        match soon(running).await.unwrap() {
            Ok(outcome) => assert!(matches!(outcome.ended, Ended::Failed(_))),
            Err(failure) => assert!(
                matches!(
                    failure.code,
                    FailureCode::Connect | FailureCode::Timeout | FailureCode::PeerLost
                ),
                "{millis}: {failure:?}"
            ),
        }
        world.network.heal();
        server.proves_itself(world.client(&server)).await;
    }
}
