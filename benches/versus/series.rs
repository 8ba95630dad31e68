//! The runs of a tool, and what they say of another.

use serde::Serialize;

use crate::{
    scenario::{Against, Bound, Figure, Scenario},
    support::median,
    tool::{FLOOR, FLOOR_MSG, OURS, Run},
};

/// The runs of a tool, one of each round.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) tool: String,
    pub(crate) runs: Vec<Run>,
}

/// A figure of several runs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    /// Where the median lies at a confidence of 95 %; `None` of fewer than six runs.
    pub(crate) interval: Option<(f64, f64)>,
}

/// Whether a bound holds.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) text: String,
    pub(crate) holds: bool,
}

impl Series {
    pub(crate) fn new(tool: &str) -> Self {
        Self { tool: tool.to_owned(), runs: Vec::new() }
    }

    pub(crate) fn of(&self, figure: impl Fn(&Run) -> f64) -> Option<Middle> {
        middle(&self.runs.iter().map(figure).collect::<Vec<_>>())
    }

    /// Returns this figure over the other's, round by round.
    pub(crate) fn over(&self, other: &Self, figure: impl Fn(&Run) -> f64) -> Option<Middle> {
        let rounds = self.runs.iter().zip(&other.runs);
        middle(&rounds.map(|(a, b)| figure(a) / figure(b)).collect::<Vec<_>>())
    }

    /// Returns the most memory of any run, of the client and of the server.
    pub(crate) fn peaks_kb(&self) -> [Option<u64>; 2] {
        let most = |figure: fn(&Run) -> Option<u64>| self.runs.iter().filter_map(figure).max();
        [most(|run| run.client_peak_kb), most(|run| run.server_peak_kb)]
    }
}

/// Returns the processor time of both ends in seconds for each GB.
pub(crate) fn cost(run: &Run) -> f64 {
    run.client_cpu_s_per_gb + run.server_cpu_s_per_gb
}

pub(crate) fn gbits(run: &Run) -> f64 {
    run.gbit_per_second
}

/// Returns the middle of some figures; `None` of nothing.
pub(crate) fn middle(values: &[f64]) -> Option<Middle> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let interval =
        outside(sorted.len()).map(|skip| (sorted[skip], sorted[sorted.len() - 1 - skip]));
    Some(Middle { median: median(values)?, interval })
}

/// Returns how many figures may be left out at either end, so that the median lies between the rest at
/// a confidence of 95 %: the number of figures below it is binomial, with one half.
fn outside(count: usize) -> Option<usize> {
    let all = 2_f64.powi(i32::try_from(count).ok()?);
    let (mut ways, mut below) = (1.0, 0.0);
    let mut skip = None;
    for at in 0..count / 2 {
        below += ways / all;
        if 2.0 * below > 0.05 {
            break;
        }
        skip = Some(at);
        #[allow(clippy::cast_precision_loss, reason = "there are few runs")]
        {
            ways *= (count - at) as f64 / (at + 1) as f64;
        }
    }
    skip
}

/// Returns what comes of the bounds of a scenario, as far as there is what they are against.
pub(crate) fn verdicts(scenario: &Scenario, series: &[Series]) -> Vec<Verdict> {
    let Some(ours) = series.iter().find(|series| series.tool == OURS) else { return Vec::new() };
    let judged = scenario.bounds.iter().filter_map(|bound| {
        let other = against(bound.against, series)?;
        Some(judge(bound, ours, other))
    });
    judged.flatten().collect()
}

fn against(against: Against, series: &[Series]) -> Option<&Series> {
    match against {
        Against::Tool(name) => series.iter().find(|series| series.tool == name),
        Against::Best => {
            let peers =
                series.iter().filter(|series| ![OURS, FLOOR, FLOOR_MSG].contains(&&*series.tool));
            let goodput = |series: &Series| series.of(gbits).map_or(0.0, |middle| middle.median);
            peers.max_by(|a, b| goodput(a).total_cmp(&goodput(b)))
        }
    }
}

fn judge(bound: &Bound, ours: &Series, other: &Series) -> Option<Verdict> {
    let Bound { figure, ratio: limit, .. } = *bound;
    let other_name = &other.tool;
    let (ratio, holds, text) = match figure {
        Figure::Goodput => {
            let ratio = ours.over(other, gbits)?;
            let text = format!("times {other_name}'s goodput, at least {limit:.2}");
            (ratio, ratio.median >= limit, text)
        }
        Figure::Cost => {
            let ratio = ours.over(other, cost)?;
            let text = format!("times {other_name}'s processor time per GB, at most {limit:.2}");
            (ratio, ratio.median <= limit, text)
        }
    };
    Some(Verdict { text: format!("{:.2} {text}", ratio.median), holds })
}
