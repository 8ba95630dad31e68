//! The table of verdicts: a row for each metric, a cell for each arm.

use crate::compare::{
    Better, Decision, Metric,
    experiment::Experiment,
    shown::{self, Middle},
    words,
};

/// A metric.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) label: &'static str,
    /// Which value is the better one, in words; empty where there is no such thing.
    pub(super) better: &'static str,
    pub(super) cells: Vec<Cell>,
}

/// An arm by one metric.
#[derive(Debug, Default)]
pub(super) struct Cell {
    /// The median; empty if it is not known.
    pub(super) figure: String,
    /// Its interval; empty if there is none.
    pub(super) span: String,
    /// What follows beside the baseline; `None` of the baseline, and where both are not known.
    pub(super) verdict: Option<Told>,
}

/// A verdict in words.
#[derive(Debug)]
pub(super) struct Told {
    /// The class of what it looks like.
    pub(super) class: &'static str,
    pub(super) decision: &'static str,
    /// How it stands to the baseline; empty where that is not known.
    pub(super) ratio: String,
    /// What is to be said besides.
    pub(super) remark: String,
}

/// Returns a row for each metric that any arm has a value of, and one for what limited them.
pub(super) fn rows(experiment: &Experiment) -> Vec<Row> {
    let arms = &experiment.plan.arms;
    let row = |metric: Metric| {
        let cells: Vec<_> = arms.iter().map(|arm| cell(experiment, &arm.name, metric)).collect();
        let better = match metric.better() {
            Better::Higher => "higher is better",
            Better::Lower => "lower is better",
        };
        let known = cells.iter().any(|cell| !cell.figure.is_empty());
        known.then_some(Row { label: metric.label(), better, cells })
    };
    let mut rows: Vec<_> = Metric::ALL.into_iter().filter_map(row).collect();
    let limits: Vec<_> = arms.iter().map(|arm| words::limit(experiment, &arm.name)).collect();
    if limits.iter().any(Option::is_some) {
        let cell =
            |limit: Option<String>| Cell { figure: limit.unwrap_or_default(), ..Cell::default() };
        let cells = limits.into_iter().map(cell).collect();
        rows.push(Row { label: "limited by, on the way up", better: "", cells });
    }
    rows
}

fn cell(experiment: &Experiment, arm: &str, metric: Metric) -> Cell {
    let Some(middle) = Middle::of(experiment, arm, metric) else { return Cell::default() };
    let found = words::verdicts(experiment, arm).find(|(verdict, _)| verdict.metric == metric);
    let told = found.map(|(_, against)| {
        let open = against.decision == Decision::NoDifferenceShown;
        let figure = |value| match against.ratio {
            Some(_) => shown::ratio(value),
            None => words::signed(metric, value),
        };
        let sign = if against.ratio.is_some() { " ×" } else { "" };
        let ratio = against.ratio.or(against.difference).map(|found| {
            let [value, low, high] = [found.value, found.low, found.high].map(figure);
            // What is open tells what it could have shown instead.
            if open || found.low >= found.high {
                format!("{value}{sign}")
            } else {
                format!("{value}{sign} ({low}–{high})")
            }
        });
        let fewer = words::fewer(experiment, arm, against);
        let remarks: Vec<_> =
            words::reservation(metric, against).into_iter().chain(fewer).collect();
        Told {
            class: match against.decision {
                Decision::Better => "better",
                Decision::Worse => "worse",
                Decision::NoDifferenceShown => "open",
            },
            decision: words::decision(against.decision),
            ratio: ratio.unwrap_or_default(),
            remark: remarks.join(", "),
        }
    });
    Cell {
        figure: shown::figure(metric, middle.value),
        span: middle.span(metric).unwrap_or_default(),
        verdict: told,
    }
}
