/// SplitMix64: the same numbers from the same seed, everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns a factor around 1, rarely further from it than `spread`.
    pub(super) fn about(&mut self, spread: f64) -> f64 {
        let sum: f64 = (0..4).map(|_| self.part()).sum();
        1.0 + (sum / 2.0 - 1.0) * spread * 1.5
    }
}
