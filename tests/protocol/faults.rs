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
    walk::Dice,
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

/// Returns a test whose bytes take as long as this to arrive, so that one end waits for the other.
fn slow(spec: TestSpec, delay: Duration) -> Pair {
    let mut pair = Pair::new(spec);
    for path in &mut pair.paths {
        path.delay = delay;
    }
    pair
}

/// Runs each test with `fault` at every message of either end.
fn everywhere(fault: Fault, judge: impl Fn(&Pair, &str)) {
    for (test, delay) in tests().into_iter().flat_map(|test| DELAYS.map(|d| (test.clone(), d))) {
        let clean = slow(test.clone(), delay).run();
        for from in [Side::Client, Side::Server] {
            for message in 0..clean.count(from) {
                let pair = slow(test.clone(), delay).fault(from, message, fault).run();
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

#[test]
fn whatever_goes_wrong_both_ends_conclude() {
    for seed in 0..SEEDS {
        let mut dice = Dice(seed);
        let test = tests()[dice.roll(4)].clone();
        let mut pair = slow(test, DELAYS[dice.roll(2)]);
        for _ in 0..=dice.roll(4) {
            let from = [Side::Client, Side::Server][dice.roll(2)];
            let by = Duration::from_millis(dice.roll(30_000) as u64);
            let faults = [
                Fault::Lost,
                Fault::Late(by),
                Fault::Overtaken(by),
                Fault::Repeated,
                Fault::Cut,
                Fault::Ended,
            ];
            pair = pair.fault(from, dice.roll(12), faults[dice.roll(6)]);
            if dice.roll(3) == 0 {
                pair = pair.stop(from, by / 8);
            }
            if dice.roll(4) == 0 {
                pair.paths[dice.roll(2)].broken_at = Some(by / 8);
            }
            pair.end(from).driver.stuck = dice.roll(10) == 0;
        }
        pair.run();
    }
}

/// At once, and late enough for signs of life between the end of the test and its results.
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(6500)];
const SEEDS: u64 = 2000;
