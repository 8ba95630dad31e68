use super::*;

const MS: u64 = 1_000_000;

/// Sends a datagram each millisecond, which must arrive in order; `delays` are in nanoseconds, `offset` is between the clocks.
fn run(delays: impl IntoIterator<Item = u64>, offset: u64) -> Delays {
    let mut record = Delays::new();
    for (delay, sent) in delays.into_iter().zip((0..).step_by(1_000_000)) {
        record.observe(sent, (sent + delay).wrapping_add(offset));
    }
    record
}

fn close(left: Duration, right: u64) -> bool {
    let right = Duration::from_nanos(right);
    left.abs_diff(right) <= right / 100 + Duration::from_micros(1)
}

#[test]
fn an_even_flow_has_no_jitter_whatever_the_clocks_say() {
    for offset in [0, 1 << 62, 1 << 63, u64::MAX - 5 * MS] {
        // The receiver's clock must not wrap in the middle of the flow.
        let record = run(std::iter::repeat_n(3 * MS, 2), offset);
        assert_eq!(record.jitter(), Some(Duration::ZERO), "{offset}");
        assert_eq!(record.variation().map(|variation| variation.max), Some(Duration::ZERO));
        assert_eq!(record.steps(), 0);
    }
}

#[test]
fn nothing_is_known_before_there_is_something_to_compare() {
    let mut record = Delays::new();
    assert_eq!((record.jitter(), record.variation()), (None, None));
    record.observe(5, 7);
    assert_eq!(record.jitter(), None);
    assert_eq!(record.variation().map(|variation| variation.max), Some(Duration::ZERO));
}

#[test]
fn jitter_is_a_sixteenth_of_the_way_to_each_change() {
    let record = run([MS, 17 * MS], 0);
    assert_eq!(record.jitter(), Some(Duration::from_millis(1)));
    let alternating = run((0..2000).map(|n| MS + n % 2 * 100_000), 0);
    assert!(close(alternating.jitter().unwrap(), 100_000), "{:?}", alternating.jitter());
}

#[test]
fn jitter_follows_the_formula_in_floating_point() {
    let delays: Vec<u64> = (0..5000_u64).map(|n| n.wrapping_mul(0x9e37_79b9) % MS).collect();
    let mut wanted = 0.0;
    for pair in delays.windows(2) {
        wanted += (pair[0].abs_diff(pair[1]) as f64 - wanted) / 16.0;
    }
    let jitter = run(delays, 0).jitter().unwrap().as_nanos() as f64;
    assert!((jitter - wanted).abs() < 2.0, "{jitter} for {wanted}");
}

#[test]
fn variation_is_measured_from_the_smallest_delay_wherever_it_comes() {
    let mut delays: Vec<u64> = (0..1000).map(|n| 5 * MS + n * 1000).collect();
    for _ in 0..2 {
        let variation = run(delays.iter().copied(), 1 << 40).variation().unwrap();
        assert_eq!(variation.max, Duration::from_micros(999));
        assert!(close(variation.p50, 499_000 + 500), "{variation:?}");
        assert!(close(variation.p90, 900_000) && close(variation.p99, 990_000), "{variation:?}");
        delays.reverse();
    }
}

#[test]
fn clocks_that_drift_apart_move_the_minimum_down_and_the_figures_stay_whole() {
    let variation = run((0..100_000).map(|n| 10 * MS - n * 50), 0).variation().unwrap();
    assert_eq!(variation.max, Duration::from_nanos(99_999 * 50));
    let half = variation.p50.as_nanos() as f64;
    assert!((half / 2_500_000.0 - 1.0).abs() < 0.03, "{variation:?}");
}

#[test]
fn a_clock_that_is_set_back_is_not_the_network() {
    let mut record = run(std::iter::repeat_n(3 * MS, 100), 1 << 50);
    record.observe(100 * MS, 5);
    record.observe(101 * MS, 5 + MS);
    record.observe(200, 5 + 2 * MS);
    assert_eq!(record.steps(), 1, "a hundred milliseconds may be the network");
    let mut record = run(std::iter::repeat_n(3 * MS, 100), 1 << 50);
    for (sent, received) in [(100, 1), (101, 2), (102, 100_000), (103, 100_001)] {
        record.observe(sent * MS, received * MS);
    }
    assert_eq!(record.steps(), 2, "back by much, and forth by more than a network holds");
    assert_eq!(record.jitter(), Some(Duration::ZERO));
    assert_eq!(record.variation().map(|variation| variation.max), Some(Duration::ZERO));
}

#[test]
fn flows_are_merged_each_from_its_own_minimum() {
    let mut one = run((0..100).map(|n| MS + n * 1000), 0);
    let other = run((0..100).map(|n| 70 * MS + n * 3000), 1 << 45);
    one.merge(&other);
    let variation = one.variation().unwrap();
    assert!(close(variation.max, 297_000) && close(variation.p50, 75_000), "{variation:?}");
    let mut empty = Delays::new();
    empty.merge(&other);
    empty.merge(&Delays::new());
    assert_eq!(empty.variation(), other.variation());
}

#[test]
fn a_reset_forgets_the_variation_and_keeps_the_jitter() {
    let mut record = run([MS, 17 * MS], 0);
    record.reset();
    assert_eq!(record.variation(), None);
    assert_eq!(record.jitter(), Some(Duration::from_millis(1)));
    record.observe(2 * MS, 19 * MS);
    assert_eq!(record.variation().map(|variation| variation.max), Some(Duration::ZERO));
}
