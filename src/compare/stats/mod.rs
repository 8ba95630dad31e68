//! Statistics of few runs: nothing is assumed of how they are distributed.
//!
//! Every function takes finite numbers and returns finite numbers; `None` is what cannot be told.
//! Ranks and the normal distribution are statrs'; what it lacks, exact tests in the presence of
//! ties, is here.

mod bootstrap;
mod holm;
mod mann_whitney;
mod signed_rank;
mod tail;

pub(crate) use self::{
    bootstrap::Bootstrap,
    holm::holm,
    mann_whitney::{MannWhitney, cliffs_delta},
    signed_rank::SignedRank,
};

/// Returns the middle of values in order: of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(between(*sorted.get(low)?, *sorted.get(high)?))
}

/// Returns the mean of two, also where their sum has no room.
fn between(low: f64, high: f64) -> f64 {
    low / 2.0 + high / 2.0
}

/// Returns the ranks of values, from 2 and in steps of 2: equal ones share the mean of theirs, which
/// is whole that way.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "twice a rank is whole, and no more than twice the number of values"
)]
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    use statrs::statistics::{Data, OrderStatistics, RankTieBreaker};

    let ranks = Data::new(values.to_vec()).ranks(RankTieBreaker::Average);
    ranks.into_iter().map(|rank| (rank * 2.0).round() as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_there() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 4.0, 5.0]), Some(4.5));
        assert_eq!(median(&[f64::MAX, f64::MAX]), Some(f64::MAX));
    }

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        assert_eq!(doubled_ranks(&[10.0, 30.0, 20.0, 20.0]), [2, 8, 5, 5]);
        assert_eq!(doubled_ranks(&[0.0, -0.0]), [3, 3]);
        assert!(doubled_ranks(&[]).is_empty());
    }
}
