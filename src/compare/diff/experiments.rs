use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Options, unequal};
use crate::{
    compare::{
        Decision, Estimate, Metric, Runs, Target,
        effect::{Effect, Rule},
        experiment::Arm,
        stats::{Bootstrap, cliffs_delta, holm},
        verdicts::{SEED, level, part_of},
    },
    names::name_of,
};

/// What has changed of one arm by one metric. The run is the unit: each has one value, whatever it
/// was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The metric.
    pub metric: Metric,
    /// The arm's name.
    pub arm: String,
    /// What it came to before.
    pub before: Group,
    /// What it came to after.
    pub after: Group,
    /// The median after over the median before; `None` where there is `difference`, or no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Estimate>,
    /// The median after less the median before, in the metric's unit, of metrics and values that
    /// can be zero or less and so have no ratios.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Estimate>,
    /// How likely chance alone takes the values so far in the direction that was seen (the test of
    /// Mann and Whitney; exact up to 50 values).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// The same after Holm's correction for the arms that are compared by this metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_corrected: Option<f64>,
    /// Cliff's delta: how much more often a value after is above one before than below it, from -1
    /// to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cliffs_delta: Option<f64>,
    /// What follows, by the rule of an experiment. What worked before and has failed in every run
    /// after is worse.
    pub decision: Decision,
    /// The smallest change that these runs could have shown, where they show none: a part of the
    /// median before, or in the metric's unit where there is `difference`; `None` where no change
    /// could have been shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub could_show: Option<f64>,
    /// How many runs each experiment must have before any change can be shown, where there are too
    /// few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_needed: Option<u32>,
}

/// What the runs of an experiment came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Runs that have a value, and those that failed.
    pub runs: Runs,
    /// Their median; `None` without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<Estimate>,
}

/// An experiment that was read, with what it takes to compare it.
#[derive(Debug)]
pub struct SavedExperiment {
    pub(super) target: Target,
    pub(super) system: String,
    pub(super) plan: SavedPlan,
    /// The runs of each arm of the plan, by block.
    pub(super) by_arm: HashMap<String, BTreeMap<u32, SavedRun>>,
}

/// What of a plan must be the same for results to be comparable.
#[derive(Debug, Deserialize)]
pub(super) struct SavedPlan {
    arms: Vec<Arm>,
    time_us: u64,
    warm_up_us: u64,
    streams: u16,
    #[serde(default)]
    link: Option<SavedLink>,
}

/// The emulated link, as far as it has to be the same.
#[derive(Debug, Deserialize)]
struct SavedLink {
    name: String,
    seed: u64,
    tier: String,
}

/// One run, with what can be told of metrics.
#[derive(Debug, Deserialize)]
pub(super) struct SavedRun {
    pub(super) block: u32,
    pub(super) arm: String,
    /// By the metric's name: a later version may have more of them.
    #[serde(default)]
    values: HashMap<String, Option<f64>>,
    #[serde(default)]
    parts: Vec<SavedPart>,
}

#[derive(Debug, Deserialize)]
struct SavedPart {
    part: String,
    result: SavedResult,
}

#[derive(Debug, Deserialize)]
struct SavedResult {
    result: String,
    outcome: Option<SavedOutcome>,
}

#[derive(Debug, Deserialize)]
struct SavedOutcome {
    ended: SavedEnd,
}

#[derive(Debug, Deserialize)]
struct SavedEnd {
    how: String,
}

/// The values of one arm by one metric, and how many runs have failed to have one.
struct Column {
    values: Vec<f64>,
    failed: u32,
}

/// Compares what arms of the same name came to, by each metric. The second value is what is not the
/// same on both sides.
pub(super) fn changes(
    before: &SavedExperiment,
    after: &SavedExperiment,
    files: [&str; 2],
    options: &Options,
) -> (Vec<Change>, Vec<String>) {
    let (from, to) = (before.plan.names(), after.plan.names());
    let both: Vec<&String> = from.iter().filter(|name| to.contains(name)).collect();
    let mut bootstrap = Bootstrap::new(SEED);
    let mut changes = Vec::new();
    for metric in options.metrics() {
        let columns = both
            .iter()
            .map(|arm| (arm.as_str(), before.column(arm, metric), after.column(arm, metric)));
        let columns: Vec<_> = columns.filter(|(_, from, to)| to.compares_with(from)).collect();
        let rule = Rule { metric, thresholds: options.thresholds };
        changes.append(&mut by_metric(rule, &columns, &mut bootstrap));
    }
    let mut notes = conditions(before, after);
    for (names, others, file) in [(&from, &to, files[0]), (&to, &from, files[1])] {
        let alone = names.iter().filter(|name| !others.contains(name));
        notes.extend(alone.map(|name| format!("{name} is in {file} alone.")));
    }
    (changes, notes)
}

impl Change {
    /// Returns whether it is worse after than before.
    #[must_use]
    pub fn is_regression(&self) -> bool {
        self.decision == Decision::Worse
    }
}

impl SavedExperiment {
    fn column(&self, arm: &str, metric: Metric) -> Column {
        let mut column = Column { values: Vec::new(), failed: 0 };
        for run in self.by_arm.get(arm).into_iter().flat_map(BTreeMap::values) {
            match run.values.get(&metric.name()).copied().flatten() {
                Some(value) => column.values.push(value),
                None => column.failed += u32::from(run.failed(metric)),
            }
        }
        column
    }
}

impl SavedPlan {
    /// Returns the names of the arms, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for arm in &self.arms {
            if !names.contains(&arm.name) {
                names.push(arm.name.clone());
            }
        }
        names
    }
}

impl SavedRun {
    /// Returns whether it has no value because what that is from failed, or what came before.
    fn failed(&self, metric: Metric) -> bool {
        let wanted = name_of(&part_of(metric));
        match self.parts.iter().find(|part| part.part == wanted).map(|part| &part.result) {
            Some(SavedResult { result, .. }) if result == "failed" => true,
            Some(SavedResult { outcome: Some(outcome), .. }) => outcome.ended.how == "failed",
            _ => self.parts.iter().any(|part| part.result.result == "failed"),
        }
    }
}

impl Column {
    /// Returns whether there is something to say: both have values, or all runs have failed of what
    /// had values before.
    fn compares_with(&self, before: &Self) -> bool {
        !before.values.is_empty() && (!self.values.is_empty() || self.failed > 0)
    }

    fn group(&self, bootstrap: &mut Bootstrap) -> Group {
        let measured = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let runs = Runs { measured, failed: self.failed };
        Group { runs, median: bootstrap.median(&self.values) }
    }
}

fn by_metric(
    rule: Rule,
    columns: &[(&str, Column, Column)],
    bootstrap: &mut Bootstrap,
) -> Vec<Change> {
    let comparisons = columns.iter().filter(|(_, _, after)| !after.values.is_empty()).count();
    let level = level(rule.thresholds.alpha, comparisons);
    let effects: Vec<Option<Effect>> = columns
        .iter()
        .map(|(_, from, to)| {
            Effect::of_groups(rule.metric, &from.values, &to.values, level, bootstrap)
        })
        .collect();
    let p: Vec<f64> = effects.iter().flatten().map(|effect| effect.p).collect();
    let mut corrected = holm(&p).into_iter();
    let change = |((arm, from, to), effect): (&(&str, Column, Column), &Option<Effect>)| {
        let (before, after) = (from.group(bootstrap), to.group(bootstrap));
        let effect = effect.as_ref().and_then(|effect| Some((effect, corrected.next()?)));
        // What can be compared no more has failed in every run.
        let decision = effect.map_or(Decision::Worse, |(effect, p)| rule.decide(effect, p));
        let open = decision == Decision::NoDifferenceShown;
        let effect_of = effect.map(|(effect, _)| effect);
        Change {
            metric: rule.metric,
            arm: (*arm).to_owned(),
            before,
            after,
            ratio: effect_of.and_then(Effect::ratio),
            difference: effect_of.and_then(Effect::difference),
            p: effect_of.map(|effect| effect.p),
            p_corrected: effect.map(|(_, p)| p),
            cliffs_delta: cliffs_delta(&from.values, &to.values),
            decision,
            could_show: effect_of.filter(|_| open).and_then(|effect| rule.could_show(effect)),
            runs_needed: effect_of
                .and_then(|_| runs_needed(from.values.len(), to.values.len(), level)),
        }
    };
    columns.iter().zip(&effects).map(change).collect()
}

/// Returns how many runs each experiment must have for chance to be less likely than `level` if all
/// values of one are above all of the other's; `None` if so many runs are enough.
///
/// Chance alone puts n values above m others in one of C(n + m, n) cases.
fn runs_needed(before: usize, after: usize, level: f64) -> Option<u32> {
    let enough = |ln_choices: f64| -ln_choices < level.ln();
    if enough(ln_choices(before, after)) {
        return None;
    }
    let each = (1..MOST_RUNS_EACH).find(|each| enough(ln_choices(*each, *each)));
    Some(each.and_then(|each| u32::try_from(each).ok()).unwrap_or(u32::MAX))
}

/// Returns the logarithm of in how many ways so many of both can be chosen.
fn ln_choices(some: usize, others: usize) -> f64 {
    let [all, some] = [some + others, some].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
    statrs::function::factorial::ln_binomial(all, some)
}

fn conditions(before: &SavedExperiment, after: &SavedExperiment) -> Vec<String> {
    let target = |of: &SavedExperiment| match &of.target {
        Target::InProcess => "inside the process".to_owned(),
        Target::Host { host, port } => format!("{host} port {port}"),
    };
    let link = |of: &SavedExperiment| match &of.plan.link {
        None => "none".to_owned(),
        Some(SavedLink { name, seed, tier }) => format!("{name}, seed {seed}, {tier}"),
    };
    let time = |us: u64| format!("{} s", std::time::Duration::from_micros(us).as_secs_f64());
    unequal([
        ("The server", [target(before), target(after)]),
        ("The emulated link", [link(before), link(after)]),
        ("The system", [before.system.clone(), after.system.clone()]),
        ("The time of bulk", [time(before.plan.time_us), time(after.plan.time_us)]),
        ("Its warm-up", [time(before.plan.warm_up_us), time(after.plan.warm_up_us)]),
        ("The number of streams", [before, after].map(|of| of.plan.streams.to_string())),
    ])
}

const MOST_RUNS_EACH: usize = 2000;
