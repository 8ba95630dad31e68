use std::collections::HashMap;

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng, seq::SliceRandom};

use super::*;

const SPAN: u64 = 1 << 14;

fn small(first: u64) -> Sequence {
    Sequence::new(first, Window::packets(1))
}

fn after(numbers: impl IntoIterator<Item = u64>) -> Sequence {
    let mut sequence = small(0);
    sequence.observe_all(numbers);
    sequence
}

/// Remembers everything, and counts by looking at all of it.
#[derive(Debug, Default)]
struct Oracle {
    copies: HashMap<u64, u64>,
    end: u64,
    reordered: u64,
}

impl Oracle {
    fn observe(&mut self, number: u64) {
        let copies = self.copies.entry(number).or_default();
        *copies += 1;
        self.reordered += u64::from(*copies == 1 && number < self.end);
        self.end = self.end.max(number + 1);
    }

    fn counts(&self, first: u64) -> DatagramCounts {
        let expected = self.end.max(first) - first;
        let received = self.copies.len() as u64;
        DatagramCounts {
            expected,
            received,
            lost: expected - received,
            reordered: self.reordered,
            duplicated: self.copies.values().sum::<u64>() - received,
            late: 0,
            strays: 0,
        }
    }

    fn runs(&self, first: u64, sent: u64) -> LossRuns {
        let received: Vec<bool> =
            (first..first + sent).map(|number| self.copies.contains_key(&number)).collect();
        let runs = received.split(|received| *received).map(|run| run.len() as u64);
        let lost = runs.filter(|run| *run > 0);
        lost.fold(LossRuns::default(), |all, run| LossRuns {
            count: all.count + 1,
            longest: all.longest.max(run),
        })
    }
}

/// Returns `count` numbers from `first` on, as a bad network delivers them.
fn mistreated(rng: &mut SmallRng, first: u64, count: u64) -> Vec<u64> {
    let (loss, copies) = (rng.random_range(0.0..0.5), rng.random_range(0.0..0.3));
    let shift = [1, 4, 100, 3000][rng.random_range(0..4)];
    let burst = rng.random_range(1_u32..200);
    let mut under_way = Vec::new();
    let mut number = first;
    while number < first + count {
        if rng.random_bool(loss / f64::from(burst)) {
            number += u64::from(burst);
            continue;
        }
        under_way.push((number + rng.random_range(0..shift), rng.next_u64(), number));
        if rng.random_bool(copies) {
            under_way.push((number + rng.random_range(0..shift), rng.next_u64(), number));
        }
        number += 1;
    }
    under_way.sort_unstable();
    under_way.into_iter().map(|(_, _, number)| number).collect()
}

#[test]
fn the_counts_are_those_of_a_model_that_remembers_everything() {
    for seed in 0..40 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let first = [0, 1, 63, 64, 1000, END - 100_000][rng.random_range(0..6)];
        let count = rng.random_range(1..60_000);
        let (mut sequence, mut oracle) = (small(first), Oracle::default());
        for number in mistreated(&mut rng, first, count) {
            sequence.observe(number);
            oracle.observe(number);
            if rng.random_ratio(1, 1000) {
                assert_eq!(sequence.counts(), oracle.counts(first), "seed {seed}");
            }
        }
        assert_eq!(sequence.counts(), oracle.counts(first), "seed {seed}");
        sequence.sent(count);
        assert_eq!(sequence.counts().lost, count - oracle.copies.len() as u64, "seed {seed}");
        assert_eq!(sequence.loss_runs(), oracle.runs(first, count), "seed {seed}");
    }
}

#[test]
fn outages_and_wild_numbers_are_told_apart_to_the_packet() {
    for seed in 0..15 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (mut sequence, mut oracle) = (small(0), Oracle::default());
        let (mut next, mut strays) = (0, 0);
        for _ in 0..rng.random_range(1..30) {
            for _ in 0..rng.random_range(4..1000) {
                sequence.observe(next);
                oracle.observe(next);
                next += 1;
            }
            if rng.random_bool(0.5) {
                next += rng.random_range(1..50_000);
            } else {
                sequence.observe(rng.random_range(1 << 30..u64::MAX));
                strays += 1;
            }
        }
        sequence.sent(next);
        let (counts, truth) = (sequence.counts(), oracle.counts(0));
        assert_eq!((counts.received, counts.strays), (truth.received, strays), "seed {seed}");
        assert_eq!((counts.reordered, counts.duplicated), (0, 0), "seed {seed}");
        assert_eq!(counts.lost, next - truth.received, "seed {seed}");
        assert_eq!(sequence.loss_runs(), oracle.runs(0, next), "seed {seed}");
    }
}

#[test]
fn narrow_numbers_count_like_wide_ones_across_every_wrap() {
    for seed in 0..20 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let first = (1_u64 << 32) * rng.random_range(1..4) - rng.random_range(0..10_000);
        let (mut narrow, mut wide) = (small(first), small(first));
        for number in mistreated(&mut rng, first, 20_000) {
            #[allow(clippy::cast_possible_truncation, reason = "as it is on the wire")]
            let arrival = narrow.observe_wrapping(number as u32);
            assert_eq!(arrival, wide.observe(number), "seed {seed}");
        }
        assert_eq!(narrow.counts(), wide.counts(), "seed {seed}");
        assert!(narrow.next > 1 << 32, "seed {seed}");
    }
}

#[test]
fn a_narrow_number_before_the_first_is_a_stray() {
    let mut sequence = small(1);
    assert_eq!(sequence.observe_wrapping(u32::MAX), Arrival::Stray);
    assert_eq!(sequence.observe_wrapping(1), Arrival::Next);
    assert_eq!(sequence.counts().strays, 1);
}

#[test]
fn any_order_of_a_window_loses_nothing() {
    for seed in 0..20 {
        let mut numbers: Vec<u64> = (0..4000).collect();
        numbers.shuffle(&mut SmallRng::seed_from_u64(seed));
        let counts = after(numbers).counts();
        assert_eq!((counts.lost, counts.received, counts.duplicated), (0, 4000, 0));
    }
}

#[test]
fn a_late_arrival_takes_its_loss_back_and_a_copy_does_not() {
    let mut sequence = after([0, 1, 4]);
    assert_eq!(sequence.counts().lost, 2);
    assert_eq!(sequence.observe(4), Arrival::Duplicate);
    assert_eq!(sequence.counts().lost, 2);
    assert_eq!(sequence.observe(2), Arrival::Reordered);
    assert_eq!(sequence.observe(2), Arrival::Duplicate);
    let counts = sequence.counts();
    assert_eq!((counts.lost, counts.reordered, counts.duplicated), (1, 1, 2));
}

#[test]
fn a_lost_tail_shows_with_the_senders_count_and_may_still_arrive() {
    let mut sequence = after(0..90);
    assert_eq!(sequence.counts().lost, 0);
    sequence.sent(100);
    assert_eq!((sequence.counts().lost, sequence.loss_runs().longest), (10, 10));
    sequence.observe_all([95, 93]);
    let counts = sequence.counts();
    assert_eq!((counts.lost, counts.expected, counts.reordered), (8, 100, 1));
    assert_eq!(sequence.loss_runs(), LossRuns { count: 3, longest: 4 });
}

#[test]
fn a_flow_of_which_nothing_arrived_is_lost_as_a_whole() {
    let mut sequence = small(1);
    assert_eq!(sequence.counts(), DatagramCounts::default());
    sequence.sent(1000);
    assert_eq!((sequence.counts().lost, sequence.counts().expected), (1000, 1000));
    assert_eq!(sequence.loss_runs(), LossRuns { count: 1, longest: 1000 });
}

#[test]
fn a_senders_count_that_cannot_be_breaks_nothing() {
    let mut sequence = after(0..100);
    sequence.sent(7);
    assert_eq!((sequence.counts().lost, sequence.counts().expected), (0, 100));
    sequence.sent(u64::MAX);
    sequence.observe_all([END - 1, END, u64::MAX, 100]);
    let counts = sequence.counts();
    assert_eq!((counts.lost, counts.strays, counts.late), (u64::MAX - 101, 2, 1));
    assert!(sequence.loss_runs().longest > END / 2);
}

#[test]
fn one_wild_number_changes_no_other_count() {
    for wild in [5000, 100_000, 1 << 32, END - 1, END, u64::MAX] {
        let mut sequence = after(0..100);
        let arrival = sequence.observe(wild);
        assert_eq!(arrival, if wild < END { Arrival::Held } else { Arrival::Stray });
        sequence.observe_all(100..1000);
        sequence.sent(1000);
        let counts = sequence.counts();
        assert_eq!((counts.lost, counts.received, counts.reordered), (0, 1000, 0), "{wild}");
        assert_eq!(counts.strays, 1, "{wild}");
    }
}

#[test]
fn wild_numbers_far_apart_in_time_do_not_confirm_each_other() {
    let mut sequence = small(0);
    for number in 0..10_000 {
        sequence.observe(number);
        if number % 500 == 0 {
            assert_eq!(sequence.observe(number | 1 << 40), Arrival::Held);
        }
    }
    let counts = sequence.counts();
    assert_eq!((counts.lost, counts.received, counts.strays), (0, 10_000, 19), "one is held");
}

#[test]
fn a_number_within_the_leap_that_was_wild_is_made_good() {
    let mut sequence = after(0..100);
    sequence.observe(100 + Window::LEAP);
    sequence.observe_all(100..10_000);
    let counts = sequence.counts();
    assert_eq!((counts.lost, counts.received, counts.duplicated), (0, 10_000, 1));
}

#[test]
fn an_outage_is_believed_once_others_confirm_it() {
    let mut sequence = after(0..100);
    for number in [1_000_000, 1_000_002, 1_000_002, 1_000_001] {
        assert_eq!(sequence.observe(number), Arrival::Held);
    }
    assert_eq!(sequence.counts().expected, 100, "not yet");
    assert_eq!(sequence.observe(1_000_003), Arrival::Next);
    let counts = sequence.counts();
    assert_eq!((counts.lost, counts.received, counts.reordered), (999_900, 104, 1));
    assert_eq!((counts.duplicated, counts.strays), (1, 0));
    assert_eq!(sequence.loss_runs(), LossRuns { count: 1, longest: 999_900 });
}

#[test]
fn what_is_held_at_the_end_counts_if_the_sender_sent_as_much() {
    let mut sequence = after(0..100);
    sequence.observe_all([9000, 9001]);
    sequence.sent(9002);
    let counts = sequence.counts();
    assert_eq!((counts.lost, counts.received, counts.strays), (8900, 102, 0));
    let mut sequence = after(0..100);
    sequence.observe_all([9000, 9001]);
    sequence.sent(100);
    assert_eq!((sequence.counts().lost, sequence.counts().strays), (0, 2));
}

#[test]
fn what_is_older_than_the_window_is_late_and_counts_once() {
    let mut sequence = after((0..5).chain(6..2 * SPAN));
    assert_eq!(sequence.observe(5), Arrival::Late);
    let counts = sequence.counts();
    assert_eq!((counts.late, counts.lost, counts.reordered, counts.duplicated), (1, 1, 0, 0));
    assert_eq!(sequence.loss_runs(), LossRuns { count: 1, longest: 1 });
}

#[test]
fn an_old_number_is_a_copy_where_nothing_is_missing() {
    let mut sequence = after(0..2 * SPAN);
    assert_eq!(sequence.observe(5), Arrival::Duplicate);
    assert_eq!((sequence.counts().lost, sequence.counts().late), (0, 0));
}

#[test]
fn an_old_number_takes_its_loss_back_where_all_is_missing() {
    let mut sequence = small(0);
    sequence.sent(10 * SPAN);
    sequence.observe(10 * SPAN - 1);
    assert_eq!(sequence.counts().lost, 10 * SPAN - 1);
    assert_eq!(sequence.observe(3), Arrival::Late);
    assert_eq!(sequence.observe(3), Arrival::Late, "whether it is a copy is not known any more");
    assert_eq!((sequence.counts().lost, sequence.counts().late), (10 * SPAN - 2, 2));
}

#[test]
fn an_interval_is_the_difference_of_two_moments_and_never_negative() {
    let mut sequence = after([0, 1, 2, 5]);
    let first = sequence.counts();
    sequence.observe_all([3, 4, 6, 8]);
    let second = sequence.counts().since(&first);
    assert_eq!((second.received, second.lost, second.reordered), (4, 0, 2));
    assert_eq!((first.lost, sequence.counts().lost), (2, 1), "the whole is exact");
    assert_eq!(first.plus(&second).received, 8);
}

#[test]
fn runs_begin_anew_where_the_totals_do() {
    let mut sequence = after([0, 50, 100, 105]);
    assert_eq!(sequence.loss_runs(), LossRuns { count: 3, longest: 49 });
    sequence.restart_runs();
    assert_eq!(sequence.loss_runs(), LossRuns::default());
    sequence.observe_all((108..SPAN * 2).chain([SPAN * 2 + 1]));
    assert_eq!(sequence.loss_runs(), LossRuns { count: 2, longest: 2 });
}

#[test]
fn a_window_is_never_too_small_for_what_a_stray_can_push_away() {
    assert_eq!(Window::packets(0), Window(1 << 14));
    assert_eq!(Window::packets(100_000), Window(1 << 17));
    assert_eq!(Window::packets(u32::MAX), Window(1 << 24));
    const { assert!(SMALLEST as u64 >= 4 * Window::LEAP) }
}
