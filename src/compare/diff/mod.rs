//! Two saved results beside each other: what has changed from one to the other.
//!
//! Two experiments are compared by the statistics of an experiment, but for the pairs: runs of
//! different days have no common blocks. Of two single tests there is one run each, so there are
//! ratios and no statistics.

mod experiments;
mod points;
mod saved;
pub mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    experiments::{Change, Group},
    points::Point,
    saved::{Content, Saved, Unreadable},
};
use super::{Metric, Thresholds};
use crate::report::safe;

/// The version of [`Diff`] as JSON. It changes when a reader of the old one would go wrong.
pub const SCHEMA: u32 = 1;

/// What to look at, and what counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// The metrics to compare; all, if there are none.
    pub metrics: Vec<Metric>,
    /// What a difference must exceed; of each metric what matters in practice, by default.
    pub thresholds: Thresholds,
}

/// What has changed from one saved result to another.
///
/// What is unknown is left out of the JSON; it is never null, and never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Diff {
    /// The version of this document.
    pub schema: u32,
    /// What is compared with.
    pub before: Source,
    /// What is compared.
    pub after: Source,
    /// What a difference had to exceed.
    pub thresholds: Thresholds,
    /// What has changed.
    #[serde(flatten)]
    pub found: Found,
    /// How many of the changes are regressions: worse by the rule that holds for them.
    pub regressions: u32,
    /// What is not the same on both sides, and what this cannot tell, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Where a result is from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The file, as it was named.
    pub file: String,
    /// The program that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// When the experiment or the test started, in microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_us: Option<u64>,
}

/// Changes, by what was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Found {
    /// Two experiments.
    Experiments {
        /// By metric, each arm that both have.
        changes: Vec<Change>,
    },
    /// Two single tests.
    Tests {
        /// By metric.
        changes: Vec<Point>,
    },
}

/// Why two results are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomparable {
    /// They are of different kinds.
    #[error(
        "one is an experiment and the other a single test: give two documents of polyperf compare \
         -J, or two of single tests"
    )]
    Kinds,
    /// There is nothing that both have.
    #[error(
        "they have nothing in common: there is no metric, of the same transport, that both have a \
         value of; look at what each measured, or leave out --metric"
    )]
    Nothing,
}

impl Diff {
    /// Compares `after` with `before`.
    ///
    /// # Errors
    ///
    /// Fails if there is nothing to compare.
    pub fn of(before: &Saved, after: &Saved, options: &Options) -> Result<Self, Incomparable> {
        let (found, regressions, notes) = match (&before.content, &after.content) {
            (Content::Experiment(from), Content::Experiment(to)) => {
                let names = [&*before.file, &*after.file];
                let (changes, notes) = experiments::changes(from, to, names, options);
                let regressions = changes.iter().filter(|change| change.is_regression()).count();
                (Found::Experiments { changes }, regressions, notes)
            }
            (Content::Test(from), Content::Test(to)) => {
                let (changes, notes) = points::changes(from, to, options);
                let regressions = changes.iter().filter(|change| change.regression).count();
                (Found::Tests { changes }, regressions, notes)
            }
            _ => return Err(Incomparable::Kinds),
        };
        if found.is_empty() {
            return Err(Incomparable::Nothing);
        }
        Ok(Self {
            schema: SCHEMA,
            before: before.source(),
            after: after.source(),
            thresholds: options.thresholds,
            found,
            regressions: u32::try_from(regressions).unwrap_or(u32::MAX),
            notes,
        })
    }

    /// Returns the changes as a JSON document that is safe to show on a terminal, too.
    ///
    /// # Errors
    ///
    /// Fails only where memory does: every figure is finite.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(safe::json(serde_json::to_string_pretty(self)?) + "\n")
    }
}

impl Found {
    fn is_empty(&self) -> bool {
        match self {
            Self::Experiments { changes } => changes.is_empty(),
            Self::Tests { changes } => changes.is_empty(),
        }
    }
}

impl Options {
    fn metrics(&self) -> impl Iterator<Item = Metric> {
        Metric::ALL
            .into_iter()
            .filter(|metric| self.metrics.is_empty() || self.metrics.contains(metric))
    }
}

/// Returns a sentence for each of these that is not the same on both sides.
fn unequal(conditions: impl IntoIterator<Item = (&'static str, [String; 2])>) -> Vec<String> {
    let differs = conditions.into_iter().filter(|(_, [before, after])| before != after);
    let sentence = |(what, [before, after]): (&str, [String; 2])| {
        let [before, after] = [before, after].map(|text| safe::short(&text));
        format!(
            "{what} is not the same, so a difference may be due to that: {before}, then {after}."
        )
    };
    differs.map(sentence).collect()
}

#[cfg(test)]
mod tests;
