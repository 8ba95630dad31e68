//! How far one arm's values are from another's, and what may be concluded from that.

use super::{
    Better, Decision, Estimate, Metric, Thresholds,
    stats::{Bootstrap, MannWhitney, SignedRank, median},
};

/// How two values of a metric are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// By how many times larger one is. Both are above zero.
    Ratio,
    /// By how much larger one is, where there may be zeros or less.
    Difference,
}

/// How far values are above those that they are compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Effect {
    pub(super) scale: Scale,
    /// How far, and between what: of ratios, their logarithms.
    shift: Estimate,
    /// How likely chance alone takes them so far in the direction that was seen.
    pub(super) p: f64,
    /// How far they would have to be before chance alone is unlikely; `None` if there are too few.
    needed: Option<f64>,
    /// The median of the values that they are compared with.
    baseline: f64,
}

/// What makes an effect a difference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) metric: Metric,
    pub(super) thresholds: Thresholds,
}

impl Scale {
    /// Returns the scale for a metric with these values.
    pub(super) fn of(metric: Metric, values: impl IntoIterator<Item = f64>) -> Self {
        let ratios = metric.least_difference().is_none();
        if ratios && values.into_iter().all(|value| value > 0.0) {
            Self::Ratio
        } else {
            Self::Difference
        }
    }

    /// Returns where a value is on a scale on which equal effects are equally far.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Ratio => value.ln(),
            Self::Difference => value.clamp(-MOST, MOST),
        }
    }

    /// Returns a distance between two places as an effect: a ratio, or a difference.
    fn effect(self, distance: f64) -> f64 {
        match self {
            Self::Ratio => distance.exp().clamp(f64::MIN_POSITIVE, f64::MAX),
            Self::Difference => distance,
        }
    }
}

impl Effect {
    /// Compares values with those of the same block, baseline first: whether the difference within
    /// blocks is one that chance alone makes with a probability below `level`. `None` without a
    /// pair.
    pub(super) fn of_pairs(
        metric: Metric,
        pairs: &[(f64, f64)],
        level: f64,
        bootstrap: &mut Bootstrap,
    ) -> Option<Self> {
        let scale = Scale::of(metric, pairs.iter().flat_map(|(from, to)| [*from, *to]));
        let distance = |(from, to): &(f64, f64)| scale.place(*to) - scale.place(*from);
        let distances: Vec<f64> = pairs.iter().map(distance).collect();
        let shift = bootstrap.median(&distances)?;
        let test = SignedRank::of(&distances);
        let needed = SignedRank::move_needed(&centred(&distances, shift.value), level);
        let from: Vec<f64> = pairs.iter().map(|(from, _)| *from).collect();
        let p = seen(shift.value, test.greater(), test.less());
        Some(Self { scale, shift, p, needed, baseline: median(&from)? })
    }

    /// Compares values with others that are of no common block. `None` if there are none of either.
    pub(super) fn of_groups(
        metric: Metric,
        before: &[f64],
        after: &[f64],
        level: f64,
        bootstrap: &mut Bootstrap,
    ) -> Option<Self> {
        let scale = Scale::of(metric, before.iter().chain(after).copied());
        let places = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| scale.place(*value)).collect()
        };
        let (from, to) = (places(before), places(after));
        let shift = bootstrap.shift(&from, &to)?;
        let test = MannWhitney::of(&from, &to);
        let p = seen(shift.value, test.greater(), test.less());
        let (from, to) = (centred(&from, median(&from)?), centred(&to, median(&to)?));
        let needed = MannWhitney::move_needed(&from, &to, level);
        Some(Self { scale, shift, p, needed, baseline: median(before)? })
    }

    /// Returns how many times larger the values are, where ratios are what they are compared by.
    pub(super) fn ratio(&self) -> Option<Estimate> {
        (self.scale == Scale::Ratio).then(|| self.shown())
    }

    /// Returns by how much larger the values are, where differences are what they are compared by.
    pub(super) fn difference(&self) -> Option<Estimate> {
        (self.scale == Scale::Difference).then(|| self.shown())
    }

    fn shown(&self) -> Estimate {
        let Estimate { value, low, high } = self.shift;
        let effect = |distance| self.scale.effect(distance);
        Estimate { value: effect(value), low: effect(low), high: effect(high) }
    }
}

impl Rule {
    /// Returns what follows from an effect whose p is this after correction.
    pub(super) fn decide(&self, effect: &Effect, p_corrected: f64) -> Decision {
        let Estimate { value, low, high } = effect.shift;
        let excludes_none = low > 0.0 || high < 0.0;
        if !excludes_none || !self.matters(effect) || p_corrected >= self.thresholds.alpha {
            return Decision::NoDifferenceShown;
        }
        match (self.metric.better(), value > 0.0) {
            (Better::Higher, true) | (Better::Lower, false) => Decision::Better,
            (Better::Higher, false) | (Better::Lower, true) => Decision::Worse,
        }
    }

    /// Returns the smallest effect that these values could have shown: had they been so much
    /// further, with the same spread, each condition would have been met. A part of the baseline
    /// where there are ratios, else in the metric's unit; `None` if no effect could have been.
    pub(super) fn could_show(&self, effect: &Effect) -> Option<f64> {
        let Estimate { value, low, high } = effect.shift;
        let far = effect.needed?.max(value - low).max(high - value);
        let shown = match effect.scale {
            Scale::Ratio => far.exp_m1(),
            Scale::Difference => far,
        };
        Some(shown.max(self.least(effect)).min(f64::MAX))
    }

    fn matters(&self, effect: &Effect) -> bool {
        let size = match effect.scale {
            Scale::Ratio => effect.shift.value.exp_m1(),
            Scale::Difference => effect.shift.value,
        };
        size.abs() > self.least(effect)
    }

    /// Returns the smallest effect that matters in practice, as a part or in the metric's unit.
    fn least(&self, effect: &Effect) -> f64 {
        let part = self.metric.threshold(&self.thresholds);
        match effect.scale {
            Scale::Ratio => part,
            Scale::Difference => {
                let least = self.metric.least_difference().unwrap_or_default();
                least.max(part * effect.baseline.abs().min(MOST))
            }
        }
    }
}

impl Metric {
    /// Returns the smallest difference that matters in practice, in the metric's unit, of metrics
    /// that can be zero or less and so have no ratios; `None` of the others.
    ///
    /// A difference must exceed the threshold's part of the baseline's value as well.
    #[must_use]
    pub fn least_difference(self) -> Option<f64> {
        match self {
            // A datagram in a thousand; ten packets of a gigabyte's 700 000; a tenth of a
            // millisecond.
            Self::Loss => Some(0.001),
            Self::Retransmits => Some(10.0),
            Self::LatencyIncrease => Some(1e-4),
            _ => None,
        }
    }
}

/// Returns the likelihood in the direction that was seen; of neither, the smaller.
fn seen(shift: f64, greater: f64, less: f64) -> f64 {
    match shift {
        0.0 => greater.min(less),
        shift if shift > 0.0 => greater,
        _ => less,
    }
}

fn centred(values: &[f64], middle: f64) -> Vec<f64> {
    values.iter().map(|value| value - middle).collect()
}

/// Beyond this, sums and differences of values would have no room.
const MOST: f64 = f64::MAX / 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        metric: Metric::GoodputUp,
        thresholds: Thresholds { latency: 0.05, goodput: 0.03, alpha: 0.01 },
    };

    fn paired(metric: Metric, pairs: &[(f64, f64)]) -> (Effect, Decision) {
        let effect = Effect::of_pairs(metric, pairs, 0.01, &mut Bootstrap::new(1)).unwrap();
        (effect, Rule { metric, ..RULE }.decide(&effect, effect.p))
    }

    /// Seven blocks in which the arm has `ratio` of the baseline, and a little more or less.
    fn blocks(ratio: f64) -> Vec<(f64, f64)> {
        let noise = [0.0, 0.01, -0.01, 0.005, -0.005, 0.002, -0.002];
        noise.iter().map(|noise| (100.0, 100.0 * ratio * (1.0 + noise))).collect()
    }

    #[test]
    fn a_clear_effect_is_better_or_worse_by_what_the_metric_says() {
        assert_eq!(paired(Metric::GoodputUp, &blocks(1.1)).1, Decision::Better);
        assert_eq!(paired(Metric::GoodputUp, &blocks(0.9)).1, Decision::Worse);
        assert_eq!(paired(Metric::IdleP50, &blocks(1.1)).1, Decision::Worse);
        assert_eq!(paired(Metric::IdleP50, &blocks(0.9)).1, Decision::Better);
    }

    #[test]
    fn a_certain_effect_that_does_not_matter_is_none() {
        let (effect, decision) = paired(Metric::GoodputUp, &blocks(1.02));
        assert!(effect.p < 0.01 && effect.ratio().unwrap().low > 1.0, "{effect:?}");
        assert_eq!(decision, Decision::NoDifferenceShown);
        assert_eq!(paired(Metric::IdleP50, &blocks(1.045)).1, Decision::NoDifferenceShown);
    }

    #[test]
    fn six_blocks_show_nothing_however_clear_and_say_so() {
        let (effect, decision) = paired(Metric::GoodputUp, &blocks(3.0)[..6]);
        assert_eq!((effect.p, decision), (1.0 / 64.0, Decision::NoDifferenceShown));
        assert_eq!(RULE.could_show(&effect), None);
    }

    #[test]
    fn what_could_have_been_shown_is_shown_when_it_is_there() {
        let noise = [0.02, -0.05, 0.04, 0.0, -0.03, 0.06, 0.01];
        let with = |ratio: f64| -> Vec<(f64, f64)> {
            noise.iter().map(|noise: &f64| (100.0, 100.0 * ratio * noise.exp())).collect()
        };
        let (effect, decision) = paired(Metric::GoodputUp, &with(1.0));
        assert_eq!(decision, Decision::NoDifferenceShown);
        let could = RULE.could_show(&effect).unwrap();
        assert!((0.05..0.08).contains(&could), "{could}");
        // The median of the noise is a hundredth above zero.
        let centred = |part: f64| with((1.0 + part) / 0.01_f64.exp());
        assert_eq!(paired(Metric::GoodputUp, &centred(could + 0.001)).1, Decision::Better);
        assert_eq!(
            paired(Metric::GoodputUp, &centred(could - 0.001)).1,
            Decision::NoDifferenceShown
        );
    }

    #[test]
    fn values_without_spread_could_show_what_matters_and_no_less() {
        let (effect, _) = paired(Metric::GoodputUp, &[(100.0, 100.0); 7]);
        assert_eq!((effect.p, RULE.could_show(&effect)), (1.0, Some(0.03)));
    }

    #[test]
    fn loss_is_compared_by_differences_from_nothing_too() {
        let (effect, decision) = paired(Metric::Loss, &[(0.0, 0.02); 7]);
        assert_eq!((effect.ratio(), effect.difference().unwrap().value), (None, 0.02));
        assert_eq!(decision, Decision::Worse);
        assert_eq!(paired(Metric::Loss, &[(0.0, 0.0005); 7]).1, Decision::NoDifferenceShown);
        assert_eq!(paired(Metric::Loss, &[(0.5, 0.505); 7]).1, Decision::NoDifferenceShown);
        assert_eq!(paired(Metric::LatencyIncrease, &[(0.002, -0.001); 7]).1, Decision::Better);
    }

    #[test]
    fn a_rate_of_zero_is_no_reason_for_an_infinity() {
        let mut pairs = blocks(0.5);
        pairs[0] = (100.0, 0.0);
        let (effect, decision) = paired(Metric::GoodputUp, &pairs);
        assert_eq!((effect.ratio(), decision), (None, Decision::Worse));
        assert!((effect.difference().unwrap().value - -50.0).abs() < 1.0, "{effect:?}");
    }

    #[test]
    fn the_largest_and_the_smallest_numbers_stay_numbers() {
        let extremes =
            [0.0, -0.0, 1e308, -1e308, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1.0];
        let pairs: Vec<_> =
            extremes.iter().flat_map(|from| extremes.iter().map(|to| (*from, *to))).collect();
        for metric in [Metric::GoodputUp, Metric::IdleP50, Metric::Loss] {
            let rule = Rule { metric, ..RULE };
            for pairs in pairs.windows(7).chain([&[(5e-324, f64::MAX); 7][..]]) {
                let (from, to): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
                let mut bootstrap = Bootstrap::new(1);
                let paired = Effect::of_pairs(metric, pairs, 0.01, &mut bootstrap).unwrap();
                let groups = Effect::of_groups(metric, &from, &to, 0.01, &mut bootstrap).unwrap();
                for effect in [paired, groups] {
                    let shown = effect.shown();
                    let all = [shown.value, shown.low, shown.high, effect.p];
                    let could = rule.could_show(&effect).unwrap_or_default();
                    assert!(all.iter().all(|one| one.is_finite()), "{pairs:?}: {effect:?}");
                    assert!(could.is_finite() && shown.low <= shown.value, "{pairs:?}: {effect:?}");
                    let _ = rule.decide(&effect, effect.p);
                }
            }
        }
    }
}
