//! What the charts show, as tables.

use super::charts::Charts;
use crate::{
    compare::{
        Metric,
        distributions::{self, Load},
        experiment::Experiment,
        shown,
    },
    report::{
        figure::{self, UNKNOWN},
        safe,
    },
};

/// A table whose first column is names.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Returns every run with every metric that any of them has a value of.
pub(super) fn all_runs(experiment: &Experiment) -> Table {
    let known = |metric: &Metric| experiment.runs.iter().any(|run| run.values.contains_key(metric));
    let metrics: Vec<_> = Metric::ALL.into_iter().filter(known).collect();
    let mut head = vec!["transport".to_owned(), "block".to_owned()];
    head.extend(metrics.iter().map(|metric| metric.label().to_owned()));
    let rows = experiment.runs.iter().map(|run| {
        let mut row = vec![safe::short(&run.arm), run.block.to_string()];
        row.extend(metrics.iter().map(|&metric| {
            let value = run.values.get(&metric);
            value.map_or(UNKNOWN.to_owned(), |&value| shown::figure(metric, value))
        }));
        row
    });
    Table { head, rows: rows.collect() }
}

/// Returns each arm's latencies, idle and loaded, those of all runs together.
pub(super) fn latencies(experiment: &Experiment) -> Table {
    let mut head = vec!["transport".to_owned(), "load".to_owned(), "requests".to_owned()];
    head.extend(QUANTILES.map(|(name, _)| name.to_owned()));
    let mut rows = Vec::new();
    for arm in &experiment.plan.arms {
        for (name, load) in [("idle", Load::Idle), ("loaded", Load::Loaded)] {
            let all = distributions::latencies(experiment, &arm.name, load);
            if all.is_empty() {
                continue;
            }
            let mut row = vec![safe::short(&arm.name), name.to_owned(), all.count().to_string()];
            row.extend(QUANTILES.map(|(_, part)| figure::rtt(all.quantile(part))));
            rows.push(row);
        }
    }
    Table { head, rows }
}

/// Returns the medians of goodput over time, up and down.
pub(super) fn over_time(experiment: &Experiment, charts: &Charts) -> Table {
    let arms = &experiment.plan.arms;
    let mut head = vec!["time".to_owned()];
    let ways = [("up", &charts.up), ("down", &charts.down)];
    for (name, _) in ways.iter().filter(|(_, way)| way.is_some()) {
        head.extend(arms.iter().map(|arm| format!("{} {name}", safe::short(&arm.name))));
    }
    let ways: Vec<_> = ways.into_iter().filter_map(|(_, way)| way.as_ref()).collect();
    let longest = ways.iter().map(|way| way.times.len()).max().unwrap_or(0);
    let rows = (0..longest).step_by(longest.div_ceil(MOST_ROWS).max(1)).map(|at| {
        let time = ways.iter().find_map(|way| way.times.get(at));
        let mut row = vec![time.map_or(UNKNOWN.to_owned(), |time| format!("{time:.2} s"))];
        for way in &ways {
            row.extend(
                way.medians
                    .iter()
                    .map(|median| figure::rate(median.get(at).copied().flatten(), None)),
            );
        }
        row
    });
    Table { head, rows: rows.collect() }
}

const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
/// More rows than that nobody reads.
const MOST_ROWS: usize = 60;
