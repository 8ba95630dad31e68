use super::{
    doubled_ranks,
    tail::{Sums, real},
};

/// The test of Mann and Whitney: whether one group's values are above the other's as often as below
/// (On a test of whether one of two random variables is stochastically larger than the other, 1947).
///
/// Equal values share the mean of their ranks, and the distribution is that of these very ranks, so
/// ties do not make it less exact. Beyond [`MAX_EXACT`](Self::MAX_EXACT) values it is the normal
/// approximation.
#[derive(Debug)]
pub(crate) struct MannWhitney {
    /// Twice the sum of the ranks of the second group.
    doubled: usize,
    sums: Sums,
}

impl MannWhitney {
    /// The most values of both groups whose distribution is computed exactly.
    pub(crate) const MAX_EXACT: usize = 50;

    /// Tests the values of `after` beside those of `before`.
    pub(crate) fn of(before: &[f64], after: &[f64]) -> Self {
        let ranks = doubled_ranks(&[after, before].concat());
        let doubled = ranks.iter().take(after.len()).sum();
        Self { doubled, sums: sums(&ranks, after.len()) }
    }

    /// Returns how likely chance alone puts `after` so far above `before`.
    pub(crate) fn greater(&self) -> f64 {
        self.sums.at_least(self.doubled)
    }

    /// Returns how likely chance alone puts `after` so far below `before`.
    pub(crate) fn less(&self) -> f64 {
        self.sums.at_most(self.doubled)
    }

    /// Returns by how much one group must be moved, in whichever direction takes more, until chance
    /// alone is less likely than `level`; `None` if there are too few values for that.
    pub(crate) fn move_needed(before: &[f64], after: &[f64], level: f64) -> Option<f64> {
        let (most, own) = (before.len() * after.len(), after.len());
        let ranks: Vec<usize> = (1..=before.len() + own).map(|rank| 2 * rank).collect();
        let sums = sums(&ranks, own);
        // Of so many pairs, `after` is above in one.
        let likely = |above: usize| sums.at_least(own * (own + 1) + 2 * above);
        if most == 0 || likely(most) >= level {
            return None;
        }
        let (mut too_likely, mut unlikely) = (0, most);
        while too_likely + 1 < unlikely {
            let middle = usize::midpoint(too_likely, unlikely);
            *if likely(middle) < level { &mut unlikely } else { &mut too_likely } = middle;
        }
        let mut differences = Vec::with_capacity(most);
        for one in after {
            differences.extend(before.iter().map(|other| one - other));
        }
        differences.sort_by(f64::total_cmp);
        let up = -differences.get(most.checked_sub(unlikely)?)?;
        let down = *differences.get(unlikely.checked_sub(1)?)?;
        Some(up.max(down).max(0.0))
    }
}

/// Returns Cliff's delta: how much more often a value of `after` is above one of `before` than below
/// it, from -1 to 1; `None` if either has none (Cliff, Dominance statistics, 1993).
pub(crate) fn cliffs_delta(before: &[f64], after: &[f64]) -> Option<f64> {
    let mut sorted = before.to_vec();
    sorted.sort_by(f64::total_cmp);
    let dominance = |value: &f64| {
        let below = sorted.partition_point(|other| other < value);
        let not_above = sorted.partition_point(|other| other <= value);
        real(below) - real(sorted.len() - not_above)
    };
    let pairs = real(before.len()) * real(after.len());
    (pairs > 0.0).then(|| after.iter().map(dominance).sum::<f64>() / pairs)
}

/// Returns how likely each sum of `taken` of these ranks is, if every choice of them is as likely.
fn sums(doubled: &[usize], taken: usize) -> Sums {
    let count = doubled.len();
    if count > MannWhitney::MAX_EXACT {
        let (all, own) = (real(count), real(taken));
        let mean = doubled.iter().map(|rank| real(*rank)).sum::<f64>() / all;
        let squares: f64 = doubled.iter().map(|rank| (real(*rank) - mean).powi(2)).sum();
        let variance = own * (all - own) * squares / (all * (all - 1.0));
        return Sums::Normal { mean: own * mean, deviation: variance.sqrt() };
    }
    // In how many ways so many ranks have this sum: whole numbers, of which C(50, 25) < 2^53 is the
    // largest.
    let most: usize = doubled.iter().sum();
    let mut ways = vec![vec![0.0; most + 1]; taken + 1];
    ways[0][0] = 1.0;
    for &rank in doubled {
        for number in (1..=taken).rev() {
            let (fewer, these) = ways.split_at_mut(number);
            for (sum, ways) in these[0].iter_mut().enumerate().skip(rank) {
                *ways += fewer[number - 1][sum - rank];
            }
        }
    }
    let mut of = ways.pop().unwrap_or_default();
    let all: f64 = of.iter().sum();
    of.iter_mut().for_each(|ways| *ways /= all);
    Sums::Exact(of)
}

#[cfg(test)]
mod tests {
    use statrs::stats_tests::{
        Alternative,
        mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu},
    };

    use super::*;

    /// Hollander & Wolfe, Nonparametric Statistical Methods, table 4.1: permeability of chorioamnion
    /// at term and at 12 to 26 weeks. W = 35, one-sided p = 0.1272 (also in R's manual of
    /// `wilcox.test`).
    #[test]
    fn the_permeability_of_hollander_and_wolfe_comes_out() {
        let term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let early = [1.15, 0.88, 0.90, 0.74, 1.21];
        let test = MannWhitney::of(&early, &term);
        assert_eq!(test.doubled / 2 - 55, 35);
        assert!((test.greater() - 0.1272).abs() < 5e-5, "{}", test.greater());
    }

    /// Mann & Whitney 1947 and the tables after them, one-sided: the largest smaller U that is
    /// significant at 0.025 and at 0.005 (Siegel, Nonparametric Statistics, 1956, table K).
    #[test]
    fn the_critical_values_of_the_tables_come_out() {
        for (m, n, table) in [
            (3, 3, [None, None]),
            (4, 4, [Some(0), None]),
            (5, 5, [Some(2), Some(0)]),
            (6, 6, [Some(5), Some(2)]),
            (7, 7, [Some(8), Some(4)]),
            (8, 8, [Some(13), Some(7)]),
            (5, 9, [Some(7), Some(3)]),
            (10, 10, [Some(23), Some(16)]),
            (20, 20, [Some(127), Some(105)]),
        ] {
            let ranks: Vec<usize> = (1..=m + n).map(|rank| 2 * rank).collect();
            let sums = sums(&ranks, m);
            for (level, critical) in [0.025, 0.005].into_iter().zip(table) {
                let within = |u: &usize| sums.at_most(m * (m + 1) + 2 * u) <= level;
                assert_eq!((0..=m * n).take_while(within).last(), critical, "{m}, {n} at {level}");
            }
        }
    }

    /// The example of scipy's manual of `mannwhitneyu`, which statrs follows.
    #[test]
    fn without_ties_it_agrees_with_the_crate_that_has_no_ties() {
        let (male, female) = ([19.0, 22.0, 16.0, 29.0, 24.0], [20.0, 11.0, 17.0, 12.0]);
        let (_, theirs) =
            mannwhitneyu(&male, &female, MannWhitneyUMethod::Exact, Alternative::TwoSided).unwrap();
        let ours = 2.0 * MannWhitney::of(&female, &male).greater();
        assert!(
            (ours - theirs).abs() < 1e-12 && (ours - 1.0 / 9.0).abs() < 1e-12,
            "{ours} {theirs}"
        );
    }

    /// Worked by hand: of the values 1, 2, 2, 3 the ranks are 1, 2.5, 2.5, 4; of the 6 choices of two,
    /// those of 4 and either 2.5 have a sum of 6.5, and none has more.
    #[test]
    fn ties_are_exact_as_well() {
        let test = MannWhitney::of(&[1.0, 2.0], &[2.0, 3.0]);
        assert_eq!((test.greater(), test.less()), (2.0 / 6.0, 1.0));
        let same = MannWhitney::of(&[5.0; 7], &[5.0; 7]);
        assert_eq!((same.greater(), same.less()), (1.0, 1.0));
    }

    #[test]
    fn many_values_go_over_into_the_normal_approximation_without_a_step() {
        let values = |from: u32, step: u32| -> Vec<f64> {
            (0..).map(|n| f64::from(from + step * n)).take(25).collect()
        };
        let (before, mut after) = (values(0, 3), values(16, 3));
        let exact = MannWhitney::of(&before, &after);
        after.push(50.5);
        let about = MannWhitney::of(&before, &after);
        assert!(matches!((&exact.sums, &about.sums), (Sums::Exact(_), Sums::Normal { .. })));
        let (exact, about) = (exact.greater(), about.greater());
        assert!(exact / about < 1.5 && about / exact < 1.5, "{exact} {about}");
        let same = MannWhitney::of(&[5.0; 40], &[5.0; 40]);
        assert_eq!((same.greater(), same.less()), (1.0, 1.0));
    }

    #[test]
    fn moved_by_what_is_needed_the_test_says_so_and_by_less_it_does_not() {
        let (before, after) = ([0.0, 0.3, -0.2, 0.11, 0.5], [0.05, -0.31, 0.22, 0.4, -0.07]);
        let needed = MannWhitney::move_needed(&before, &after, 0.01).unwrap();
        let likelier = |by: f64| {
            let moved = |by: f64| after.map(|one| one + by);
            let (up, down) =
                (MannWhitney::of(&before, &moved(by)), MannWhitney::of(&before, &moved(-by)));
            up.greater().max(down.less())
        };
        assert!(likelier(needed + 1e-9) < 0.01 && likelier(needed - 1e-9) >= 0.01, "{needed}");
        assert_eq!(MannWhitney::move_needed(&before[..4], &after[..4], 0.01), None);
        assert_eq!(MannWhitney::move_needed(&[], &after, 0.01), None);
    }

    /// Hogarty & Kromrey, Using SAS to calculate tests of Cliff's delta (1999), which is the example
    /// of R's `effsize::cliff.delta` as well: -0.25. The other is worked by hand: of 12 pairs 7 are
    /// above, 3 below.
    #[test]
    fn delta_counts_who_is_above_whom() {
        let treatment = [10.0, 10.0, 20.0, 20.0, 20.0, 30.0, 30.0, 30.0, 40.0, 50.0];
        let control = [10.0, 20.0, 30.0, 40.0, 40.0, 50.0];
        assert_eq!(cliffs_delta(&control, &treatment), Some(-0.25));
        let delta = cliffs_delta(&[1.0, 2.0, 3.0, 5.0], &[2.0, 4.0, 5.0]).unwrap();
        assert!((delta - (7.0 - 3.0) / 12.0).abs() < 1e-12, "{delta}");
        assert_eq!(cliffs_delta(&[1.0, 2.0], &[3.0, 4.0]), Some(1.0));
        assert_eq!(cliffs_delta(&[3.0], &[1.0]), Some(-1.0));
        assert_eq!(cliffs_delta(&[3.0], &[3.0]), Some(0.0));
        assert_eq!(cliffs_delta(&[], &[3.0]), None);
    }
}
