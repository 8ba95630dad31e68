//! Chance keeps to its theory.

use std::num::NonZeroU32;

use polyperf_memory::link::{LinkConfig, Loss, Probability};

use super::{losses, lost_of};

#[test]
fn independent_loss_keeps_to_its_rate() {
    let loss = Loss::iid(Probability::new(0.01));
    for seed in 0..8 {
        let lost = losses(loss, seed, 200_000).iter().filter(|lost| **lost).count() as f64;
        // 2000 ± 44.5; four deviations let one run in 16 000 fail, and seeds are fixed.
        assert!((lost - 2000.0).abs() < 4.0 * 44.5, "seed {seed}: {lost}");
    }
}

#[test]
fn bursts_have_their_mean_rate_and_length() {
    let lost = losses(Loss::bursts(Probability::new(0.02), 4.0), 3, 1_000_000);
    let bursts: Vec<usize> =
        lost.split(|lost| !lost).map(<[bool]>::len).filter(|len| *len > 0).collect();
    let total: usize = bursts.iter().sum();
    let (rate, mean) = (total as f64 / lost.len() as f64, total as f64 / bursts.len() as f64);
    assert!((rate - 0.02).abs() < 0.001, "rate {rate}");
    assert!((mean - 4.0).abs() < 0.2, "mean burst {mean}");
}

#[test]
fn deviations_of_independent_loss_are_those_of_a_binomial() {
    let (packets, seeds) = (30_000_u32, 16);
    let mean = f64::from(packets) * 0.02;
    let deviation = (mean * 0.98).sqrt();
    let squares = (0..seeds).map(|seed| {
        let lost = losses(Loss::iid(Probability::new(0.02)), seed, packets.into());
        ((lost.iter().filter(|lost| **lost).count() as f64 - mean) / deviation).powi(2)
    });
    // The sum of sixteen squares follows chi-square: from 3.9 to 39 but for two in a thousand.
    let sum: f64 = squares.sum();
    assert!((3.9..39.0).contains(&sum), "{sum}");
}

#[test]
fn gilbert_and_elliott_s_chain_has_the_rate_and_the_bursts_of_its_probabilities() {
    let chain = Loss::GilbertElliott {
        to_bad: Probability::new(0.0033),
        to_good: Probability::new(0.33),
        in_good: Probability::ZERO,
        in_bad: Probability::ONE,
    };
    for seed in 0..4 {
        let (rate, burst) = rate_and_burst(&losses(chain, seed, 300_000));
        // p / (p + r) is 0.99 %, and 1 / r is 3.03.
        assert!((rate - 0.0099).abs() < 0.0015, "seed {seed}: {rate}");
        assert!((burst - 3.03).abs() < 0.3, "seed {seed}: {burst}");
    }
}

#[test]
fn bounded_loss_never_loses_more_in_a_row_and_keeps_to_its_rate() {
    let three = NonZeroU32::new(3).expect("more than none");
    for seed in 0..4 {
        let lost = losses(Loss::bounded(Probability::new(0.3), three), seed, 200_000);
        let longest = lost.split(|lost| !lost).map(<[bool]>::len).max();
        assert_eq!(longest, Some(3), "seed {seed}");
        let rate = rate_and_burst(&lost).0;
        // (p + p² + p³) / (1 + p + p² + p³)
        assert!((rate - 0.417 / 1.417).abs() < 0.004, "seed {seed}: {rate}");
    }
}

#[test]
fn a_loss_that_is_certain_but_bounded_lets_every_fourth_through() {
    let three = NonZeroU32::new(3).expect("more than none");
    let lost = losses(Loss::bounded(Probability::ONE, three), 1, 100);
    assert!(lost.chunks(4).all(|four| *four == [true, true, true, false]), "{lost:?}");
}

#[test]
fn a_bound_that_is_never_reached_changes_no_choice() {
    let probability = Probability::new(0.1);
    let many = NonZeroU32::new(1000).expect("more than none");
    let bounded = losses(Loss::bounded(probability, many), 5, 10_000);
    assert_eq!(bounded, losses(Loss::iid(probability), 5, 10_000));
}

#[test]
fn what_is_lost_does_not_depend_on_rate_delay_or_queue() {
    let base = LinkConfig::perfect().loss(Loss::iid(Probability::new(0.2))).seed(3);
    let slow = base
        .clone()
        .rate(polyperf_memory::link::BitRate::mbps(1))
        .delay(super::ms(5))
        .jitter(super::ms(1))
        .overhead(20);
    assert_eq!(lost_of(base), lost_of(slow));
}

fn rate_and_burst(lost: &[bool]) -> (f64, f64) {
    let bursts = lost.split(|lost| !lost).filter(|burst| !burst.is_empty()).count() as f64;
    let total = lost.iter().filter(|lost| **lost).count() as f64;
    (total / lost.len() as f64, total / bursts)
}
