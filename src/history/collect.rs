//! From events to tests: the intervals of each are gathered until it is over.

use std::{collections::HashMap, sync::Arc};

use super::entry::weight;
use crate::{event::IntervalEvent, measure::Interval};

/// The intervals of tests that are under way, as far as there is room for them.
#[derive(Debug, Default)]
pub(super) struct Intervals {
    tests: HashMap<String, Gathered>,
    /// Of all tests together.
    weight: usize,
    /// Intervals taken so far, which is the time here.
    now: u64,
    /// When it was last looked for tests whose end was missed.
    swept: u64,
}

#[derive(Debug, Default)]
struct Gathered {
    intervals: Vec<Arc<Interval>>,
    weight: usize,
    left_out: u64,
    touched: u64,
}

impl Intervals {
    /// Takes an interval of a test.
    pub(super) fn add(&mut self, event: &IntervalEvent) {
        self.now += 1;
        let new = weight(&event.interval);
        if self.weight + new > OF_ALL || self.tests.len() >= TESTS {
            self.sweep();
        }
        let room = self.weight + new <= OF_ALL;
        if self.tests.len() >= TESTS && !self.tests.contains_key(&event.info.session) {
            return;
        }
        let test = self.tests.entry(event.info.session.clone()).or_default();
        test.touched = self.now;
        if room && test.weight + new <= OF_ONE {
            test.intervals.push(Arc::clone(&event.interval));
            test.weight += new;
            self.weight += new;
        } else {
            test.left_out += 1;
        }
    }

    /// Returns what was gathered of a test that is over, and how much there was no room for.
    pub(super) fn take(&mut self, session: &str) -> (Vec<Arc<Interval>>, u64) {
        let Some(test) = self.tests.remove(session) else { return (Vec::new(), 0) };
        self.weight -= test.weight;
        (test.intervals, test.left_out)
    }

    /// Forgets tests that nothing was heard of for long: the event of their end was missed.
    fn sweep(&mut self) {
        if self.now < self.swept + SWEEP_EVERY {
            return;
        }
        self.swept = self.now;
        let oldest = self.now.saturating_sub(SWEEP_EVERY);
        self.tests.retain(|_, test| test.touched > oldest);
        self.weight = self.tests.values().map(|test| test.weight).sum();
    }
}

/// In counts of a flow by one end, of which each takes about half a kilobyte: 10 MB for a test, and
/// 100 MB for all. A test of one stream has room for 6000 intervals.
const OF_ONE: usize = 20_000;
const OF_ALL: usize = 200_000;
/// More than may run at once.
const TESTS: usize = 20_000;
/// In intervals of all tests.
const SWEEP_EVERY: u64 = 50_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::Outcome, report::testing, spec::Direction};

    fn events(session: &str, outcome: &Outcome) -> Vec<IntervalEvent> {
        let mut info = (*outcome.info).clone();
        info.session = session.to_owned();
        let info = Arc::new(info);
        let event = |interval: &Arc<Interval>| IntervalEvent {
            info: Arc::clone(&info),
            interval: Arc::clone(interval),
        };
        outcome.intervals.iter().map(event).collect()
    }

    #[test]
    fn each_test_gets_its_own_intervals_once() {
        let outcome = testing::outcome(Direction::Forward, 1);
        let mut intervals = Intervals::default();
        for event in events("a", &outcome).iter().chain(&events("b", &outcome)) {
            intervals.add(event);
        }
        assert_eq!(intervals.take("a"), (outcome.intervals.clone(), 0));
        assert_eq!(intervals.take("a"), (Vec::new(), 0));
        assert_eq!(intervals.take("b"), (outcome.intervals, 0));
        assert_eq!(intervals.weight, 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let outcome = testing::outcome(Direction::Bidirectional, 128);
        let event = events("a", &outcome).remove(0);
        let mut intervals = Intervals::default();
        for _ in 0..100 {
            intervals.add(&event);
        }
        let room = OF_ONE / weight(&event.interval);
        assert!((1..100).contains(&room), "{room}");
        let (kept, left_out) = intervals.take("a");
        assert_eq!((kept.len(), left_out), (room, 100 - room as u64));
    }

    #[test]
    fn tests_whose_end_was_missed_take_no_room_for_ever() {
        let outcome = testing::outcome(Direction::Bidirectional, 128);
        let mut intervals = Intervals::default();
        for number in 0..100_000 {
            // Each is heard of once and never again.
            intervals.add(&events(&number.to_string(), &outcome)[0]);
            assert!(intervals.weight <= OF_ALL && intervals.tests.len() <= TESTS);
        }
        intervals.add(&events("last", &outcome)[0]);
        for _ in 0..SWEEP_EVERY + 1 {
            intervals.add(&events("last", &testing::outcome(Direction::Forward, 1))[0]);
        }
        let (kept, _) = intervals.take("last");
        assert!(!kept.is_empty());
    }
}
