//! All the ways in which a test does not come to its end.

use polyperf::{
    outcome::{Ended, Failure, FailureCode, Side},
    protocol::iperf3::{Admission, ErrorCode, Extras, Input, Message, Params, Refusal, State},
    spec::{Direction, Limit},
};

use crate::pair::{Cut, Pair, SECOND, spec, stopped, timed};

fn failed(ended: &Ended) -> &Failure {
    let Ended::Failed(failure) = ended else { panic!("{ended:?}") };
    failure
}

fn codes(pair: &Pair) -> (FailureCode, FailureCode) {
    let (client, server) = pair.endings();
    (failed(client).code, failed(server).code)
}

fn broken() -> Input {
    Input::Stop(Ended::Failed(Failure::new(FailureCode::Stream, "reset by peer")))
}

#[test]
fn a_server_without_room_says_busy() {
    let mut pair = Pair::new(&timed(Direction::Forward));
    pair.verdict = Some(Admission::Busy);
    let pair = pair.run();
    assert_eq!(codes(&pair), (FailureCode::Busy, FailureCode::Busy));
    assert_eq!(pair.log.last().unwrap(), "server ACCESS_DENIED");
}

#[test]
fn a_client_that_is_not_let_in_is_told_142() {
    let mut pair = Pair::new(&timed(Direction::Forward));
    pair.verdict = Some(Admission::Deny(Refusal::new(ErrorCode::AuthFailed, "no such user")));
    let pair = pair.run();
    assert_eq!(codes(&pair), (FailureCode::Denied, FailureCode::Denied));
    assert!(failed(pair.endings().0).message.contains("142"));
}

#[test]
fn a_test_that_nobody_decides_on_is_refused() {
    let mut pair = Pair::new(&timed(Direction::Forward));
    pair.admits_after = 500 * SECOND;
    // The client gives up as well, and cannot say so.
    let params = Params::new(&timed(Direction::Forward), Extras::of_client("test")).unwrap();
    pair.client.cut = Some((4 + params.encode().len(), Cut::Stall));
    let pair = pair.run();
    assert_eq!(failed(pair.endings().1).code, FailureCode::Busy);
    assert!(pair.client.conclusion.unwrap().0 < 62 * SECOND);
}

#[test]
fn streams_that_are_never_opened_are_waited_for_30_seconds() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut pair = Pair::new(&timed(direction));
        pair.opens = false;
        let pair = pair.run();
        assert_eq!(failed(pair.endings().1).code, FailureCode::Timeout);
        assert!(pair.server.conclusion.unwrap().0 < 32 * SECOND);
    }
}

#[test]
fn a_client_that_is_stopped_before_the_test_says_so() {
    let mut pair = Pair::new(&timed(Direction::Forward)).stop(Side::Client, 5 * SECOND);
    pair.admits_after = 20 * SECOND;
    let pair = pair.run();
    assert_eq!(failed(pair.endings().0).code, FailureCode::Cancelled);
    assert!(matches!(pair.endings().1, Ended::Stopped { by: Side::Client, .. }));
    assert_eq!(pair.log.last().unwrap(), "client CLIENT_TERMINATE");
}

#[test]
fn a_server_that_stops_before_the_test_says_120() {
    let mut pair = Pair::new(&timed(Direction::Forward)).stop(Side::Server, 5 * SECOND);
    pair.admits_after = 20 * SECOND;
    let pair = pair.run();
    assert_eq!(codes(&pair), (FailureCode::Draining, FailureCode::Draining));
}

#[test]
fn a_server_that_stops_while_it_runs_leaves_both_with_what_they_counted() {
    let pair = Pair::new(&timed(Direction::Reverse)).stop(Side::Server, 2 * SECOND).run();
    assert_eq!(pair.log.last().unwrap(), "server SERVER_TERMINATE");
    assert!(matches!(pair.endings().0, Ended::Stopped { by: Side::Server, .. }));
    assert_eq!(pair.endings().1, &stopped(Side::Server));
    assert!(pair.client.begun.is_some() && pair.client.theirs().is_none());
}

#[test]
fn a_client_that_is_stopped_twice_stops_at_once() {
    let mut pair = Pair::new(&timed(Direction::Forward))
        .stop(Side::Client, SECOND)
        .stop(Side::Client, SECOND + SECOND / 100);
    pair.server.cut = Some((4, Cut::Stall));
    let pair = pair.run();
    assert!(pair.log.contains(&"client CLIENT_TERMINATE".to_owned()));
    assert!(pair.client.conclusion.as_ref().unwrap().0 < 2 * SECOND);
    assert_eq!(pair.endings().0, &stopped(Side::Client));
}

#[test]
fn a_stream_that_fails_is_explained_by_who_leaves() {
    let pair = Pair::new(&timed(Direction::Forward))
        .tell(Side::Server, SECOND, broken())
        .tell(Side::Server, SECOND * 3 / 2, Input::Message(Message::State(State::ClientTerminate)))
        .run();
    assert!(matches!(pair.endings().1, Ended::Stopped { by: Side::Client, .. }));
    let pair = Pair::new(&timed(Direction::Forward))
        .tell(Side::Client, SECOND, broken())
        .stop(Side::Server, SECOND * 3 / 2)
        .run();
    assert!(matches!(pair.endings().0, Ended::Stopped { by: Side::Server, .. }));
}

#[test]
fn a_stream_that_fails_for_no_reason_ends_the_test_at_both_ends() {
    for side in [Side::Client, Side::Server] {
        let pair = Pair::new(&timed(Direction::Forward)).tell(side, SECOND, broken()).run();
        let own = if side == Side::Client { pair.endings().0 } else { pair.endings().1 };
        assert_eq!(failed(own).message, "reset by peer");
        assert!(pair.client.conclusion.unwrap().0 < 3 * SECOND);
    }
}

#[test]
fn a_stream_that_fails_right_before_the_end_is_not_forgotten() {
    for side in [Side::Client, Side::Server] {
        let pair = Pair::new(&timed(Direction::Forward)).tell(side, 3 * SECOND, broken()).run();
        let own = if side == Side::Client { &pair.client } else { &pair.server };
        assert_eq!(failed(own.ended()).code, FailureCode::Stream);
        assert!(own.theirs().is_some(), "{:?}", pair.log);
    }
}

#[test]
fn a_test_in_which_nothing_moves_is_ended_in_each_direction() {
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut pair = Pair::new(&spec(direction, Limit::Endless));
        pair.broken_at = 20 * SECOND;
        let pair = pair.run();
        assert!(pair.endings().0 != &Ended::Complete && pair.endings().1 != &Ended::Complete);
        let at = pair.server.conclusion.unwrap().0;
        assert!(at > 130 * SECOND && at < 145 * SECOND, "{at:?}");
    }
}

#[test]
fn a_server_ends_what_its_client_does_not() {
    let mut pair = Pair::new(&spec(Direction::Forward, Limit::Endless));
    pair.client.due.clear();
    let pair = pair.run();
    let server = failed(pair.endings().1);
    assert_eq!(server.code, FailureCode::Timeout);
    assert!(failed(pair.endings().0).message.contains("160"));
    assert!(pair.server.conclusion.unwrap().0 < 602 * SECOND);
}
