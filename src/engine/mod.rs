//! The only code that moves bytes: sends, receives, counts, and samples what was counted.

mod account;
mod alarm;
mod answering;
mod arrivals;
mod asking;
mod buffer;
mod churn;
mod counters;
mod cpu;
mod flow;
mod framing;
mod means;
mod replies;
mod sampler;
mod signals;
mod sleep;
mod starting;
mod test;
mod watch;

#[cfg(test)]
mod tests;

pub use self::cpu::host_info;
pub(crate) use self::{
    arrivals::QUIET,
    churn::{Answering, Asking, Errand, Lane, Terms, Work},
    flow::Flow,
    framing::Framing,
    means::Means,
    test::{Setup, Test, TestEvent},
};

use std::time::Duration;

use tokio::time::Instant;

/// Where the tasks that move bytes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// Each half of a stream on a thread of its own, where it may block: nothing else that the
    /// program does disturbs a measurement, and there is no wait for readiness.
    Threads,
    /// As tasks of the current runtime, or of the thread that carries their connection, where there
    /// is one: for many slow flows, and for tests over virtual time.
    Inline,
}

/// The time since a test began, on this end's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Returns the instant of `time`; one that no clock reaches is taken for decades ahead.
    pub(crate) fn at(&self, time: Duration) -> Instant {
        self.epoch + time.min(FAR)
    }
}

/// Longer than any test, and short enough to be added to any clock's time.
const FAR: Duration = Duration::from_secs(1 << 30);
