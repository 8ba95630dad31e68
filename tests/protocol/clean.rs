//! What happens when nothing goes wrong.

use polyperf::{
    measure::Role,
    outcome::{Ended, Side},
    spec::{Direction, Limit, TestSpec},
};

use crate::{
    fixtures::{SECOND, spec, stopped, timed},
    pair::Pair,
};

const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

fn complete(spec: TestSpec) -> Pair {
    let pair = Pair::new(spec).run();
    assert_eq!(pair.endings(), (&Ended::Complete, &Ended::Complete), "{:?}", pair.log);
    pair.assert_mirrored("a clean run");
    pair
}

#[test]
fn a_forward_test_that_time_ends_follows_the_chart() {
    let conversation = complete(timed(Direction::Forward)).conversation();
    assert_eq!(
        conversation,
        [
            "server welcome",
            "client propose",
            "server agree",
            "server start",
            "client sent",
            "client results",
            "server results",
            "client bye",
        ]
    );
}

#[test]
fn a_reverse_test_that_time_ends_follows_the_chart() {
    let conversation = complete(timed(Direction::Reverse)).conversation();
    assert_eq!(
        conversation[3..],
        ["server start", "server sent", "client results", "server results", "client bye"]
    );
}

#[test]
fn a_bidirectional_test_that_time_ends_follows_the_chart() {
    let conversation = complete(timed(Direction::Bidirectional)).conversation();
    assert_eq!(
        conversation[3..],
        [
            "server start",
            "server sent",
            "client sent",
            "client results",
            "server results",
            "client bye"
        ]
    );
}

#[test]
fn a_test_that_a_count_ends_is_complete_when_everything_has_arrived() {
    for direction in DIRECTIONS {
        for limit in [Limit::Bytes(2_500_000), Limit::Blocks(2500)] {
            let pair = complete(spec(direction, limit));
            for driver in [&pair.client.driver, &pair.server.driver] {
                let local = driver.local.as_ref().expect("it is complete");
                for role in [Role::Sender, Role::Receiver] {
                    let total = local.summary.total(role);
                    assert!(total.is_none_or(|(bytes, _)| bytes == 2_500_000), "{direction:?}");
                }
            }
        }
    }
}

#[test]
fn an_endless_test_ends_when_the_client_says_so() {
    for direction in DIRECTIONS {
        let pair = Pair::new(spec(direction, Limit::Endless)).stop(Side::Client, 30 * SECOND).run();
        let ended = stopped(Side::Client);
        assert_eq!(pair.endings(), (&ended, &ended));
        pair.assert_mirrored("an endless test");
        assert_eq!(
            pair.conversation()[3..],
            ["server start", "client stop", "client results", "server results", "client bye"]
        );
    }
}

#[test]
fn both_ends_tell_each_interval_to_the_other() {
    let pair = complete(timed(Direction::Bidirectional));
    for driver in [&pair.client.driver, &pair.server.driver] {
        let indices: Vec<_> = driver.progress.iter().map(|sample| sample.index).collect();
        assert!(indices.starts_with(&[0, 1]), "{indices:?}");
        assert!(driver.progress[1].flows.iter().all(|flow| flow.bytes == 500_000));
    }
}

#[test]
fn streams_that_the_client_notices_late_delay_the_test_and_lose_nothing() {
    for limit in [Limit::Bytes(1000), Limit::Time(SECOND)] {
        let mut script = crate::pair::Script::of(spec(Direction::Reverse, limit));
        script.notice = 3 * SECOND;
        let pair = Pair::with(script).run();
        assert_eq!(pair.endings(), (&Ended::Complete, &Ended::Complete), "{:?}", pair.log);
        pair.assert_mirrored("a late client");
    }
}
