//! An experiment as it is written down: every run, what was concluded, and how to repeat it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Metric, Target, Thresholds, Verdict,
    cross::{Competitor, Cross},
};
use crate::{
    lab::{Calibration, Tier, preset::Preset},
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
    /// The emulated link that all of it crosses, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<LinkPlan>>,
}

/// The emulated link that an experiment runs over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkPlan {
    /// Its name and version: `wifi-bad@1`.
    pub name: String,
    /// What it is like, in a line.
    pub about: String,
    /// All of what it is like.
    #[schemars(with = "Preset")]
    pub preset: serde_json::Value,
    /// What its dice follow from in the first block; each block after that has the next number. All
    /// arms of a block have the same dice.
    pub seed: u64,
    /// What it is made of.
    pub tier: Tier,
    /// How good this machine is at it; `None` if that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// How late packets might come out of it at p99 before a run was spoilt; `None` is 1 ms, or a
    /// twentieth of the link's delay if that is more.
    #[serde(
        default,
        rename = "latest_us",
        with = "crate::micros::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<u64>")]
    pub latest: Option<Duration>,
    /// What sends beside bulk on the same link.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cross: Vec<Cross>,
}

/// One of the things that are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// Its name: the transport's, with its congestion control where one was asked for, and where that
    /// occurs twice, with a mark.
    pub name: String,
    /// The transport.
    pub transport: String,
    /// The congestion control that was asked for; `None` leaves it to the transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
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
    /// How many times it was done again because the emulator of the link had spoilt it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u32,
    /// What was sent beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub competitors: Vec<Competitor>,
}

/// The tests that a run consists of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PartKind {
    /// Connections, made, used once and closed.
    Churn,
    /// The same, each of which resumes an earlier one.
    Resumed,
    /// The same, with the request on its way before the handshake is over (0-RTT).
    ZeroRtt,
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
    /// Concludes anew what follows from the runs.
    pub(super) fn conclude(&mut self) {
        self.verdicts = super::verdicts(&self.plan, &self.runs);
    }

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

impl Arm {
    /// Returns the arm of a transport as it is.
    #[must_use]
    pub fn of(transport: &str) -> Self {
        Self { name: transport.to_owned(), transport: transport.to_owned(), congestion: None }
    }

    /// Returns the arm that a name stands for: one of `transports`, or one with its congestion
    /// control behind a dash, as in `tcp-bbr`; `None` if it begins with none of them.
    #[must_use]
    pub fn named(name: &str, transports: &[&str]) -> Option<Self> {
        if transports.contains(&name) {
            return Some(Self::of(name));
        }
        let control = |transport: &&&str| name.strip_prefix(**transport)?.strip_prefix('-');
        let longest = transports.iter().filter(|transport| control(transport).is_some());
        let transport = longest.max_by_key(|transport| transport.len())?;
        let congestion = control(&transport).filter(|control| !control.is_empty())?;
        let (name, congestion) = (name.to_owned(), Some(congestion.to_owned()));
        Some(Self { name, transport: (*transport).to_owned(), congestion })
    }
}

impl Run {
    /// Returns what a part came to, if it has something to show.
    #[must_use]
    pub fn outcome(&self, kind: PartKind) -> Option<&Outcome> {
        self.parts.iter().find(|part| part.part == kind).and_then(|part| part.result.outcome())
    }

    /// Returns what all competitors together got through beside the way up, in bits per second.
    #[must_use]
    pub fn competitors_goodput(&self) -> Option<f64> {
        let up = self.parts.iter().find(|part| part.part == PartKind::Up && !part.is_spoilt())?;
        let rates = up.competitors.iter().map(|one| one.goodput_bps);
        rates
            .collect::<Option<Vec<f64>>>()
            .filter(|all| !all.is_empty())
            .map(|all| all.iter().sum())
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

impl Part {
    /// Returns a part that nothing was sent beside, done once.
    #[must_use]
    pub fn once(part: PartKind, result: PartResult) -> Self {
        Self { part, result, repeated: 0, competitors: Vec::new() }
    }

    /// Returns whether the emulator of the link has spoilt it, so that its figures are not the link's.
    #[must_use]
    pub fn is_spoilt(&self) -> bool {
        let link = self.result.outcome().and_then(|outcome| outcome.link.as_ref());
        link.is_some_and(|link| !link.spoilt.is_empty())
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

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_is_a_transport_and_what_follows_a_dash_its_congestion_control() {
        let known = ["tcp", "kcp", "tokio-kcp", "quic", "quic-datagram"];
        let named = |name| Arm::named(name, &known);
        assert_eq!(named("tokio-kcp"), Some(Arm::of("tokio-kcp")));
        let of = |name| named(name).map(|arm| (arm.transport, arm.congestion.unwrap_or_default()));
        assert_eq!(of("tcp-bbr"), Some(("tcp".to_owned(), "bbr".to_owned())));
        assert_eq!(of("quic-datagram-bbr"), Some(("quic-datagram".to_owned(), "bbr".to_owned())));
        assert_eq!(of("rudp-fixed:50M"), None);
        assert_eq!(["tcp-", "tcpbbr", "", "-bbr"].map(of), [None, None, None, None]);
    }
}
