//! What is to be done, from what was asked for.

use std::time::Duration;

use polyperf_transport::Delivery;

use super::{
    Config, blocks_needed,
    experiment::{Arm, PartKind, Plan},
};
use crate::spec::{Exchange, Limit, Probe, SpecError, SpecErrors, SpecFields, TestSpec, Workload};

impl Plan {
    /// Returns the plan that `config` asks for; `seed` is used where it has none.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub(super) fn of(config: &Config, seed: u64) -> Result<Self, SpecErrors> {
        let test = TestSpec::try_from(config.test.clone())?;
        let names = config.transports.names();
        let baseline = match &config.baseline {
            Some(name) => names.iter().find(|known| *known == name).copied(),
            None => names.first().copied(),
        };
        let Some(baseline) = baseline else {
            let value = config.baseline.clone().unwrap_or_else(|| "none".to_owned());
            let allowed = "one of the transports that are compared";
            return Err(SpecErrors::one(SpecError { field: "baseline", value, allowed }));
        };
        let Limit::Time(time) = test.limit else {
            let value = format!("{:?}", test.limit);
            let allowed = "a time: runs of a fixed size do not load a path for equally long";
            return Err(SpecErrors::one(SpecError { field: "limit", value, allowed }));
        };
        let arm = |name: &str, transport: &str| Arm {
            name: name.to_owned(),
            transport: transport.to_owned(),
        };
        let mut arms: Vec<_> = names.iter().map(|name| arm(name, name)).collect();
        if config.negative_control {
            arms.push(arm(&format!("{baseline}{AGAIN}"), baseline));
        }
        let blocks = config
            .blocks
            .unwrap_or_else(|| blocks_needed(arms.len() - 1, config.thresholds.alpha).max(7));
        Ok(Self {
            arms,
            baseline: baseline.to_owned(),
            blocks,
            seed,
            gap: config.gap,
            time,
            warm_up: test.omit,
            streams: test.streams,
            parts: config.parts.clone(),
            thresholds: config.thresholds,
        })
    }

    /// Returns about how long it takes, without what failures and handshakes add.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let part = |part: &PartKind| match part {
            PartKind::Churn | PartKind::Idle => brief(self.time),
            PartKind::Up | PartKind::Down => idle(self.time) + self.warm_up + self.time,
            PartKind::Transfer10k | PartKind::Transfer1m | PartKind::Transfer10m => Duration::ZERO,
        };
        let run = self.parts.iter().map(part).sum::<Duration>() + self.gap;
        run * u32::try_from(self.arms.len()).unwrap_or(u32::MAX) * self.blocks
    }
}

impl PartKind {
    /// All of them, in the order in which a run does them: what needs an idle path comes first.
    pub const ALL: [Self; 7] = [
        Self::Churn,
        Self::Idle,
        Self::Transfer10k,
        Self::Transfer1m,
        Self::Transfer10m,
        Self::Up,
        Self::Down,
    ];

    /// Returns the name, for people and on the command line.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Churn => "churn",
            Self::Idle => "idle",
            Self::Up => "up",
            Self::Down => "down",
            Self::Transfer10k => "10k",
            Self::Transfer1m => "1m",
            Self::Transfer10m => "10m",
        }
    }

    /// Returns whether a transport that delivers so can do it: what is larger than a message cannot
    /// be asked for as one.
    pub(super) fn suits(self, delivery: Delivery) -> bool {
        let transfers = matches!(self, Self::Transfer10k | Self::Transfer1m | Self::Transfer10m);
        matches!(delivery, Delivery::Bytes) || !transfers
    }

    /// Returns the test, given what is common to all and how long bulk is measured.
    pub(super) fn test(self, common: &SpecFields, transport: &str, time: Duration) -> SpecFields {
        use crate::spec::Direction::{Forward, Reverse};
        let common = SpecFields { transport: transport.to_owned(), ..common.clone() };
        let bulk = |direction| SpecFields {
            direction,
            probe: Some(Probe { every: PROBE_EVERY, idle: idle(time), ..Probe::default() }),
            interval: Some((time / INTERVALS).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL)),
            ..common.clone()
        };
        // Requests neither have a rate in bits nor blocks, and connections are made one by one.
        let asking = |workload, limit, omit| {
            let mut fields = SpecFields {
                workload,
                limit,
                omit,
                streams: 1,
                block: 0,
                rate: None,
                interval: None,
                ..common.clone()
            };
            fields.tuning.connections = None;
            fields
        };
        let transfer = |response, count| {
            let exchange = Exchange { response, ..Exchange::default() };
            asking(Workload::Churn(exchange), Limit::Blocks(count), Duration::ZERO)
        };
        match self {
            Self::Up => bulk(Forward),
            Self::Down => bulk(Reverse),
            Self::Idle => {
                let workload = Workload::Rr(Exchange::default());
                asking(workload, Limit::Time(brief(time)), brief(time) / 10)
            }
            Self::Churn => {
                let workload = Workload::Churn(Exchange::default());
                asking(workload, Limit::Time(brief(time)), Duration::ZERO)
            }
            Self::Transfer10k => transfer(10_000, 5),
            Self::Transfer1m => transfer(1_000_000, 3),
            Self::Transfer10m => transfer(10_000_000, 1),
        }
    }
}

/// How long the parts without load last.
fn brief(time: Duration) -> Duration {
    (time / 2).clamp(SHORTEST_BRIEF, LONGEST_BRIEF)
}

/// How long a path is probed before the load begins.
fn idle(time: Duration) -> Duration {
    (time / 4).clamp(SHORTEST_BRIEF, LONGEST_BRIEF)
}

/// What marks the second of two arms with the same transport.
const AGAIN: &str = " again";
/// Often enough for a p99 from a second, and too seldom to be a load.
const PROBE_EVERY: Duration = Duration::from_millis(5);
/// Intervals of bulk, which tell how its rate grows.
const INTERVALS: u32 = 20;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);
const LONGEST_INTERVAL: Duration = Duration::from_millis(250);
const SHORTEST_BRIEF: Duration = Duration::from_millis(100);
const LONGEST_BRIEF: Duration = Duration::from_secs(1);
