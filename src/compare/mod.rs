//! Transports, measured in turns: which is better here, by how much, and whether that is real.
//!
//! An experiment consists of blocks. In each, every transport runs once, in random order, through
//! the ordinary [`Client`](crate::Client), against a server elsewhere or one inside this process. A
//! run has several parts: connections that come and go, requests on an idle path, bulk each way
//! with a probe beside, transfers of fixed sizes. Whatever fails is a failed run; the others are
//! still measured.
//!
//! ```
//! use std::time::Duration;
//! use polyperf::{compare::{self, Config, experiment::PartKind}, spec::Limit};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), polyperf::spec::SpecErrors> {
//! let mut config = Config::in_process();
//! config.test.limit = Limit::Time(Duration::from_millis(100));
//! (config.blocks, config.parts) = (Some(1), vec![PartKind::Up]);
//! let show = |step: compare::Step| eprintln!("{} of {}: {}", step.index, step.of, step.arm);
//! let experiment = compare::run(&config, show, std::future::pending()).await?;
//! println!("{}", compare::text::render(&experiment));
//! # Ok(())
//! # }
//! ```

mod conditions;
pub mod cross;
pub mod csv;
pub mod diff;
mod distributions;
mod effect;
pub mod experiment;
mod figures;
mod grid;
pub mod html;
pub mod json;
pub mod links;
mod metric;
mod order;
mod plan;
mod runner;
mod shown;
pub(crate) mod stats;
pub mod text;
mod unequal;
mod values;
mod verdict;
mod verdicts;
mod words;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    experiment::{Arm, PartKind},
    figures::Figures,
};
pub use self::{
    metric::{Better, Metric, Thresholds, Unit},
    runner::run,
    verdict::{Against, Decision, Estimate, Runs, Verdict},
    verdicts::{blocks_needed, verdicts},
};
use crate::{
    auth::{ClientProof, Credentials},
    client::ControlTls,
    engine::Drive,
    registry::Registry,
    spec::{Limit, SpecFields},
};

/// What to compare, and against whom.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server is.
    pub target: Target,
    /// The transports to compare, in this order.
    pub transports: Registry,
    /// What to compare, in this order, where a transport occurs more than once or with a congestion
    /// control of its own; if there is nothing, each of `transports`.
    pub arms: Vec<Arm>,
    /// What is common to all tests: how long bulk is measured and what it omits before, streams,
    /// blocks, settings. Transport, direction, workload and intervals are filled in.
    pub test: SpecFields,
    /// What is measured of each transport in each block.
    pub parts: Vec<PartKind>,
    /// How many blocks; `None` is 7, or as many as it takes for a difference to be shown among so
    /// many transports.
    pub blocks: Option<u32>,
    /// What the random orders follow from; `None` picks one.
    pub seed: Option<u64>,
    /// How long nothing happens between two runs.
    pub gap: Duration,
    /// The transport that the others are compared with; `None` is the first.
    pub baseline: Option<String>,
    /// Whether the baseline runs twice in each block, as a negative control: whatever is found
    /// between it and itself is chance.
    pub negative_control: bool,
    /// What a difference must exceed to be called one.
    pub thresholds: Thresholds,
    /// The transport of the control connection; one of `transports`, or a standard one.
    pub control: String,
    /// How long reaching the server may take, for each test.
    pub connect_timeout: Duration,
    /// How long to wait in a full server's queue, for each test.
    pub queue_timeout: Duration,
    /// Who the client is, for a server that asks.
    pub auth: Option<Credentials>,
    /// What the client proves itself with.
    pub proof: Option<ClientProof>,
    /// Runs control connections inside TLS, where their transport does not protect them already.
    pub tls: Option<ControlTls>,
    /// Where the tasks that move bytes run.
    pub drive: Drive,
}

/// Where the server of an experiment is.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its block, from 1.
    pub block: u32,
    /// Its arm's name.
    pub arm: String,
    /// Which part of the run it is.
    pub part: PartKind,
    /// Its number, from 1.
    pub index: usize,
    /// How many there are, at most: what follows a failure in the same run is not tried.
    pub of: usize,
    /// How long all of them may take from here on.
    pub remaining: Duration,
}

impl Config {
    /// Compares the usual transports inside this process, 0.4 s each way in each block.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            target: Target::InProcess,
            transports: Registry::standard().usual(),
            arms: Vec::new(),
            test: SpecFields {
                limit: Limit::Time(Duration::from_millis(400)),
                omit: Duration::from_millis(100),
                ..SpecFields::default()
            },
            parts: PartKind::ALL.to_vec(),
            blocks: None,
            seed: None,
            gap: Duration::from_millis(50),
            baseline: None,
            negative_control: false,
            thresholds: Thresholds::default(),
            control: "tcp".to_owned(),
            connect_timeout: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(60),
            auth: None,
            proof: None,
            tls: None,
            drive: Drive::Threads,
        }
    }

    /// Compares the usual transports against the polyperf server at `host`.
    #[must_use]
    pub fn against(host: impl Into<String>, port: u16) -> Self {
        Self { target: Target::Host { host: host.into(), port }, ..Self::in_process() }
    }
}

#[cfg(test)]
#[path = "../../tests/support/experiment/mod.rs"]
mod samples;
