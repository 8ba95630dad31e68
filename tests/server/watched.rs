//! What an operator sees of a running server, and does to it.

use std::time::Duration;

use polyperf::{
    event::Event,
    outcome::{Ended, FailureCode, Side},
    server::{Limits, Reject, Stage},
    spec::Limit,
};

use crate::support::{World, connected, finished, position, soon, spawn};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn each_session_is_seen_from_its_beginning_to_its_end() {
    let world = World::new();
    let mut server = world.serve(|s| s.max_sessions(1)).await;
    assert_eq!(server.handle.sessions(), []);
    let running = spawn(world.client(&server).time(3 * SECOND));
    let name = server.event(connected).await;
    let waiting = world.client(&server).time(SECOND).build().unwrap();
    let mut events = waiting.events();
    let waiting = tokio::spawn(async move { waiting.run().await });
    assert_eq!(crate::support::next(&mut events, position).await, 1);
    assert_eq!(server.handle.waiting(), 1);
    let sessions = server.handle.sessions();
    let of = |name: &str| sessions.iter().find(|view| view.session == name);
    let first = of(&name).expect("it runs");
    assert!(matches!(&first.stage, Stage::Running { info } if info.peer == first.peer));
    let second = sessions.iter().find(|view| view.session != name).expect("it waits");
    assert!(matches!(&second.stage, Stage::Queued { position: 1, .. }), "{second:?}");
    assert!(soon(running).await.unwrap().is_ok());
    assert!(soon(waiting).await.unwrap().is_ok());
    server.event(finished).await;
    server.event(finished).await;
    while !server.handle.sessions().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_cancelled_ends_alone_and_its_client_is_told_why() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let other = spawn(world.client(&server).time(2 * SECOND));
    let kept = server.event(connected).await;
    let cancelled = spawn(world.client(&server).spec(|spec| spec.limit = Limit::Endless));
    let name = server.event(connected).await;
    assert_ne!(name, kept);
    assert!(server.handle.cancel(&name, "the operator needs the line"));
    assert!(!server.handle.cancel("nobody", "there is none"));
    let outcome = soon(cancelled).await.unwrap().unwrap();
    let reason = "the operator needs the line".to_owned();
    assert_eq!(outcome.ended, Ended::Stopped { by: Side::Server, reason });
    assert_eq!(soon(other).await.unwrap().unwrap().ended, Ended::Complete);
}

#[tokio::test(start_paused = true)]
async fn limits_that_are_changed_hold_for_the_next_test_and_not_for_the_running_one() {
    let world = World::new();
    let mut server = world.serve(|s| s).await;
    let running = spawn(world.client(&server).time(5 * SECOND));
    server.event(connected).await;
    server.handle.set_limits(Limits { max_duration: SECOND, ..server.handle.limits() });
    let refused = soon(spawn(world.client(&server).time(2 * SECOND))).await.unwrap().unwrap_err();
    assert_eq!(refused.code, FailureCode::Denied);
    assert!(soon(spawn(world.client(&server).time(SECOND))).await.unwrap().is_ok());
    assert_eq!(soon(running).await.unwrap().unwrap().ended, Ended::Complete);
    let counts = server.handle.counts();
    assert_eq!(counts.rejected.get(&Reject::Denied), Some(&1));
    assert!(counts.accepted.values().sum::<u64>() >= 3);
    let failed = server.event(|event| match event {
        Event::Failed(failed) => Some(failed),
        _ => None,
    });
    assert_eq!(failed.await.failure.code, FailureCode::Denied);
}
