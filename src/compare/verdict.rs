use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Metric;

/// What the runs show of one arm beside the baseline, by one metric. The run is the unit: each has
/// one value, whatever it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The metric.
    pub metric: Metric,
    /// The arm's name.
    pub arm: String,
    /// Runs of the arm that have a value, and those that failed.
    pub runs: Runs,
    /// The arm's median; `None` without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<Estimate>,
    /// What was concluded against the baseline; `None` of the baseline itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against_baseline: Option<Against>,
}

/// How many runs there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Runs {
    /// That have a value.
    pub measured: u32,
    /// That have none because they failed: never counted as zero.
    pub failed: u32,
}

/// A figure, and the percentile bootstrap interval of 95 % around it.
///
/// With few runs the interval covers less than that: with 7, 87.5 % (docs/comparing.md). Of one run
/// both ends are the figure itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// An arm beside the baseline, block by block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Against {
    /// Blocks in which both have a value.
    pub pairs: u32,
    /// The median of the arm's value over the baseline's in the same block; `None` where there is
    /// `difference`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Estimate>,
    /// The median of the arm's value less the baseline's in the same block, in the metric's unit,
    /// of metrics and values that can be zero or less and so have no ratios.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Estimate>,
    /// How likely chance alone takes the arm so far in the direction that was seen (Wilcoxon's
    /// signed-rank test of the logarithms of the ratios, or of the differences; exact up to 100
    /// pairs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// The same after Holm's correction for the arms that are compared by this metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_corrected: Option<f64>,
    /// Cliff's delta: how much more often a value of the arm is above one of the baseline than
    /// below it, from -1 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cliffs_delta: Option<f64>,
    /// What follows.
    pub decision: Decision,
    /// The smallest difference, either way, that these runs could have shown, where they show
    /// none: had the arm been so far away with the same spread, it would have been better or worse.
    /// A part of the baseline, or in the metric's unit where there is `difference`; `None` where no
    /// difference could have been shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub could_show: Option<f64>,
    /// How many blocks it takes before any difference can be shown, where there are fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks_needed: Option<u32>,
}

/// What follows from a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The arm is better: the interval excludes 1 (of differences, 0), the effect matters in
    /// practice, and chance is unlikely.
    Better,
    /// The arm is worse, by the same rule.
    Worse,
    /// These runs do not show a difference. That does not say that there is none.
    NoDifferenceShown,
}
