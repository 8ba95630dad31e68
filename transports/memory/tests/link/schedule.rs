//! What changes with time: blackouts and steps of the delay.

use std::{num::NonZeroU32, time::Duration};

use polyperf_memory::link::{BitRate, Blackouts, Link, LinkConfig, Steps};

use super::{arrivals, ids, ms, packet};

#[test]
fn what_leaves_in_the_dark_is_lost_to_the_nanosecond() {
    let blackouts = Blackouts { offset: ms(10), ..Blackouts::new(ms(30), ms(20)) };
    let mut link = Link::new(LinkConfig::perfect().delay(ms(500)).blackouts(blackouts));
    let nano = Duration::from_nanos(1);
    let times = [
        (ms(0), true),
        (ms(9), true),
        (ms(40) - nano, true),
        (ms(40), false),
        (ms(60) - nano, false),
        (ms(60), true),
        (ms(90) - nano, true),
        (ms(90), false),
        (ms(109), false),
        (ms(110), true),
        (ms(50_000_000 + 35), true),
        (ms(50_000_000 + 45), false),
    ];
    (0..).zip(times).for_each(|(id, (at, _))| link.push(at, packet(id, 100)));
    let light: Vec<u8> = (0..).zip(times).filter(|(_, (_, ok))| *ok).map(|(id, _)| id).collect();
    assert_eq!(ids(&mut link), light);
    assert_eq!(link.stats().lost_in_blackouts, 5);
}

#[test]
fn rounds_come_to_an_end() {
    let blackouts = Blackouts { rounds: NonZeroU32::new(2), ..Blackouts::new(ms(10), ms(10)) };
    let dark: Vec<u64> = (0..100).filter(|at| blackouts.is_dark(ms(*at))).collect();
    assert_eq!(dark, (10..20).chain(30..40).collect::<Vec<_>>());
    let never = Blackouts::new(Duration::ZERO, Duration::ZERO);
    assert!(!never.is_dark(ms(5)));
    assert!(Blackouts::new(Duration::ZERO, ms(1)).is_dark(ms(5)));
}

#[test]
fn the_moment_that_counts_is_when_the_last_bit_leaves() {
    // Each takes a millisecond, and leaves after it.
    let config =
        LinkConfig::perfect().rate(BitRate::mbps(10)).blackouts(Blackouts::new(ms(3), ms(3)));
    let mut link = Link::new(config);
    (0..10).for_each(|id| link.push(ms(0), packet(id, 1250)));
    let expected = [(ms(1), 0), (ms(2), 1), (ms(6), 5), (ms(7), 6), (ms(8), 7)];
    assert_eq!(arrivals(&mut link), expected);
}

#[test]
fn a_step_lasts_its_time_and_the_next_is_drawn_from_the_range() {
    let steps = Steps { every: ms(1000), from: ms(0), to: ms(10) };
    let delays = delays(LinkConfig::perfect().delay(ms(15)).steps(steps).seed(2));
    let mut different = Vec::new();
    for second in delays.chunks(10) {
        assert!(second.iter().all(|delay| *delay == second[0]), "{second:?}");
        assert!((ms(15)..=ms(25)).contains(&second[0]), "{second:?}");
        different.push(second[0]);
    }
    let mean = different.iter().sum::<Duration>() / 1000;
    // Uniform over 10 ms: a deviation of 2.9 ms, and so of 0.09 for the mean of a thousand.
    assert!(mean.abs_diff(ms(20)) < Duration::from_micros(360), "{mean:?}");
    assert!(different.iter().any(|delay| *delay < ms(16)));
    assert!(different.iter().any(|delay| *delay > ms(24)));
    different.dedup();
    assert!(different.len() > 990);
}

#[test]
fn steps_keep_the_order_and_their_seed() {
    let steps = Steps { every: ms(5), from: ms(0), to: ms(50) };
    let trace = |seed| {
        let mut link = Link::new(LinkConfig::perfect().steps(steps).seed(seed));
        (0..=255).for_each(|id| link.push(ms(u64::from(id)), packet(id, 10)));
        arrivals(&mut link)
    };
    assert!(trace(1).is_sorted_by_key(|(_, id)| *id));
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

/// Returns the delays of packets sent each 100 ms, for a thousand seconds.
fn delays(config: LinkConfig) -> Vec<Duration> {
    let mut link = Link::new(config);
    (0..10_000)
        .map(|number| {
            link.push(ms(100 * number), packet(0, 100));
            let due = link.next_deadline().expect("under way");
            link.pop(due).expect("due").due - ms(100 * number)
        })
        .collect()
}
