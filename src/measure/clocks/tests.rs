//! Clocks and paths that are made up, so that what is estimated is known.

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::*;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// A path with queues, and a clock at its other end.
#[derive(Debug, Clone, Copy)]
struct World {
    /// What each way takes without a queue.
    ways: [u64; 2],
    /// What queues add at most, each way.
    queues: [u64; 2],
    /// What the other clock shows when ours shows 0.
    offset: i64,
    /// How much faster it runs, in parts in 10^9.
    drift: i64,
    every: u64,
    count: u64,
    seed: u64,
}

/// What was seen of an exchange, and how long its ways took in truth.
struct Seen {
    exchange: RoundTrip,
    ways: [u64; 2],
}

impl World {
    const fn new(seed: u64) -> Self {
        Self {
            ways: [2 * MS, 2 * MS],
            queues: [MS, MS],
            offset: 0,
            drift: 0,
            every: 10 * MS,
            count: 1000,
            seed,
        }
    }

    /// Returns a path and a clock that are drawn from the seed.
    fn drawn(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut up_to = |most: u64| random.random_range(0..=most);
        Self {
            ways: [up_to(20 * MS), up_to(20 * MS)],
            queues: [up_to(50 * MS) + 1, up_to(50 * MS) + 1],
            offset: i64::try_from(up_to(1_000_000 * S)).unwrap() - 500_000_000_000_000,
            drift: i64::try_from(up_to(100_000)).unwrap() - 50_000,
            every: up_to(100 * MS) + 10 * US,
            count: 1 + up_to(3000),
            seed,
        }
    }

    /// What the other clock shows when ours shows `time`.
    fn other(&self, time: u64) -> u64 {
        let time = i128::from(time);
        let shows = time + i128::from(self.offset) + time * i128::from(self.drift) / 1_000_000_000;
        // Both clocks may begin anywhere.
        u64::try_from(shows.rem_euclid(1 << 64)).unwrap()
    }

    /// How far the other clock is ahead at `time`.
    fn ahead(&self, time: u64) -> i64 {
        self.other(time).wrapping_sub(time).cast_signed()
    }

    fn run(&self) -> (Clocks, Vec<Seen>) {
        let mut random = SmallRng::seed_from_u64(self.seed);
        // Queues are long for a while, and then short.
        let mut way = |nth: usize, time: u64| {
            let busy = (time / (200 * MS) + u64::try_from(nth).unwrap()).is_multiple_of(3);
            let queue = self.queues[nth] / if busy { 1 } else { 10 };
            self.ways[nth] + random.random_range(0..=queue)
        };
        let mut clocks = Clocks::new();
        let mut all = Vec::new();
        for nth in 0..self.count {
            let asked = 5 * S + nth * self.every;
            let there = way(0, asked);
            let (read, written) = (asked + there, asked + there + 30 * US);
            let back = way(1, written);
            let times = [asked, self.other(read), self.other(written), written + back];
            let exchange = RoundTrip::new(times).expect("it can be");
            clocks.note(&exchange);
            all.push(Seen { exchange, ways: [there, back] });
        }
        (clocks, all)
    }
}

/// Returns how far the ways of an exchange are from what they took, at most.
fn off(tie: &Tie, seen: &Seen) -> u64 {
    let told = tie.ways(&seen.exchange);
    let off = |way: usize| told[way].abs_diff(i64::try_from(seen.ways[way]).unwrap());
    off(0).max(off(1))
}

#[test]
fn whatever_the_path_and_the_clocks_each_delay_is_within_what_is_said() {
    for seed in 0..300 {
        let world = World::drawn(seed);
        let (clocks, all) = world.run();
        let tie = clocks.tie().unwrap();
        for seen in &all {
            assert!(off(&tie, seen) <= tie.uncertainty + 2, "{world:?}: {tie:?}");
            assert!(
                tie.ways(&seen.exchange).iter().all(|way| *way >= -(tie.uncertainty.cast_signed()))
            );
        }
    }
}

#[test]
fn the_offset_is_that_of_the_exchange_that_took_the_least() {
    for seed in 0..300 {
        let world = World::drawn(seed);
        let (clocks, all) = world.run();
        let tie = clocks.tie().unwrap();
        let best = all.iter().min_by_key(|seen| seen.exchange.on_the_way()).unwrap();
        let at = best.exchange.asked + best.exchange.took / 2;
        let off = tie.offset.abs_diff(world.ahead(at));
        assert!(off <= best.exchange.on_the_way() / 2 + 20 * US, "{world:?}: {tie:?}");
        assert!(tie.uncertainty >= best.exchange.on_the_way() / 2);
    }
}

#[test]
fn ways_that_are_alike_at_their_shortest_leave_little_to_be_wrong() {
    for (seed, queues) in [(1, [0, 30 * MS]), (2, [30 * MS, 0]), (3, [5 * MS, 40 * MS])] {
        for drift in [-50_000, 0, 50_000] {
            let world = World { queues, drift, offset: -77 * S.cast_signed(), ..World::new(seed) };
            let (clocks, all) = world.run();
            let tie = clocks.tie().unwrap();
            let worst = all.iter().map(|seen| off(&tie, seen)).max().unwrap();
            assert!(worst <= tie.uncertainty, "{world:?}: {tie:?}");
            // What was waited for on one way is told of that one.
            let mean = |way: usize| {
                let told = all.iter().map(|seen| tie.ways(&seen.exchange)[way]);
                let real = all.iter().map(|seen| seen.ways[way].cast_signed());
                (told.sum::<i64>() - real.sum::<i64>()).unsigned_abs() / world.count
            };
            assert!(mean(0) < 600 * US && mean(1) < 600 * US, "{} {}: {tie:?}", mean(0), mean(1));
        }
    }
}

#[test]
fn the_drift_of_two_clocks_is_found_to_a_few_parts_in_a_million() {
    for seed in 0..20 {
        for drift in [-50_000_i32, -1_000, 0, 50_000] {
            let (clocks, _) =
                World { drift: drift.into(), queues: [500 * US, 500 * US], ..World::new(seed) }
                    .run();
            let found = clocks.tie().unwrap().drift.unwrap();
            let off = (found.rate * 1e9 - f64::from(drift)).abs();
            assert!(off <= 4e9 * found.error && off < 10_000.0, "{found:?} for {drift}");
        }
    }
}

#[test]
fn a_path_that_never_queues_gives_half_a_round_trip_and_the_exact_drift() {
    let world = World { queues: [0, 0], drift: 37_000, ..World::new(0) };
    let (clocks, _) = world.run();
    let tie = clocks.tie().unwrap();
    assert!((tie.drift.unwrap().rate * 1e9 - 37_000.0).abs() < 10.0, "{tie:?}");
    // And a little, since other drifts could be true as well before the first window's exchange and
    // after the last one's.
    assert!((2 * MS..=2 * MS + 100 * US).contains(&tie.uncertainty), "{tie:?}");
}

#[test]
fn a_test_that_is_too_short_tells_no_drift() {
    for count in [1, 2, 30] {
        let (clocks, _) = World { count, ..World::new(9) }.run();
        assert_eq!(clocks.tie().unwrap().drift, None, "{count}");
    }
    assert_eq!(Clocks::new().tie(), None);
}

#[test]
fn a_clock_that_does_not_run_evenly_makes_it_more_uncertain() {
    let world = World { queues: [0, 0], ways: [10 * US, 10 * US], ..World::new(0) };
    let (even, all) = world.run();
    let mut uneven = Clocks::new();
    for (nth, seen) in (0..).zip(&all) {
        // From the middle on it gains 400 parts in a million, which no line follows.
        let gained = i64::max(0, nth - 500) * 4 * US.cast_signed();
        uneven.note(&RoundTrip { ahead: seen.exchange.ahead + gained, ..seen.exchange });
    }
    let [even, uneven] = [even, uneven].map(|clocks| clocks.tie().unwrap());
    assert!(even.uncertainty < 20 * US, "{even:?}");
    // The nearest line is off by a quarter of 2 ms somewhere.
    assert!((450 * US..3 * MS).contains(&uneven.uncertainty), "{uneven:?}");
}

#[test]
fn windows_are_joined_and_the_best_of_each_is_kept() {
    let mut clocks = Clocks::new();
    let exchange = |asked: u64, took| RoundTrip { asked, took, held: 0, ahead: 0 };
    for nth in 0..100_000 {
        clocks.note(&exchange(nth * MS, if nth == 31_234 { 50 * US } else { 100 * US }));
    }
    let kept = clocks.windows.iter().flatten().count();
    assert!((32..=64).contains(&kept), "{kept}");
    let least = clocks.windows.iter().flatten().map(|bar| bar.on_the_way).min();
    assert_eq!(least, Some(50 * US));
    assert!(clocks.tie().unwrap().uncertainty < 100 * US);
}
