use std::time::Duration;

use super::Deadlines;
use crate::{
    measure::Sample,
    outcome::{Failure, FailureCode},
    spec::TestSpec,
};

/// What both ends watch while a test runs: that something moves, and that a failed stream is
/// explained.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) started: Duration,
    stall: Duration,
    /// When bytes were last seen to move at this end.
    moved_at: Duration,
    received: u64,
    sent: u64,
    /// A stream has failed; if nothing explains it until then, this is the end.
    failing: Option<(Duration, Failure)>,
}

impl Running {
    pub(super) fn new(spec: &TestSpec, deadlines: &Deadlines, now: Duration) -> Self {
        Self {
            started: now,
            // A low rate has long pauses.
            stall: deadlines.stall.max(spec.block_time() * BLOCKS_PER_STALL),
            moved_at: now,
            received: 0,
            sent: 0,
            failing: None,
        }
    }

    /// Takes note of an interval. What is sent counts as well: over TCP nothing can be sent for
    /// long to a client that has gone, which no other sign would tell.
    pub(super) fn sampled(&mut self, sample: &Sample, now: Duration) {
        if sample.flows.iter().any(|flow| flow.bytes > 0) {
            self.moved_at = now;
        }
    }

    pub(super) fn received(&mut self, bytes: u64, now: Duration) {
        if bytes > self.received {
            self.received = bytes;
            self.moved_at = now;
        }
    }

    pub(super) fn sent(&mut self, bytes: u64, now: Duration) {
        if bytes > self.sent {
            self.sent = bytes;
            self.moved_at = now;
        }
    }

    /// Takes note of a failure that the other end may be about to explain.
    pub(super) fn fail(&mut self, failure: Failure, by: Duration) {
        self.failing.get_or_insert((by, failure));
    }

    /// Returns the failure that has not been explained, once the connection is gone.
    pub(super) fn unexplained(&mut self) -> Option<Failure> {
        self.failing.take().map(|(_, failure)| failure)
    }

    /// Returns a failure that nothing has explained in time.
    pub(super) fn verdict(&mut self, now: Duration) -> Option<Failure> {
        self.failing.take_if(|(by, _)| now >= *by).map(|(_, failure)| failure)
    }

    /// Returns what to say if no byte has moved for too long.
    pub(super) fn stalled(&self, now: Duration) -> Option<Failure> {
        (now >= self.moved_at + self.stall).then(|| {
            let text = format!("no byte has moved for {:.0?}", self.stall);
            Failure::new(FailureCode::Stalled, text)
        })
    }

    pub(super) fn deadline(&self) -> Duration {
        let stalled = self.moved_at + self.stall;
        self.failing.as_ref().map_or(stalled, |(by, _)| stalled.min(*by))
    }
}

const BLOCKS_PER_STALL: u32 = 4;
