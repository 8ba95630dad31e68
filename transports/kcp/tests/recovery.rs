//! What is lost is sent again, and little else: the link knows the truth. Error correction has it
//! arrive sooner.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod lab;

use std::time::Duration;

use lab::{Ours, World, latencies, lossy, pattern};
use polyperf_kcp::{Config, Conversation, FlushPolicy, Flushed, Output};

#[test]
fn what_is_sent_again_is_what_was_lost() {
    for flush in [FlushPolicy::Batch, FlushPolicy::Interval] {
        for loss in [0.01, 0.05] {
            let config = Config { flush, repeat_acks: true, ..Config::default() };
            // Enough that the few acknowledgements which are lost twice do not decide.
            let sent = pattern(40_000_000);
            let ends = (Ours::new(config), Ours::new(config));
            let mut world = World::new(ends.0, ends.1, lossy(loss, 1), Duration::ZERO);
            assert!(world.transfer(&sent, 100_000) == sent);
            let lost = world.forward.stats().lost;
            let stats = world.here.stats();
            let again = stats.retransmits.total();
            assert!(lost > 50, "only {lost} were lost");
            assert!(
                again * 10 >= lost * 8 && again * 10 <= lost * 12,
                "{flush:?}, {loss}: {again} for {lost} that were lost, {stats:?}"
            );
            assert!(again >= lost, "everything arrived: {again} for {lost}");
        }
    }
}

#[test]
fn who_sends_between_two_datagrams_of_acknowledgements_sends_again_what_was_lost_alone() {
    let end = || Conversation::new(7, Config::default(), None).unwrap();
    let (mut here, mut there, mut output) = (end(), end(), Output::default());
    // New data leaves all the time, so that nothing is sent again early.
    here.send(&vec![5; 1000 * 1376]).unwrap();
    let mut sent = 0;
    for millis in 0..20 {
        output.clear();
        let _ = here.flush(Duration::from_millis(millis), &mut output);
        for datagram in output.datagrams() {
            sent += 1;
            if sent != 10 {
                there.input(datagram, Duration::from_millis(millis)).unwrap();
            }
        }
    }
    let now = Duration::from_millis(40);
    output.clear();
    assert_eq!(there.flush(now, &mut output), Flushed::All);
    assert!(output.len() > 1);
    let mut back = Output::default();
    for datagram in output.datagrams() {
        here.input(datagram, now).unwrap();
        back.clear();
        let _ = here.flush(now, &mut back);
    }
    assert_eq!(here.stats().retransmits.total(), 1, "{:?}", here.stats());
}

#[test]
fn what_is_sent_again_early_is_not_waited_for_and_no_more_is_sent_in_vain() {
    let met = |early| {
        let (mut timeouts, mut again) = (0, 0);
        for seed in 1..=5 {
            let config = Config { early, repeat_acks: true, ..Config::default() };
            let ends = (Ours::new(config), Ours::new(config));
            let mut world = World::new(ends.0, ends.1, lossy(0.05, seed), Duration::ZERO);
            world.transfer(&pattern(5_000_000), 100_000);
            let retransmits = world.here.stats().retransmits;
            timeouts += retransmits.timeout;
            again += retransmits.total();
        }
        (timeouts, again)
    };
    let (early, late) = (met(true), met(false));
    assert!(early.0 * 4 < late.0 * 3, "timeouts and all: {early:?} early, {late:?} late");
    assert!(early.1 * 10 < late.1 * 11, "timeouts and all: {early:?} early, {late:?} late");
}

#[test]
fn acknowledgements_sent_once_cost_more_than_what_was_lost() {
    let again = |repeat_acks| {
        let config = Config { repeat_acks, ..Config::default() };
        let ends = (Ours::new(config), Ours::new(config));
        let mut world = World::new(ends.0, ends.1, lossy(0.05, 1), Duration::ZERO);
        world.transfer(&pattern(12_000_000), 100_000);
        world.here.stats().retransmits.total()
    };
    assert!(again(false) > again(true));
}

#[test]
fn error_correction_lowers_the_latency_of_the_slowest_messages() {
    for loss in [0.01, 0.05] {
        let plain = latencies(None, loss, 1);
        let corrected = latencies(Some("10:3".parse().unwrap()), loss, 1);
        assert!(
            corrected.percentile(99) < plain.percentile(99),
            "{loss}: {:?} without, {:?} with",
            plain.percentile(99),
            corrected.percentile(99)
        );
        let fec = corrected.receiver.fec.unwrap();
        assert!(fec.recovered > 0 && plain.receiver.fec.is_none());
    }
}
