//! Patience, and its ends.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, FailureCode, Side},
    protocol::native::Deadlines,
    spec::{Direction, Limit, Rate, SpecFields},
};

use crate::{
    fixtures::{SECOND, spec, timed},
    link::Fault,
    pair::{Pair, Script},
};

/// Asserts that both ends failed for this reason, and returns when the client did.
fn both_failed(pair: &Pair, code: FailureCode) -> Duration {
    for ended in <[&Ended; 2]>::from(pair.endings()) {
        let right = matches!(ended, Ended::Failed(failure) if failure.code == code);
        assert!(right, "{ended:?}: {:?}", pair.log);
    }
    pair.client.driver.conclusion.as_ref().unwrap().0
}

#[test]
fn silence_ends_a_running_test_at_both_ends() {
    let test = || Pair::new(spec(Direction::Forward, Limit::Endless));
    let at = 5 * SECOND;
    let pair = test().cut(Side::Client, at).cut(Side::Server, at).run();
    let ended = both_failed(&pair, FailureCode::PeerLost);
    assert!(ended > at + 19 * SECOND && ended <= at + 20 * SECOND, "{ended:?}");
    for half in [Side::Client, Side::Server] {
        both_failed(&test().cut(half, at).run(), FailureCode::PeerLost);
    }
}

#[test]
fn a_test_in_which_no_byte_arrives_is_stopped_and_has_results() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut pair = Pair::new(spec(direction, Limit::Endless));
        let sender = usize::from(direction == Direction::Reverse);
        pair.paths[sender].broken_at = Some(10 * SECOND);
        let pair = pair.run();
        let ended = both_failed(&pair, FailureCode::Stalled);
        assert!(ended > 70 * SECOND && ended < 75 * SECOND, "{ended:?}");
        pair.assert_mirrored("stalled");
    }
}

#[test]
fn what_a_sender_counts_is_no_sign_that_anything_arrives() {
    let mut pair = Pair::new(spec(Direction::Reverse, Limit::Endless));
    pair.paths[1].broken_at = Some(Duration::ZERO);
    let ended = both_failed(&pair.run(), FailureCode::Stalled);
    assert!(ended < 65 * SECOND, "{ended:?}");
}

#[test]
fn a_stall_after_everything_was_sent_has_the_same_end_at_both_ends() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut pair = Pair::new(spec(direction, Limit::Bytes(1_000_000)));
        let sender = usize::from(direction == Direction::Reverse);
        pair.paths[sender].broken_at = Some(SECOND / 2);
        let pair = pair.run();
        both_failed(&pair, FailureCode::Stalled);
        pair.assert_mirrored("stalled after everything was sent");
    }
}

#[test]
fn the_results_of_a_stopped_test_are_due_soon() {
    for limit in [Limit::Endless, Limit::Bytes(1 << 40), Limit::Time(3600 * SECOND)] {
        let mut pair = Pair::new(spec(Direction::Forward, limit));
        pair.server.driver.stuck = true;
        let ended = both_failed(&pair.stop(Side::Client, 5 * SECOND).run(), FailureCode::Timeout);
        assert!(ended < 16 * SECOND, "{ended:?}");
    }
}

#[test]
fn an_end_that_cannot_halt_does_not_hold_the_session() {
    let mut pair = Pair::new(spec(Direction::Bidirectional, Limit::Endless));
    pair.client.driver.stuck = true;
    pair.server.driver.stuck = true;
    let ended = both_failed(&pair.stop(Side::Server, 5 * SECOND).run(), FailureCode::Internal);
    assert!(ended < 16 * SECOND, "{ended:?}");
}

#[test]
fn a_low_rate_is_no_stall() {
    // A block in 40 seconds.
    let rate = Some(Rate { bits_per_second: 200, burst: None });
    let fields = spec(Direction::Forward, Limit::Endless).into_fields();
    let fields = SpecFields { rate, ..fields };
    let mut pair = Pair::new(fields.try_into().unwrap());
    pair.paths[0].broken_at = Some(SECOND);
    let ended = both_failed(&pair.run(), FailureCode::Stalled);
    assert!(ended > 160 * SECOND && ended < 165 * SECOND, "{ended:?}");
}

#[test]
fn a_sender_that_does_not_end_is_stopped() {
    let mut pair = Pair::new(timed(Direction::Reverse));
    pair.server.driver.stubborn = true;
    // Its bytes keep arriving, and only its end does not come.
    pair.paths[1].broken_at = None;
    let ended = both_failed(&pair.run(), FailureCode::Timeout);
    assert!(ended > 33 * SECOND && ended < 34 * SECOND, "{ended:?}");
}

#[test]
fn the_server_ends_a_test_without_end() {
    let mut script = Script::of(spec(Direction::Bidirectional, Limit::Endless));
    script.max_duration = 120 * SECOND;
    let pair = Pair::with(script).run();
    let ended = both_failed(&pair, FailureCode::Denied);
    assert!(ended > 120 * SECOND && ended < 121 * SECOND, "{ended:?}");
    pair.assert_mirrored("ended by the server");
}

#[test]
fn streams_that_are_never_opened_are_not_waited_for() {
    let mut script = Script::of(timed(Direction::Forward));
    script.open = None;
    let ended = both_failed(&Pair::with(script).run(), FailureCode::Timeout);
    assert!(ended < 11 * SECOND, "{ended:?}");
}

#[test]
fn a_server_without_a_proposal_does_not_wait() {
    let pair = Pair::new(timed(Direction::Forward)).fault(Side::Client, 0, Fault::Cut).run();
    both_failed(&pair, FailureCode::Timeout);
}

#[test]
fn who_waits_for_a_goodbye_outlasts_who_waits_for_results() {
    let deadlines = Deadlines::default();
    assert!(deadlines.goodbye > deadlines.results);
    assert!(deadlines.goodbye > deadlines.silence);
    assert!(deadlines.silence > 3 * deadlines.keepalive);
    assert!(deadlines.results > deadlines.grace);
}
