//! Who runs, who waits, and how fast.

use std::{sync::Arc, time::Duration};

use polyperf::{
    event::Event,
    measure::Role,
    outcome::{Ended, FailureCode},
    spec::Limit,
};

use crate::support::{World, bytes, connected, finished, position, soon, spawn};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn one_at_a_time_means_one_at_a_time() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(1)).await;
    let clients: Vec<_> =
        (0..5).map(|_| spawn(world.client(&server).time(SECOND).interval(None))).collect();
    let mut running = 0;
    for _ in 0..10 {
        let began = server
            .event(|event| match event {
                Event::Connected(_) => Some(true),
                Event::Finished(_) => Some(false),
                _ => None,
            })
            .await;
        assert!(server.handle.running() <= 1);
        if began {
            running += 1
        } else {
            running -= 1
        }
        // The next one starts when the results are exchanged, a goodbye before the last one ends.
        assert!(running <= 2);
    }
    let mut spans = Vec::new();
    for client in clients {
        let outcome = soon(client).await.unwrap().unwrap();
        assert_eq!(outcome.ended, Ended::Complete);
        spans.push(outcome.info.session.clone());
    }
    spans.sort_unstable();
    spans.dedup();
    assert_eq!(spans.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_told_each_place_and_runs_in_turn() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(1)).await;
    let first = spawn(world.client(&server).time(2 * SECOND));
    server.event(connected).await;
    let mut waiting = Vec::new();
    for place in 1..=3 {
        let client = world.client(&server).time(SECOND).build().unwrap();
        let mut events = client.events();
        let task = tokio::spawn(async move { client.run().await });
        assert_eq!(crate::support::next(&mut events, position).await, place);
        waiting.push((place, events, task));
    }
    assert!(soon(first).await.unwrap().is_ok());
    let mut starts = Vec::new();
    for (place, mut events, task) in waiting {
        let outcome = soon(task).await.unwrap().unwrap();
        assert_eq!(outcome.ended, Ended::Complete);
        starts.push(outcome.info.session.clone());
        let mut seen = Vec::new();
        while let Ok(event) = events.try_recv() {
            seen.extend(position(event));
        }
        assert_eq!(seen, (1..place).rev().collect::<Vec<_>>(), "each place is told once");
    }
    assert!(starts.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_when_to_come_back() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(1).max_queue(1)).await;
    let running = spawn(world.client(&server).time(5 * SECOND));
    server.event(connected).await;
    let refused = soon(world.client(&server).queue_timeout(Duration::ZERO).build().unwrap().run())
        .await
        .unwrap_err();
    assert_eq!(refused.code, FailureCode::Busy);
    assert!(refused.retry_after.is_some_and(|after| after <= 5 * SECOND));
    let waiting = world.client(&server).time(SECOND).build().unwrap();
    let mut events = waiting.events();
    let waiting = tokio::spawn(async move { waiting.run().await });
    crate::support::next(&mut events, position).await;
    let refused = soon(world.client(&server).build().unwrap().run()).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::Busy);
    assert!(soon(running).await.unwrap().is_ok());
    assert!(soon(waiting).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_it_wants_to() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(1)).await;
    let running = spawn(world.client(&server).time(60 * SECOND).rate(1_000_000));
    server.event(connected).await;
    let start = tokio::time::Instant::now();
    let impatient = world.client(&server).queue_timeout(7 * SECOND).build().unwrap();
    let refused = soon(impatient.run()).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::Busy);
    let waited = start.elapsed();
    assert!(waited >= 7 * SECOND && waited < 9 * SECOND, "{waited:?}");
    let patient = spawn(world.client(&server).time(SECOND));
    assert!(
        soon(patient).await.unwrap().is_ok(),
        "who waits longer than any silence is not taken for lost"
    );
    assert!(soon(running).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_test_is_no_longer_than_permitted() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_duration(3 * SECOND)).await;
    let refused = soon(world.client(&server).time(4 * SECOND).build().unwrap().run()).await;
    assert_eq!(refused.unwrap_err().code, FailureCode::Denied);
    let endless = world.client(&server).spec(|spec| spec.limit = Limit::Endless);
    let ours = soon(endless.build().unwrap().run()).await.unwrap();
    let theirs = server.outcome().await;
    for outcome in [&ours, &theirs] {
        let Ended::Failed(failure) = &outcome.ended else { panic!("{:?}", outcome.ended) };
        assert_eq!(failure.code, FailureCode::Denied);
        assert!(outcome.remote.is_some(), "both ends tell what they have");
    }
}

#[tokio::test(start_paused = true)]
async fn no_limit_at_all_is_a_duration_too() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_duration(Duration::MAX)).await;
    server.proves_itself(world.client(&server)).await;
}

#[tokio::test(start_paused = true)]
async fn a_servers_rate_is_shared_refused_or_waited_for() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_rate(8_000_000)).await;
    let denied = soon(world.client(&server).rate(8_000_001).build().unwrap().run()).await;
    assert_eq!(denied.unwrap_err().code, FailureCode::Denied);
    let all = spawn(world.client(&server).streams(2).time(4 * SECOND));
    server.event(connected).await;
    let client = world.client(&server).rate(4_000_000).time(SECOND).build().unwrap();
    let mut events = client.events();
    let later = tokio::spawn(async move { client.run().await });
    assert_eq!(crate::support::next(&mut events, position).await, 1, "the rate is taken");
    let all = soon(all).await.unwrap().unwrap();
    assert_eq!(all.info.spec.rate.map(|rate| rate.bits_per_second), Some(4_000_000));
    assert_eq!(all.info.changes.len(), 1, "{:?}", all.info.changes);
    let sent = bytes(&all.local, Role::Sender);
    assert!(sent.abs_diff(4_000_000) <= 2 * u64::from(all.info.spec.block), "{sent}");
    assert_eq!(soon(later).await.unwrap().unwrap().ended, Ended::Complete);
}

#[tokio::test(start_paused = true)]
async fn fifty_clients_run_on_ten_places() {
    let world = Arc::new(World::new());
    let mut server = world.serve(|s| s.max_sessions(10)).await;
    let clients: Vec<_> =
        (0..50).map(|_| spawn(world.client(&server).bytes(1_000_000).interval(None))).collect();
    for _ in 0..50 {
        server.event(finished).await;
        assert!(server.handle.running() <= 10);
    }
    for client in clients {
        assert_eq!(soon(client).await.unwrap().unwrap().ended, Ended::Complete);
    }
    assert_eq!((server.handle.served(), server.handle.running()), (50, 0));
}
