//! One thing goes wrong, at every place where it can.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, Side},
    spec::{Direction, Limit, TestSpec},
};

use crate::{
    fixtures::{SECOND, patience, spec, timed},
    link::Fault,
    pair::{Pair, Script},
};

/// The tests to which everything happens.
fn tests() -> [TestSpec; 4] {
    [
        timed(Direction::Forward),
        timed(Direction::Reverse),
        timed(Direction::Bidirectional),
        spec(Direction::Forward, Limit::Bytes(2_500_000)),
    ]
}

/// Runs each test with `fault` at every message of either end.
fn everywhere(fault: Fault, judge: impl Fn(&Pair, &str)) {
    for test in tests() {
        let clean = Pair::new(test.clone()).run();
        for from in [Side::Client, Side::Server] {
            for message in 0..clean.count(from) {
                let pair = Pair::new(test.clone()).fault(from, message, fault).run();
                let what = format!("{fault:?}, message {message} of the {from:?}, {test:?}");
                judge(&pair, &what);
            }
        }
    }
}

fn agree(pair: &Pair, what: &str) {
    pair.assert_agreement(what);
}

fn both_complete(pair: &Pair, what: &str) {
    assert_eq!(pair.endings(), (&Ended::Complete, &Ended::Complete), "{what}");
    pair.assert_mirrored(what);
}

#[test]
fn both_ends_agree_whichever_message_is_lost() {
    everywhere(Fault::Lost, agree);
}

#[test]
fn a_message_that_is_a_second_late_changes_nothing() {
    everywhere(Fault::Late(SECOND), both_complete);
}

#[test]
fn both_ends_agree_whichever_message_is_late() {
    // Right before and after the deadlines, and where a margin would be thin.
    for seconds in [9, 10, 11, 14, 15, 16, 19, 20, 21, 24, 25, 26, 60] {
        everywhere(Fault::Late(Duration::from_secs(seconds)), agree);
    }
}

#[test]
fn both_ends_agree_whichever_message_is_overtaken() {
    for by in [Duration::from_millis(1), SECOND, 9 * SECOND, 60 * SECOND] {
        everywhere(Fault::Overtaken(by), agree);
    }
}

#[test]
fn a_message_that_is_repeated_changes_nothing() {
    everywhere(Fault::Repeated, both_complete);
}

#[test]
fn both_ends_agree_wherever_one_direction_ends() {
    everywhere(Fault::Ended, agree);
}

#[test]
fn both_ends_agree_wherever_one_direction_is_cut() {
    everywhere(Fault::Cut, agree);
}

#[test]
fn both_ends_conclude_in_their_time_wherever_the_connection_is_cut() {
    for test in tests() {
        let clean = Pair::new(test.clone()).run();
        let end = clean.client.driver.conclusion.as_ref().unwrap().0;
        let deadlines = Script::of(test.clone()).deadlines;
        for step in 0..=end.as_millis() / 20 {
            let at = Duration::from_millis(20) * u32::try_from(step).unwrap();
            let pair = Pair::new(test.clone()).cut(Side::Client, at).cut(Side::Server, at).run();
            for driver in [&pair.client.driver, &pair.server.driver] {
                let (ended, _, _) = driver.conclusion.as_ref().unwrap();
                assert!(*ended <= end + patience(&deadlines), "cut at {at:?}: {ended:?}");
            }
        }
    }
}

#[test]
fn the_server_is_complete_without_the_goodbye() {
    let clean = Pair::new(timed(Direction::Forward)).run();
    let last = clean.count(Side::Client) - 1;
    assert_eq!(clean.log.last(), Some(&(Side::Client, "bye")));
    for fault in [Fault::Lost, Fault::Cut, Fault::Ended, Fault::Late(60 * SECOND)] {
        let pair = Pair::new(timed(Direction::Forward)).fault(Side::Client, last, fault).run();
        both_complete(&pair, "no goodbye");
    }
}
