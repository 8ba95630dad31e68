//! An experiment as it is written down: every run, what was concluded, and how to repeat it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Metric, Target, Thresholds, Verdict};
use crate::{
    micros,
    outcome::{Failure, HostInfo, Outcome},
};

/// The version of [`Experiment`] as JSON. It changes when a reader of the old one would go wrong.
pub const SCHEMA: u32 = 2;

/// The most blocks that an experiment has.
pub const MAX_BLOCKS: u32 = 10_000;

/// Transports, measured in turns.
///
/// What is unknown is left out of the JSON; it is never null, and never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Experiment {
    /// The version of this document.
    pub schema: u32,
    /// Where the server was.
    pub target: Target,
    /// When the experiment started, since the Unix epoch.
    #[serde(rename = "started_us", with = "micros")]
    #[schemars(with = "u64")]
    pub started: Duration,
    /// How long it took.
    #[serde(rename = "took_us", with = "micros")]
    #[schemars(with = "u64")]
    pub took: Duration,
    /// This end's program and machine.
    pub host: HostInfo,
    /// What was to be done.
    pub plan: Plan,
    /// The command that does it again, in the same order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Every run, in the order in which they were done.
    pub runs: Vec<Run>,
    /// What follows from them: for each metric that has values, each arm.
    pub verdicts: Vec<Verdict>,
    /// Where conditions were not equal, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why the experiment ended before all was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// What is to be done: blocks, in each of which every arm runs once, in random order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// What is compared, in the order in which reports have it.
    pub arms: Vec<Arm>,
    /// The name of the arm that the others are compared with.
    pub baseline: String,
    /// How many blocks.
    pub blocks: u32,
    /// What the random orders follow from.
    pub seed: u64,
    /// How long nothing happens between two runs.
    #[serde(rename = "gap_us", with = "micros")]
    #[schemars(with = "u64")]
    pub gap: Duration,
    /// How long bulk is measured, each way.
    #[serde(rename = "time_us", with = "micros")]
    #[schemars(with = "u64")]
    pub time: Duration,
    /// How long bulk warms up before that; what happens then is left out of the totals.
    #[serde(rename = "warm_up_us", with = "micros")]
    #[schemars(with = "u64")]
    pub warm_up: Duration,
    /// Streams of bulk.
    pub streams: u16,
    /// What is measured of each arm in each block, in this order.
    pub parts: Vec<PartKind>,
    /// What a difference must exceed to be called one.
    pub thresholds: Thresholds,
}

/// One of the things that are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// Its name: the transport's, and where that occurs twice, with a mark.
    pub name: String,
    /// The transport.
    pub transport: String,
}

/// One arm in one block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The block, from 1.
    pub block: u32,
    /// The arm's name.
    pub arm: String,
    /// When it began, after the experiment did.
    #[serde(rename = "at_us", with = "micros")]
    #[schemars(with = "u64")]
    pub at: Duration,
    /// What it is compared by; what could not be measured is left out.
    pub values: BTreeMap<Metric, f64>,
    /// What held the way up back, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<LimitedBy>,
    /// What the figures are from; what the transport cannot do at all is left out.
    pub parts: Vec<Part>,
}

/// What holds a test back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// The receiver's window.
    FlowControl,
    /// Congestion control: its window was full, or it was losing packets.
    Congestion,
    /// A processor of either end was busy all the time.
    Cpu,
    /// The sender's own rate.
    Pacing,
}

/// One test of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Which.
    pub part: PartKind,
    /// What became of it.
    pub result: PartResult,
}

/// The tests that a run consists of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Connections, made, used once and closed.
    Churn,
    /// Requests and responses on an idle path.
    Idle,
    /// Bulk from the client, with a probe beside.
    Up,
    /// Bulk from the server, with a probe beside.
    Down,
    /// 10 kB from the client.
    Transfer10k,
    /// 1 MB from the client.
    Transfer1m,
    /// 10 MB from the client.
    Transfer10m,
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum PartResult {
    /// It has something to show, whether or not it ran to its end.
    Measured {
        /// Everything that both ends counted.
        outcome: Arc<Outcome>,
    },
    /// It has nothing to show, as when the server does not offer the transport.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It was not tried: the transport had failed already, or the experiment was stopped.
    Skipped,
}

impl Experiment {
    /// Returns each block's value of a metric of an arm, `None` where that failed or was not
    /// measured, in the order of the blocks.
    #[must_use]
    pub fn values(&self, arm: &str, metric: Metric) -> Vec<Option<f64>> {
        let of_block = |block| {
            let run = self.runs.iter().find(|run| run.block == block && run.arm == arm)?;
            run.values.get(&metric).copied()
        };
        // A file may claim anything.
        (1..=self.plan.blocks.min(MAX_BLOCKS)).map(of_block).collect()
    }

    /// Returns the runs of an arm, in the order of the blocks.
    pub fn runs_of(&self, arm: &str) -> impl Iterator<Item = &Run> {
        let mut runs: Vec<_> = self.runs.iter().filter(|run| run.arm == arm).collect();
        runs.sort_by_key(|run| run.block);
        runs.into_iter()
    }
}

impl Run {
    /// Returns what a part came to, if it has something to show.
    #[must_use]
    pub fn outcome(&self, kind: PartKind) -> Option<&Outcome> {
        self.parts.iter().find(|part| part.part == kind).and_then(|part| part.result.outcome())
    }

    /// Returns the first failure, with the part that failed.
    #[must_use]
    pub fn failure(&self) -> Option<(PartKind, &Failure)> {
        self.parts.iter().find_map(|part| match &part.result {
            PartResult::Failed { failure } => Some((part.part, failure)),
            PartResult::Measured { .. } | PartResult::Skipped => None,
        })
    }
}

impl PartResult {
    /// Returns what both ends counted, if there is something to show.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Measured { outcome } => Some(outcome),
            Self::Failed { .. } | Self::Skipped => None,
        }
    }
}
