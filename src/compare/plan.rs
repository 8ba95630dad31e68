//! What is to be done, from what was asked for.

use std::time::Duration;

use polyperf_transport::{Delivery, Transport, Tuning};

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
        let mut arms = match config.arms.is_empty() {
            true => config.transports.names().into_iter().map(Arm::of).collect(),
            false => config.arms.clone(),
        };
        let baseline = match &config.baseline {
            Some(name) => arms.iter().find(|known| known.name == *name),
            None => arms.first(),
        };
        let Some(baseline) = baseline.cloned() else {
            let value = config.baseline.clone().unwrap_or_else(|| "none".to_owned());
            let allowed = "one of the transports that are compared";
            return Err(SpecErrors::one(SpecError { field: "baseline", value, allowed }));
        };
        let Limit::Time(time) = test.limit else {
            let value = format!("{:?}", test.limit);
            let allowed = "a time: runs of a fixed size do not load a path for equally long";
            return Err(SpecErrors::one(SpecError { field: "limit", value, allowed }));
        };
        for arm in &arms {
            TestSpec::try_from(arm.test(&config.test))?;
        }
        if config.negative_control {
            arms.push(Arm { name: format!("{}{AGAIN}", baseline.name), ..baseline.clone() });
        }
        let blocks = config
            .blocks
            .unwrap_or_else(|| blocks_needed(arms.len() - 1, config.thresholds.alpha).max(7));
        Ok(Self {
            arms,
            baseline: baseline.name,
            blocks,
            seed,
            gap: config.gap,
            time,
            warm_up: test.omit,
            streams: test.streams,
            parts: config.parts.clone(),
            thresholds: config.thresholds,
            link: None,
        })
    }

    /// Returns about how long a part takes, without what failures and handshakes add.
    #[must_use]
    pub fn lasts(&self, part: PartKind) -> Duration {
        match part {
            PartKind::Churn | PartKind::Resumed | PartKind::ZeroRtt | PartKind::Idle => {
                self.brief()
            }
            PartKind::Up | PartKind::Down => self.idle() + self.warm_up + self.time,
            PartKind::Transfer10k | PartKind::Transfer1m | PartKind::Transfer10m => Duration::ZERO,
        }
    }
}

impl Plan {
    /// Returns how long the parts without load last.
    fn brief(&self) -> Duration {
        (self.time / 2).clamp(SHORTEST_BRIEF, self.longest_brief())
    }

    /// Returns how long a path is probed before the load begins.
    fn idle(&self) -> Duration {
        (self.time / 4).clamp(SHORTEST_BRIEF, self.longest_brief())
    }

    /// Over an emulated link the time goes by its round trips, of which it takes some.
    fn longest_brief(&self) -> Duration {
        if self.link.is_some() { LONGEST_OVER_LINK } else { LONGEST_BRIEF }
    }
}

impl Arm {
    /// Returns the test that is common to all, with what is the arm's own.
    fn test(&self, common: &SpecFields) -> SpecFields {
        let mut fields = SpecFields { transport: self.transport.clone(), ..common.clone() };
        if self.congestion.is_some() {
            fields.tuning.congestion.clone_from(&self.congestion);
        }
        fields
    }
}

impl PartKind {
    /// All of them, in the order in which a run does them: what needs an idle path comes first.
    pub const ALL: [Self; 9] = [
        Self::Churn,
        Self::Resumed,
        Self::ZeroRtt,
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
            Self::Resumed => "resumed",
            Self::ZeroRtt => "zero-rtt",
            Self::Idle => "idle",
            Self::Up => "up",
            Self::Down => "down",
            Self::Transfer10k => "10k",
            Self::Transfer1m => "1m",
            Self::Transfer10m => "10m",
        }
    }

    /// Returns whether a transport can do it: what is larger than a message cannot be asked for as
    /// one, and not every one can resume a connection.
    pub(super) fn suits(self, transport: &dyn Transport) -> bool {
        match self {
            Self::Transfer10k | Self::Transfer1m | Self::Transfer10m => {
                matches!(transport.delivery(), Delivery::Bytes)
            }
            Self::Resumed | Self::ZeroRtt => transport.check(&self.handshake()).is_ok(),
            Self::Churn | Self::Idle | Self::Up | Self::Down => true,
        }
    }

    /// Returns whether a run goes on where it fails: that a server resumes nothing says nothing of
    /// the rest.
    pub(super) fn is_extra(self) -> bool {
        matches!(self, Self::Resumed | Self::ZeroRtt)
    }

    /// Returns how connections are to be made.
    fn handshake(self) -> Tuning {
        let (resume, zero_rtt) = (self == Self::Resumed, self == Self::ZeroRtt);
        Tuning { resume, zero_rtt, ..Tuning::default() }
    }

    /// Returns the test, given what is common to all and how long bulk is measured.
    pub(super) fn test(self, common: &SpecFields, arm: &Arm, plan: &Plan) -> SpecFields {
        use crate::spec::Direction::{Forward, Reverse};
        let time = plan.time;
        let limit = Limit::Time(time);
        let common = SpecFields { limit, omit: plan.warm_up, ..arm.test(common) };
        let bulk = |direction| SpecFields {
            direction,
            probe: Some(Probe { every: PROBE_EVERY, idle: plan.idle(), ..Probe::default() }),
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
                asking(workload, Limit::Time(plan.brief()), plan.brief() / 10)
            }
            Self::Churn | Self::Resumed | Self::ZeroRtt => {
                let workload = Workload::Churn(Exchange::default());
                let mut fields = asking(workload, Limit::Time(plan.brief()), Duration::ZERO);
                let Tuning { resume, zero_rtt, .. } = self.handshake();
                (fields.tuning.resume, fields.tuning.zero_rtt) = (resume, zero_rtt);
                fields
            }
            Self::Transfer10k => transfer(10_000, 5),
            Self::Transfer1m => transfer(1_000_000, 3),
            Self::Transfer10m => transfer(10_000_000, 1),
        }
    }
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
const LONGEST_OVER_LINK: Duration = Duration::from_secs(5);
