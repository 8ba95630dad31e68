//! A point in time, in the units that an engine needs.

use std::time::Duration;

/// A point in time since an epoch of the caller's choice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

impl Moment {
    pub(super) fn new(since_epoch: Duration) -> Self {
        let seconds = since_epoch.as_secs().saturating_mul(1_000_000);
        Self(seconds.saturating_add(since_epoch.subsec_micros().into()))
    }

    pub(super) fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub(super) fn micros(self) -> u64 {
        self.0
    }

    pub(super) fn millis(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the time as it is on the wire: in milliseconds, and without the upper bits.
    #[allow(clippy::cast_possible_truncation, reason = "it wraps on the wire")]
    pub(super) fn ts(self) -> u32 {
        self.millis() as u32
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}
