//! What is said in a test that goes well, as sentences.

use std::time::Duration;

use polyperf::{
    outcome::{Ended, Side},
    protocol::iperf3::{Params, udp::Connect},
    spec::{Direction, Limit, SpecFields, TestSpec},
};

use crate::pair::{Pair, SECOND, spec, timed};

const DIRECTIONS: [Direction; 3] =
    [Direction::Forward, Direction::Reverse, Direction::Bidirectional];

const CHART: [&str; 11] = [
    "server PARAM_EXCHANGE",
    "client parameters",
    "server CREATE_STREAMS",
    "server TEST_START",
    "server TEST_RUNNING",
    "client TEST_END",
    "server EXCHANGE_RESULTS",
    "client results",
    "server results",
    "server DISPLAY_RESULTS",
    "client IPERF_DONE",
];

fn complete(spec: &TestSpec) -> Pair {
    let pair = Pair::new(spec).run();
    assert_eq!(pair.endings(), (&Ended::Complete, &Ended::Complete), "{:?}", pair.log);
    assert_eq!(pair.log, CHART);
    assert!(pair.client.halted && pair.server.halted);
    pair
}

/// Returns how long the test ran at the client.
fn lasted(pair: &Pair) -> Duration {
    let (at, ..) = pair.client.conclusion.as_ref().unwrap();
    *at - pair.client.begun.unwrap()
}

#[test]
fn a_test_that_time_ends_follows_the_chart_in_each_direction() {
    for direction in DIRECTIONS {
        let spec = timed(direction);
        let pair = complete(&spec);
        let lasted = lasted(&pair);
        assert!(lasted >= 3 * SECOND && lasted < 4 * SECOND, "{lasted:?}");
        let flows = usize::from(spec.flows());
        assert_eq!(pair.client.theirs().unwrap().streams.len(), flows);
        assert_eq!(pair.server.theirs().unwrap().streams.len(), flows);
    }
}

#[test]
fn a_test_that_bytes_end_is_ended_by_the_client_in_each_direction() {
    for direction in DIRECTIONS {
        let pair = complete(&spec(direction, Limit::Bytes(5_000_000)));
        let lasted = lasted(&pair);
        assert!(lasted >= 5 * SECOND && lasted < 6 * SECOND, "{direction:?}: {lasted:?}");
    }
}

#[test]
fn blocks_that_are_received_end_a_reverse_test() {
    let fields =
        SpecFields { block: 10_000, ..spec(Direction::Reverse, Limit::Blocks(400)).into_fields() };
    assert!(lasted(&complete(&fields.try_into().unwrap())) < 5 * SECOND);
}

#[test]
fn what_is_omitted_comes_on_top() {
    for limit in [Limit::Time(3 * SECOND), Limit::Bytes(3_000_000)] {
        let fields =
            SpecFields { omit: 2 * SECOND, ..spec(Direction::Reverse, limit).into_fields() };
        let lasted = lasted(&complete(&fields.try_into().unwrap()));
        assert!(lasted >= 4 * SECOND && lasted < 6 * SECOND, "{limit:?}: {lasted:?}");
    }
}

#[test]
fn an_endless_test_ends_when_the_client_is_told_to_and_both_have_the_figures() {
    for direction in DIRECTIONS {
        let pair =
            Pair::new(&spec(direction, Limit::Endless)).stop(Side::Client, 30 * SECOND).run();
        assert_eq!(pair.log, CHART);
        assert_eq!(pair.endings(), (&crate::pair::stopped(Side::Client), &Ended::Complete));
        assert!(pair.client.theirs().is_some() && pair.server.theirs().is_some());
    }
}

#[test]
fn a_udp_test_says_the_same_and_opens_its_streams_with_a_word_and_a_reply() {
    let fields =
        SpecFields { transport: "udp".to_owned(), ..timed(Direction::Reverse).into_fields() };
    let spec: TestSpec = fields.try_into().unwrap();
    complete(&spec);
    let params = Params::new(&spec, Default::default()).unwrap();
    let heard = Params::parse(&params.encode()).unwrap();
    assert_eq!((&*heard.spec.transport, heard.spec.block), ("udp", 1460));
    let connect = Connect::parse(&Connect::Current.word()).unwrap();
    assert!(Connect::is_reply(&connect.reply()));
}

#[test]
fn a_server_may_let_its_client_wait() {
    let mut pair = Pair::new(&timed(Direction::Forward));
    pair.admits_after = 45 * SECOND;
    assert_eq!(pair.run().log, CHART);
}
