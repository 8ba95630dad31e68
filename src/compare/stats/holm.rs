/// Returns the p-values after Holm's correction, in the order in which they came: none of them is
/// below alpha by chance in more than a share alpha of all families of comparisons.
///
/// The smallest is multiplied by the number of comparisons, the next by one less, and so on; none
/// becomes smaller than one before it, nor larger than 1 (Holm, A simple sequentially rejective
/// multiple test procedure, 1979).
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![1.0; p.len()];
    let mut largest: f64 = 0.0;
    for (left, &index) in (1..=p.len()).rev().zip(&order) {
        largest = largest.max(factor(left) * p[index]).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

#[allow(clippy::cast_precision_loss, reason = "there are not 2^53 comparisons")]
fn factor(comparisons: usize) -> f64 {
    comparisons as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(left: &[f64], right: &[f64]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(l, r)| (l - r).abs() < 1e-12)
    }

    /// Wikipedia, "Holm–Bonferroni method": of p = 0.01, 0.04, 0.03, 0.005, the first and the last
    /// are significant at 0.05, the others are not.
    #[test]
    fn the_published_example_comes_out() {
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        assert!(close(&corrected, &[0.03, 0.06, 0.06, 0.02]), "{corrected:?}");
    }

    /// R's `p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")`: 0.05 0.08 0.09 0.09 0.09.
    #[test]
    fn none_is_smaller_than_one_before_it() {
        let corrected = holm(&[0.05, 0.04, 0.03, 0.02, 0.01]);
        assert!(close(&corrected, &[0.09, 0.09, 0.09, 0.08, 0.05]), "{corrected:?}");
    }

    #[test]
    fn one_comparison_needs_no_correction_and_nothing_exceeds_one() {
        assert!(close(&holm(&[0.2]), &[0.2]));
        assert!(close(&holm(&[0.7, 0.8]), &[1.0, 1.0]));
        assert!(holm(&[]).is_empty());
    }
}
