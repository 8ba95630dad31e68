//! From the runs of an experiment to what they show.

use std::collections::BTreeMap;

use super::{
    Against, Decision, Metric, Runs, Verdict,
    effect::{Effect, Rule},
    experiment::{PartKind, PartResult, Plan, Run},
    stats::{Bootstrap, cliffs_delta, holm},
};
use crate::outcome::Ended;

/// Concludes what runs show: of each metric that any arm has a value of, what each arm came to, and
/// how it compares with the baseline in the same blocks.
///
/// An arm is better or worse if the 95 % interval of the median ratio excludes 1, the ratio is
/// further from 1 than what matters in practice, and Wilcoxon's exact signed-rank test in the
/// direction that was seen, after Holm's correction for the arms compared by that metric, is below
/// alpha. Metrics that can be zero or less are compared by differences in the same way. A block in
/// which either arm has no value is no pair.
#[must_use]
pub fn verdicts(plan: &Plan, runs: &[Run]) -> Vec<Verdict> {
    let mut bootstrap = Bootstrap::new(SEED);
    let mut verdicts = Vec::new();
    for metric in Metric::ALL {
        let columns: Vec<Column> =
            plan.arms.iter().map(|arm| Column::of(&arm.name, metric, runs)).collect();
        if columns.iter().any(|column| !column.values.is_empty()) {
            let rule = Rule { metric, thresholds: plan.thresholds };
            verdicts.append(&mut by_metric(rule, &plan.baseline, &columns, &mut bootstrap));
        }
    }
    verdicts
}

/// Returns how many blocks it takes before a difference can be shown of each of so many arms that are
/// compared with the baseline: of fewer, not even runs that all point the same way are unlikely
/// enough to be chance.
///
/// Of n pairs that all point one way, chance alone makes 1 in 2^n, and Holm's correction multiplies
/// that by the number of comparisons.
///
/// ```
/// use polyperf::compare::blocks_needed;
///
/// assert_eq!([1, 2, 3, 5, 6].map(|arms| blocks_needed(arms, 0.01)), [7, 8, 9, 9, 10]);
/// ```
#[must_use]
pub fn blocks_needed(comparisons: usize, alpha: f64) -> u32 {
    let count = u32::try_from(comparisons.max(1)).unwrap_or(u32::MAX);
    let enough = |blocks: &u32| {
        let exponent = i32::try_from(*blocks).unwrap_or(i32::MAX);
        0.5_f64.powi(exponent) * f64::from(count) < alpha
    };
    // Half to that power is zero; who asks for less asks for what no number of blocks shows.
    (1..MOST_HALVINGS).find(enough).unwrap_or(u32::MAX)
}

/// What runs of an arm came to by one metric.
struct Column<'a> {
    arm: &'a str,
    /// By block.
    values: BTreeMap<u32, f64>,
    failed: u32,
}

impl<'a> Column<'a> {
    fn of(arm: &'a str, metric: Metric, runs: &[Run]) -> Self {
        let mut column = Self { arm, values: BTreeMap::new(), failed: 0 };
        for run in runs.iter().filter(|run| run.arm == arm) {
            match run.values.get(&metric).filter(|value| value.is_finite()) {
                Some(value) => {
                    column.values.entry(run.block).or_insert(*value);
                }
                None => column.failed += u32::from(failed(run, metric)),
            }
        }
        column
    }

    fn list(&self) -> Vec<f64> {
        self.values.values().copied().collect()
    }

    fn runs(&self) -> Runs {
        let measured = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        Runs { measured, failed: self.failed }
    }

    /// Returns the values of blocks in which both have one, the baseline's first.
    fn pairs(&self, baseline: &Self) -> Vec<(f64, f64)> {
        let pair = |(block, value): (&u32, &f64)| Some((*baseline.values.get(block)?, *value));
        self.values.iter().filter_map(pair).collect()
    }
}

fn by_metric(
    rule: Rule,
    baseline: &str,
    columns: &[Column<'_>],
    bootstrap: &mut Bootstrap,
) -> Vec<Verdict> {
    let baseline = columns.iter().find(|column| column.arm == baseline);
    let pairs: Vec<Option<Vec<(f64, f64)>>> = columns
        .iter()
        .map(|column| {
            let other = baseline.filter(|baseline| baseline.arm != column.arm)?;
            Some(column.pairs(other))
        })
        .collect();
    let comparisons = pairs.iter().flatten().filter(|pairs| !pairs.is_empty()).count();
    let needed = blocks_needed(comparisons, rule.thresholds.alpha);
    let level = level(rule.thresholds.alpha, comparisons);
    let effects: Vec<Option<Effect>> = pairs
        .iter()
        .map(|pairs| Effect::of_pairs(rule.metric, pairs.as_deref()?, level, bootstrap))
        .collect();
    let mut corrected =
        holm(&effects.iter().flatten().map(|effect| effect.p).collect::<Vec<_>>()).into_iter();
    let mut verdicts = Vec::with_capacity(columns.len());
    for ((column, pairs), effect) in columns.iter().zip(&pairs).zip(&effects) {
        let effect = effect.as_ref().and_then(|effect| Some((effect, corrected.next()?)));
        let against = pairs.as_ref().map(|pairs| {
            let others = baseline.map(Column::list).unwrap_or_default();
            let cliffs_delta = cliffs_delta(&others, &column.list());
            Against { cliffs_delta, ..against(rule, pairs.len(), effect, needed) }
        });
        verdicts.push(Verdict {
            metric: rule.metric,
            arm: column.arm.to_owned(),
            runs: column.runs(),
            median: bootstrap.median(&column.list()),
            against_baseline: against,
        });
    }
    verdicts
}

fn against(rule: Rule, pairs: usize, effect: Option<(&Effect, f64)>, needed: u32) -> Against {
    let pairs = u32::try_from(pairs).unwrap_or(u32::MAX);
    let decision = effect.map_or(Decision::NoDifferenceShown, |(effect, p)| rule.decide(effect, p));
    let shown = decision != Decision::NoDifferenceShown;
    let effect_of = effect.map(|(effect, _)| effect);
    Against {
        pairs,
        ratio: effect_of.and_then(Effect::ratio),
        difference: effect_of.and_then(Effect::difference),
        p: effect_of.map(|effect| effect.p),
        p_corrected: effect.map(|(_, p)| p),
        cliffs_delta: None,
        decision,
        could_show: effect_of.filter(|_| !shown).and_then(|effect| rule.could_show(effect)),
        blocks_needed: (pairs < needed).then_some(needed),
    }
}

/// Returns below what the likelihood of chance must be for Holm's correction to leave it below alpha
/// whatever the other comparisons show.
#[allow(clippy::cast_precision_loss, reason = "there are not 2^53 comparisons")]
pub(super) fn level(alpha: f64, comparisons: usize) -> f64 {
    alpha / comparisons.max(1) as f64
}

/// Returns whether a run has no value because what it is from failed, or what came before.
fn failed(run: &Run, metric: Metric) -> bool {
    let part = run.parts.iter().find(|part| part.part == part_of(metric));
    match part.map(|part| &part.result) {
        Some(PartResult::Failed { .. }) => true,
        Some(PartResult::Measured { outcome }) => matches!(outcome.ended, Ended::Failed(_)),
        Some(PartResult::Skipped) | None => run.failure().is_some(),
    }
}

/// Returns the part of a run that has a metric's value.
pub(super) fn part_of(metric: Metric) -> PartKind {
    match metric {
        Metric::FirstReply | Metric::Connections => PartKind::Churn,
        Metric::FirstReplyResumed => PartKind::Resumed,
        Metric::FirstReplyZeroRtt => PartKind::ZeroRtt,
        Metric::Transactions | Metric::IdleP50 | Metric::IdleP95 | Metric::IdleP99 => {
            PartKind::Idle
        }
        Metric::GoodputDown => PartKind::Down,
        Metric::GoodputUp
        | Metric::LoadedP50
        | Metric::LoadedP95
        | Metric::LoadedP99
        | Metric::LatencyIncrease
        | Metric::Responsiveness
        | Metric::Loss
        | Metric::Retransmits
        | Metric::WireOverhead
        | Metric::QueueP95
        | Metric::Spurious
        | Metric::ShareOfLink
        | Metric::Fairness
        | Metric::Harm
        | Metric::CpuPerGb
        | Metric::ToHalf
        | Metric::ToNineTenths => PartKind::Up,
        Metric::Complete10k => PartKind::Transfer10k,
        Metric::Complete1m => PartKind::Transfer1m,
        Metric::Complete10m => PartKind::Transfer10m,
    }
}

/// Of the bootstrap: the same values always have the same interval.
pub(super) const SEED: u64 = 1979;
/// Half to this power is zero.
const MOST_HALVINGS: u32 = 1076;

#[cfg(test)]
mod tests;
