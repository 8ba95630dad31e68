use std::collections::HashMap;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{between, median};
use crate::compare::Estimate;

/// Percentile bootstrap intervals of 95 % (Efron, Bootstrap methods: another look at the jackknife,
/// 1979): the middle 95 % of the medians of values drawn again, with repetitions, from those seen.
///
/// Draws follow from the seed and from how many values there are, so equal values have equal
/// intervals. With few values an interval covers less than 95 % of what it is asked to: with 7 its
/// ends are the second value and the last but one, between which the true median is in 87.5 % of all
/// cases. Of one value both ends are the value itself, which says nothing.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    seed: u64,
    /// Of so many values, and of either group: which two, of those in order, each median is between.
    drawn: HashMap<(usize, Group), Vec<[usize; 2]>>,
}

/// Two groups are drawn from independently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Group {
    First,
    Second,
}

impl Bootstrap {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: HashMap::new() }
    }

    /// Returns the median of values, and its interval; `None` without a value.
    pub(crate) fn median(&mut self, values: &[f64]) -> Option<Estimate> {
        let value = median(values)?;
        Some(interval(value, self.medians(values, Group::First)))
    }

    /// Returns how far the median of `after` is above that of `before`, and the interval of that;
    /// `None` if either has no value.
    pub(crate) fn shift(&mut self, before: &[f64], after: &[f64]) -> Option<Estimate> {
        let value = median(after)? - median(before)?;
        let (from, to) = (self.medians(before, Group::First), self.medians(after, Group::Second));
        Some(interval(value, from.iter().zip(to).map(|(from, to)| to - from).collect()))
    }

    /// Returns the medians of values drawn again.
    fn medians(&mut self, values: &[f64], group: Group) -> Vec<f64> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let seed = self.seed;
        let drawn = self
            .drawn
            .entry((sorted.len(), group))
            .or_insert_with(|| draw(seed, sorted.len(), group));
        drawn.iter().map(|[low, high]| between(sorted[*low], sorted[*high])).collect()
    }
}

/// Draws again and again from so many values, and returns between which two each median is.
fn draw(seed: u64, count: usize, group: Group) -> Vec<[usize; 2]> {
    let mut random = StdRng::seed_from_u64(seed);
    if group == Group::Second {
        random = StdRng::from_rng(&mut random);
    }
    let resamples = (MOST_DRAWS / count.max(1)).clamp(FEWEST_RESAMPLES, RESAMPLES);
    let mut picked = vec![0; count];
    let one = |_| {
        picked.fill_with(|| random.random_range(0..count));
        picked.sort_unstable();
        [picked[(count - 1) / 2], picked[count / 2]]
    };
    (0..resamples).map(one).collect()
}

/// Returns the value with the middle 95 % of the others.
fn interval(value: f64, mut others: Vec<f64>) -> Estimate {
    others.sort_by(f64::total_cmp);
    let outside = others.len() / 40;
    let low = others.get(outside).copied().unwrap_or(value);
    let high = others.get(others.len().saturating_sub(outside + 1)).copied().unwrap_or(value);
    Estimate { value, low, high }
}

const RESAMPLES: usize = 10_000;
const FEWEST_RESAMPLES: usize = 1000;
/// Of many values fewer resamples are as good, and all take their time.
const MOST_DRAWS: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use statrs::distribution::{Binomial, DiscreteCDF};

    use super::*;

    fn ends(values: &[f64]) -> (f64, f64, f64) {
        let Estimate { value, low, high } = Bootstrap::new(1).median(values).unwrap();
        (low, value, high)
    }

    /// Of an odd number n of values, a resample's median is the k-th or less with the probability
    /// that of n draws more than half are (Efron 1979, section 3). For n = 7 that is 0.010 of the
    /// first and 0.108 of the second.
    #[test]
    fn the_ends_are_the_quantiles_of_efrons_exact_distribution() {
        for count in [3, 5, 7, 11, 13, 15, 21, 31] {
            let values: Vec<f64> = (1..=count).map(f64::from).collect();
            let at_most = |k: u32| {
                let share = f64::from(k) / f64::from(count);
                let draws = Binomial::new(share, u64::from(count)).unwrap();
                draws.sf(u64::from(count / 2))
            };
            let exact = (1..=count).find(|k| at_most(*k) > 0.025).map(f64::from).unwrap();
            let (low, middle, high) = ends(&values);
            assert_eq!((low, middle), (exact, f64::from(count / 2 + 1)), "{count}");
            assert_eq!(high, f64::from(count + 1) - exact, "{count}");
        }
    }

    #[test]
    fn seven_values_are_between_the_second_and_the_last_but_one() {
        assert_eq!(ends(&[7.0, 1.0, 6.0, 2.0, 5.0, 3.0, 4.0]), (2.0, 4.0, 6.0));
        let covers = |of: u32| -> f64 {
            // Of n values each is below the true median with an even chance.
            let below = Binomial::new(0.5, u64::from(of)).unwrap();
            1.0 - 2.0 * below.cdf(1)
        };
        let claim = 0.875;
        assert!((covers(7) - claim).abs() < 1e-9, "{}", covers(7));
    }

    #[test]
    fn one_value_has_an_interval_that_says_nothing_and_none_has_none() {
        assert_eq!(ends(&[5.0]), (5.0, 5.0, 5.0));
        assert_eq!(Bootstrap::new(1).median(&[]), None);
        assert_eq!(Bootstrap::new(1).shift(&[], &[1.0]), None);
        assert_eq!(Bootstrap::new(1).shift(&[1.0], &[]), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_whatever_came_before() {
        let values = [1.0, 2.5, 2.75, 3.0, 3.5, 8.0, 9.0, 11.0];
        let mut used = Bootstrap::new(7);
        used.shift(&values[..5], &values);
        assert_eq!(used.median(&values), Bootstrap::new(7).median(&values));
    }

    /// The medians of 25 and 25 values from a normal distribution deviate by 1.2533 / 5 each.
    #[test]
    fn an_interval_of_a_shift_covers_it_about_as_often_as_it_says() {
        let normal = statrs::distribution::Normal::standard();
        let mut random = StdRng::seed_from_u64(5201);
        let mut bootstrap = Bootstrap::new(3);
        let mut sample = |shift: f64| -> Vec<f64> {
            use statrs::distribution::ContinuousCDF;
            (0..25)
                .map(|_| shift + normal.inverse_cdf(random.random_range(0.0001..0.9999)))
                .collect()
        };
        let covered = (0..200).filter(|_| {
            let seen = bootstrap.shift(&sample(0.0), &sample(2.0)).unwrap();
            seen.low <= 2.0 && 2.0 <= seen.high
        });
        let covered = covered.count();
        assert!((180..=200).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn huge_values_stay_what_they_are() {
        assert_eq!(ends(&[f64::MAX; 3]), (f64::MAX, f64::MAX, f64::MAX));
        let Estimate { low, high, .. } = Bootstrap::new(1).median(&vec![1.0; 5000]).unwrap();
        assert_eq!((low, high), (1.0, 1.0));
    }
}
