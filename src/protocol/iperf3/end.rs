use std::time::Duration;

use crate::spec::{Limit, TestSpec};

/// What ends a running test.
#[derive(Debug)]
pub(super) struct End {
    /// When time is up, if it ends the test.
    pub(super) at: Option<Duration>,
    /// When what is omitted is over.
    counts_from: Duration,
    /// How many bytes this end wants to receive, if a count ends the test.
    wanted: Option<u64>,
    /// Bytes received in the omitted time.
    omitted: u64,
}

impl End {
    pub(super) fn new(spec: &TestSpec, now: Duration) -> Self {
        let wanted = match spec.limit {
            Limit::Bytes(bytes) => Some(bytes),
            Limit::Blocks(blocks) => Some(blocks.saturating_mul(u64::from(spec.block))),
            Limit::Time(_) | Limit::Endless => None,
        };
        Self {
            at: spec.duration().map(|duration| now + duration),
            counts_from: now + spec.omit,
            wanted: wanted.filter(|_| spec.server_sends()),
            omitted: 0,
        }
    }

    /// Returns whether as much has been received as is wanted.
    pub(super) fn is_reached(&mut self, received: u64, now: Duration) -> bool {
        if now < self.counts_from {
            self.omitted = received;
            return false;
        }
        self.wanted.is_some_and(|wanted| received.saturating_sub(self.omitted) >= wanted)
    }
}
