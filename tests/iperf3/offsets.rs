//! The connection stalls, or breaks, at each byte that an end sends.

use polyperf::{
    outcome::{Ended, Side},
    spec::Direction,
};

use crate::pair::{Cut, Pair, SECOND, timed};

/// Runs a test in which `side` falls silent behind each of its bytes in turn.
fn at_every_byte(side: Side, direction: Direction, cut: Cut) {
    let total = Pair::new(&timed(direction)).run().end(side).sent;
    assert!(total > 100, "{total}");
    for offset in 0..total {
        let mut pair = Pair::new(&timed(direction));
        pair.end(side).cut = Some((offset, cut));
        let pair = pair.run();
        check(&pair, &format!("{side:?} {cut:?} behind {offset} of {total} bytes"));
    }
}

fn check(pair: &Pair, what: &str) {
    let last =
        pair.client.conclusion.as_ref().unwrap().0.max(pair.server.conclusion.as_ref().unwrap().0);
    assert!(last < 80 * SECOND, "{what}: {last:?}");
    if pair.endings().0 == &Ended::Complete {
        assert_eq!(pair.endings().1, &Ended::Complete, "{what}");
        assert!(pair.client.theirs().is_some() && pair.server.theirs().is_some(), "{what}");
    }
    if pair.endings().1 == &Ended::Complete {
        assert!(pair.server.theirs().is_some(), "{what}");
    }
}

#[test]
fn a_client_that_stalls_at_any_byte_is_not_waited_for() {
    at_every_byte(Side::Client, Direction::Forward, Cut::Stall);
}

#[test]
fn a_client_that_breaks_off_at_any_byte_is_noticed() {
    at_every_byte(Side::Client, Direction::Reverse, Cut::End);
}

#[test]
fn a_server_that_stalls_at_any_byte_is_not_waited_for() {
    at_every_byte(Side::Server, Direction::Reverse, Cut::Stall);
}

#[test]
fn a_server_that_breaks_off_at_any_byte_is_noticed() {
    at_every_byte(Side::Server, Direction::Bidirectional, Cut::End);
}
