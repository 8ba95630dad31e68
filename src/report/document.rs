//! The `polyperf` object of a JSON report: everything that iperf3's schema has no place for.

use std::{net::SocketAddr, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connection::{self, ConnectionSummary};
use crate::{
    event::{FailedEvent, IntervalEvent},
    lab::LinkReport,
    measure::{Interval, SideSummary},
    outcome::{Dialect, Ended, Failure, Outcome, Side, TestInfo},
};

/// The version of [`Polyperf`]. It changes when a reader of the old one would go wrong: when a
/// field goes away or means something else, not when one is added.
pub const SCHEMA: u32 = 1;

/// What polyperf says of a test beyond iperf3's schema.
///
/// What is unknown is left out; it is never null, and never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Polyperf {
    /// The version of this object.
    pub schema: u32,
    /// The end whose report this is: `local` below.
    pub side: Side,
    /// The session's name, unique on its server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The control protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// The transport's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The other end of the control connection, if it was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// The test as it was agreed on, and who took part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Arc<TestInfo>>,
    /// How the test ended, if it did and has something to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// What arrived, by direction.
    #[serde(default, skip_serializing_if = "Goodput::is_unknown")]
    pub goodput_bps: Goodput,
    /// What both ends counted in each interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<Arc<Interval>>,
    /// What this end counted over the whole test, and how its streams were set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SideSummary>,
    /// What the other end counted, and how its streams were set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<SideSummary>,
    /// The connections that carried its streams, where the transport knows of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<ConnectionSummary>,
    /// The emulated link that the test crossed, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<LinkReport>>,
    /// Why the test has nothing, or not everything, to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// Goodput in bits per second: what a receiver counted over the time in which it counted.
///
/// A direction that the test did not have, or whose receiver did not say, is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Goodput {
    /// From the client to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<f64>,
    /// From the server to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverse: Option<f64>,
}

impl Goodput {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl Polyperf {
    /// Returns what is to be said when a test starts.
    pub(super) fn started(info: &Arc<TestInfo>) -> Self {
        Self { test: Some(Arc::clone(info)), ..Self::of(info) }
    }

    /// Returns what is to be said of one interval.
    pub(super) fn interval(event: &IntervalEvent) -> Self {
        Self { intervals: vec![Arc::clone(&event.interval)], ..Self::of(&event.info) }
    }

    /// Returns what is to be said of a test that has something to show.
    pub(super) fn finished(outcome: &Outcome) -> Self {
        let error = match &outcome.ended {
            Ended::Failed(failure) => Some(failure.clone()),
            Ended::Complete | Ended::Stopped { .. } => None,
        };
        Self {
            test: Some(Arc::clone(&outcome.info)),
            ended: Some(outcome.ended.clone()),
            goodput_bps: Goodput {
                forward: outcome.goodput(Side::Server),
                reverse: outcome.goodput(Side::Client),
            },
            intervals: outcome.intervals.clone(),
            local: Some(outcome.local.clone()),
            remote: outcome.remote.clone(),
            connections: connection::told(outcome),
            link: outcome.link.clone(),
            error,
            ..Self::of(&outcome.info)
        }
    }

    /// Returns what is to be said of a test that has nothing to show.
    pub(super) fn failed(event: &FailedEvent) -> Self {
        Self {
            session: event.session.clone(),
            peer: event.peer,
            error: Some(event.failure.clone()),
            ..Self::empty(event.side)
        }
    }

    fn of(info: &TestInfo) -> Self {
        Self {
            session: Some(info.session.clone()),
            dialect: Some(info.dialect),
            transport: Some(info.spec.transport.clone()),
            peer: Some(info.peer),
            ..Self::empty(info.side)
        }
    }

    fn empty(side: Side) -> Self {
        Self {
            schema: SCHEMA,
            side,
            session: None,
            dialect: None,
            transport: None,
            peer: None,
            test: None,
            ended: None,
            goodput_bps: Goodput::default(),
            intervals: Vec::new(),
            local: None,
            remote: None,
            connections: Vec::new(),
            link: None,
            error: None,
        }
    }
}
