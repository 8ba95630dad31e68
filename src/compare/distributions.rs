//! What charts are drawn from: latencies of many runs together, and goodput over time.

use std::time::Duration;

use super::experiment::{Experiment, PartKind};
use crate::{
    measure::{
        ExchangeSummary, FlowId, Interval, Latencies, LatencySummary, Role, Sample, bits_per_second,
    },
    outcome::{Outcome, Side},
    spec::Direction,
};

/// Whether bulk was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Nothing else was.
    Idle,
    /// The client sent bulk beside.
    Loaded,
}

/// Returns the latencies of an arm, those of all runs together. What cannot be read is left out.
pub(super) fn latencies(experiment: &Experiment, arm: &str, load: Load) -> Latencies {
    let mut all = Latencies::new();
    for run in experiment.runs_of(arm) {
        let found = match load {
            Load::Idle => summaries(run.outcome(PartKind::Idle), |asked| asked.latency.as_ref())
                .or_else(|| summaries(run.outcome(PartKind::Up), |asked| asked.idle.as_ref())),
            Load::Loaded => summaries(run.outcome(PartKind::Up), |asked| asked.latency.as_ref()),
        };
        let found = found.into_iter().flatten();
        found.filter_map(LatencySummary::latencies).for_each(|one| all.merge(&one));
    }
    all
}

/// Returns these summaries of a test; `None` if it has none.
fn summaries(
    outcome: Option<&Outcome>,
    which: fn(&ExchangeSummary) -> Option<&LatencySummary>,
) -> Option<Vec<&LatencySummary>> {
    let outcome = outcome?;
    let sides = std::iter::once(&outcome.local).chain(&outcome.remote);
    let asked = sides.flat_map(|side| &side.flows).filter_map(|flow| flow.exchanges.as_deref());
    let found: Vec<_> = asked.filter_map(which).collect();
    (!found.is_empty()).then_some(found)
}

/// Goodput over the time since the load began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    /// When each interval began and ended, and what the receiver counted in it in bits per second.
    steps: Vec<(Duration, Duration, f64)>,
    /// When what counts began, after the warm-up.
    pub(super) measured_from: Option<Duration>,
}

impl Course {
    /// Returns the course of a test of bulk; `None` if its intervals were not kept, or the receiver
    /// has not told.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let spec = &outcome.info.spec;
        let before = spec.probe.map_or(Duration::ZERO, |probe| probe.idle);
        let since = |time: Duration| time.saturating_sub(before);
        let counted = outcome.intervals.iter().filter_map(|interval| received(outcome, interval));
        let counted: Vec<_> = counted.filter(|(sample, _)| sample.end > before).collect();
        let step = |(sample, bytes): &(&Sample, u64)| {
            let rate = bits_per_second(*bytes, sample.duration())?;
            Some((since(sample.start), since(sample.end), rate))
        };
        let steps: Vec<_> = counted.iter().filter_map(step).collect();
        let first = counted.iter().find(|(sample, _)| !sample.omitted);
        let measured_from = first.map(|(sample, _)| since(sample.start));
        (!steps.is_empty()).then_some(Self { steps, measured_from })
    }

    /// Returns the rate at a time, in bits per second.
    pub(super) fn at(&self, time: Duration) -> Option<f64> {
        let after = self.steps.partition_point(|(start, ..)| *start <= time);
        let (_, end, rate) = self.steps.get(after.checked_sub(1)?)?;
        (time < *end).then_some(*rate)
    }

    /// Returns when it ended.
    pub(super) fn end(&self) -> Duration {
        self.steps.last().map_or(Duration::ZERO, |(_, end, _)| *end)
    }

    /// Returns the length of its shortest interval but the last, which the end may have cut.
    pub(super) fn step(&self) -> Option<Duration> {
        let whole = self.steps.split_last().map(|(last, whole)| {
            if whole.is_empty() { std::slice::from_ref(last) } else { whole }
        })?;
        whole.iter().map(|(start, end, _)| *end - *start).min()
    }
}

/// Returns what the receiver of bulk counted in an interval, and its sample.
fn received<'a>(outcome: &Outcome, interval: &'a Interval) -> Option<(&'a Sample, u64)> {
    let spec = &outcome.info.spec;
    let receiver = match spec.direction {
        Direction::Reverse => Side::Client,
        Direction::Forward | Direction::Bidirectional => Side::Server,
    };
    let sample = if receiver == outcome.info.side {
        Some(&interval.local)
    } else {
        interval.remote.as_ref()
    };
    let sample = sample?;
    let is_bulk = |flow: FlowId| spec.role(receiver, flow) == Some(Role::Receiver);
    let flows = sample.flows.iter().filter(|flow| is_bulk(flow.flow));
    let mut bytes = flows.map(|flow| flow.bytes).peekable();
    bytes.peek()?;
    Some((sample, bytes.fold(0, u64::saturating_add)))
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn latencies_of_all_runs_are_together() {
        let experiment = samples::of(&["tcp"], 3, 1);
        for load in [Load::Idle, Load::Loaded] {
            assert_eq!(latencies(&experiment, "tcp", load).count(), 3 * 400);
        }
        let p50 = |load| latencies(&experiment, "tcp", load).quantile(0.5).unwrap();
        assert!(p50(Load::Loaded) > p50(Load::Idle) * 2, "the path is loaded");
    }

    #[test]
    fn what_claims_to_be_latencies_and_is_not_is_left_out() {
        let experiment = samples::hostile();
        assert!(latencies(&experiment, "tcp", Load::Loaded).is_empty());
    }

    #[test]
    fn a_course_begins_with_the_load_and_is_what_the_receiver_counted() {
        let experiment = samples::of(&["tcp"], 1, 1);
        for kind in [PartKind::Up, PartKind::Down] {
            let course = Course::of(experiment.runs[0].outcome(kind).unwrap()).unwrap();
            assert_eq!(course.end(), Duration::from_secs(4));
            assert_eq!(course.step(), Some(Duration::from_millis(100)));
            assert_eq!(course.measured_from, Some(Duration::from_secs(1)));
            let [first, last] = [50, 3950].map(|ms| course.at(Duration::from_millis(ms)).unwrap());
            assert!(first < last / 2.0 && last > 8e8, "{first} {last}");
            assert_eq!(course.at(Duration::from_secs(4)), None);
        }
    }

    #[test]
    fn whatever_times_the_other_end_tells_nothing_panics() {
        let experiment = samples::of(&["tcp"], 1, 1);
        let times = [0, 1, 700_000, u64::MAX].map(Duration::from_micros);
        for (start, end) in times.into_iter().flat_map(|start| times.map(|end| (start, end))) {
            let mut outcome = experiment.runs[0].outcome(PartKind::Up).unwrap().clone();
            for interval in &mut outcome.intervals {
                let remote = std::sync::Arc::make_mut(interval).remote.as_mut().unwrap();
                (remote.start, remote.end) = (start, end);
            }
            if let Some(course) = Course::of(&outcome) {
                assert!(course.step().unwrap() <= course.end());
                assert!(course.at(Duration::ZERO).is_none_or(f64::is_finite));
            }
        }
    }

    #[test]
    fn without_intervals_there_is_no_course() {
        let experiment = samples::of(&["tcp"], 1, 1);
        assert_eq!(Course::of(experiment.runs[0].outcome(PartKind::Idle).unwrap()), None);
    }
}
