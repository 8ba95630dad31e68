//! Figures of experiments, as people read them.

use std::time::Duration;

use super::{Estimate, Metric, Unit, experiment::Experiment};
use crate::{
    report::figure,
    units::{self, BitRate, three_digits},
};

/// The middle of an arm's values by one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Middle {
    /// The median.
    pub(super) value: f64,
    /// Between what it lies with a confidence of 95 %, where enough runs tell.
    pub(super) interval: Option<[f64; 2]>,
}

impl Middle {
    /// Returns what was concluded of an arm, or else the plain median of its values; `None` without
    /// a value.
    pub(super) fn of(experiment: &Experiment, arm: &str, metric: Metric) -> Option<Self> {
        let concluded = experiment
            .verdicts
            .iter()
            .find(|verdict| verdict.metric == metric && verdict.arm == arm)
            .and_then(|verdict| verdict.median)
            .map(Self::from);
        concluded.or_else(|| {
            let values = experiment.values(arm, metric);
            median(values.into_iter().flatten()).map(|value| Self { value, interval: None })
        })
    }

    /// Returns the interval in the unit of [`figure`], without its name.
    pub(super) fn span(self, metric: Metric) -> Option<String> {
        let [low, high] = self.interval?;
        let bare = |value| match metric.unit() {
            Unit::BitsPerSecond => three_digits(value * scale(self.value)),
            Unit::Share => figure::percent(value),
            _ => bare(metric, value),
        };
        Some(format!("{} to {}", bare(low), bare(high)))
    }
}

impl From<Estimate> for Middle {
    /// An interval without an extent says only that there were too few runs for one.
    fn from(estimate: Estimate) -> Self {
        let Estimate { value, low, high } = estimate;
        Self { value, interval: (low < high).then_some([low, high]) }
    }
}

/// Returns a value with its unit.
pub(super) fn figure(metric: Metric, value: f64) -> String {
    let bare = bare(metric, value);
    match metric.unit() {
        Unit::BitsPerSecond | Unit::Share | Unit::Factor => bare,
        Unit::Seconds => format!("{bare} ms"),
        Unit::PerSecond => format!("{bare} /s"),
        Unit::PerMinute => format!("{bare} /min"),
        Unit::PerGigabyte => format!("{bare} /GB"),
        Unit::SecondsPerGigabyte => format!("{bare} s/GB"),
    }
}

/// Returns a value for a column whose head names the unit: times in milliseconds.
pub(super) fn bare(metric: Metric, value: f64) -> String {
    match metric.unit() {
        Unit::BitsPerSecond => BitRate(value).to_string(),
        Unit::Seconds => millis(value),
        Unit::Share => figure::percent(value),
        Unit::Factor | Unit::SecondsPerGigabyte => format!("{value:.3}"),
        Unit::PerSecond | Unit::PerMinute | Unit::PerGigabyte => three_digits(value),
    }
}

/// Returns how many times the baseline's a value is: two digits of it, however small.
pub(super) fn ratio(value: f64) -> String {
    match value {
        0.095.. => three_digits(value),
        0.000_95.. => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

/// Returns a share as whole percent, or with a digit where that is little: `7 %`, `0.4 %`.
pub(super) fn percent(share: f64) -> String {
    let digits = usize::from(share < 0.0095);
    format!("{:.digits$} %", share * 100.0)
}

/// Returns the median of what is finite; `None` of nothing.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[middle - 1], upper))
}

/// Returns a time in seconds as milliseconds. A difference of times may be below zero.
fn millis(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    match Duration::try_from_secs_f64(seconds.abs()) {
        Ok(time) => format!("{sign}{}", figure::millis(time)),
        Err(_) => figure::UNKNOWN.to_owned(),
    }
}

/// Returns what brings rates into the unit in which `of` is shown.
fn scale(of: f64) -> f64 {
    let (shown, _) = units::bits(of);
    if of > 0.0 { shown / of } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn middle(value: f64, low: f64, high: f64) -> Middle {
        Middle::from(Estimate { value, low, high })
    }

    #[test]
    fn an_interval_is_in_the_unit_of_its_figure() {
        let rate = middle(1.2e9, 0.9e9, 1.3e9);
        assert_eq!(figure(Metric::GoodputUp, 1.2e9), "1.20 Gbits/sec");
        assert_eq!(rate.span(Metric::GoodputUp).as_deref(), Some("0.90 to 1.30"));
        let time = middle(0.02, 0.0195, 0.021);
        assert_eq!(figure(Metric::IdleP50, 0.02), "20.00 ms");
        assert_eq!(time.span(Metric::IdleP50).as_deref(), Some("19.50 to 21.00"));
        let none = middle(0.0, 0.0, 1e6);
        assert_eq!(none.span(Metric::GoodputUp).as_deref(), Some("0.00 to 1000000"));
    }

    #[test]
    fn one_value_has_no_interval() {
        assert_eq!(middle(1.0, 1.0, 1.0).interval, None);
    }

    #[test]
    fn times_below_zero_and_beyond_measure_are_shown() {
        assert_eq!(figure(Metric::LatencyIncrease, -0.0012), "-1.200 ms");
        assert_eq!(figure(Metric::LatencyIncrease, f64::INFINITY), "- ms");
    }

    #[test]
    fn a_ratio_keeps_its_digits_and_percents_are_short() {
        let ratios = [12.345, 1.0, 0.634, 0.0421, 0.000_012].map(ratio);
        assert_eq!(ratios, ["12.3", "1.00", "0.63", "0.0421", "1.2e-5"]);
        assert_eq!([0.07, 0.004, 1.5].map(percent), ["7 %", "0.4 %", "150 %"]);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        let of = |values: &[f64]| median(values.iter().copied());
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(of(&[f64::NAN]), None);
    }
}
