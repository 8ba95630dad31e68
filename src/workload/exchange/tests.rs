use super::*;
use crate::spec::{Direction, Limit, SpecFields, Workload};

const MS: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns who asks in a test of a second that is so set.
fn asker(exchange: Exchange, ordered: bool, set: impl FnOnce(&mut SpecFields)) -> Asker {
    let mut fields = SpecFields {
        workload: Workload::Rr(exchange),
        limit: Limit::Time(at(1000)),
        ..SpecFields::default()
    };
    set(&mut fields);
    let spec = TestSpec::try_from(fields).unwrap();
    let budget = Budget::new(spec.limit).map(Arc::new);
    Asker::new(&spec, exchange, ordered, budget)
}

fn closed(in_flight: u16, ordered: bool) -> Asker {
    asker(Exchange { in_flight, ..Exchange::default() }, ordered, |_| {})
}

fn scheduled(per_second: u32, in_flight: u16) -> Asker {
    let exchange = Exchange { in_flight, per_second: Some(per_second), ..Exchange::default() };
    asker(exchange, true, |_| {})
}

fn probing(omit: u64) -> Asker {
    let probe = Probe { every: 10 * MS, idle: at(100), size: 64 };
    let spec = TestSpec::try_from(SpecFields {
        probe: Some(probe),
        omit: at(omit),
        limit: Limit::Time(at(500)),
        direction: Direction::Reverse,
        ..SpecFields::default()
    });
    Asker::probing(&spec.unwrap(), probe, false)
}

/// Takes so many responses, and returns how many of them were waited for.
fn replies(asker: &mut Asker, count: usize, now: Duration) -> usize {
    (0..count).filter(|_| asker.next_reply(None, now)).count()
}

fn counts(asker: &Asker) -> (u64, u64, u64) {
    let summary = asker.summary();
    (summary.requests, summary.replies, summary.lost)
}

fn close(nanos: u64, to: Duration) -> bool {
    let to = u64::try_from(to.as_nanos()).unwrap();
    nanos.abs_diff(to) <= to / 500
}

#[test]
fn in_a_closed_loop_a_response_lets_the_next_request_go() {
    let mut asker = closed(2, true);
    assert_eq!(asker.turn(at(0)), Turn::Ask(2));
    assert_eq!(asker.turn(at(1)), Turn::Rest(Some(at(1000))));
    assert_eq!(replies(&mut asker, 1, at(5)), 1);
    assert_eq!(asker.turn(at(5)), Turn::Ask(1));
    assert_eq!(replies(&mut asker, 2, at(9)), 2);
    assert_eq!(asker.turn(at(1000)), Turn::Done);
    assert_eq!(counts(&asker), (3, 3, 0));
    let latency = asker.summary().latency.unwrap();
    assert!(close(latency.min_ns, 4 * MS) && close(latency.max_ns, 9 * MS), "{latency:?}");
    assert_eq!(asker.lasted_until(), Some(at(1000)), "time ended it");
}

#[test]
fn responses_that_nobody_asked_for_are_none() {
    let mut asker = closed(2, true);
    assert_eq!(asker.turn(at(0)), Turn::Ask(2));
    assert_eq!(replies(&mut asker, 3, at(1)), 2);
    let mut asker = closed(2, false);
    assert_eq!(asker.turn(at(0)), Turn::Ask(2));
    assert!(!asker.reply(2, None, at(1)) && !asker.reply(u64::MAX, None, at(1)));
    assert_eq!(counts(&asker), (2, 0, 0));
}

#[test]
fn responses_may_come_in_any_order_and_each_counts_once() {
    let mut asker = closed(4, false);
    assert_eq!(asker.turn(at(0)), Turn::Ask(4));
    let taken: Vec<_> = [2, 2, 0, 3, 3, 1, 0].map(|number| asker.reply(number, None, at(1))).into();
    assert_eq!(taken, [true, false, true, true, false, true, false]);
    assert_eq!((asker.under_way(), asker.turn(at(1))), (0, Turn::Ask(4)));
    assert_eq!(counts(&asker), (8, 4, 0));
}

#[test]
fn a_request_whose_response_does_not_come_is_lost_and_frees_its_place() {
    let mut asker = asker(Exchange { in_flight: 2, ..Exchange::default() }, false, |fields| {
        fields.limit = Limit::Endless;
    });
    assert_eq!(asker.turn(at(0)), Turn::Ask(2));
    assert!(asker.reply(1, None, at(10)));
    assert_eq!(asker.turn(at(10)), Turn::Ask(1));
    assert_eq!(asker.turn(at(20)), Turn::Rest(Some(REPLY_WITHIN)));
    assert_eq!(asker.turn(REPLY_WITHIN), Turn::Ask(1));
    assert!(!asker.reply(0, None, REPLY_WITHIN), "it came too late");
    assert_eq!(counts(&asker), (4, 1, 1));
}

#[test]
fn a_stream_that_loses_nothing_waits_until_the_end() {
    let mut asker = closed(1, true);
    assert_eq!(asker.turn(at(0)), Turn::Ask(1));
    assert_eq!(asker.turn(at(999)), Turn::Rest(Some(at(1000))));
    assert_eq!(asker.turn(at(1000)), Turn::Rest(Some(at(2000))));
    assert_eq!(replies(&mut asker, 1, at(1500)), 1);
    assert_eq!(asker.turn(at(1500)), Turn::Done);
    assert_eq!(counts(&asker), (1, 1, 0));
}

#[test]
fn the_last_ones_are_waited_for_and_then_lost() {
    for ordered in [true, false] {
        let mut asker = closed(3, ordered);
        assert_eq!(asker.turn(at(900)), Turn::Ask(3));
        assert!(matches!(asker.turn(at(1000)), Turn::Rest(Some(_))));
        assert_eq!(asker.turn(at(2000)), Turn::Done);
        assert_eq!(counts(&asker), (3, 0, 3));
    }
}

#[test]
fn on_a_schedule_latency_counts_from_when_a_request_was_due() {
    let mut asker = scheduled(100, 1);
    assert_eq!(asker.turn(at(0)), Turn::Ask(1));
    // The first takes 35 ms, so that three others have to wait for their turn.
    assert_eq!(asker.turn(at(30)), Turn::Rest(Some(at(1000))));
    for (now, latency) in [(35, 35), (36, 26), (37, 17), (38, 8)] {
        assert_eq!(replies(&mut asker, 1, at(now)), 1);
        let longest = asker.summary().latency.unwrap();
        assert!(close(longest.min_ns, at(latency)), "{longest:?} at {now}");
        let next = asker.turn(at(now));
        assert_eq!(next, if now < 38 { Turn::Ask(1) } else { Turn::Rest(Some(at(40))) });
    }
    assert_eq!(counts(&asker), (4, 4, 0));
}

#[test]
fn what_is_due_goes_together_as_far_as_there_is_room() {
    let mut asker = scheduled(1000, 100);
    assert_eq!(asker.turn(at(0)), Turn::Ask(1));
    assert_eq!(asker.turn(at(10)), Turn::Ask(10));
    assert_eq!(asker.turn(at(500)), Turn::Ask(89), "a hundred may be under way");
    assert_eq!(asker.under_way(), 100);
}

#[test]
fn what_was_due_and_never_went_is_lost() {
    let mut asker = scheduled(1000, 1);
    assert_eq!(asker.turn(at(0)), Turn::Ask(1));
    assert!(matches!(asker.turn(at(1000)), Turn::Rest(Some(_))));
    assert_eq!(asker.turn(at(2000)), Turn::Done);
    assert_eq!(counts(&asker), (1000, 0, 1000));
}

#[test]
fn what_was_due_just_before_the_end_still_goes() {
    let mut asker = scheduled(100, 10);
    assert_eq!(asker.turn(at(0)), Turn::Ask(1));
    assert_eq!(asker.turn(at(90)), Turn::Ask(9));
    assert_eq!(replies(&mut asker, 10, at(980)), 10);
    assert_eq!(asker.turn(at(980)), Turn::Ask(10));
    assert_eq!(replies(&mut asker, 10, at(981)), 10);
    // 80 more were due by then, in a test that is over by the time that somebody looks.
    for _ in 0..8 {
        assert_eq!(asker.turn(at(1001)), Turn::Ask(10));
        assert_eq!(replies(&mut asker, 10, at(1001)), 10);
    }
    assert_eq!(asker.turn(at(1001)), Turn::Done);
    assert_eq!(counts(&asker), (100, 100, 0));
}

#[test]
fn a_count_of_requests_ends_it_after_the_last_response() {
    let mut asker = asker(Exchange { in_flight: 4, ..Exchange::default() }, true, |fields| {
        fields.limit = Limit::Blocks(6);
    });
    assert_eq!(asker.turn(at(0)), Turn::Ask(1), "its own share comes first");
    assert_eq!(asker.turn(at(0)), Turn::Ask(3));
    assert_eq!(replies(&mut asker, 4, at(10)), 4);
    assert_eq!(asker.turn(at(10)), Turn::Ask(2));
    assert!(matches!(asker.turn(at(11)), Turn::Rest(Some(_))));
    assert_eq!(replies(&mut asker, 2, at(20)), 2);
    assert_eq!(asker.turn(at(20)), Turn::Done);
    assert_eq!((counts(&asker), asker.lasted_until()), ((6, 6, 0), Some(at(20))));
}

#[test]
fn what_is_omitted_does_not_count_and_costs_no_budget() {
    let mut asker = asker(Exchange::default(), true, |fields| {
        fields.limit = Limit::Blocks(1);
        fields.omit = at(100);
    });
    for now in [0, 50] {
        assert_eq!(asker.turn(at(now)), Turn::Ask(1));
        assert_eq!(replies(&mut asker, 1, at(now + 60)), 1);
    }
    assert_eq!(counts(&asker), (0, 0, 0), "even if the response comes after that time");
    assert_eq!(asker.turn(at(110)), Turn::Ask(1));
    assert_eq!(replies(&mut asker, 1, at(111)), 1);
    assert_eq!(asker.turn(at(111)), Turn::Done);
    assert_eq!(counts(&asker), (1, 1, 0));
}

#[test]
fn a_rate_holds_requests_back_by_the_longer_of_both() {
    let exchange = Exchange { request: 100, response: 1000, ..Exchange::default() };
    let spec = TestSpec::try_from(SpecFields {
        workload: Workload::Rr(exchange),
        ..SpecFields::default()
    });
    let rate = crate::spec::Rate { bits_per_second: 800_000, burst: None };
    let spec = spec.unwrap().settled(100, Some(rate));
    let mut asker = Asker::new(&spec, exchange, true, None);
    assert_eq!(asker.turn(at(0)), Turn::Ask(1));
    assert_eq!(replies(&mut asker, 1, at(1)), 1);
    assert_eq!(asker.turn(at(1)), Turn::Rest(Some(at(10))));
    assert_eq!(asker.turn(at(10)), Turn::Ask(1));
}

#[test]
fn a_probe_tells_the_idle_path_from_the_loaded_one() {
    let mut asker = probing(50);
    let mut number = 0;
    for now in (0..650).step_by(10) {
        if let Turn::Ask(count) = asker.turn(at(now)) {
            for _ in 0..count {
                let takes = if now < 100 { 1 } else { 20 };
                assert!(asker.reply(number, None, at(now + takes)));
                number += 1;
            }
        }
    }
    assert_eq!(asker.turn(at(650)), Turn::Done);
    let summary = asker.summary();
    assert_eq!((summary.requests, summary.replies, summary.lost), (50, 50, 0));
    let (idle, loaded) = (summary.idle.unwrap(), summary.latency.unwrap());
    assert_eq!((idle.count, loaded.count), (10, 50), "the first of the load are omitted");
    assert!(close(idle.p50_ns, MS) && close(loaded.p50_ns, 20 * MS), "{idle:?} {loaded:?}");
}

#[test]
fn who_is_told_of_the_end_a_little_late_asks_nothing_more() {
    let mut asker = probing(0);
    assert_eq!(asker.turn(at(590)), Turn::Ask(60));
    asker.stop(at(602));
    assert!(matches!(asker.turn(at(602)), Turn::Rest(Some(_))), "the next one is due at the end");
    assert_eq!(counts(&asker).0, 50);
}

#[test]
fn a_probe_ends_with_the_load_and_waits_for_what_is_under_way() {
    let mut asker = probing(0);
    assert_eq!(asker.turn(at(200)), Turn::Ask(21));
    asker.stop(at(205));
    assert_eq!(asker.turn(at(206)), Turn::Rest(Some(at(1200))));
    assert!((0..20).all(|number| asker.reply(number, None, at(210))));
    assert_eq!(asker.turn(at(1200)), Turn::Done, "the last one is lost");
    assert_eq!(counts(&asker), (11, 10, 1));
}
