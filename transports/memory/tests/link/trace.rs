//! Rates that follow a trace.

use std::time::Duration;

use polyperf_memory::link::{BitRate, Link, LinkConfig, QueueLimit, Trace, TraceError};

use super::{arrivals, ids, ms, packet};

#[test]
fn a_line_for_each_millisecond_is_12_megabits_per_second() {
    let lines: String = (1..=1000).map(|line| format!("{line}\n")).collect();
    for trace in [parsed("1"), parsed(&lines)] {
        assert_eq!(trace.mean_rate(), BitRate::mbps(12));
        let mut link = Link::new(LinkConfig::perfect().trace(trace));
        for _ in 0..10_000 {
            link.push(ms(0), packet(0, 1500));
        }
        let times: Vec<_> = arrivals(&mut link).into_iter().map(|(at, _)| at).collect();
        assert_eq!(times, (1..=10_000).map(ms).collect::<Vec<_>>());
    }
}

#[test]
fn equal_lines_send_as_many_at_once_and_the_last_is_the_period() {
    let mut link = Link::new(LinkConfig::perfect().trace(parsed("2\n2\n5\n")));
    (0..7).for_each(|id| link.push(ms(0), packet(id, 1500)));
    let expected = [2, 2, 5, 7, 7, 10, 12];
    let expected: Vec<_> = expected.into_iter().map(ms).zip(0..7).collect();
    assert_eq!(arrivals(&mut link), expected);
}

#[test]
fn a_first_line_of_zero_is_an_opportunity_of_each_period() {
    let mut link = Link::new(LinkConfig::perfect().trace(parsed("0\n10\n")));
    (0..5).for_each(|id| link.push(ms(0), packet(id, 1500)));
    let expected: Vec<_> = [0, 10, 10, 20, 20].into_iter().map(ms).zip(0..5).collect();
    assert_eq!(arrivals(&mut link), expected);
}

#[test]
fn small_packets_share_an_opportunity_and_large_ones_take_several() {
    let mut link = Link::new(LinkConfig::perfect().trace(parsed("1")));
    for (id, len) in [(0, 500), (1, 1000), (2, 700), (3, 3000), (4, 100), (5, 700)] {
        link.push(ms(0), packet(id, len));
    }
    // 500 + 1000 | 700 + 800 | 1500 | 700 + 100 + 700
    let expected = [(ms(1), 0), (ms(1), 1), (ms(2), 2), (ms(4), 3), (ms(4), 4), (ms(4), 5)];
    assert_eq!(arrivals(&mut link), expected);
}

#[test]
fn opportunities_that_nobody_uses_are_gone() {
    let mut link = Link::new(LinkConfig::perfect().trace(parsed("3\n7\n10\n")));
    link.push(ms(0), packet(0, 1500));
    link.push(Duration::from_micros(1_003_001), packet(1, 1500));
    link.push(ms(1_000_007), packet(2, 1500));
    let expected = [(ms(3), 0), (ms(1007), 1), (ms(1_000_007), 2)];
    assert_eq!(arrivals(&mut link), expected);
}

#[test]
fn a_late_caller_loses_no_opportunity() {
    let mut link = Link::new(LinkConfig::perfect().trace(parsed("1")));
    (0..100).for_each(|_| link.push(ms(0), packet(0, 1500)));
    assert_eq!(std::iter::from_fn(|| link.pop(ms(100))).count(), 100);
}

#[test]
fn a_queue_in_time_holds_what_the_trace_sends_in_it() {
    // Nothing for 50 ms, and then 50 packets at one a millisecond.
    let lines: String = (51..=100).map(|line| format!("{line}\n")).collect();
    let config = LinkConfig::perfect().trace(parsed(&lines)).queue(QueueLimit::Time(ms(60)));
    let mut link = Link::new(config);
    (0..30).for_each(|id| link.push(ms(0), packet(id, 1500)));
    assert_eq!(link.stats().dropped_by_queue, 20);
    // By then ten more will have their turn within 60 ms, and by and by those ten leave.
    (30..60).for_each(|id| link.push(ms(10), packet(id, 1500)));
    assert_eq!(link.stats().dropped_by_queue, 40);
    let kept: Vec<_> = (0..10).chain(30..40).collect();
    assert_eq!(ids(&mut link), kept);
}

#[test]
fn blanks_around_lines_and_windows_line_ends_are_taken() {
    assert_eq!(parsed("1\r\n 2 \r\n"), parsed("1\n2"));
}

#[test]
fn what_is_no_trace_is_refused_with_line_value_and_what_is_allowed() {
    let cases = [
        ("", "the trace is empty; write a line for each 1500 bytes"),
        ("1\n2.5\n", "line 2 is \"2.5\"; allowed is a whole number of milliseconds, from 0"),
        ("1\n\n3\n", "line 2 is \"\"; allowed is a whole number"),
        ("-1\n", "line 1 is \"-1\"; allowed"),
        ("\u{0}\u{1}\n", "line 1 is \"\\0\\u{1}\"; allowed"),
        ("1\n5\n4\n", "line 3 is 4, after 5 in the line above; times must not fall"),
        ("0\n0\n", "all 2 lines are 0; the last line is the period"),
        ("86400001\n", "line 1 is 86400001; allowed are at most 86400000 milliseconds"),
        ("99999999999999999999\n", "line 1 is 99999999999999999999; allowed are at most"),
    ];
    for (text, message) in cases {
        let error = Trace::parse(text).expect_err(text).to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn a_huge_text_is_refused_before_it_is_read() {
    let text = "1\n".repeat(Trace::MAX_LEN / 2 + 1);
    assert_eq!(Trace::parse(&text), Err(TraceError::TooLong { len: Trace::MAX_LEN + 2 }));
    let line = "7".repeat(10_000);
    let error = Trace::parse(&line).expect_err("too late").to_string();
    assert!(error.len() < 200, "{error}");
}

#[test]
fn moments_from_elsewhere_are_checked_as_lines_are() {
    assert_eq!(Trace::new(vec![1, 2, 2]).expect("a trace"), parsed("1\n2\n2"));
    assert_eq!(Trace::new(vec![]), Err(TraceError::Empty));
    let falling = TraceError::Falling { line: 2, value: 1, before: 2 };
    assert_eq!(Trace::new(vec![2, 1]), Err(falling));
    assert!(matches!(Trace::new(vec![u32::MAX]), Err(TraceError::TooLate { line: 1, .. })));
}

fn parsed(text: &str) -> Trace {
    Trace::parse(text).expect("a trace")
}
