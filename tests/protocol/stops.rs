//! Tests that end before their time because somebody says so.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, FailureCode, Side},
    protocol::native::Input,
    spec::{Direction, Limit, TestSpec},
};

use crate::{
    fixtures::{SECOND, failure, spec, stopped, timed},
    pair::{Pair, Script},
};

const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

fn both(pair: &Pair, ended: &Ended) {
    assert_eq!(pair.endings(), (ended, ended), "{:?}", pair.log);
    pair.assert_mirrored("a stopped test");
    assert!(pair.client.driver.halts <= 1 && pair.server.driver.halts <= 1);
}

#[test]
fn either_end_may_stop_a_running_test() {
    for direction in DIRECTIONS {
        for side in [Side::Client, Side::Server] {
            let pair = Pair::new(timed(direction)).stop(side, 2 * SECOND).run();
            both(&pair, &stopped(side));
        }
    }
}

#[test]
fn a_failing_stream_ends_the_test_and_both_ends_keep_what_was_counted() {
    let ended = Ended::Failed(failure(FailureCode::Stream));
    for side in [Side::Client, Side::Server] {
        let told = Input::Stop(ended.clone());
        both(&Pair::new(timed(Direction::Forward)).tell(side, 2 * SECOND, told).run(), &ended);
    }
}

#[test]
fn where_both_stop_at_once_the_server_has_the_word() {
    for direction in DIRECTIONS {
        for lead in (0..=40).map(Duration::from_millis) {
            let (at, late) = (2 * SECOND, 2 * SECOND + lead);
            let pair = Pair::new(timed(direction)).stop(Side::Client, at).stop(Side::Server, late);
            let pair = pair.run();
            pair.assert_agreement("both stop");
            pair.assert_mirrored("both stop");
            // Within the link's latency the client's word has not arrived.
            let by = if lead < Duration::from_millis(10) { Side::Server } else { Side::Client };
            assert_eq!(pair.endings().0, &stopped(by), "{lead:?}");
        }
    }
}

#[test]
fn a_client_that_stops_while_streams_are_opened_cancels_the_test() {
    for milliseconds in (0..100).step_by(5) {
        let at = Duration::from_millis(milliseconds);
        let pair = Pair::new(timed(Direction::Forward)).stop(Side::Client, at).run();
        pair.assert_agreement("cancelled");
        let begun = pair.log.contains(&(Side::Client, "stop"));
        let cancelled = matches!(
            pair.endings().0, Ended::Failed(f) if f.code == FailureCode::Cancelled
        );
        assert!(begun || cancelled, "at {at:?}: {:?}", pair.endings());
    }
}

#[test]
fn a_server_that_stops_while_streams_are_opened_turns_the_client_away() {
    let mut script = Script::of(timed(Direction::Forward));
    script.open = Some(5 * SECOND);
    let pair = Pair::with(script).stop(Side::Server, SECOND).run();
    for ended in <[&Ended; 2]>::from(pair.endings()) {
        assert!(matches!(ended, Ended::Failed(f) if f.code == FailureCode::Draining), "{ended:?}");
    }
}

#[test]
fn a_stop_right_after_the_start_reaches_a_client_that_still_opens_streams() {
    let mut script = Script::of(timed(Direction::Reverse));
    script.notice = 3 * SECOND;
    both(&Pair::with(script).stop(Side::Server, SECOND).run(), &stopped(Side::Server));
}

#[test]
fn both_ends_agree_at_whatever_moment_somebody_stops() {
    let tests = [
        timed(Direction::Forward),
        timed(Direction::Reverse),
        spec(Direction::Forward, Limit::Bytes(3_000_000)),
        spec(Direction::Reverse, Limit::Bytes(3_000_000)),
    ];
    // From a little before the end of the test to after the exchange of results.
    for at in (2900..3700).step_by(3).map(Duration::from_millis) {
        for test in &tests {
            stop_at(test, at);
        }
    }
}

fn stop_at(test: &TestSpec, at: Duration) {
    for sides in [&[Side::Client][..], &[Side::Server], &[Side::Client, Side::Server]] {
        let pair = Pair::new(test.clone());
        let pair = sides.iter().fold(pair, |pair, side| pair.stop(*side, at)).run();
        pair.assert_agreement("stopped about its end");
        pair.assert_mirrored("stopped about its end");
    }
}

#[test]
fn a_client_whose_server_still_receives_may_stop() {
    let mut pair = Pair::new(spec(Direction::Forward, Limit::Bytes(1_000_000)));
    pair.paths[0].broken_at = Some(SECOND / 2);
    both(&pair.stop(Side::Client, 5 * SECOND).run(), &stopped(Side::Client));
}

#[test]
fn a_test_that_is_said_to_be_complete_is_a_defect_and_no_lie() {
    let told = Input::Stop(Ended::Complete);
    let pair = Pair::new(timed(Direction::Forward)).tell(Side::Client, 2 * SECOND, told).run();
    for ended in <[&Ended; 2]>::from(pair.endings()) {
        assert!(matches!(ended, Ended::Failed(f) if f.code == FailureCode::Internal), "{ended:?}");
    }
}
