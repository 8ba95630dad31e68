//! Waiting for one's turn.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, Failure, FailureCode, Side},
    spec::Direction,
};

use crate::{
    fixtures::{SECOND, busy, failure, timed},
    pair::{Pair, Script, Verdict},
};

fn admitted(admission: Vec<(Duration, Verdict)>) -> Script {
    Script { admission, ..Script::of(timed(Direction::Forward)) }
}

fn failed(ended: &Ended) -> &Failure {
    let Ended::Failed(failure) = ended else { panic!("{ended:?}") };
    failure
}

#[test]
fn the_client_is_told_each_place_in_the_queue_and_then_runs() {
    let script = admitted(vec![
        (Duration::ZERO, Verdict::Wait(busy(2))),
        (30 * SECOND, Verdict::Wait(busy(1))),
        (90 * SECOND, Verdict::Grant),
    ]);
    let pair = Pair::with(script).run();
    assert_eq!(pair.client.driver.queued, [busy(2), busy(1)]);
    assert_eq!(pair.endings(), (&Ended::Complete, &Ended::Complete));
}

#[test]
fn both_ends_give_signs_of_life_in_the_queue() {
    let script =
        admitted(vec![(Duration::ZERO, Verdict::Wait(busy(1))), (300 * SECOND, Verdict::Grant)]);
    let pair = Pair::with(script).run();
    for side in [Side::Client, Side::Server] {
        let pings = pair.log.iter().filter(|said| **said == (side, "ping")).count();
        assert!((99..=102).contains(&pings), "{pings} pings of the {side:?}");
    }
}

#[test]
fn the_client_leaves_the_queue_when_its_time_is_up() {
    let mut script = admitted(vec![(SECOND, Verdict::Wait(busy(1)))]);
    script.queue = 60 * SECOND;
    let pair = Pair::with(script).run();
    let (client, server) = pair.endings();
    assert_eq!(failed(client).code, FailureCode::Busy);
    assert_eq!(failed(client).retry_after, busy(1).retry_after);
    assert_eq!(client, server);
    let at = pair.client.driver.conclusion.as_ref().unwrap().0;
    assert!(at > 61 * SECOND && at < 62 * SECOND, "{at:?}");
}

#[test]
fn further_news_of_the_queue_do_not_prolong_the_stay() {
    let places = (0..100).map(|n| (n * 10 * SECOND, Verdict::Wait(busy(100 - n))));
    let mut script = admitted(places.collect());
    script.queue = 60 * SECOND;
    let pair = Pair::with(script).run();
    assert!(pair.client.driver.conclusion.as_ref().unwrap().0 < 62 * SECOND);
}

#[test]
fn a_client_that_would_not_wait_is_refused() {
    let refusal = Failure { retry_after: Some(SECOND), ..failure(FailureCode::Busy) };
    let mut script = admitted(vec![(Duration::ZERO, Verdict::Deny(refusal.clone()))]);
    script.no_queue = true;
    let pair = Pair::with(script).run();
    let refused = Ended::Failed(refusal);
    assert_eq!(pair.endings(), (&refused, &refused));
    assert!(pair.client.driver.queued.is_empty());
}

#[test]
fn a_client_that_would_not_wait_leaves_even_if_it_is_queued() {
    let mut script = admitted(vec![(Duration::ZERO, Verdict::Wait(busy(1)))]);
    script.no_queue = true;
    let pair = Pair::with(script).run();
    assert_eq!(failed(pair.endings().0).code, FailureCode::Busy);
    assert!(pair.client.driver.conclusion.as_ref().unwrap().0 < SECOND);
}

#[test]
fn a_client_that_cancels_in_the_queue_leaves_it() {
    let script = admitted(vec![(Duration::ZERO, Verdict::Wait(busy(1)))]);
    let pair = Pair::with(script).stop(Side::Client, 30 * SECOND).run();
    let (client, server) = pair.endings();
    assert_eq!(failed(client).code, FailureCode::Cancelled);
    assert_eq!(client, server);
}

#[test]
fn a_server_that_stops_sends_its_queue_away() {
    let script = admitted(vec![(Duration::ZERO, Verdict::Wait(busy(1)))]);
    let pair = Pair::with(script).stop(Side::Server, 30 * SECOND).run();
    let (client, server) = pair.endings();
    assert_eq!(failed(client).code, FailureCode::Draining);
    assert_eq!(client, server);
}

#[test]
fn a_proposal_that_is_never_looked_at_is_not_waited_for() {
    let pair = Pair::with(admitted(Vec::new())).run();
    assert_eq!(failed(pair.endings().0).code, FailureCode::Timeout);
}
