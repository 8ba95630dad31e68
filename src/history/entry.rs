use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    event::FailedEvent,
    measure::Interval,
    micros,
    outcome::{Outcome, Side},
};

/// A test to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in every history: who is kept twice is there once.
    pub key: String,
    /// When it was known how it ended, since the Unix epoch.
    #[serde(rename = "noticed_us", with = "micros")]
    pub noticed: Duration,
    /// How many of its intervals are left out, because there was no room for them.
    #[serde(default)]
    pub left_out: u64,
    /// What it came to.
    pub record: Record,
}

/// What a test came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// It has something to show.
    Finished(Arc<Outcome>),
    /// It has nothing to show.
    Failed(Arc<FailedEvent>),
}

impl Entry {
    /// Returns a test under a new key. `noticed` is now, since the Unix epoch.
    #[must_use]
    pub fn new(record: Record, noticed: Duration) -> Self {
        Self { key: format!("{:032x}", rand::random::<u128>()), noticed, left_out: 0, record }
    }

    /// Returns the same test with these intervals, if it has none yet.
    #[must_use]
    pub(super) fn with_intervals(mut self, kept: Vec<Arc<Interval>>, left_out: u64) -> Self {
        if let Record::Finished(outcome) = &mut self.record
            && outcome.intervals.is_empty()
        {
            self.left_out = left_out;
            if !kept.is_empty() {
                Arc::make_mut(outcome).intervals = kept;
            }
        }
        self
    }

    /// Returns the same test without its intervals.
    #[must_use]
    pub(super) fn without_intervals(mut self) -> Self {
        if let Record::Finished(outcome) = &mut self.record
            && !outcome.intervals.is_empty()
        {
            self.left_out += u64::try_from(outcome.intervals.len()).unwrap_or(u64::MAX);
            Arc::make_mut(outcome).intervals = Vec::new();
        }
        self
    }

    /// Returns about how much memory its intervals take, in counts of a flow by one end.
    pub(super) fn weight(&self) -> usize {
        match &self.record {
            Record::Finished(outcome) => outcome.intervals.iter().map(|of| weight(of)).sum(),
            Record::Failed(_) => 0,
        }
    }
}

impl Record {
    /// Returns the end that tells.
    #[must_use]
    pub fn side(&self) -> Side {
        match self {
            Self::Finished(outcome) => outcome.info.side,
            Self::Failed(event) => event.side,
        }
    }
}

/// Returns how many counts of a flow by one end an interval has.
pub(super) fn weight(interval: &Interval) -> usize {
    let remote = interval.remote.as_ref().map_or(0, |remote| remote.flows.len());
    1 + interval.local.flows.len() + remote
}
