//! Which packets are lost.

use polyperf::lab::{
    Lab, Links,
    link::{LinkConfig, Loss, Probability},
};

use crate::{Cases, open, traffic::arrivals};

pub(crate) const CASES: Cases = &[
    ("one_packet_in_a_hundred_is_lost", one_packet_in_a_hundred_is_lost),
    ("bursts_are_as_long_as_they_are_to_be", bursts_are_as_long_as_they_are_to_be),
    ("the_same_seed_loses_the_same_packets", the_same_seed_loses_the_same_packets),
];

fn one_packet_in_a_hundred_is_lost() {
    let Some(lab) = open() else { return };
    let lost = lost(&lab, &iid(7), PACKETS);
    let expected = f64::from(PACKETS) * 0.01;
    let deviation = (expected * 0.99).sqrt();
    let off = (f64::from(lost) - expected) / deviation;
    assert!(off.abs() < 3.0, "{lost} of {PACKETS}, {off:.1} deviations off");
}

fn bursts_are_as_long_as_they_are_to_be() {
    let Some(lab) = open() else { return };
    let (to_bad, to_good) = (Probability::new(0.0033), Probability::new(0.33));
    let (in_good, in_bad) = (Probability::ZERO, Probability::new(1.0));
    let loss = Loss::GilbertElliott { to_bad, to_good, in_good, in_bad };
    lab.set(Links::both(&LinkConfig::perfect().loss(loss).seed(7))).unwrap();
    let arrived = arrivals(&lab, PACKETS);
    let runs: Vec<_> = arrived.chunk_by(|a, b| a == b).filter(|run| !run[0]).collect();
    let lost: usize = runs.iter().map(|run| run.len()).sum();
    let (bursts, packets) = (runs.len() as f64, f64::from(PACKETS));
    // A burst's length is geometric: mean 3.03, deviation 2.48.
    let expected_bursts = packets * 0.0033 * 0.33 / 0.3333;
    assert!((bursts - expected_bursts).abs() < 3.0 * expected_bursts.sqrt(), "{bursts} bursts");
    let mean = lost as f64 / bursts;
    assert!((mean - 1.0 / 0.33).abs() < 3.0 * 2.48 / bursts.sqrt(), "{mean} packets to a burst");
}

fn the_same_seed_loses_the_same_packets() {
    let Some(lab) = open() else { return };
    let run = |seed| {
        lab.set(iid(seed)).unwrap();
        arrivals(&lab, 10_000)
    };
    let (first, other, again) = (run(1), run(2), run(1));
    assert!(first == again, "the seed decides");
    assert!(first != other, "and another one decides otherwise");
}

/// Returns how many packets the link lost, which are just those that did not arrive.
fn lost(lab: &Lab, links: &Links, count: u32) -> u32 {
    lab.set(links.clone()).unwrap();
    let missing = arrivals(lab, count).iter().filter(|arrived| !**arrived).count();
    let truth = lab.truth().unwrap().to_far;
    assert_eq!(truth.total.packets, u64::from(count));
    assert_eq!(truth.total.drops.loss, missing as u64);
    assert_eq!(truth.total.drops.total(), missing as u64);
    assert_eq!(truth.flows.len(), 1, "nothing but the test crosses the link");
    missing.try_into().unwrap()
}

fn iid(seed: u64) -> Links {
    Links::both(&LinkConfig::perfect().loss(Loss::Iid(Probability::new(0.01))).seed(seed))
}

const PACKETS: u32 = 40_000;
