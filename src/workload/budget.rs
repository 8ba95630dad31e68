use std::sync::atomic::{AtomicU64, Ordering};

use crate::spec::Limit;

/// What the flows of one direction may still send between them, where a count ends the test.
///
/// Shared by the flows' threads, which claim block by block. What each is sure to get is claimed
/// for it at the start, so that the first thread to run leaves something to the others.
#[derive(Debug)]
pub struct Budget {
    count: u64,
    left: AtomicU64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Bytes,
    Blocks,
}

impl Budget {
    /// Returns the budget that `limit` sets; `None` if it sets none.
    #[must_use]
    pub fn new(limit: Limit) -> Option<Self> {
        let (count, unit) = match limit {
            Limit::Bytes(count) => (count, Unit::Bytes),
            Limit::Blocks(count) => (count, Unit::Blocks),
            Limit::Time(_) | Limit::Endless => return None,
        };
        Some(Self { count, left: AtomicU64::new(count), unit })
    }

    /// Claims what one of so many flows is sure to get: a block, or its share if that is less.
    pub fn reserve(&self, block: usize, flows: u16) -> usize {
        let share = self.count / u64::from(flows.max(1));
        match self.unit {
            Unit::Bytes => self.claim(usize::try_from(share).unwrap_or(block).min(block)),
            Unit::Blocks if share > 0 => self.claim(block),
            Unit::Blocks => 0,
        }
    }

    /// Claims up to a block, and returns its length; 0 if nothing is left.
    pub fn claim(&self, block: usize) -> usize {
        self.claim_batch(block, 1)
    }

    /// Claims up to so many blocks, and returns their length; 0 if nothing is left.
    pub fn claim_batch(&self, block: usize, blocks: usize) -> usize {
        let most = match self.unit {
            Unit::Bytes => block.saturating_mul(blocks),
            Unit::Blocks => blocks,
        };
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let mut claimed = 0;
        // The closure always returns a value, so the update cannot fail.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            claimed = left.min(most);
            Some(left - claimed)
        });
        match self.unit {
            Unit::Bytes => usize::try_from(claimed).unwrap_or(block),
            Unit::Blocks => usize::try_from(claimed).unwrap_or(0) * block,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_claimed_to_the_last_one() {
        let budget = Budget::new(Limit::Bytes(2500)).unwrap();
        assert_eq!([(); 4].map(|()| budget.claim(1000)), [1000, 1000, 500, 0]);
    }

    #[test]
    fn blocks_are_claimed_whole() {
        let budget = Budget::new(Limit::Blocks(2)).unwrap();
        assert_eq!([(); 3].map(|()| budget.claim(1000)), [1000, 1000, 0]);
    }

    #[test]
    fn a_batch_is_as_many_blocks_as_are_left() {
        let budget = Budget::new(Limit::Blocks(10)).unwrap();
        assert_eq!([(); 4].map(|()| budget.claim_batch(100, 4)), [400, 400, 200, 0]);
    }

    #[test]
    fn every_flow_is_sure_of_something() {
        let budget = Budget::new(Limit::Bytes(1000)).unwrap();
        assert_eq!([(); 4].map(|()| budget.reserve(600, 4)), [250; 4]);
        let budget = Budget::new(Limit::Bytes(10_000)).unwrap();
        assert_eq!([(); 4].map(|()| budget.reserve(600, 4)), [600; 4]);
        assert_eq!(budget.claim(10_000), 7600);
        let budget = Budget::new(Limit::Blocks(3)).unwrap();
        assert_eq!(budget.reserve(600, 4), 0, "there are not enough blocks to go round");
    }

    #[test]
    fn flows_on_many_threads_claim_no_byte_twice() {
        let budget = Budget::new(Limit::Bytes(1_000_003)).unwrap();
        let claim_all =
            || std::iter::from_fn(|| Some(budget.claim(64)).filter(|&n| n > 0)).sum::<usize>();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim_all)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 1_000_003);
    }
}
