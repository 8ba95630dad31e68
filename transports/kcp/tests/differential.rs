//! Our engine and the crate `kcp`, each with itself and with the other, over the same bad link: all
//! deliver the same bytes.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers as well")]

mod lab;

use std::{num::NonZeroU16, time::Duration};

use lab::{End, Ours, Theirs, World, pattern};
use polyperf_kcp::{Config, FlushPolicy, Mode, Profile};
use polyperf_memory::link::{LinkConfig, Loss, Probability};

/// A link that does everything wrong that links do.
fn bad_link(seed: u64) -> LinkConfig {
    LinkConfig::perfect()
        .delay(ms(20))
        .jitter(ms(2))
        .loss(Loss::iid(Probability::new(0.05)))
        .reorder(Probability::new(0.05), ms(10))
        .duplicate(Probability::new(0.03))
        .seed(seed)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs all four pairings, and compares what arrives.
fn each_pairing_delivers(config: Config, start: Duration, piece: usize) {
    let sent = pattern(400_000);
    for seed in 0..3 {
        let link = || bad_link(seed);
        let (ours, theirs) = (|| Ours::new(config), || Theirs::new(&config, start));
        let lens = [
            deliver(World::new(ours(), ours(), link(), start), &sent, piece),
            deliver(World::new(ours(), theirs(), link(), start), &sent, piece),
            deliver(World::new(theirs(), ours(), link(), start), &sent, piece),
            deliver(World::new(theirs(), theirs(), link(), start), &sent, piece),
        ];
        if config.mode == Mode::Messages {
            let each = vec![piece; sent.len() / piece];
            assert!(lens.iter().all(|lens| *lens == each), "they are whole: {lens:?}");
        }
    }
}

/// Sends everything there and half of it back, and returns how long what was read there was each
/// time.
fn deliver<A: End, B: End>(mut world: World<A, B>, sent: &[u8], piece: usize) -> Vec<usize> {
    let back = &sent[..sent.len() / 2];
    world.exchange(sent, back, piece);
    for (got, sent) in [(&world.read[..], sent), (&world.read_here, back)] {
        let wrong = got.iter().zip(sent).position(|(a, b)| a != b);
        let (here, there) = (std::any::type_name::<A>(), std::any::type_name::<B>());
        assert_eq!((wrong, got.len()), (None, sent.len()), "{here} to {there}");
    }
    world.lens
}

#[test]
fn a_stream_arrives_as_it_was() {
    each_pairing_delivers(Config::default(), ms(0), 10_000);
}

#[test]
fn messages_arrive_as_they_were() {
    let config = Config { mode: Mode::Messages, ..Config::default() };
    each_pairing_delivers(config, ms(0), 10_000);
}

#[test]
fn congestion_control_and_the_clock_change_nothing_about_that() {
    let config = Config {
        congestion_control: true,
        flush: FlushPolicy::Interval,
        ..Config::new(Profile::Normal)
    };
    each_pairing_delivers(config, ms(0), 5000);
}

#[test]
fn small_windows_change_nothing_about_that() {
    let window = |segments| NonZeroU16::new(segments).unwrap();
    let config =
        Config { send_window: window(16), receive_window: window(128), ..Config::default() };
    each_pairing_delivers(config, ms(0), 1000);
}

#[test]
fn a_clock_that_changes_its_sign_or_begins_anew_changes_nothing_about_that() {
    for wrap in [1_u64 << 31, 1 << 32] {
        each_pairing_delivers(Config::default(), ms(wrap - 300), 10_000);
    }
}

#[test]
fn numbers_that_begin_anew_change_nothing_about_that() {
    for first_sn in [u32::MAX - 100, i32::MAX.cast_unsigned() - 100] {
        let config = Config { first_sn, ..Config::default() };
        let world = World::new(Ours::new(config), Ours::new(config), bad_link(7), ms(0));
        deliver(world, &pattern(400_000), 10_000);
    }
}

#[test]
fn error_correction_changes_nothing_about_that() {
    for groups in ["10:3", "1:1", "4:2"] {
        let fec = Some(groups.parse().unwrap());
        let end = || Ours::with(Config::default(), fec);
        let sent = pattern(400_000);
        let mut world = World::new(end(), end(), bad_link(9), ms(0));
        assert!(world.transfer(&sent, 10_000) == sent, "{groups}");
        assert!(world.there.stats().fec.unwrap().recovered > 0, "{groups}");
    }
}
