//! Every transport in turn, the same test with each: what one costs against the other.
//!
//! Each transport runs the test in both directions through the ordinary [`Client`](crate::Client),
//! against a server elsewhere or one inside this process. Whatever fails becomes the row of the
//! transport that failed; the others are still measured.
//!
//! ```
//! use polyperf::{compare::{self, Config}, spec::Limit};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), polyperf::spec::SpecErrors> {
//! let mut config = Config::in_process();
//! config.test.limit = Limit::Bytes(1 << 20);
//! let show = |step: compare::Step| eprintln!("{} of {}: {}", step.index, step.of, step.transport);
//! let comparison = compare::run(&config, show, std::future::pending()).await?;
//! println!("{}", compare::table::render(&comparison));
//! # Ok(())
//! # }
//! ```

mod conditions;
pub mod csv;
mod distributions;
pub mod experiment;
mod figures;
mod grid;
pub mod html;
pub mod json;
mod metric;
mod run;
mod shown;
pub mod table;
pub mod text;
mod verdict;
mod words;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    figures::{CpuCost, Figures},
    metric::{Better, Metric, Thresholds, Unit},
    run::run,
    verdict::{Against, Decision, Estimate, Runs, Verdict},
};
use crate::{
    auth::Credentials,
    engine::Drive,
    micros,
    outcome::{Failure, HostInfo, Outcome},
    registry::Registry,
    spec::{Direction, Limit, SpecFields, TestSpec},
};

/// The version of [`Comparison`] as JSON. It changes when a reader of the old one would go wrong.
pub const SCHEMA: u32 = 1;

/// What to compare, and against whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server is.
    pub target: Target,
    /// The transports to compare, in this order.
    pub transports: Registry,
    /// The test that each of them runs; its transport and its direction are filled in.
    pub test: SpecFields,
    /// The transport of the control connection; one of `transports`, or a standard one.
    pub control: String,
    /// How long reaching the server may take, for each test.
    pub connect_timeout: Duration,
    /// How long to wait in a full server's queue, for each test.
    pub queue_timeout: Duration,
    /// Who the client is, for a server that asks.
    pub auth: Option<Credentials>,
    /// Where the tasks that move bytes run.
    pub drive: Drive,
}

/// Where the server of a comparison is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// In this process, on a loopback address.
    InProcess,
    /// Where somebody runs one.
    Host {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// A test that is about to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its transport.
    pub transport: &'static str,
    /// Its direction.
    pub direction: Direction,
    /// Its number, from 1.
    pub index: usize,
    /// How many there are, at most: a transport that cannot be used is not tried twice.
    pub of: usize,
}

/// What became of each transport.
///
/// What is unknown is left out of the JSON; it is never null, and never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The version of this document.
    pub schema: u32,
    /// Where the server was.
    pub target: Target,
    /// When the comparison started, since the Unix epoch.
    #[serde(rename = "started_us", with = "micros")]
    #[schemars(with = "u64")]
    pub started: Duration,
    /// This end's program and machine.
    pub host: HostInfo,
    /// The test that was asked for; each outcome has it as it was run.
    pub test: TestSpec,
    /// The transports, in the order in which they ran.
    pub rows: Vec<Row>,
    /// Why the comparison ended before all were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// What became of one transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub transport: String,
    /// The test in which the client sent.
    pub forward: Run,
    /// The test in which the server sent.
    pub reverse: Run,
}

/// What became of one test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "run", rename_all = "snake_case")]
pub enum Run {
    /// It has something to show, whether or not it ran to its end.
    Measured {
        /// What it is compared by.
        figures: Figures,
        /// Everything that both ends counted; no intervals.
        outcome: Arc<Outcome>,
    },
    /// It has nothing to show, as when the server does not offer the transport.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It was not tried: the transport had failed already, or the comparison was stopped.
    Skipped,
}

impl Config {
    /// Compares every standard transport inside this process, three seconds each way.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            target: Target::InProcess,
            transports: Registry::standard(),
            test: SpecFields {
                limit: Limit::Time(Duration::from_secs(3)),
                // Nobody reads the intervals, but each is a sample of the round-trip time.
                interval: Some(Duration::from_millis(250)),
                ..SpecFields::default()
            },
            control: "tcp".to_owned(),
            connect_timeout: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(60),
            auth: None,
            drive: Drive::Threads,
        }
    }

    /// Compares every standard transport against the polyperf server at `host`.
    #[must_use]
    pub fn against(host: impl Into<String>, port: u16) -> Self {
        Self { target: Target::Host { host: host.into(), port }, ..Self::in_process() }
    }
}

impl Row {
    /// Returns both directions, forward first.
    #[must_use]
    pub fn runs(&self) -> [(Direction, &Run); 2] {
        [(Direction::Forward, &self.forward), (Direction::Reverse, &self.reverse)]
    }
}

impl Run {
    /// Returns what the test is compared by, if it has something to show.
    #[must_use]
    pub fn figures(&self) -> Option<&Figures> {
        match self {
            Self::Measured { figures, .. } => Some(figures),
            Self::Failed { .. } | Self::Skipped => None,
        }
    }

    /// Returns what both ends counted, if the test has something to show.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Measured { outcome, .. } => Some(outcome),
            Self::Failed { .. } | Self::Skipped => None,
        }
    }
}

#[cfg(test)]
#[path = "../../tests/support/experiment/mod.rs"]
mod samples;
#[cfg(test)]
mod testing;
