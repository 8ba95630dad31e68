//! Groups of tests beside each other: of each figure its median, and how sure that is.

use serde::Serialize;

use crate::{
    compare::stats::Bootstrap,
    history::{Metric, Summary},
};

/// Tests over the same transport.
#[derive(Debug, Serialize)]
pub(super) struct Group {
    name: String,
    /// Newest first.
    tests: Vec<Summary>,
    figures: Vec<Figure>,
}

/// A figure of a group.
#[derive(Debug, Serialize)]
struct Figure {
    metric: &'static str,
    /// How many tests know it.
    count: usize,
    median: f64,
    /// The ends of the 95 % interval of the median. One test has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    high: Option<f64>,
}

/// Returns tests by their transports, in the order in which these first occur.
pub(super) fn by_transport(tests: Vec<Summary>) -> Vec<(String, Vec<Summary>)> {
    let mut groups: Vec<(String, Vec<Summary>)> = Vec::new();
    for test in tests {
        let name = test.transport.clone().unwrap_or_else(|| "unknown".to_owned());
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(test),
            None => groups.push((name, vec![test])),
        }
    }
    groups
}

/// Returns the figures of each group. It takes a while.
pub(super) fn figured(groups: Vec<(String, Vec<Summary>)>) -> Vec<Group> {
    let mut bootstrap = Bootstrap::new(SEED);
    let group = |(name, tests): (String, Vec<Summary>)| {
        let figures = Metric::ALL.into_iter();
        let figures = figures.filter_map(|metric| figure(&mut bootstrap, metric, &tests)).collect();
        Group { name, tests, figures }
    };
    groups.into_iter().map(group).collect()
}

fn figure(bootstrap: &mut Bootstrap, metric: Metric, tests: &[Summary]) -> Option<Figure> {
    let values: Vec<f64> = tests.iter().filter_map(|test| value(metric, test)).collect();
    let estimate = bootstrap.median(&values)?;
    let several = |end| Some(end).filter(|_| values.len() > 1);
    Some(Figure {
        metric: metric.name(),
        count: values.len(),
        median: estimate.value,
        low: several(estimate.low),
        high: several(estimate.high),
    })
}

#[allow(clippy::cast_precision_loss, reason = "no figure needs more than 53 bits")]
fn value(metric: Metric, test: &Summary) -> Option<f64> {
    let value = match metric {
        Metric::GoodputUp => test.goodput_up,
        Metric::GoodputDown => test.goodput_down,
        Metric::Loss => test.loss,
        Metric::Rtt => test.rtt_us.map(|value| value as f64),
        Metric::Jitter => test.jitter_us.map(|value| value as f64),
        Metric::Retransmits => test.retransmits.map(|value| value as f64),
        Metric::LatencyP50 => test.latency_p50_ns.map(|value| value as f64),
        Metric::LatencyP99 => test.latency_p99_ns.map(|value| value as f64),
        Metric::Duration => test.duration_us.map(|value| value as f64),
    };
    value.filter(|value| value.is_finite())
}

/// The same tests have the same intervals, whenever somebody looks.
const SEED: u64 = 1;
