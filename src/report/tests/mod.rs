//! Reports as their readers get them.

mod connections;
mod csv;
mod exchanges;
mod json;
mod repair;
mod text;

use std::{io, sync::Arc, time::Duration};

use super::{Format, Options, Reporter, testing};
use crate::{measure::DatagramSummary, spec::Direction};

const FORMATS: [Format; 4] = [Format::Text, Format::Json, Format::JsonStream, Format::Csv];

fn of(format: Format) -> Options {
    Options { format, ..Options::default() }
}

#[test]
fn a_reader_that_has_gone_away_is_an_error_and_no_panic() {
    let outcome = testing::outcome(Direction::Forward, 1);
    for format in FORMATS {
        let mut reporter = Reporter::new(of(format), testing::Closed);
        let last = testing::events(&outcome).pop().unwrap();
        assert_eq!(reporter.handle(&last).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(reporter.finish().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn no_string_of_the_other_end_reaches_a_reader_as_it_is() {
    for format in FORMATS {
        let options = Options { sessions: true, ..of(format) };
        let report = testing::report(options, &testing::events(&testing::hostile()));
        let harm = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!report.contains(harm), "{report:?}");
        assert!(!report.lines().any(|line| line.starts_with("fake line")), "{report}");
    }
}

#[test]
fn a_test_that_has_nothing_to_show_says_why_in_every_format() {
    for format in FORMATS {
        let report = testing::report(of(format), &[testing::turned_away()]);
        assert!(report.contains("the server is busy running a test"), "{report}");
    }
}

#[test]
fn absurd_figures_of_the_other_end_do_not_overflow() {
    let mut outcome = testing::outcome(Direction::Bidirectional, 2);
    for flow in &mut outcome.remote.as_mut().unwrap().flows {
        (flow.bytes, flow.retransmits) = (u64::MAX, Some(u64::MAX));
        flow.duration = Duration::from_micros(u64::MAX);
    }
    for interval in &mut outcome.intervals {
        for flow in &mut Arc::make_mut(interval).remote.as_mut().unwrap().flows {
            (flow.bytes, flow.retransmits) = (u64::MAX, Some(u64::MAX));
        }
    }
    let absurd = DatagramSummary {
        received: u64::MAX,
        lost: Some(u64::MAX),
        jitter: Some(Duration::from_micros(u64::MAX)),
        ..DatagramSummary::default()
    };
    let mut datagrams = testing::of_datagrams(Direction::Reverse, 2);
    for flow in &mut datagrams.local.flows {
        flow.datagrams = Some(absurd);
    }
    for flow in &mut datagrams.remote.as_mut().unwrap().flows {
        flow.datagrams_sent = Some(u64::MAX);
    }
    for format in FORMATS {
        assert!(!testing::report(of(format), &testing::events(&datagrams)).is_empty());
        assert!(!testing::report(of(format), &testing::events(&outcome)).is_empty());
    }
}
