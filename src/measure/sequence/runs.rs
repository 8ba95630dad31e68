use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BLOCK, below};

/// Losses in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LossRuns {
    /// How many there were, of one datagram or more.
    pub count: u64,
    /// Datagrams of the longest.
    pub longest: u64,
}

/// Counts runs in a bitmap, block after block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    /// Numbers below are not looked at.
    from: u64,
    open: u64,
    runs: LossRuns,
}

impl Tally {
    pub(super) fn starting_at(from: u64) -> Self {
        Self { from, open: 0, runs: LossRuns::default() }
    }

    /// Reads the lowest `len` bits of a block: a bit is set where a number was received.
    pub(super) fn read(&mut self, block: u64, word: u64, len: u64) {
        let unseen = self.from.saturating_sub(block * BLOCK);
        let mut word = if unseen >= BLOCK { u64::MAX } else { word | below(unseen) };
        let mut left = len;
        while left > 0 {
            let lost = u64::from(word.trailing_zeros()).min(left);
            self.lose(lost);
            left -= lost;
            if left == 0 {
                break;
            }
            self.open = 0;
            word >>= lost;
            let received = u64::from(word.trailing_ones()).min(left);
            left -= received;
            word = word.checked_shr(word.trailing_ones()).unwrap_or(0);
        }
    }

    /// Takes `count` more losses in a row.
    pub(super) fn lose(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        self.runs.count += u64::from(self.open == 0);
        // What a sender claims to have sent may be anything.
        self.open = self.open.saturating_add(count);
        self.runs.longest = self.runs.longest.max(self.open);
    }

    pub(super) fn runs(&self) -> LossRuns {
        self.runs
    }
}
