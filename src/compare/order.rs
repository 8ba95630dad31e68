//! In which order the arms of each block run.

use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_pcg::Pcg64;

/// Returns the numbers below `arms` in random order, for each of so many blocks. The same seed
/// gives the same orders.
pub(super) fn blocks(seed: u64, arms: usize, blocks: u32) -> Vec<Vec<usize>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let shuffled = |_| {
        let mut order: Vec<_> = (0..arms).collect();
        order.shuffle(&mut rng);
        order
    };
    (0..blocks).map(shuffled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arm_runs_once_in_each_block_and_the_seed_decides_when() {
        let orders = blocks(7, 5, 100);
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
        assert_eq!(orders, blocks(7, 5, 100));
        assert_ne!(orders, blocks(8, 5, 100));
        for place in 0..5 {
            let first = orders.iter().filter(|order| order[0] == place).count();
            assert!((5..=40).contains(&first), "{place} came first {first} times of 100");
        }
    }
}
