use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Datagrams counted by a receiver: since the start, or between two moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatagramCounts {
    /// Numbers up to the highest seen, or up to the sender's final count where that is known.
    pub expected: u64,
    /// Different datagrams received: copies do not count.
    pub received: u64,
    /// Expected, and not received so far.
    pub lost: u64,
    /// Received after one with a higher number; part of `received`.
    pub reordered: u64,
    /// Further copies.
    pub duplicated: u64,
    /// Received too late to tell whether they had been before.
    pub late: u64,
    /// Received, and of no place in the sequence.
    pub strays: u64,
}

impl DatagramCounts {
    /// Returns what was counted after `earlier`, on the same flow.
    ///
    /// A loss that is taken back after its interval has been shown lowers the losses of the interval
    /// in which the datagram arrived, though not below zero. So intervals may add up to more
    /// than the whole, which alone is exact.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            expected: self.expected.saturating_sub(earlier.expected),
            received: self.received.saturating_sub(earlier.received),
            lost: self.lost.saturating_sub(earlier.lost),
            reordered: self.reordered.saturating_sub(earlier.reordered),
            duplicated: self.duplicated.saturating_sub(earlier.duplicated),
            late: self.late.saturating_sub(earlier.late),
            strays: self.strays.saturating_sub(earlier.strays),
        }
    }

    /// Returns the sum of two flows' counts.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            expected: self.expected.saturating_add(other.expected),
            received: self.received.saturating_add(other.received),
            lost: self.lost.saturating_add(other.lost),
            reordered: self.reordered.saturating_add(other.reordered),
            duplicated: self.duplicated.saturating_add(other.duplicated),
            late: self.late.saturating_add(other.late),
            strays: self.strays.saturating_add(other.strays),
        }
    }
}
