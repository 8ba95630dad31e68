use super::{
    between, doubled_ranks,
    tail::{Sums, real},
};

/// Wilcoxon's signed-rank test: whether differences of pairs are as often and as far above zero as
/// below (Wilcoxon, Individual comparisons by ranking methods, 1945).
///
/// Differences of zero are left out, as Wilcoxon did. Equal ones share the mean of their ranks, and
/// the distribution is that of these very ranks, so ties do not make it less exact. Beyond
/// [`MAX_EXACT`](Self::MAX_EXACT) differences it is the normal approximation.
#[derive(Debug)]
pub(crate) struct SignedRank {
    /// Twice the sum of the ranks of the positive ones.
    doubled: usize,
    sums: Sums,
}

impl SignedRank {
    /// The most differences whose distribution is computed exactly.
    pub(crate) const MAX_EXACT: usize = 100;

    /// Tests these differences.
    pub(crate) fn of(differences: &[f64]) -> Self {
        let counted: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
        let sizes: Vec<f64> = counted.iter().map(|difference| difference.abs()).collect();
        let ranks = doubled_ranks(&sizes);
        let positive = counted.iter().zip(&ranks).filter(|(difference, _)| **difference > 0.0);
        let doubled = positive.map(|(_, rank)| rank).sum();
        Self { doubled, sums: sums(&ranks) }
    }

    /// Returns the sum of the ranks of the positive differences: V in R.
    #[cfg(test)]
    pub(crate) fn v(&self) -> f64 {
        real(self.doubled) / 2.0
    }

    /// Returns how likely chance alone puts them so far above zero.
    pub(crate) fn greater(&self) -> f64 {
        self.sums.at_least(self.doubled)
    }

    /// Returns how likely chance alone puts them so far below zero.
    pub(crate) fn less(&self) -> f64 {
        self.sums.at_most(self.doubled)
    }

    /// Returns by how much differences must be moved, in whichever direction takes more, until
    /// chance alone is less likely than `level`; `None` if there are too few for that.
    ///
    /// Moved by more than minus their k-th largest mean of two (Walsh's averages), k of these are
    /// positive, and how many are is the sum of the positive ranks (Tukey, 1949).
    pub(crate) fn move_needed(differences: &[f64], level: f64) -> Option<f64> {
        let count = differences.len();
        let ranks: Vec<usize> = (1..=count).map(|rank| 2 * rank).collect();
        let (sums, most) = (sums(&ranks), count * (count + 1) / 2);
        if sums.at_least(2 * most) >= level {
            return None;
        }
        // The likelihood falls as the sum grows.
        let (mut too_likely, mut unlikely) = (0, most);
        while too_likely + 1 < unlikely {
            let middle = usize::midpoint(too_likely, unlikely);
            let is_unlikely = sums.at_least(2 * middle) < level;
            *if is_unlikely { &mut unlikely } else { &mut too_likely } = middle;
        }
        let mut averages = Vec::with_capacity(most);
        for (index, one) in differences.iter().enumerate() {
            averages.extend(differences[index..].iter().map(|other| between(*one, *other)));
        }
        averages.sort_by(f64::total_cmp);
        let up = -averages.get(most.checked_sub(unlikely)?)?;
        let down = *averages.get(unlikely.checked_sub(1)?)?;
        Some(up.max(down).max(0.0))
    }
}

/// Returns how likely each sum of those ranks is that chance picks, each with an even chance.
fn sums(doubled: &[usize]) -> Sums {
    let most: usize = doubled.iter().sum();
    if doubled.len() > SignedRank::MAX_EXACT {
        let squares: f64 = doubled.iter().map(|rank| real(*rank).powi(2)).sum();
        return Sums::Normal { mean: real(most) / 2.0, deviation: (squares / 4.0).sqrt() };
    }
    let mut of = vec![0.0; most + 1];
    of[0] = 1.0;
    for &rank in doubled {
        for sum in (0..=most).rev() {
            let with = if sum >= rank { of[sum - rank] } else { 0.0 };
            of[sum] = (of[sum] + with) / 2.0;
        }
    }
    Sums::Exact(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(differences: &[f64]) -> (f64, f64, f64) {
        let test = SignedRank::of(differences);
        (test.v(), test.greater(), test.less())
    }

    /// Hollander & Wolfe, Nonparametric Statistical Methods, table 3.1: Hamilton's depression scale
    /// before and after tranquillizer therapy. V = 40, one-sided p = 0.01953 (also in R's manual of
    /// `wilcox.test`).
    #[test]
    #[allow(clippy::approx_constant, reason = "one of the published scores is 3.14")]
    fn the_depression_scales_of_hollander_and_wolfe_come_out() {
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let differences: Vec<f64> = before.iter().zip(after).map(|(b, a)| b - a).collect();
        let (v, greater, less) = test(&differences);
        assert_eq!(v, 40.0);
        assert!((greater - 10.0 / 512.0).abs() < 1e-12, "{greater}");
        assert!((less - (1.0 - 7.0 / 512.0)).abs() < 1e-12, "{less}");
    }

    /// Wilcoxon & Wilcox, Some Rapid Approximate Statistical Procedures (1964), one-sided: the
    /// largest smaller sum of ranks that is significant at 0.05, 0.025, 0.01 and 0.005.
    #[test]
    fn the_critical_values_of_the_tables_come_out() {
        for (n, table) in [
            (5, [Some(0), None, None, None]),
            (6, [Some(2), Some(0), None, None]),
            (7, [Some(3), Some(2), Some(0), None]),
            (8, [Some(5), Some(3), Some(1), Some(0)]),
            (9, [Some(8), Some(5), Some(3), Some(1)]),
            (10, [Some(10), Some(8), Some(5), Some(3)]),
            (12, [Some(17), Some(13), Some(9), Some(7)]),
            (15, [Some(30), Some(25), Some(19), Some(15)]),
            (20, [Some(60), Some(52), Some(43), Some(37)]),
            (25, [Some(100), Some(89), Some(76), Some(68)]),
        ] {
            let ranks: Vec<usize> = (1..=n).map(|rank| 2 * rank).collect();
            let sums = sums(&ranks);
            for (level, critical) in [0.05, 0.025, 0.01, 0.005].into_iter().zip(table) {
                let within = |sum: &usize| sums.at_most(2 * sum) <= level;
                assert_eq!((0..=n * n).take_while(within).last(), critical, "{n} at {level}");
            }
        }
    }

    #[test]
    fn seven_pairs_in_one_direction_are_one_in_128_by_chance() {
        let (v, greater, less) = test(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]);
        assert_eq!((v, greater, less), (28.0, 1.0 / 128.0, 1.0));
        assert_eq!(test(&[-1.0, -2.0]), (0.0, 1.0, 0.25));
    }

    /// Worked by hand: of sizes 1, 1, 2 the ranks are 1.5, 1.5, 3; of the 8 choices of signs, those
    /// with a sum of 4.5 or more are +3 with one or both of 1.5: 3 of 8.
    #[test]
    fn ties_are_exact_as_well() {
        let (v, greater, less) = test(&[1.0, -1.0, 2.0]);
        assert_eq!((v, greater), (4.5, 3.0 / 8.0));
        assert_eq!(less, 7.0 / 8.0);
    }

    #[test]
    fn the_distribution_is_that_of_every_choice_of_signs() {
        let sizes = [0.5, 0.5, 1.0, 2.0, 2.0, 2.0, 7.0];
        let choices = 0..1_u32 << sizes.len();
        let all: Vec<SignedRank> = choices
            .map(|signs| {
                let sign = |bit: usize| if signs >> bit & 1 == 1 { 1.0 } else { -1.0 };
                let signed = sizes.iter().enumerate().map(|(bit, size)| size * sign(bit));
                SignedRank::of(&signed.collect::<Vec<f64>>())
            })
            .collect();
        for seen in &all {
            let as_far = all.iter().filter(|other| other.doubled >= seen.doubled).count();
            assert_eq!(seen.greater(), real(as_far) / real(all.len()), "{seen:?}");
        }
    }

    #[test]
    fn no_difference_at_all_is_no_evidence() {
        assert_eq!(test(&[]), (0.0, 1.0, 1.0));
        assert_eq!(test(&[0.0, 0.0, -0.0]), (0.0, 1.0, 1.0));
        assert_eq!(test(&[0.0, 3.0]), test(&[3.0]));
    }

    #[test]
    fn many_pairs_go_over_into_the_normal_approximation_without_a_step() {
        let of = |count: i32| -> Vec<f64> {
            (1..=count).map(|n| f64::from(if n % 3 == 0 { -n } else { n })).collect()
        };
        let (exact, about) = (SignedRank::of(&of(100)), SignedRank::of(&of(101)));
        assert!(matches!((&exact.sums, &about.sums), (Sums::Exact(_), Sums::Normal { .. })));
        let (exact, about) = (exact.greater(), about.greater());
        assert!(exact / about < 1.5 && about / exact < 1.5, "{exact} {about}");
    }

    #[test]
    fn moved_by_what_is_needed_the_test_says_so_and_by_less_it_does_not() {
        let spread = [-0.31, -0.22, -0.1, 0.0, 0.05, 0.14, 0.2, 0.33, 0.41];
        let needed = SignedRank::move_needed(&spread, 0.01).unwrap();
        let moved = |by: f64| -> Vec<f64> { spread.iter().map(|one| one + by).collect() };
        let likelier =
            |by: f64| SignedRank::of(&moved(by)).greater().max(SignedRank::of(&moved(-by)).less());
        assert!(likelier(needed + 1e-9) < 0.01, "{needed}");
        assert!(likelier(needed - 1e-9) >= 0.01, "{needed}");
        assert_eq!(SignedRank::move_needed(&spread[..6], 0.01), None, "1/64 is no less than 0.01");
        assert_eq!(SignedRank::move_needed(&[], 0.01), None);
    }
}
