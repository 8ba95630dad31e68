use statrs::distribution::{ContinuousCDF, Normal};

/// How likely each sum of a test's ranks is if there is no difference.
#[derive(Debug)]
pub(super) enum Sums {
    /// The probability of each doubled sum, from 0.
    Exact(Vec<f64>),
    /// Of many values: about normal, with this mean and this deviation of the doubled sum.
    Normal { mean: f64, deviation: f64 },
}

impl Sums {
    /// Returns how likely a doubled sum is to be `sum` or more.
    pub(super) fn at_least(&self, sum: usize) -> f64 {
        match self {
            Self::Exact(of) => of.iter().skip(sum).sum::<f64>().min(1.0),
            // The correction for continuity: sums come in steps of 2.
            Self::Normal { mean, deviation } => {
                normal((real(sum) - 1.0 - mean) / deviation, ContinuousCDF::sf)
            }
        }
    }

    /// Returns how likely a doubled sum is to be `sum` or less.
    pub(super) fn at_most(&self, sum: usize) -> f64 {
        match self {
            Self::Exact(of) => of.iter().take(sum.saturating_add(1)).sum::<f64>().min(1.0),
            Self::Normal { mean, deviation } => {
                normal((real(sum) + 1.0 - mean) / deviation, ContinuousCDF::cdf)
            }
        }
    }
}

/// Returns a tail of the standard normal distribution; where nothing varies, nothing is unlikely.
fn normal(z: f64, tail: impl Fn(&Normal, f64) -> f64) -> f64 {
    if z.is_nan() { 1.0 } else { tail(&Normal::standard(), z) }
}

#[allow(clippy::cast_precision_loss, reason = "sums of ranks are below 2^53")]
pub(super) fn real(count: usize) -> f64 {
    count as f64
}
