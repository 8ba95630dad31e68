use std::time::Duration;

use super::{Results, running::Running};
use crate::spec::{Direction, Limit, TestSpec};

/// A test that a server runs, until its client has ended it.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) running: Running,
    pub(super) ends: Duration,
    pub(super) spec: Box<TestSpec>,
    pub(super) ours: Option<Box<Results>>,
    /// The client has sent as much as it was to send, and this is when what has not arrived by
    /// then is not waited for.
    pub(super) drained_by: Option<Duration>,
}

impl Run {
    /// Returns whether something is still to arrive of what the client has sent, where a count
    /// ended the test: it is out before the word that says so, and may be overtaken by it.
    pub(super) fn drains(&mut self, now: Duration, grace: Duration) -> bool {
        let counted = matches!(self.spec.limit, Limit::Bytes(_) | Limit::Blocks(_));
        if counted && self.spec.direction == Direction::Forward && self.ours.is_none() {
            self.drained_by.get_or_insert(now + grace);
        }
        self.drained_by.is_some()
    }

    /// Returns whether everything has arrived that was still to arrive.
    pub(super) fn is_drained(&self, received: u64) -> bool {
        let wanted = match self.spec.limit {
            Limit::Bytes(bytes) => bytes,
            Limit::Blocks(blocks) => blocks.saturating_mul(u64::from(self.spec.block)),
            Limit::Time(_) | Limit::Endless => return false,
        };
        // What was omitted has been received as well, and nobody has told how much that is.
        self.drained_by.is_some() && self.spec.omit.is_zero() && received >= wanted
    }

    pub(super) fn deadline(&self) -> Duration {
        let watched = self.running.deadline().min(self.ends);
        self.drained_by.map_or(watched, |by| watched.min(by))
    }
}
